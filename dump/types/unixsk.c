/*
 * unixsk - dump of Unix sockets: listening, bound, connected within the tree,
 * or with a peer that has closed. What is queued is looked at with MSG_PEEK;
 * a queue that cannot be read to its end that way is a blocker. The other half
 * is restore/types/unixsk.c.
 */
#include "dump/files_sock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/sk-packet.pb-c.h"
#include "proto/sk-unix.pb-c.h"

#define SHUT_BOTH 3 /* as sock_diag counts */

static int unixsk_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	uint32_t domain = 0;

	return S_ISSOCK(fi->st.st_mode) && sock_opt(fi->local, SOL_SOCKET, SO_DOMAIN, &domain) &&
	       domain == AF_UNIX;
}

static bool node_is(const char *path, const struct sockdiag_unix *u, struct stat *st)
{
	return lstat(path, st) == 0 && S_ISSOCK(st->st_mode) &&
	       file_kdev(st->st_dev) == u->vfs_dev && (uint32_t)st->st_ino == u->vfs_ino;
}

static int read_cwd(const struct fd_info *fi, char *buf, size_t size)
{
	ssize_t n = readlinkat(fi->task->dump->proc_fd, "cwd", buf, size - 1);

	if (n < 0)
		return -errno;
	buf[n] = 0;
	return 0;
}

/* The node in the file system that the socket is bound to: is it there, whose is it? */
static int dump_node(struct dump_ctx *ctx, const struct fd_info *fi, UnixSkEntry *e,
		     const struct sockdiag_unix *u)
{
	char path[2 * PATH_MAX], dir[PATH_MAX] = "";
	FilePermsEntry *perms;
	struct stat st;

	if (!u->name_len || !u->name[0])
		return 0;
	if (u->name[0] != '/') {
		if (read_cwd(fi, dir, sizeof(dir)))
			return file_blocker(ctx, fi, "sock-name", errno, "read its directory");
		e->name_dir = arena_strdup(ctx->arena, dir);
	}
	snprintf(path, sizeof(path), "%s%s%.*s", dir, dir[0] ? "/" : "", (int)u->name_len,
		 (const char *)u->name);
	if (!node_is(path, u, &st)) {
		e->has_deleted = e->deleted = 1;
		return 0;
	}
	perms = arena_new_of(ctx->arena, FilePermsEntry);
	file_perms_entry__init(perms);
	perms->mode = st.st_mode;
	perms->uid = st.st_uid;
	perms->gid = st.st_gid;
	e->file_perms = perms;
	return 0;
}

static void close_rights(struct msghdr *m, bool *rights)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		int *fds = (int *)CMSG_DATA(c);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		*rights = true;
		for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
			close(fds[i]);
	}
}

/* Bytes at the head of the queue, or -errno with a blocker recorded. */
static ssize_t peek(struct dump_ctx *ctx, const struct fd_info *fi, void *buf, size_t len)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(253 * sizeof(int)) + 256];
	struct iovec iov = { buf, len };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	bool rights = false;
	ssize_t n = recvmsg(fi->local, &m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

	if (n < 0)
		return file_blocker(ctx, fi, "unix-queue", errno, "look at what is queued");
	close_rights(&m, &rights);
	if (rights)
		return file_blocker(ctx, fi, "unix-rights", EOPNOTSUPP,
				    "descriptors are in its queue: not supported by this version");
	return n;
}

static int dump_queue(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	const UnixSkEntry *e = (UnixSkEntry *)d->msg;
	SkPacketEntry p = SK_PACKET_ENTRY__INIT;
	int len = 0, off = -1;
	socklen_t size = sizeof(off);
	ssize_t n = 0;
	char *buf;

	if (ioctl(fi->local, FIONREAD, &len) < 0 || len <= 0)
		return 0;
	if (getsockopt(fi->local, SOL_SOCKET, SO_PEEK_OFF, &off, &size) == 0 && off >= 0)
		return file_blocker(ctx, fi, "unix-queue", EOPNOTSUPP,
				    "%d bytes are queued, and SO_PEEK_OFF is set", len);
	if (e->type == SOCK_DGRAM)
		return file_blocker(ctx, fi, "unix-queue", EOPNOTSUPP,
				    "datagrams are in its queue: not supported by this version");
	buf = malloc((size_t)len + 1);
	if (!buf)
		return -ENOMEM;
	n = peek(ctx, fi, buf, (size_t)len);
	if (n >= 0 && n != len)
		n = file_blocker(ctx, fi, "unix-queue", EOPNOTSUPP,
				 "%d bytes in several messages are in its queue: not supported by "
				 "this version",
				 len);
	p.id_for = d->id;
	p.length = (uint32_t)len;
	if (n >= 0)
		n = file_side_put(ctx, IMAGE_SK_QUEUES, &p.base, buf, (size_t)len);
	free(buf);
	return n < 0 ? (int)n : 0;
}

static int dump_sk_state(struct dump_ctx *ctx, const struct fd_info *fi, UnixSkEntry *e,
			 const struct sockdiag_unix *u)
{
	if (u->state == TCP_LISTEN) {
		e->backlog = u->wqueue;
		if (u->rqueue)
			return file_blocker(ctx, fi, "unix-in-flight", EBUSY,
					    "%u connections wait to be accepted; not supported by "
					    "this version",
					    u->rqueue);
		return 0;
	}
	if (e->type != SOCK_DGRAM && u->state == TCP_ESTABLISHED && !u->peer &&
	    u->shutdown != SHUT_BOTH)
		return file_blocker(ctx, fi, "unix-in-flight", EBUSY,
				    "its connection was not accepted yet; not supported by this "
				    "version");
	return 0;
}

static int unixsk_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	const struct sockdiag *sd = sock_diag_get(ctx);
	UnixSkEntry *e = (UnixSkEntry *)d->msg;
	const struct sockdiag_unix *u;
	uint32_t v = 0;
	int ret = sd ? sock_check_net(ctx, fi) : -EIO;

	if (ret)
		return ret;
	u = sockdiag_unix_by_ino(sd, (uint32_t)fi->st.st_ino);
	if (!u)
		return file_blocker(ctx, fi, "sock-diag", ENOENT, "netlink does not know it");
	file_see(ctx, FILE_KIND_unixsk, u->ino, d);
	e->ino = u->ino;
	e->type = u->type;
	e->state = u->state;
	e->peer = u->peer;
	e->name.data =
		arena_memdup(ctx->arena, u->name_len ? u->name : (const uint8_t *)"", u->name_len);
	e->name.len = u->name_len;
	if (u->shutdown) {
		e->has_shutdown = 1;
		e->shutdown = (SkShutdown)u->shutdown;
	}
	if (fi->task->ids && fi->task->ids->has_net_ns_id) {
		e->has_ns_id = 1;
		e->ns_id = fi->task->ids->net_ns_id;
	}
	ret = dump_sk_state(ctx, fi, e, u);
	if (!ret)
		ret = dump_node(ctx, fi, e, u);
	if (!ret)
		ret = sock_dump_opts(ctx, fi, &e->opts);
	if (!ret)
		ret = dump_queue(ctx, d, fi);
	if (ret)
		return ret;
	if (sock_opt(fi->local, SOL_SOCKET, SO_PASSCRED, &v) && v)
		e->opts->has_so_passcred = e->opts->so_passcred = 1;
	if (sock_opt(fi->local, SOL_SOCKET, SO_PASSSEC, &v) && v)
		e->opts->has_so_passsec = e->opts->so_passsec = 1;
	return 0;
}

/* The peer's end is in the tree too, or this cannot come back. */
static int unixsk_finish(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	const UnixSkEntry *e = (UnixSkEntry *)d->msg;
	const struct sockdiag_unix *u;
	char name[120] = "unnamed";

	if (!e->peer || file_seen(ctx, FILE_KIND_unixsk, e->peer))
		return 0;
	u = sockdiag_unix_by_ino(ctx->files->sockdiag, e->peer);
	if (u && u->name_len)
		snprintf(name, sizeof(name), "%s%.*s", u->name[0] ? "" : "@",
			 (int)(u->name_len - !u->name[0]), (const char *)u->name + !u->name[0]);
	return file_blocker(ctx, fi, "unix-peer-outside", EOPNOTSUPP,
			    "socket %u is connected to socket %u (%s) outside the tree; %s", e->ino,
			    e->peer, name,
			    ctx->opts->ext_unix_sk
				    ? "--ext-unix-sk is not supported by this version"
				    : "such a socket needs --ext-unix-sk");
}

const struct file_dump_ops unixsk_dump_ops = {
	.probe = unixsk_probe,
	.dump = unixsk_dump,
	.finish = unixsk_finish,
};
