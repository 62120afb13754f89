/*
 * engine_fds - descriptors of the tool and of the tasks while files are
 * restored: the limit, numbers that are in nobody's way, and the end.
 */
#include "restore/engine_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/pidfd.h"
#include "lib/fdpass.h"
#include "model/pstree.h"

/* Numbers beside the planned ones: for the tool and for what types open meanwhile. */
#define SPARE_NUMBERS 48

/**
 * engine_raise_limit - make room for the largest table
 * @e: the engine
 * @top: the first number that no table has
 * @most: the descriptors of the largest table
 *
 * Raises RLIMIT_NOFILE of this process, and says how many descriptors a
 * process can receive at once.
 *
 * Return: 0 or -errno, recorded.
 */
int engine_raise_limit(struct restore_engine *e, int top, size_t most)
{
	size_t need = most + SPARE_NUMBERS + 2 * e->nr_tables + 1, room;
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return fail(e->ctx->report, "fd-limit", errno, "read RLIMIT_NOFILE");
	if (need < (size_t)top)
		need = (size_t)top;
	if (lim.rlim_max < need)
		lim.rlim_max = need;
	lim.rlim_cur = lim.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
		return fail(e->ctx->report, "fd-limit", errno,
			    "raise RLIMIT_NOFILE to %zu for descriptors up to %d", need, top - 1);
	room = lim.rlim_cur - (most + SPARE_NUMBERS + 2 * e->nr_tables);
	e->batch = room < FD_MSG_MAX ? room : FD_MSG_MAX;
	return 0;
}

/**
 * engine_table_find - the fle of a number
 * @t: the table, planned
 * @fd: the number, any
 *
 * Return: the fle, or NULL.
 */
struct fdinfo_list_entry *engine_table_find(const struct engine_table *t, int fd)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (t->fle[mid]->fd == fd)
			return t->fle[mid];
		if (t->fle[mid]->fd < fd)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

/**
 * engine_dup_aside - duplicate a descriptor to where it is in nobody's way
 * @t: the table of this process
 * @fd: the descriptor
 *
 * Return: a number that is not planned, above the table if that is possible;
 * or -errno.
 */
int engine_dup_aside(const struct engine_table *t, int fd)
{
	int up = fcntl(fd, F_DUPFD_CLOEXEC, t->base), from = 0;

	while (up < 0 && (up = fcntl(fd, F_DUPFD_CLOEXEC, from)) >= 0 && engine_table_find(t, up)) {
		close(up);
		from = up + 1;
		up = -1;
	}
	return up < 0 ? -errno : up;
}

/* Do several tasks have one table? */
static bool table_shared(const struct pstree *t)
{
	const struct pstree_item *it;

	list_for_each(it, &t->items, list)
		if (it->fdt && item_alive(it) && it->fdt->owner != it)
			return true;
	return false;
}

/**
 * engine_services_up - before the first fork: the tool's descriptors above all tables
 * @ctx: the run, planned; all services are known
 *
 * Only where tasks share a table: the one that restores it cannot tell the
 * others what it has moved.
 *
 * Return: 0 or -errno, recorded.
 */
int engine_services_up(struct restore_ctx *ctx)
{
	struct restore_engine *e = ctx->engine;
	int *log = report_log_fd(ctx->report), top = 0;

	if (!table_shared(ctx->tree))
		return 0;
	for (size_t i = 0; i < e->nr_tables; i++)
		if (e->tables[i].base > top)
			top = e->tables[i].base;
	for (size_t i = 0; i < e->nr_services; i++) {
		int *fd = e->services[i], up;

		if (*fd < 0 || *fd >= top)
			continue;
		up = fcntl(*fd, F_DUPFD_CLOEXEC, top);
		if (up < 0 && errno == EBADF && fd == log)
			continue;
		if (up < 0)
			return fail(ctx->report, "fd-limit", errno,
				    "move descriptor %d of this program above %d", *fd, top - 1);
		if (fd == log)
			e->log_before = *fd;
		else
			close(*fd);
		*fd = up;
	}
	return 0;
}

/**
 * file_fd - a descriptor of a file in the calling process
 * @d: the file
 *
 * Return: its number, or -1 if there is none, or none yet.
 */
int file_fd(const struct file_desc *d)
{
	struct restore_engine *e = d->tree->files.engine;
	struct fdinfo_list_entry *fle;

	if (!e || !e->me || !e->me->fdt)
		return -1;
	list_for_each(fle, &d->fles, of_desc)
		if (fle->fdt == e->me->fdt && fle_get_stage(e, fle) >= FLE_OPEN)
			return fle->fd;
	return -1;
}

/* Runs open() to its end without the engine: for a file that waits for nobody. */
static int open_alone(struct restore_ctx *ctx, struct file_desc *d)
{
	static const struct timespec nap = { .tv_nsec = 1000000 };
	cleanup_close int fd = -1;

	for (;;) {
		int new_fd = -1, ret = d->ops->open(d, &new_fd);

		if (new_fd >= 0 && fd >= 0) {
			close(new_fd);
			file_fail(d, EINVAL, "open() gave a second descriptor");
			return -EINVAL;
		}
		if (new_fd >= 0)
			fd = new_fd;
		if (ret < 0)
			return -EIO;
		if (ret == 0 && fd < 0)
			file_fail(d, EINVAL, "open() gave no descriptor");
		if (ret == 0)
			return fd < 0 ? -EINVAL : take_fd(&fd);
		if (atomic_load(&ctx->shared->abort))
			return -ECANCELED;
		if (restore_now() > ctx->deadline_ns) {
			file_fail(d, ETIMEDOUT, "not open within the time limit");
			return -ETIMEDOUT;
		}
		nanosleep(&nap, NULL);
	}
}

/**
 * engine_open_now - a descriptor of a file for the tool's own use in this process
 * @ctx: the run
 * @d: the file: one that no table has, or that this process has restored
 *
 * Return: a descriptor that the caller closes, close-on-exec, above the table
 * if there is room; or -errno, recorded.
 */
int engine_open_now(struct restore_ctx *ctx, struct file_desc *d)
{
	const struct pstree_item *me = ctx->engine->me;
	const struct engine_table *t = me && me->fdt ? me->fdt->engine : NULL;
	cleanup_close int fd = -1;
	int have = file_fd(d), up;

	if (have < 0)
		have = fd = open_alone(ctx, d);
	if (have < 0)
		return have;
	if (fd >= 0 && (!t || fd >= t->base))
		return take_fd(&fd);
	up = t ? engine_dup_aside(t, have) : -EBADF;
	if (up < 0)
		file_fail(d, -up, "duplicate its descriptor");
	return up;
}

/**
 * engine_aside - duplicate a descriptor of the tool to where it may stay in a task
 * @me: the calling task
 * @fd: the descriptor
 *
 * Return: a number that the task's table does not have, above it if that is
 * possible, close-on-exec; or -errno.
 */
int engine_aside(const struct pstree_item *me, int fd)
{
	const struct engine_table *t = me->fdt ? me->fdt->engine : NULL;
	int up;

	if (t)
		return engine_dup_aside(t, fd);
	up = fcntl(fd, F_DUPFD_CLOEXEC, me->restore->service_fd_base);
	return up < 0 ? -errno : up;
}

/**
 * engine_finish - in the task, when all it needs its files for is done
 * @ctx: the run
 * @me: the calling task
 *
 * Fake fles and the inboxes are closed. Nothing happens in a task that does
 * not own its table.
 */
void engine_finish(struct restore_ctx *ctx, struct pstree_item *me)
{
	struct restore_engine *e = ctx->engine;

	if (!e->my || e->me != me)
		return;
	for (size_t i = 0; i < e->my->n; i++) {
		struct fdinfo_list_entry *fle = e->my->fle[i];

		if (!fle->fake || fle_get_stage(e, fle) < FLE_OPEN)
			continue;
		close(fle->fd);
		fdrelease(fle->fdt, fle->fd);
	}
	for (size_t i = 0; i < e->nr_tables; i++) {
		close_owned(&e->tables[i].rx);
		close_owned(&e->tables[i].tx);
		e->tables[i].rx = e->tables[i].tx = -1;
	}
}

static int by_number(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/**
 * engine_close_rest - close all descriptors but those of the image
 * @ctx: the run
 * @me: the calling task; engine_finish() was called
 * @keep: other numbers that stay open, or NULL
 * @n: how many
 *
 * The log is closed too unless its number is kept, and not written to any
 * more. Nothing happens in a task that does not own its table.
 *
 * Return: 0 or -errno, recorded.
 */
int engine_close_rest(struct restore_ctx *ctx, struct pstree_item *me, const int *keep, size_t n)
{
	struct restore_engine *e = ctx->engine;
	unsigned from = 0;
	bool log_kept = false;
	size_t k = 0;
	int *stay, *log = report_log_fd(ctx->report);

	if (!e->my || e->me != me)
		return 0;
	stay = malloc((n + e->my->n + 1) * sizeof(*stay));
	if (!stay)
		return fail(ctx->report, "no-memory", ENOMEM, "list of %zu descriptors", n);
	for (size_t i = 0; i < n; i++) {
		if (keep[i] >= 0)
			stay[k++] = keep[i];
		log_kept |= keep[i] == *log;
	}
	if (!log_kept)
		*log = -1;
	for (size_t i = 0; i < e->my->n; i++)
		if (!e->my->fle[i]->fake)
			stay[k++] = e->my->fle[i]->fd;
	qsort(stay, k, sizeof(*stay), by_number);
	for (size_t i = 0; i < k; i++) {
		if ((unsigned)stay[i] > from)
			close_range(from, (unsigned)stay[i] - 1, 0);
		from = (unsigned)stay[i] + 1;
	}
	close_range(from, UINT_MAX, 0);
	free(stay);
	return 0;
}

/**
 * table_pidfd - by which the tool fetches the descriptors of a table
 * @fdt: the table, of tasks that are there
 *
 * Return: a pidfd, of a thread if only threads have it; or -errno.
 */
int table_pidfd(const struct filedesc *fdt)
{
	int fd = fdt->tid ? pidfd_of_thread(fdt->tid)
			  : (int)syscall(SYS_pidfd_open, filedesc_pid(fdt), 0);

	return fd < 0 ? -errno : fd;
}

/**
 * table_fetch - the tool's own copy of a descriptor of a task or a thread
 * @fdt: the table, of tasks that are there
 * @fd: the number
 *
 * Return: a descriptor or -errno.
 */
int table_fetch(const struct filedesc *fdt, int fd)
{
	cleanup_close int pidfd = table_pidfd(fdt);
	int got;

	if (pidfd < 0)
		return pidfd;
	got = (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
	return got < 0 ? -errno : got;
}
