/*
 * unixsk - dump of Unix sockets: listening, bound, connected within the tree
 * or waiting there to be accepted, or with a peer that has closed. One outside
 * is refused unless it was permitted. What is queued is dump/files_queue.c's.
 * The other half is restore/types/unixsk.c.
 */
#include "dump/files_queue.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "dump/files_sock.h"
#include "lib/door_names.h"

#define UNIX_OUTSIDE 1 /* unix_sk_entry.uflags */

static int unixsk_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return fi->domain == AF_UNIX;
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

static void dump_perms(struct dump_ctx *ctx, UnixSkEntry *e, const struct stat *st)
{
	FilePermsEntry *perms = arena_new_of(ctx->arena, FilePermsEntry);

	file_perms_entry__init(perms);
	perms->mode = st->st_mode;
	perms->uid = st->st_uid;
	perms->gid = st->st_gid;
	e->file_perms = perms;
}

/*
 * The name is gone. Servers that take over from each other bind to a name of the moment and
 * rename the node to that which clients know: the kernel goes on telling the former, but the
 * node is beside it. Only who made the node makes it again.
 */
static void find_moved(struct dump_ctx *ctx, UnixSkEntry *e, const struct sockdiag_unix *u,
		       const char *path)
{
	size_t dir = (size_t)(strrchr(path, '/') - path) + 1;
	char at[2 * PATH_MAX + NAME_MAX];
	struct dirent *de;
	struct stat st;
	DIR *d;

	if (u->type != SOCK_DGRAM && u->state == TCP_ESTABLISHED)
		return;
	snprintf(at, sizeof(at), "%.*s", (int)dir, path);
	d = opendir(at);
	while (d && !e->moved_to && (de = readdir(d))) {
		snprintf(at + dir, sizeof(at) - dir, "%s", de->d_name);
		if ((uint32_t)de->d_ino != u->vfs_ino || !node_is(at, u, &st))
			continue;
		e->moved_to = arena_strdup(ctx->arena, de->d_name);
		dump_perms(ctx, e, &st);
	}
	if (d)
		closedir(d);
}

/* The node in the file system that the socket is bound to: is it there, whose is it? */
static int dump_node(struct dump_ctx *ctx, const struct fd_info *fi, UnixSkEntry *e,
		     const struct sockdiag_unix *u)
{
	char path[2 * PATH_MAX], dir[PATH_MAX] = "";
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
		find_moved(ctx, e, u, path);
		return 0;
	}
	dump_perms(ctx, e, &st);
	return 0;
}

/* A connection that was not accepted yet: its peer is the listening socket, as the format has it.
 */
static int dump_waiting(struct dump_ctx *ctx, const struct fd_info *fi, UnixSkEntry *e,
			const struct sockdiag_unix *u, const struct sockdiag_unix *at)
{
	e->peer = at->ino;
	if (!u->wqueue)
		return 0;
	return file_blocker(ctx, fi, "unix-in-flight", EBUSY,
			    "it has sent something over a connection that was not accepted yet, "
			    "where nobody can look at it; try again when it was");
}

static int dump_listener(struct dump_ctx *ctx, const struct fd_info *fi, UnixSkEntry *e,
			 const struct sockdiag_unix *u)
{
	e->backlog = u->wqueue;
	e->n_waiting = u->nr_waiting;
	e->waiting = arena_memdup(ctx->arena, u->waiting, u->nr_waiting * sizeof(uint32_t));
	for (size_t i = 0; i < u->nr_waiting; i++)
		if (!u->waiting[i])
			return file_blocker(ctx, fi, "unix-in-flight", EBUSY,
					    "of %zu connections that wait to be accepted one was "
					    "closed by who made it, and what it sent cannot be "
					    "looked at; try again when it was accepted",
					    u->nr_waiting);
	return 0;
}

/*
 * SO_PEERCRED. A restore can have the pid of a task, or of nobody any more; for one that lives on
 * outside the task itself stands in.
 */
static void dump_peer_cred(struct dump_ctx *ctx, const struct fd_info *fi, UnixSkEntry *e)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (sock_get(fi, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.uid == (uid_t)-1)
		return;
	e->peer_cred = arena_new_of(ctx->arena, SkCredEntry);
	sk_cred_entry__init(e->peer_cred);
	e->peer_cred->uid = cred.uid;
	e->peer_cred->gid = cred.gid;
	e->peer_cred->has_pid = 1;
	e->peer_cred->pid = (uint32_t)fi->task->pid;
	if (cred.pid &&
	    (pstree_find(ctx->tree, cred.pid) || (kill(cred.pid, 0) < 0 && errno == ESRCH)))
		e->peer_cred->pid = (uint32_t)cred.pid;
}

static int dump_sk_state(struct dump_ctx *ctx, const struct fd_info *fi, UnixSkEntry *e,
			 const struct sockdiag_unix *u)
{
	const struct sockdiag_unix *at = sockdiag_unix_waits_at(ctx->files->sockdiag, u->ino);

	dump_peer_cred(ctx, fi, e);
	if (u->state == TCP_LISTEN)
		return dump_listener(ctx, fi, e, u);
	return at ? dump_waiting(ctx, fi, e, u, at) : 0;
}

static int unixsk_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	const struct sockdiag *sd = sock_diag_get(ctx);
	UnixSkEntry *e = (UnixSkEntry *)d->msg;
	const struct sockdiag_unix *u;
	int ret;

	if (!sd)
		return -EIO;
	u = sockdiag_unix_by_ino(sd, (uint32_t)fi->st.st_ino);
	if (!u) {
		ret = sock_check_net(ctx, fi);
		return ret ? ret
			   : file_blocker(ctx, fi, "sock-diag", ENOENT, "netlink does not know it");
	}
	file_see(ctx, FILE_KIND_unixsk, u->ino, d);
	if (u->vfs_ino) {
		e->has_node = 1;
		e->node = (uint64_t)u->vfs_dev << 32 | u->vfs_ino;
	}
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
		ret = sock_dump_opts(ctx, fi, u, &e->opts);
	return ret ? ret : unix_queue_look(ctx, d, fi, u);
}

static int refuse_outside(struct dump_ctx *ctx, const struct fd_info *fi, uint32_t ino,
			  uint32_t peer, const char *way_out)
{
	const struct sockdiag_unix *u = sockdiag_unix_by_ino(ctx->files->sockdiag, peer);
	char name[120] = "unnamed", who[96];

	if (u && u->name_len)
		snprintf(name, sizeof(name), "%s%.*s", u->name[0] ? "" : "@",
			 (int)(u->name_len - !u->name[0]), (const char *)u->name + !u->name[0]);
	sock_holder(peer, who, sizeof(who));
	return file_blocker(ctx, fi, "unix-peer-outside", EOPNOTSUPP,
			    "socket %u is connected to socket %u (%s) of %s, outside the tree; %s",
			    ino, peer, name, who, way_out);
}

/* The outside end, as the format has it: a description in no table, with its name. */
static void describe_outside(struct dump_ctx *ctx, const struct fd_info *fi,
			     const struct sockdiag_unix *u)
{
	struct file_desc *d = file_desc_make(ctx, FILE_KIND_unixsk, fi);
	UnixSkEntry *e = (UnixSkEntry *)d->msg;

	e->flags = 0;
	e->fown = arena_new_of(ctx->arena, FownEntry);
	fown_entry__init(e->fown);
	e->opts = arena_new_of(ctx->arena, SkOptsEntry);
	sk_opts_entry__init(e->opts);
	e->ino = u->ino;
	e->type = u->type;
	e->state = TCP_LISTEN;
	e->uflags = UNIX_OUTSIDE;
	e->name.data = arena_memdup(ctx->arena, u->name, u->name_len);
	e->name.len = u->name_len;
	d->dump = NULL;
	file_see(ctx, FILE_KIND_unixsk, u->ino, d);
}

/* The session of a door comes back ended: libdoor begins another, or interrupts the call. */
static bool is_door_session(const UnixSkEntry *e, const struct sockdiag_unix *peer)
{
	return e->type == SOCK_SEQPACKET &&
	       (door_name_is_listener(e->name.data, e->name.len) ||
		(peer && door_name_is_listener(peer->name, peer->name_len)));
}

/* As it is when its other end is closed, which at the restore is made by the task itself. */
static void end_session(UnixSkEntry *e, const struct fd_info *fi)
{
	e->peer = 0;
	e->has_shutdown = 1;
	e->shutdown = SK_SHUTDOWN__BOTH;
	if (e->peer_cred) {
		e->peer_cred->has_pid = 1;
		e->peer_cred->pid = (uint32_t)fi->task->pid;
	}
}

/* What --external wants done with it, named by the inode of either end; NULL: nothing. */
static const char *outside_policy(struct dump_ctx *ctx, const UnixSkEntry *e)
{
	const char *policy;
	char what[32];

	snprintf(what, sizeof(what), "unix[%u]", e->ino);
	policy = outside_named(ctx, what);
	if (policy)
		return policy;
	snprintf(what, sizeof(what), "unix[%u]", e->peer);
	return outside_named(ctx, what);
}

/* --ext-unix-sk=INO, of either end: connected again if a name allows that, closed if not. */
static const char *chosen_policy(const struct dump_ctx *ctx, const UnixSkEntry *e, bool named)
{
	for (size_t i = 0; i < ctx->opts->nr_ext_unix_inos; i++) {
		uint32_t ino = (uint32_t)strtoul(ctx->opts->ext_unix_inos[i], NULL, 10);

		if (ino == e->ino || ino == e->peer)
			return named && e->type == SOCK_DGRAM ? "reconnect" : "closed";
	}
	return NULL;
}

static int apply_policy(struct dump_ctx *ctx, UnixSkEntry *e, const struct fd_info *fi,
			const char *policy, bool named)
{
	e->has_outside = 1;
	if (!*policy || !strcmp(policy, "closed")) {
		e->outside = UNIX_OUTSIDE__OUTSIDE_CLOSED;
		return 0;
	}
	if (!strcmp(policy, "inherit")) {
		e->outside = UNIX_OUTSIDE__OUTSIDE_INHERIT;
		return 0;
	}
	e->outside = UNIX_OUTSIDE__OUTSIDE_RECONNECT;
	if (strcmp(policy, "reconnect") != 0)
		return file_blocker(ctx, fi, "external-type", EINVAL,
				    "--external unix[INO]:%s: it is closed, reconnect or inherit",
				    policy);
	if (!named)
		return refuse_outside(
			ctx, fi, e->ino, e->peer,
			"which has no name to reconnect to; let it be closed or inherited");
	if (e->n_queue && !(e->type == SOCK_DGRAM && e->name.len))
		return refuse_outside(
			ctx, fi, e->ino, e->peer,
			"and has not read all that it has sent, which would be lost if it "
			"were reconnected; let the program read it, or have it closed");
	return 0;
}

/* The other end is outside of the tree. */
static int finish_outside(struct dump_ctx *ctx, UnixSkEntry *e, const struct fd_info *fi)
{
	const struct sockdiag_unix *u = sockdiag_unix_by_ino(ctx->files->sockdiag, e->peer);
	const char *policy = outside_policy(ctx, e);
	bool named = u && u->name_len;
	int ret;

	if (!policy)
		policy = chosen_policy(ctx, e, named);
	ret = policy ? apply_policy(ctx, e, fi, policy, named) : 0;
	if (ret)
		return ret;
	if (!policy && is_door_session(e, u)) {
		end_session(e, fi);
		return 0;
	}
	if (!policy && !ctx->opts->ext_unix_sk)
		return refuse_outside(ctx, fi, e->ino, e->peer,
				      named && e->type == SOCK_DGRAM
					      ? "--ext-unix-sk has it connected to that name again"
					      : "--external unix[INO] permits it, with INO that of "
						"either end");
	if (!policy && (e->type != SOCK_DGRAM || !named))
		return refuse_outside(
			ctx, fi, e->ino, e->peer,
			"it cannot be connected again as --ext-unix-sk does it, since "
			"that is no datagram socket with a name; --external unix[INO] "
			"permits to leave it without a peer");
	if (u)
		describe_outside(ctx, fi, u);
	else
		e->peer = 0;
	return 0;
}

/* Clients that wait to be let in and are outside of the tree will ask again. */
static void leave_outside(struct dump_ctx *ctx, UnixSkEntry *e)
{
	size_t n = 0;

	for (size_t i = 0; i < e->n_waiting; i++)
		if (e->waiting[i] && file_seen(ctx, FILE_KIND_unixsk, e->waiting[i]))
			e->waiting[n++] = e->waiting[i];
	e->n_waiting = n;
}

/* Both ends of every connection are in the tree, or this cannot come back as it is. */
static int unixsk_finish(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	UnixSkEntry *e = (UnixSkEntry *)d->msg;
	int bad = 0;

	if (e->n_waiting && is_door_session(e, NULL))
		leave_outside(ctx, e);
	for (size_t i = 0; i < e->n_waiting; i++)
		if (e->waiting[i] && !file_seen(ctx, FILE_KIND_unixsk, e->waiting[i]))
			bad = refuse_outside(ctx, fi, e->ino, e->waiting[i],
					     "try again when that connection was accepted");
	if (!e->peer || file_seen(ctx, FILE_KIND_unixsk, e->peer))
		return bad;
	return finish_outside(ctx, e, fi);
}

const struct file_dump_ops unixsk_dump_ops = {
	.probe = unixsk_probe,
	.dump = unixsk_dump,
	.later = unix_queue_dump,
	.finish = unixsk_finish,
};
