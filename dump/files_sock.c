/*
 * files_sock - what all sockets have in common: the options. Those without a
 * field of their own are kept where they differ from those of a new socket.
 */
#include "dump/files_sock.h"

#include <dirent.h>
#include <errno.h>
#include <linux/filter.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/sockopt.h"

#ifndef SIOCGSKNS
#define SIOCGSKNS 0x894C
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

/**
 * sock_opt - an integer option
 * @fd: the socket
 * @level: its level
 * @name: its name
 * @val: the value; unchanged if there is none
 *
 * Return: true if the socket has it.
 */
bool sock_opt(int fd, int level, int name, uint32_t *val)
{
	socklen_t len = sizeof(*val);
	uint32_t v;

	if (getsockopt(fd, level, name, &v, &len) < 0 || len != sizeof(v))
		return false;
	*val = v;
	return true;
}

static uint32_t base_opt(const struct fd_info *fi, int name)
{
	socklen_t len = sizeof(uint32_t);
	uint32_t v = 0;

	return sock_get(fi, SOL_SOCKET, name, &v, &len) < 0 || len != sizeof(v) ? 0 : v;
}

#define SET(field, val) (o->has_##field = 1, o->field = (val))

static void dump_flags(const struct fd_info *fi, SkOptsEntry *o)
{
	struct linger linger = { 0 };
	socklen_t len = sizeof(linger);
	uint32_t v;

	SET(reuseaddr, base_opt(fi, SO_REUSEADDR) != 0);
	SET(so_priority, base_opt(fi, SO_PRIORITY));
	SET(so_rcvlowat, base_opt(fi, SO_RCVLOWAT));
	v = base_opt(fi, SO_MARK);
	if (v)
		SET(so_mark, v);
	SET(so_dontroute, base_opt(fi, SO_DONTROUTE) != 0);
	SET(so_no_check, base_opt(fi, SO_NO_CHECK) != 0);
	SET(so_reuseport, base_opt(fi, SO_REUSEPORT) != 0);
	SET(so_broadcast, base_opt(fi, SO_BROADCAST) != 0);
	SET(so_keepalive, base_opt(fi, SO_KEEPALIVE) != 0);
	SET(so_oobinline, base_opt(fi, SO_OOBINLINE));
	SET(so_buf_lock, base_opt(fi, SO_BUF_LOCK));
	if (sock_get(fi, SOL_SOCKET, SO_LINGER, &linger, &len) == 0 && linger.l_onoff)
		SET(so_linger, (uint32_t)linger.l_linger);
}

static void dump_passing(const struct fd_info *fi, SkOptsEntry *o)
{
	if (base_opt(fi, SO_PASSCRED))
		SET(so_passcred, 1);
	if (base_opt(fi, SO_PASSSEC))
		SET(so_passsec, 1);
}

static void dump_times(const struct fd_info *fi, SkOptsEntry *o)
{
	struct timeval tv = { 0 };
	socklen_t len = sizeof(tv);

	if (sock_get(fi, SOL_SOCKET, SO_SNDTIMEO, &tv, &len) == 0) {
		o->so_snd_tmo_sec = (uint64_t)tv.tv_sec;
		o->so_snd_tmo_usec = (uint64_t)tv.tv_usec;
	}
	len = sizeof(tv);
	if (sock_get(fi, SOL_SOCKET, SO_RCVTIMEO, &tv, &len) == 0) {
		o->so_rcv_tmo_sec = (uint64_t)tv.tv_sec;
		o->so_rcv_tmo_usec = (uint64_t)tv.tv_usec;
	}
}

static int dump_filter(struct dump_ctx *ctx, const struct fd_info *fi,
		       const struct sockdiag_unix *u, SkOptsEntry *o)
{
	socklen_t n = 0;

	/* The memory of a filter, eBPF or not, is charged to its socket, which has no other. */
	if (u && u->rcvbuf && !u->optmem)
		return 0;
	if (sock_get(fi, SOL_SOCKET, SO_GET_FILTER, NULL, &n) < 0 && errno == EACCES)
		return file_blocker(
			ctx, fi, "sock-filter", EOPNOTSUPP,
			"an eBPF program (SO_ATTACH_BPF) filters what it receives, which "
			"cannot be read back; detach it with SO_DETACH_FILTER");
	if (!n)
		return 0;
	if (n > BPF_MAXINSNS)
		return file_blocker(ctx, fi, "sock-filter", E2BIG, "a filter of %u instructions",
				    n);
	o->so_filter = arena_array(ctx->arena, uint64_t, n);
	if (sock_get(fi, SOL_SOCKET, SO_GET_FILTER, o->so_filter, &n) < 0)
		return file_blocker(ctx, fi, "sock-filter", errno, "SO_GET_FILTER");
	o->n_so_filter = n;
	return 0;
}

/* What an option of a new socket of one kind is. */
struct fresh_opt {
	uint8_t val[SOCKOPT_MAX];
	bool has;
	socklen_t len;
};

static const struct fresh_opt *fresh_opts(struct dump_ctx *ctx, const struct fd_info *fi,
					  const struct sockdiag_unix *u)
{
	uint32_t type = u ? u->type : base_opt(fi, SO_TYPE), proto = 0;
	struct fresh_opt *f;
	uint64_t key;

	if (fi->domain != AF_UNIX)
		sock_opt(fi->local, SOL_SOCKET, SO_PROTOCOL, &proto);
	key = (uint64_t)fi->domain << 32 | type << 24 | proto;
	f = idmap_get(&ctx->files->fresh_opts, key);
	if (f)
		return f;
	f = arena_array(ctx->arena, struct fresh_opt, nr_sockopt_rows);
	idmap_put(&ctx->files->fresh_opts, key, f);

	cleanup_close int fresh = socket(fi->domain, (int)type | SOCK_CLOEXEC, (int)proto);

	for (size_t i = 0; i < nr_sockopt_rows && fresh >= 0; i++) {
		const struct sockopt_row *row = &sockopt_rows[i];

		f[i].len = SOCKOPT_MAX;
		f[i].has = row->families & sockopt_family(fi->domain) &&
			   !(row->families & SOCKOPT_DGRAM && type == SOCK_STREAM) &&
			   getsockopt(fresh, row->level, row->name, f[i].val, &f[i].len) == 0;
	}
	return f;
}

static int dump_extra(struct dump_ctx *ctx, const struct fd_info *fi, const struct sockdiag_unix *u,
		      SkOptsEntry *o)
{
	const struct fresh_opt *fresh = fresh_opts(ctx, fi, u);
	uint8_t val[SOCKOPT_MAX];

	for (size_t i = 0; i < nr_sockopt_rows; i++) {
		const struct sockopt_row *row = &sockopt_rows[i];
		socklen_t len = sizeof(val);
		SkExtraOpt *x;

		if (!fresh[i].has || sock_get(fi, row->level, row->name, val, &len) < 0 ||
		    (len == fresh[i].len && !memcmp(val, fresh[i].val, len)))
			continue;
		if (len >= sizeof(val))
			return file_blocker(ctx, fi, "sock-option", E2BIG,
					    "its option %u of level %u is longer than can be kept",
					    row->name, row->level);
		x = arena_new_of(ctx->arena, SkExtraOpt);
		sk_extra_opt__init(x);
		x->level = row->level;
		x->name = row->name;
		x->value.data = arena_memdup(ctx->arena, val, len);
		x->value.len = len;
		arena_push(ctx->arena, o->extra, o->n_extra) = x;
	}
	return 0;
}

/**
 * sock_dump_opts - the options of a socket
 * @ctx: the dump
 * @fi: the socket
 * @u: what netlink has told of it already, or NULL
 * @out: the message
 *
 * Return: 0, or -errno with a blocker recorded.
 */
int sock_dump_opts(struct dump_ctx *ctx, const struct fd_info *fi, const struct sockdiag_unix *u,
		   SkOptsEntry **out)
{
	SkOptsEntry *o = arena_new_of(ctx->arena, SkOptsEntry);
	char dev[IFNAMSIZ + 1] = "";
	socklen_t len = IFNAMSIZ;
	int ret;

	sk_opts_entry__init(o);
	/* TCP makes them any size by itself; what can be set is doubled (socket(7)). */
	o->so_sndbuf = (u && u->sndbuf ? u->sndbuf : base_opt(fi, SO_SNDBUF)) & ~1u;
	o->so_rcvbuf = (u && u->rcvbuf ? u->rcvbuf : base_opt(fi, SO_RCVBUF)) & ~1u;
	dump_flags(fi, o);
	if (fi->domain == AF_UNIX || fi->domain == AF_NETLINK)
		dump_passing(fi, o);
	dump_times(fi, o);
	if (sock_get(fi, SOL_SOCKET, SO_BINDTODEVICE, dev, &len) == 0 && dev[0])
		o->so_bound_dev = arena_strdup(ctx->arena, dev);
	ret = dump_filter(ctx, fi, u, o);
	if (ret)
		return ret;
	*out = o;
	return dump_extra(ctx, fi, u, o);
}

/**
 * sock_check_net - is the socket in our own network namespace?
 * @ctx: the dump
 * @fi: the socket
 *
 * Return: 0, or -errno with a blocker recorded.
 */
int sock_check_net(struct dump_ctx *ctx, const struct fd_info *fi)
{
	cleanup_close int ns = ioctl(fi->local, SIOCGSKNS);
	struct stat st;

	/* Without CAP_NET_ADMIN the kernel does not say. */
	if (ns < 0 || fstat(ns, &st) < 0 || st.st_ino == ctx->files->netns)
		return 0;
	return file_blocker(ctx, fi, "sock-netns", EOPNOTSUPP,
			    "a socket of another network namespace");
}

/**
 * sock_diag_get - what netlink tells of all sockets, asked once
 * @ctx: the dump
 *
 * Return: the answer, or NULL, recorded.
 */
const struct sockdiag *sock_diag_get(struct dump_ctx *ctx)
{
	int ret;

	if (!ctx->files->sockdiag) {
		ret = sockdiag_open(&ctx->files->sockdiag);
		if (ret)
			fail(ctx->report, "sock-diag", -ret,
			     "NETLINK_SOCK_DIAG for Unix sockets; is unix_diag there?");
	}
	return ctx->files->sockdiag;
}

static bool holds(const char *pid, const char *want)
{
	char path[300], link[64];
	struct dirent *de;
	bool found = false;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	dir = opendir(path);
	while (dir && !found && (de = readdir(dir))) {
		ssize_t n = readlinkat(dirfd(dir), de->d_name, link, sizeof(link) - 1);

		link[n > 0 ? n : 0] = 0;
		found = !strcmp(link, want);
	}
	if (dir)
		closedir(dir);
	return found;
}

/**
 * sock_holder - which process has a socket, for a message to people
 * @ino: inode of the socket
 * @out: gets "pid N (comm)", or "nobody that can be seen"
 * @size: its bytes
 */
void sock_holder(uint64_t ino, char *out, size_t size)
{
	DIR *dir = opendir("/proc");
	char want[48], path[300], comm[32] = "";
	struct dirent *de;

	snprintf(out, size, "nobody that can be seen");
	snprintf(want, sizeof(want), "socket:[%llu]", (unsigned long long)ino);
	while (dir && (de = readdir(dir))) {
		if (de->d_name[0] < '1' || de->d_name[0] > '9' || atoi(de->d_name) == getpid() ||
		    !holds(de->d_name, want))
			continue;
		snprintf(path, sizeof(path), "/proc/%.10s/comm", de->d_name);
		FILE *f = fopen(path, "re");
		if (f && fgets(comm, sizeof(comm), f))
			comm[strcspn(comm, "\n")] = 0;
		if (f)
			fclose(f);
		snprintf(out, size, "pid %.10s (%s)", de->d_name, comm);
		break;
	}
	if (dir)
		closedir(dir);
}
