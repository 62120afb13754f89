/*
 * locks - POSIX locks, OFD locks and those of flock(2) are taken again by the
 * tasks that had them, by remote calls.
 *
 * To close any descriptor of an inode drops all POSIX locks that its table has
 * there. So this comes when every table is as it was dumped: helpers' and the
 * tool's own descriptors are closed, and so is what memory was mapped from.
 * What is taken here is taken without waiting: it was held by all of these
 * together, so only somebody else can be in the way.
 */
#include "restore/locks.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/locks.h"
#include "restore/engine.h"

#define AT_ONCE 256 /* calls */

static bool is_lease(const struct held_lock *k)
{
	return k->e->flag == FL_LEASE;
}

static struct flock range_of(const FileLockEntry *e)
{
	return (struct flock){
		.l_type = (short)e->type, .l_whence = SEEK_SET, .l_start = e->start, .l_len = e->len
	};
}

static int flock_op(const FileLockEntry *e)
{
	return (e->type == F_WRLCK ? LOCK_EX : LOCK_SH) | LOCK_NB;
}

/**
 * locks_fetch - our own copy of the descriptor that has a lock
 * @ctx: the run
 * @k: the lock
 *
 * Return: a descriptor or -errno.
 */
int locks_fetch(struct restore_ctx *ctx, const struct held_lock *k)
{
	cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, k->it->pid, 0);
	int fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, k->e->fd, 0);

	(void)ctx;
	return fd < 0 ? -errno : fd;
}

/* The locks of one task from @k to @end: as many as fit into one batch. */
static int take_some(struct restore_ctx *ctx, const struct held_lock *k,
		     const struct held_lock *end, size_t *taken)
{
	struct remote *r = k->it->restore->remote;
	struct remote_call calls[AT_ONCE];
	struct flock ranges[AT_ONCE];
	size_t n = 0, most;
	unsigned long at;
	int ret;

	remote_reset(r);
	most = remote_left(r) / (2 * sizeof(*ranges));
	if (most > AT_ONCE)
		most = AT_ONCE;
	at = remote_alloc(r, most * sizeof(*ranges), 16);
	for (; k + n < end && n < most; n++) {
		const FileLockEntry *e = k[n].e;

		ranges[n] = range_of(e);
		if (e->flag == FL_FLOCK)
			calls[n] = (struct remote_call){
				.nr = SYS_flock,
				.args = { (unsigned)e->fd, (unsigned)flock_op(e) },
			};
		else
			calls[n] = (struct remote_call){
				.nr = SYS_fcntl,
				.args = { (unsigned)e->fd,
					  e->flag == FL_OFD ? F_OFD_SETLK : F_SETLK,
					  at + n * sizeof(*ranges) },
			};
	}
	ret = at ? remote_write(r, at, ranges, n * sizeof(*ranges)) : -ENOMEM;
	if (!ret)
		ret = remote_run(r, k->it->pid, calls, n, REMOTE_STOP_ON_ERROR);
	if (ret < 0)
		return fail(ctx->report, "remote-call", -ret, "pid %d: take its locks", k->it->pid);
	for (size_t i = 0; i < n; i++)
		if (calls[i].ret < 0)
			return locks_refused(ctx, &k[i], (int)-calls[i].ret);
	*taken = n;
	return 0;
}

/**
 * restore_locks - locks on files, but for leases
 * @ctx: the run; the tasks are traced, their memory stands, no descriptor is to be closed
 *
 * Return: 0 or -errno, recorded.
 */
int restore_locks(struct restore_ctx *ctx)
{
	const struct held_lock *k = ctx->tree->locks, *end;

	if (!k)
		return 0;
	end = k + ctx->tree->nr_locks;
	while (k < end) {
		const struct held_lock *stop = k;
		size_t n;
		int ret;

		if (!k->it || is_lease(k)) {
			k++;
			continue;
		}
		while (stop < end && stop->it == k->it && !is_lease(stop))
			stop++;
		ret = take_some(ctx, k, stop, &n);
		if (ret < 0)
			return ret;
		k += n;
	}
	return 0;
}

/**
 * locks_in_flight - locks of descriptions that nobody has open
 * @ctx: the run
 * @me: the calling task, which has opened some to send them
 *
 * Such a description is at hand only until engine_finish().
 *
 * Return: 0 or -errno, recorded.
 */
int locks_in_flight(struct restore_ctx *ctx, struct pstree_item *me)
{
	for (size_t i = 0; i < ctx->tree->nr_locks; i++) {
		const struct held_lock *k = &ctx->tree->locks[i];
		struct flock range = range_of(k->e);
		int fd, ret;

		if (k->it || engine_master(k->desc) != me)
			continue;
		fd = file_fd(k->desc);
		if (k->e->flag == FL_FLOCK)
			ret = flock(fd, flock_op(k->e));
		else if (k->e->flag == FL_OFD)
			ret = fcntl(fd, F_OFD_SETLK, &range);
		else
			ret = fcntl(fd, F_SETLEASE, (int)k->e->type & ~LEASE_BREAKING);
		if (ret < 0)
			return locks_refused(ctx, k, errno);
	}
	return 0;
}
