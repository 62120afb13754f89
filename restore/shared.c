/*
 * shared - the page that the tool and all tasks being restored have in
 * common: how far each task is, the futex that wakes whoever waits, and the
 * flag that ends the restore for everybody.
 */
#include "restore/ctx.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "restore/engine.h"

static size_t shared_size(const struct restore_shared *s)
{
	return sizeof(*s) + s->nr_tasks * (sizeof(*s->born) + sizeof(atomic_uint)) +
	       s->nr_fds * sizeof(int) + s->nr_fles + s->nr_locks;
}

/**
 * restore_shared_new - allocate the shared page for the planned tree
 * @ctx: the run; tree and fles are planned
 *
 * Return: 0 or -errno, recorded.
 */
int restore_shared_new(struct restore_ctx *ctx)
{
	struct restore_shared size = { .nr_tasks = ctx->tree->nr_items,
				       .nr_fles = engine_count(ctx),
				       .nr_locks = ctx->tree->nr_locks };
	struct restore_shared *s;
	struct pstree_item *it;
	int *fds;

	list_for_each(it, &ctx->tree->items, list)
		size.nr_fds += it->nr_vmas + 1;
	s = mmap(NULL, shared_size(&size), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		 0);
	if (s == MAP_FAILED)
		return fail(ctx->report, "no-memory", errno, "memory shared by %zu tasks",
			    size.nr_tasks);
	s->nr_tasks = size.nr_tasks;
	s->nr_fles = size.nr_fles;
	s->nr_fds = size.nr_fds;
	s->nr_locks = size.nr_locks;
	s->born = (unsigned long long *)(s + 1);
	s->phase = (atomic_uint *)(s->born + s->nr_tasks);
	fds = (int *)(s->phase + s->nr_tasks);
	s->stage = (atomic_uchar *)(fds + s->nr_fds);
	s->locked = s->stage + s->nr_fles;
	list_for_each(it, &ctx->tree->items, list) {
		it->restore->fds = fds;
		fds += it->nr_vmas + 1;
	}
	ctx->shared = s;
	return 0;
}

/**
 * restore_shared_free - give the shared page back
 * @ctx: the run
 */
void restore_shared_free(struct restore_ctx *ctx)
{
	if (ctx->shared)
		munmap(ctx->shared, shared_size(ctx->shared));
	ctx->shared = NULL;
}

/* Files wait for phases too: @files says who of the engine's sleepers is to look. */
static void event_post(struct restore_ctx *ctx, uint32_t files)
{
	struct restore_shared *s = ctx->shared;

	atomic_fetch_add(&s->event, 1);
	syscall(SYS_futex, &s->event, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
	atomic_fetch_add(&s->files, 1);
	if (atomic_load(&s->waiting))
		syscall(SYS_futex, &s->files, FUTEX_WAKE_BITSET, INT_MAX, NULL, NULL, files);
}

/* As /proc/PID/stat has the start time. */
static unsigned long long ticks_now(void)
{
	struct timespec t;
	unsigned long long hz = (unsigned long long)sysconf(_SC_CLK_TCK);

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (unsigned long long)t.tv_sec * hz +
	       (unsigned long long)t.tv_nsec / (1000000000ull / hz);
}

/**
 * restore_set_phase - say how far a task is, and wake whoever waits for it
 * @ctx: the run
 * @it: the task; RST_BORN it says itself
 * @p: its phase; never goes back, but from RST_MAKING to RST_NONE
 */
void restore_set_phase(struct restore_ctx *ctx, const struct pstree_item *it, enum restore_phase p)
{
	if (p == RST_BORN)
		ctx->shared->born[it->restore->index] = ticks_now();
	atomic_store(&ctx->shared->phase[it->restore->index], p);
	event_post(ctx, WAKE_STAGES);
}

/**
 * restore_get_phase - how far a task is
 * @ctx: the run
 * @it: the task
 *
 * Return: its phase.
 */
enum restore_phase restore_get_phase(const struct restore_ctx *ctx, const struct pstree_item *it)
{
	return atomic_load(&ctx->shared->phase[it->restore->index]);
}

/**
 * restore_task_ended - has a process ended, reaped or not?
 * @pid: the process
 *
 * Return: true if it is a zombie or is not there.
 */
bool restore_task_ended(pid_t pid)
{
	char path[40], buf[512], *p;
	cleanup_close int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT;
	n = read(fd, buf, sizeof(buf) - 1);
	if (n <= 0)
		return n < 0 && errno == ESRCH;
	buf[n] = 0;
	p = strrchr(buf, ')');
	return p && (p[2] == 'Z' || p[2] == 'X');
}

/* A task that was born and is a zombie or gone will not get any further. */
static bool task_lost(const struct restore_ctx *ctx, const struct pstree_item *it)
{
	return item_alive(it) && restore_get_phase(ctx, it) >= RST_BORN &&
	       restore_task_ended(it->pid);
}

/**
 * restore_wait_phase - wait until a task is at least that far
 * @ctx: the run
 * @it: the task
 * @p: the phase
 *
 * Return: 0, -ECANCELED when the restore was aborted (the cause is recorded
 * by who aborted it), -ESRCH when the task is dead, -ETIMEDOUT past the
 * deadline of the run.
 */
int restore_wait_phase(struct restore_ctx *ctx, const struct pstree_item *it, enum restore_phase p)
{
	for (;;) {
		unsigned seen = atomic_load(&ctx->shared->event);
		struct timespec nap = { .tv_nsec = 50000000 };

		if (restore_get_phase(ctx, it) >= p)
			return 0;
		if (atomic_load(&ctx->shared->abort))
			return -ECANCELED;
		if (restore_now() > ctx->deadline_ns)
			return -ETIMEDOUT;
		if (syscall(SYS_futex, &ctx->shared->event, FUTEX_WAIT, seen, &nap, NULL, 0) < 0 &&
		    errno == ETIMEDOUT && task_lost(ctx, it))
			return -ESRCH;
	}
}

/**
 * restore_abort - end the restore for all tasks
 * @ctx: the run; the cause is recorded already
 */
void restore_abort(struct restore_ctx *ctx)
{
	atomic_store(&ctx->shared->abort, 1);
	event_post(ctx, FUTEX_BITSET_MATCH_ANY);
}
