/*
 * files_queue - what waits in a Unix socket: bytes, message boundaries, who
 * sent it, under which name, and the files in flight. Everything is peeked at;
 * beyond the first message that needs SO_PEEK_OFF, which the guardian sets
 * back should this program die.
 *
 * A stream glues messages up to one that carries files or comes from somebody
 * else. Its files belong to the first byte of their message, which is looked
 * for, since a short read of the program must not find them too early.
 */
#include "dump/files_queue.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/fd.h"
#include "dump/files_sock.h"
#include "dump/guardian.h"
#include "lib/fdcontrol.h"
#include "lib/fdpass.h"
#include "proto/sk-packet.pb-c.h"

#ifndef SCM_PIDFD
#define SCM_PIDFD 4
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

#define FIRST_ROOM 65536

/* One look at a queue. */
struct look {
	ssize_t n;
	int fds[FD_MSG_MAX];
	size_t nr_fds;
	bool has_cred;
	struct ucred cred;
	struct sockaddr_un from;
	socklen_t from_len;
};

/* A message that was read; it owns its descriptors until they are told apart. */
struct message {
	struct message *next;
	size_t at, len; /* in the buffer */
	int *fds;
	size_t nr_fds;
	SkCredEntry *cred;
	ProtobufCBinaryData addr;
};

struct queue {
	struct dump_ctx *ctx;
	const struct fd_info *fi;
	int type;
	size_t total; /* bytes, of a stream or seqpacket */
	uint8_t shutdown;
	char *buf;
	size_t len, room;
	struct message *first, **last;
};

static void look_close(struct look *l)
{
	for (size_t i = 0; i < l->nr_fds; i++)
		close(l->fds[i]);
	l->nr_fds = 0;
}

/* What a read of @len bytes would give. 0 or -errno; a truncated datagram says its full length. */
static int look(int fd, void *buf, size_t len, struct look *l)
{
	_Alignas(struct cmsghdr) char control[CMSG_SPACE(FD_MSG_MAX * sizeof(int)) + 256];
	struct iovec iov = { buf, len };
	struct msghdr m = { .msg_name = &l->from,
			    .msg_namelen = sizeof(l->from),
			    .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct fd_sender from;

	l->nr_fds = 0;
	l->has_cred = false;
	l->n = recvmsg(fd, &m, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (l->n < 0)
		return -errno;
	l->from_len = m.msg_namelen;
	fd_control_take(&m, l->fds, FD_MSG_MAX, &l->nr_fds);
	l->has_cred = fd_control_sender(&m, &from);
	l->cred = (struct ucred){ from.pid, from.uid, from.gid };
	if (!(m.msg_flags & MSG_CTRUNC))
		return 0;
	look_close(l);
	return -EMFILE;
}

static int seek(const struct queue *q, size_t at)
{
	int off = (int)at;

	return setsockopt(q->fi->local, SOL_SOCKET, SO_PEEK_OFF, &off, sizeof(off)) < 0 ? -errno
											: 0;
}

static int make_room(struct queue *q, size_t more)
{
	size_t room = q->room ? q->room : FIRST_ROOM;
	char *buf;

	while (room < q->len + more)
		room *= 2;
	if (room == q->room)
		return 0;
	buf = realloc(q->buf, room);
	if (!buf)
		return -ENOMEM;
	q->buf = buf;
	q->room = room;
	return 0;
}

/* The next @len bytes are one message, with what the look brought. */
static void add_message(struct queue *q, size_t len, struct look *l, bool with_fds)
{
	struct message *m = arena_new_of(q->ctx->arena, struct message);
	const size_t head = offsetof(struct sockaddr_un, sun_path);

	*m = (struct message){ .at = q->len, .len = len };
	if (with_fds && l->nr_fds) {
		m->fds = arena_memdup(q->ctx->arena, l->fds, l->nr_fds * sizeof(int));
		m->nr_fds = l->nr_fds;
		l->nr_fds = 0;
	}
	/* Nobody is said to have sent a message to which no credentials were attached. */
	if (l->has_cred && l->cred.uid != (uid_t)-1 && l->cred.pid) {
		m->cred = arena_new_of(q->ctx->arena, SkCredEntry);
		sk_cred_entry__init(m->cred);
		m->cred->has_pid = 1;
		m->cred->pid = (uint32_t)l->cred.pid;
		m->cred->uid = l->cred.uid;
		m->cred->gid = l->cred.gid;
	}
	if (q->type == SOCK_DGRAM && l->from_len > head) {
		m->addr.len = l->from_len - head;
		m->addr.data = arena_memdup(q->ctx->arena, l->from.sun_path, m->addr.len);
	}
	*q->last = m;
	q->last = &m->next;
	q->len += len;
}

/* 1: a message, 0: the end, or -errno. */
static int next_packet(struct queue *q)
{
	struct look l;
	int ret;

	for (;;) {
		ret = make_room(q, FIRST_ROOM);
		if (!ret)
			ret = look(q->fi->local, q->buf + q->len, q->room - q->len, &l);
		if (ret)
			return ret == -EAGAIN ? 0 : ret;
		if ((size_t)l.n <= q->room - q->len)
			break;
		look_close(&l);
		ret = make_room(q, (size_t)l.n);
		if (!ret)
			ret = seek(q, q->len);
		if (ret)
			return ret;
	}
	/* So does a seqpacket socket say that nothing more will come. */
	if (!l.n && q->type == SOCK_SEQPACKET && q->shutdown & 1 && q->len >= q->total)
		return 0;
	add_message(q, (size_t)l.n, &l, true);
	return 1;
}

/*
 * How many of the @n bytes stand before the message that has the files. A peek
 * brings files even of a message that it does not reach, but what cannot be
 * copied whole, for want of its last byte, is not counted.
 */
static ssize_t bytes_before(struct queue *q, size_t n)
{
	struct iovec iov[2] = { { q->buf + q->len, n - 1 }, { NULL, 1 } };
	struct msghdr m = { .msg_iov = iov, .msg_iovlen = 2 };
	ssize_t got = seek(q, q->len);

	if (got < 0)
		return got;
	got = recvmsg(q->fi->local, &m, MSG_PEEK | MSG_DONTWAIT);
	if (got < 0)
		return errno == EFAULT ? 0 : -errno;
	return got < (ssize_t)n ? got : -EIO;
}

static int next_chunk(struct queue *q)
{
	size_t want = q->total - q->len;
	ssize_t before;
	struct look l = { 0 };
	int ret;

	if (!want)
		return 0;
	ret = make_room(q, want);
	if (!ret)
		ret = look(q->fi->local, q->buf + q->len, want, &l);
	if (ret || !l.n)
		return ret ? ret : -EIO;
	before = l.nr_fds ? bytes_before(q, (size_t)l.n) : 0;
	if (before < 0) {
		look_close(&l);
		return (int)before;
	}
	if (before > 0) {
		add_message(q, (size_t)before, &l, false);
		l.n -= before;
	}
	add_message(q, (size_t)l.n, &l, true);
	ret = seek(q, q->len);
	return ret ? ret : 1;
}

/* A datagram without bytes is passed over by SO_PEEK_OFF once anybody has peeked at it. */
static int empty_head(struct queue *q)
{
	struct look l;
	int ret = look(q->fi->local, q->buf, 0, &l);

	if (ret)
		return ret == -EAGAIN ? 0 : ret;
	if (l.n || q->type == SOCK_SEQPACKET)
		look_close(&l);
	else
		add_message(q, 0, &l, true);
	return 0;
}

static int read_queue(struct queue *q)
{
	int ret = q->type == SOCK_STREAM ? 0 : make_room(q, FIRST_ROOM);

	if (!ret && q->type != SOCK_STREAM)
		ret = empty_head(q);
	if (!ret)
		ret = seek(q, 0);
	if (ret)
		return ret;
	do
		ret = q->type == SOCK_STREAM ? next_chunk(q) : next_packet(q);
	while (ret > 0);
	return ret;
}

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

static int resolve(struct queue *q, struct message *m, UnixQueuedEntry *e)
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

static int put_message(struct queue *q, struct file_desc *d, struct message *m)
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

static void close_messages(struct queue *q)
{
	for (struct message *m = q->first; m; m = m->next)
		for (size_t i = 0; i < m->nr_fds; i++)
			close_owned(&m->fds[i]);
	free(q->buf);
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

	q.shutdown = e->has_shutdown ? (uint8_t)e->shutdown : 0;
	if (ioctl(fi->local, FIONREAD, &len) == 0 && len > 0)
		q.total = (size_t)len;
	ret = lend(ctx, fi, &off, SO_PEEK_OFF, -1);
	/* Who is asked for pidfds of senders is to learn the same pids. */
	if (!ret && has_option(e, SO_PASSPIDFD))
		ret = lend(ctx, fi, &cred, SO_PASSCRED, 1);
	if (!ret)
		ret = read_queue(&q);
	give_back(ctx, fi, &cred);
	give_back(ctx, fi, &off);
	if (ret)
		file_blocker(ctx, fi, "unix-queue", -ret, "look at what is queued");
	for (struct message *m = q.first; m && !ret; m = m->next)
		ret = put_message(&q, d, m);
	close_messages(&q);
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
	struct look l;
	int ret = make_room(&q, len);

	if (!ret)
		ret = look(fi->local, q.buf, len, &l);
	if (!ret && (l.nr_fds || l.n != (ssize_t)len)) {
		look_close(&l);
		ret = 1;
	} else if (!ret) {
		add_message(&q, len, &l, false);
		ret = put_message(&q, d, q.first);
	}
	free(q.buf);
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
