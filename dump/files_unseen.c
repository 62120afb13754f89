/*
 * files_unseen - messages without a byte that were peeked at before, by an
 * earlier dump or by who uses SO_PEEK_OFF: unless they are the next to be
 * read, the kernel passes over them from then on, and nobody can look at them.
 * Each counts in the send buffer of who sent it, though: what is there beyond
 * what the same messages take elsewhere is theirs.
 */
#include "dump/files_qread.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "kernel/sockdiag.h"

#define ROOM 0x3fffffff

/* Bytes in the send buffer, or -errno. */
static int sent(int fd)
{
	int n = 0;

	return ioctl(fd, SIOCOUTQ, &n) < 0 ? -errno : n;
}

/* How many empty messages are missing, if all of them take @taken bytes of send buffer; or -errno.
 */
static int count_empty(const struct queue *q, int taken)
{
	int pair[2], room = ROOM, some, one;

	if (socketpair(AF_UNIX, q->type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -errno;
	cleanup_close int from = pair[0];
	__attribute__((unused)) cleanup_close int to = pair[1];

	if (setsockopt(from, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room)) < 0)
		setsockopt(from, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	for (struct queue_msg *m = q->first; m; m = m->next)
		if (send(from, q->buf + m->at, m->len, 0) < 0)
			return -errno;
	some = sent(from);
	if (some < 0 || send(from, NULL, 0, 0) < 0)
		return some < 0 ? some : -errno;
	one = sent(from) - some;
	return one > 0 && taken > some && (taken - some) % one == 0 ? (taken - some) / one : 0;
}

/**
 * queue_check_unseen - are there messages that looking does not show?
 * @q: the queue of a socket of datagrams or packets, as it was seen; all tables are known
 * @e: the socket's message
 *
 * It can be told only of two sockets of the tree that are each other's peer.
 *
 * Return: 0, or -EBUSY with a blocker recorded; of datagrams, whose sender may have sent to others
 * too, a warning is all.
 */
int queue_check_unseen(const struct queue *q, const UnixSkEntry *e)
{
	struct dump_ctx *ctx = q->ctx;
	const struct file_desc *peer = e->peer ? file_seen(ctx, FILE_KIND_unixsk, e->peer) : NULL;
	const struct sockdiag_unix *u = sockdiag_unix_by_ino(ctx->files->sockdiag, e->peer);
	int unseen;

	if (!peer || !peer->dump || !u || ((UnixSkEntry *)peer->msg)->peer != e->ino)
		return 0;
	unseen = count_empty(q, (int)u->wqueue);
	if (unseen <= 0)
		return 0;
	if (e->type == SOCK_SEQPACKET && ctx->write)
		return file_blocker(
			ctx, q->fi, "unix-queue", EBUSY,
			"%d packets without a byte wait in its queue, which were peeked at "
			"before and cannot be seen; let the program read them",
			unseen);
	log_warn(ctx->report,
		 "pid %d fd %d: its peer, socket %u, has sent more than can be seen: if %d empty "
		 "messages wait in its queue that were peeked at before, they are lost",
		 q->fi->task->pid, q->fi->fd, e->peer, unseen);
	return 0;
}
