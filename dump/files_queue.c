/*
 * files_queue - what waits in a Unix socket: bytes, message boundaries, who
 * sent it, under which name, and the files in flight. It is looked at by
 * dump/files_qread.c; what that changes the guardian sets back should this
 * program die.
 */
#include "dump/files_queue.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <xxhash.h>

#include "dump/files_qread.h"
#include "dump/files_sock.h"
#include "dump/guardian.h"

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

/* An option set for the moment. */
struct lent {
	int option, was, ticket;
};

static int lend(struct dump_ctx *ctx, const struct fd_info *fi, struct lent *o, int option,
		int value)
{
	socklen_t len = sizeof(o->was);

	o->option = option;
	if (getsockopt(fi->local, SOL_SOCKET, option, &o->was, &len) < 0)
		return -errno;
	o->ticket = dump_guardian_hold(ctx, fi->local, SOL_SOCKET, option, o->was);
	if (o->ticket < 0)
		return o->ticket;
	return setsockopt(fi->local, SOL_SOCKET, option, &value, sizeof(value)) < 0 ? -errno : 0;
}

static void give_back(struct dump_ctx *ctx, const struct fd_info *fi, struct lent *o)
{
	if (!o->option)
		return;
	setsockopt(fi->local, SOL_SOCKET, o->option, &o->was, sizeof(o->was));
	dump_guardian_free(ctx, o->ticket);
}

static int resolve(struct queue *q, struct queue_msg *m, UnixQueuedEntry *e)
{
	int bad = 0;

	for (size_t i = 0; i < m->nr_fds; i++) {
		struct file_desc *d = file_in_flight(q->ctx, q->fi, &m->fds[i]);

		if (d)
			arena_push(q->ctx->arena, e->rights, e->n_rights) = d->id;
		else
			bad = -EOPNOTSUPP;
	}
	m->nr_fds = 0;
	return bad;
}

static int put_message(struct queue *q, struct file_desc *d, struct queue_msg *m)
{
	UnixSkEntry *sk = (UnixSkEntry *)d->msg;
	UnixQueuedEntry *e = arena_new_of(q->ctx->arena, UnixQueuedEntry);
	SkPacketEntry p = SK_PACKET_ENTRY__INIT;
	ScmEntry scm = SCM_ENTRY__INIT, *scms = &scm;
	int ret;

	unix_queued_entry__init(e);
	ret = resolve(q, m, e);
	e->length = p.length = (uint32_t)m->len;
	e->hash = XXH3_64bits(q->buf + m->at, m->len);
	e->cred = p.cred = m->cred;
	e->has_addr = p.has_addr = m->addr.len > 0;
	e->addr = p.addr = m->addr;
	p.id_for = d->id;
	if (e->n_rights) {
		scm.type = SCM_RIGHTS;
		scm.n_rights = e->n_rights;
		scm.rights = e->rights;
		p.n_scm = 1;
		p.scm = &scms;
	}
	arena_push(q->ctx->arena, sk->queue, sk->n_queue) = e;
	return ret ? ret : file_side_put(q->ctx, IMAGE_SK_QUEUES, &p.base, q->buf + m->at, m->len);
}

/* Does the socket have an option that a new one has not? */
static bool has_option(const UnixSkEntry *e, uint32_t name)
{
	for (size_t i = 0; i < e->opts->n_extra; i++)
		if (e->opts->extra[i]->level == SOL_SOCKET && e->opts->extra[i]->name == name)
			return true;
	return false;
}

/**
 * unix_queue_dump - describe everything that waits in a socket
 * @ctx: the dump; all tables are known
 * @d: the socket's description
 * @fi: the socket
 *
 * Return: 0, or -errno with a blocker recorded. The socket is as it was.
 */
int unix_queue_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	const UnixSkEntry *e = (UnixSkEntry *)d->msg;
	struct queue q = { .ctx = ctx, .fi = fi, .type = (int)e->type, .last = &q.first };
	struct lent off = { 0 }, cred = { 0 };
	int len = 0, ret;

	q.may_end = q.type == SOCK_SEQPACKET && e->has_shutdown && e->shutdown & 1;
	if (ioctl(fi->local, FIONREAD, &len) == 0 && len > 0)
		q.total = (size_t)len;
	ret = lend(ctx, fi, &off, SO_PEEK_OFF, -1);
	/* Who is asked for pidfds of senders is to learn the same pids. */
	if (!ret && (q.may_end || has_option(e, SO_PASSPIDFD)))
		ret = lend(ctx, fi, &cred, SO_PASSCRED, 1);
	if (!ret)
		ret = queue_read(&q);
	give_back(ctx, fi, &cred);
	give_back(ctx, fi, &off);
	if (ret)
		file_blocker(ctx, fi, "unix-queue", -ret, "look at what is queued");
	else if (q.type != SOCK_STREAM)
		ret = queue_check_unseen(&q, e);
	for (struct queue_msg *m = q.first; m && !ret; m = m->next)
		ret = put_message(&q, d, m);
	queue_close(&q);
	return ret;
}

/* An urgent byte is neither read nor peeked at in order. */
static int refuse_urgent(struct dump_ctx *ctx, const struct fd_info *fi)
{
	char c;

	if (recv(fi->local, &c, 1, MSG_OOB | MSG_PEEK | MSG_DONTWAIT) != 1)
		return 0;
	return file_blocker(ctx, fi, "unix-queue", EOPNOTSUPP,
			    "an urgent byte (MSG_OOB) is in its queue, which cannot be put back "
			    "there; let the program read it");
}

/* One look is enough for most: a stream that carries nothing but bytes. */
static int dump_plain(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi,
		      size_t len)
{
	struct queue q = { .ctx = ctx, .fi = fi, .type = SOCK_STREAM, .last = &q.first };
	int ret = queue_read_plain(&q, len);

	if (!ret)
		ret = put_message(&q, d, q.first);
	queue_close(&q);
	return ret;
}

/**
 * unix_queue_look - describe what waits in a socket, or see to it later
 * @ctx: the dump
 * @d: the socket's description; its options are known
 * @fi: the socket
 * @u: what netlink has told of it
 *
 * Return: 0, or -errno with a blocker recorded.
 */
int unix_queue_look(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi,
		    const struct sockdiag_unix *u)
{
	const UnixSkEntry *e = (UnixSkEntry *)d->msg;
	bool off = has_option(e, SO_PEEK_OFF);
	int ret;
	char c;

	if (e->type == SOCK_DGRAM || e->type == SOCK_SEQPACKET) {
		if (off || recv(fi->local, &c, 0, MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC) >= 0)
			file_later(ctx, d);
		return 0;
	}
	if (!u->rqueue || u->state == TCP_LISTEN)
		return 0;
	ret = !off && !e->opts->so_passcred && !has_option(e, SO_PASSPIDFD)
		      ? dump_plain(ctx, d, fi, u->rqueue)
		      : 1;
	if (!ret)
		return 0;
	/* A look passes over an urgent byte, so it falls short or finds nothing. */
	if (refuse_urgent(ctx, fi) < 0)
		return -EOPNOTSUPP;
	if (ret < 0 && ret != -EAGAIN)
		return file_blocker(ctx, fi, "unix-queue", -ret, "look at what is queued");
	file_later(ctx, d);
	return 0;
}
