/*
 * files_qread - what waits in a Unix socket is peeked at, message by message.
 * Beyond the first one that needs SO_PEEK_OFF.
 *
 * A stream glues messages up to one that carries files or comes from somebody
 * else. Its files belong to the first byte of their message, which is looked
 * for, since a short read of the program must not find them too early.
 */
#include "dump/files_qread.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/fdcontrol.h"
#include "lib/fdpass.h"

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
	struct queue_msg *m = arena_new_of(q->ctx->arena, struct queue_msg);
	const size_t head = offsetof(struct sockaddr_un, sun_path);

	*m = (struct queue_msg){ .at = q->len, .len = len };
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
	if (!l.n && q->may_end && !l.has_cred)
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

/* A message without bytes is passed over by SO_PEEK_OFF once anybody has peeked at it. */
static int empty_head(struct queue *q)
{
	struct look l;
	int ret = look(q->fi->local, q->buf, 0, &l);

	if (ret)
		return ret == -EAGAIN ? 0 : ret;
	if (l.n || (q->may_end && !l.has_cred))
		look_close(&l);
	else
		add_message(q, 0, &l, true);
	return 0;
}

/**
 * queue_read - look at all that waits in a socket
 * @q: the queue; its messages own their descriptors, even after a failure
 *
 * SO_PEEK_OFF of the socket is moved.
 *
 * Return: 0 or -errno.
 */
int queue_read(struct queue *q)
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

/**
 * queue_read_plain - look once at a stream that may carry nothing but bytes
 * @q: the queue
 * @len: its bytes
 *
 * The socket is as it was.
 *
 * Return: 0; 1 if it carries more than that; or -errno.
 */
int queue_read_plain(struct queue *q, size_t len)
{
	struct look l;
	int ret = make_room(q, len);

	if (!ret)
		ret = look(q->fi->local, q->buf, len, &l);
	if (ret)
		return ret;
	if (l.nr_fds || l.n != (ssize_t)len) {
		look_close(&l);
		return 1;
	}
	add_message(q, len, &l, false);
	return 0;
}

/**
 * queue_close - what was looked at is not wanted any more
 * @q: the queue
 */
void queue_close(struct queue *q)
{
	for (struct queue_msg *m = q->first; m; m = m->next)
		for (size_t i = 0; i < m->nr_fds; i++)
			close_owned(&m->fds[i]);
	free(q->buf);
}
