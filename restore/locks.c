/*
 * locks - POSIX locks, OFD locks and those of flock(2) are taken again by the
 * tasks that had them.
 *
 * To close any descriptor of an inode drops all POSIX locks that its table has
 * there. So this comes when the table is as it was dumped: helpers' and the
 * tool's own descriptors are closed. What memory is yet to be mapped from is
 * closed later: POSIX locks on such files are taken at the end, by remote calls.
 *
 * Nobody waits for a lock here: it was held by all of these together, so only
 * somebody else can be in the way. Who that is, the tool finds out.
 */
#include "restore/locks.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
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
	(void)ctx;
	return table_fetch(held_lock_table(k), k->e->fd);
}

/* Files that the users of a table have open to map them. */
struct mapped {
	struct stat *files;
	size_t n;
};

static void note_mapped(struct restore_ctx *ctx, const struct filedesc *fdt, struct mapped *m)
{
	struct pstree_item *it;
	struct stat st;
	int last = -1;

	list_for_each(it, &ctx->tree->items, list)
		for (size_t i = 0; it->fdt == fdt && item_alive(it) && i <= it->nr_vmas; i++) {
			int fd = it->restore->fds[i];

			if (fd >= 0 && fd != last && fstat(fd, &st) == 0)
				arena_push(ctx->arena, m->files, m->n) = st;
			last = fd;
		}
}

static bool is_mapped(const struct mapped *m, int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return true;
	for (size_t i = 0; i < m->n; i++)
		if (m->files[i].st_ino == st.st_ino && m->files[i].st_dev == st.st_dev)
			return true;
	return false;
}

static int take(const FileLockEntry *e, int fd)
{
	struct flock range = range_of(e);

	switch (e->flag) {
	case FL_FLOCK:
		return flock(fd, flock_op(e));
	case FL_OFD:
		return fcntl(fd, F_OFD_SETLK, &range);
	case FL_POSIX:
		return fcntl(fd, F_SETLK, &range);
	default:
		return fcntl(fd, F_SETLEASE, (int)e->type & ~LEASE_BREAKING);
	}
}

/**
 * locks_take - what a task takes while it runs our code, which is much faster
 * @ctx: the run
 * @me: the calling task; its table is as it was dumped
 *
 * What it cannot take is left to restore_locks().
 */
void locks_take(struct restore_ctx *ctx, struct pstree_item *me)
{
	struct mapped m = { 0 };
	bool known = false, later = false;
	int fd = -1;

	for (size_t i = 0; i < ctx->tree->nr_locks; i++) {
		const struct held_lock *k = &ctx->tree->locks[i];

		/* A thread that has a table of its own takes them itself, by remote calls. */
		if (k->it != me || k->tid || is_lease(k))
			continue;
		if (k->e->flag == FL_POSIX && !known)
			note_mapped(ctx, me->fdt, &m);
		known |= k->e->flag == FL_POSIX;
		if (k->e->flag == FL_POSIX && k->e->fd != fd)
			later = is_mapped(&m, fd = k->e->fd);
		if ((k->e->flag != FL_POSIX || !later) && take(k->e, k->e->fd) == 0)
			atomic_store(&ctx->shared->locked[i], 1);
	}
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
		ret = remote_run(r, k->tid ? k->tid : k->it->pid, calls, n, REMOTE_STOP_ON_ERROR);
	if (ret < 0)
		return fail(ctx->report, "remote-call", -ret, "pid %d: take its locks", k->it->pid);
	for (size_t i = 0; i < n; i++)
		if (calls[i].ret < 0)
			return locks_refused(ctx, &k[i], (int)-calls[i].ret);
	*taken = n;
	return 0;
}

static bool is_left(const struct restore_ctx *ctx, const struct held_lock *k,
		    const struct held_lock *first)
{
	return k->it && !is_lease(k) && !atomic_load(&ctx->shared->locked[k - first]);
}

/**
 * restore_locks - locks on files, but for leases
 * @ctx: the run; the tasks are traced, their memory stands, no descriptor is to be closed
 *
 * Return: 0 or -errno, recorded.
 */
int restore_locks(struct restore_ctx *ctx)
{
	const struct held_lock *first = ctx->tree->locks, *k = first, *end;

	if (!first)
		return 0;
	end = first + ctx->tree->nr_locks;
	while (k < end) {
		const struct held_lock *stop = k;
		size_t n = 0;
		int ret;

		while (stop < end && stop->it == k->it && stop->tid == k->tid &&
		       is_left(ctx, stop, first))
			stop++;
		if (stop == k) {
			k++;
			continue;
		}
		ret = take_some(ctx, k, stop, &n);
		if (ret < 0)
			return ret;
		k += n;
	}
	return 0;
}

/* What the first task that has a description mapped shared opens it as; -1: not by this table. */
static int mapped_fd(const struct restore_ctx *ctx, const struct filedesc *fdt,
		     const struct file_desc *d)
{
	const struct pstree_item *it;

	list_for_each(it, &ctx->tree->items, list)
		for (size_t i = 0; item_alive(it) && i < it->nr_vmas; i++)
			if (it->vmas[i].file == d && it->vmas[i].e->flags & MAP_SHARED)
				return it->fdt == fdt ? it->restore->fds[i] : -1;
	return -1;
}

/**
 * locks_in_flight - locks of descriptions that nobody has open
 * @ctx: the run
 * @me: the calling task, which has opened some to send or to map them
 *
 * Such a description is at hand only until engine_finish(), or until memory is mapped from it.
 *
 * Return: 0 or -errno, recorded.
 */
int locks_in_flight(struct restore_ctx *ctx, struct pstree_item *me)
{
	for (size_t i = 0; i < ctx->tree->nr_locks; i++) {
		const struct held_lock *k = &ctx->tree->locks[i];
		int fd = -1;

		if (k->it)
			continue;
		if (list_empty(&k->desc->fles))
			fd = mapped_fd(ctx, me->fdt, k->desc);
		else if (engine_master(k->desc) == me)
			fd = file_fd(k->desc);
		if (fd >= 0 && take(k->e, fd) < 0)
			return locks_refused(ctx, k, errno);
	}
	return 0;
}
