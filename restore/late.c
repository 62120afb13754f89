/*
 * late - what files need memory and threads for. Files come back before both;
 * so a pidfd of a thread, or a file below /proc/PID/task, is a placeholder
 * until its thread is there, and memory files are not sealed yet. All of it is done from the tool
 * while the tasks stand still: what is opened here is passed into a task through a pair of sockets
 * that the task makes by remote calls and that is gone afterwards.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/fdpass.h"
#include "restore/batch.h"

/* What recvmsg(2) of the task works on, as it lies in its work area. */
struct inbox {
	struct msghdr msg;
	struct iovec iov;
	char byte;
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control;
};

static unsigned long put_inbox(struct remote *r)
{
	struct inbox in = { .iov.iov_len = 1 };
	unsigned long at = remote_alloc(r, sizeof(in), 16);

	in.iov.iov_base = (void *)(at + offsetof(struct inbox, byte));
	in.msg.msg_iov = (void *)(at + offsetof(struct inbox, iov));
	in.msg.msg_iovlen = 1;
	in.msg.msg_control = (void *)(at + offsetof(struct inbox, control));
	in.msg.msg_controllen = sizeof(in.control);
	return at && remote_write(r, at, &in, sizeof(in)) < 0 ? 0 : at;
}

static int send_to(struct restore_ctx *ctx, const struct filedesc *fdt, int sock, int fd)
{
	cleanup_close int out = table_fetch(fdt, sock);
	int ret = out < 0 ? out : fd_send_msg(out, "", 1, &fd, 1, MSG_DONTWAIT);

	return ret < 0 ? fail(ctx->report, "fd-send", -ret, "pid %d: pass a descriptor into it",
			      filedesc_pid(fdt))
		       : 0;
}

/* Puts @fd of the tool at number @at of a table, whatever is there; its users stand still. */
static int push(struct restore_ctx *ctx, const struct filedesc *fdt, int fd, int at, int flags)
{
	const struct pstree_item *it = fdt->tid ? fdt->thread_of : fdt->owner;
	pid_t who = filedesc_pid(fdt);
	struct batch b = { .arena = ctx->arena };
	struct remote *r = it->restore->remote;
	unsigned long where, pair;
	struct inbox in;
	int ret, s[2];

	remote_reset(r);
	pair = remote_alloc(r, sizeof(s), 8);
	where = put_inbox(r);
	if (!pair || !where)
		return fail(ctx->report, "remote-call", ENOMEM, "pid %d: work area", who);
	batch_add(&b, "socketpair", SYS_socketpair, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair, 0,
		  0);
	ret = batch_run(ctx, r, who, &b);
	if (ret >= 0 && remote_read(r, pair, s, sizeof(s)) < 0)
		ret = fail(ctx->report, "remote-call", EIO, "pid %d: read its sockets", who);
	if (ret >= 0)
		ret = send_to(ctx, fdt, s[0], fd);
	if (ret < 0)
		return ret;
	b.n = 0;
	batch_add(&b, "recvmsg", SYS_recvmsg, (unsigned long)s[1], where,
		  MSG_CMSG_CLOEXEC | MSG_DONTWAIT, 0, 0, 0);
	ret = batch_run(ctx, r, who, &b);
	if (ret >= 0 && remote_read(r, where, &in, sizeof(in)) < 0)
		ret = fail(ctx->report, "remote-call", EIO, "pid %d: read its message", who);
	if (ret < 0)
		return ret;
	memcpy(&fd, in.control.room + CMSG_LEN(0), sizeof(fd));
	b.n = 0;
	batch_add(&b, "dup3", SYS_dup3, (unsigned long)fd, (unsigned long)at, (unsigned long)flags,
		  0, 0, 0);
	for (int i = 0; i < 3; i++)
		batch_add(&b, "close", SYS_close, (unsigned long)(i < 2 ? s[i] : fd), 0, 0, 0, 0,
			  0);
	return batch_run(ctx, r, who, &b);
}

/**
 * late_plant - put a file at all its numbers, in the place of its placeholder
 * @d: the file
 * @fd: the tool's descriptor of it; stays the caller's
 *
 * Only from ops->late().
 *
 * Return: 0 or -errno, recorded.
 */
int late_plant(struct file_desc *d, int fd)
{
	struct restore_ctx *ctx = engine_ctx(d->tree);
	const struct fdinfo_list_entry *fle;
	int ret = 0;

	list_for_each(fle, &d->fles, of_desc)
		if (!ret && !fle->fake)
			ret = push(ctx, fle->fdt, fd, fle->fd,
				   fle->fdflags & FD_CLOEXEC ? O_CLOEXEC : 0);
	return ret;
}

/**
 * late_placeholder - what stands at the numbers of a file until late_plant()
 * @d: the file
 *
 * Return: a descriptor, or -1, recorded.
 */
int late_placeholder(struct file_desc *d)
{
	int fd = open("/", O_PATH | O_CLOEXEC);

	return fd < 0 ? file_fail(d, errno, "open a placeholder") : fd;
}

/**
 * late_copy - the tool's own descriptor of a file that a task has
 * @d: the file
 *
 * Return: a descriptor, or -errno; -ENOENT if no task has it.
 */
int late_copy(const struct file_desc *d)
{
	const struct fdinfo_list_entry *fle;

	list_for_each(fle, &d->fles, of_desc)
		if (!fle->fake)
			return table_fetch(fle->fdt, fle->fd);
	return -ENOENT;
}

/**
 * file_late - the rest of every file
 * @ctx: the run; memory and threads are there, and stand still
 *
 * Return: 0, or -errno with every cause recorded.
 */
int file_late(struct restore_ctx *ctx)
{
	struct file_desc *d;
	int ret = 0;

	list_for_each(d, &ctx->tree->files.descs, list) {
		if (d->ops->late && d->ops->late(ctx->tree, d) < 0)
			ret = -EIO;
	}
	return ret;
}
