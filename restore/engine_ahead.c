/*
 * engine_ahead - the files that land (see engine_claim.c), opened by several
 * processes at once. With thousands of regular files a restore is little else
 * than open(2), which the kernel does for each process by itself.
 *
 * Helpers that share the table take one file after the other from a common
 * counter. The kernel chooses the number before all else that open(2) does, so
 * most files come to their own; those that somebody was ahead of are moved
 * afterwards. What cannot be opened yet is left to the engine's loop.
 */
#include "restore/engine_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_HELPERS 7
#define PER_PROCESS 512 /* files: with fewer a helper costs more than it does */
#define NOBODY SIZE_MAX

/* Memory that the helpers share. */
struct ahead_shared {
	atomic_size_t next;
	atomic_bool failed;
	_Alignas(64) int fd[]; /* where each file is; -1: not open */
};

struct ahead {
	struct fdinfo_list_entry **fle; /* masters that land, ascending descriptor */
	size_t n;
	size_t *at; /* who has come to each one's number; NOBODY: he himself, or nobody */
	struct ahead_shared *shared;
};

static void open_some(const struct restore_engine *e, const struct ahead *a)
{
	struct ahead_shared *s = a->shared;
	size_t i;

	while ((i = atomic_fetch_add(&s->next, 1)) < a->n) {
		struct file_desc *d = a->fle[i]->desc;
		int fd = -1, ret = d->ops->open(d, &fd);

		if (ret == 0)
			s->fd[i] = fd;
		/* All that cannot be opened is told, not only the first. */
		if (ret < 0)
			atomic_store(&s->failed, true);
		if (atomic_load(&e->ctx->shared->abort))
			return;
	}
}

/* In proportion to what the other tables have to do on the processors that there are. */
static size_t helpers_wanted(const struct restore_engine *e, size_t n)
{
	size_t want = n / PER_PROCESS, share;
	cpu_set_t cpus;

	if (want < 2 || sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		return 0;
	share = ((size_t)CPU_COUNT(&cpus) * n + e->nr_fles / 2) / e->nr_fles;
	want = (want < share ? want : share);
	return want < 2 ? 0 : want > MAX_HELPERS ? MAX_HELPERS : want - 1;
}

/* Returns the pid in this process, or -1; not at all in the helper. */
static pid_t start_helper(const struct restore_engine *e, const struct ahead *a)
{
	struct clone_args args = { .flags = CLONE_FILES };
	pid_t parent = (pid_t)syscall(SYS_getpid),
	      pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (syscall(SYS_getppid) != parent)
		_exit(1);
	open_some(e, a);
	_exit(0);
}

static int open_all(const struct restore_engine *e, const struct ahead *a, size_t helpers)
{
	pid_t pid[MAX_HELPERS];
	int st, ret = 0;
	size_t n = 0;

	/* With fewer of them it only takes longer. */
	while (n < helpers && (pid[n] = start_helper(e, a)) > 0)
		n++;
	open_some(e, a);
	while (n-- > 0) {
		while (waitpid(pid[n], &st, __WALL) < 0 && errno == EINTR)
			;
		if (st)
			ret = fail(e->ctx->report, "clone", ECHILD,
				   "pid %d: a process that helps to open files ended early",
				   e->me->pid);
	}
	if (atomic_load(&a->shared->failed))
		return -EIO;
	return atomic_load(&e->ctx->shared->abort) ? -ECANCELED : ret;
}

/* Whose number that is. */
static size_t planned_for(const struct ahead *a, int fd)
{
	size_t lo = 0, hi = a->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (a->fle[mid]->fd == fd)
			return mid;
		if (a->fle[mid]->fd < fd)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NOBODY;
}

static bool misplaced(const struct ahead *a, size_t i)
{
	return a->shared->fd[i] >= 0 && a->shared->fd[i] != a->fle[i]->fd;
}

/*
 * Moves a file to its number, then the one whose number it had until then, and
 * so on. Who is in the way of the first is set aside, and comes last.
 */
static int move_chain(struct restore_engine *e, const struct ahead *a, size_t i)
{
	int *fd = a->shared->fd, from;

	if (a->at[i] != NOBODY) {
		from = engine_dup_aside(e->my, a->fle[i]->fd);
		if (from < 0)
			return fail(e->ctx->report, "fd-limit", -from,
				    "pid %d: set descriptor %d aside", e->me->pid, a->fle[i]->fd);
		fd[a->at[i]] = from;
	}
	do {
		from = fd[i];
		fd[i] = a->fle[i]->fd;
		if (dup3(from, fd[i], a->fle[i]->fdflags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0)
			return fail(e->ctx->report, "fd-plant", errno,
				    "pid %d: put file id %#x at descriptor %d", e->me->pid,
				    a->fle[i]->desc->id, fd[i]);
		i = planned_for(a, from);
	} while (i != NOBODY && misplaced(a, i));
	/* Outside the plan, or of a file that is not open yet. */
	close(from);
	return 0;
}

static int settle(struct restore_engine *e, const struct ahead *a)
{
	int ret = 0;

	for (size_t i = 0; i < a->n; i++)
		a->at[i] = NOBODY;
	for (size_t i = 0; i < a->n; i++) {
		size_t k = misplaced(a, i) ? planned_for(a, a->shared->fd[i]) : NOBODY;

		if (k != NOBODY)
			a->at[k] = i;
	}
	for (size_t i = 0; i < a->n && !ret; i++)
		if (misplaced(a, i))
			ret = move_chain(e, a, i);
	for (size_t i = 0; i < a->n && !ret; i++)
		a->fle[i]->opened = a->shared->fd[i] >= 0;
	return ret;
}

/**
 * engine_open_ahead - open what lands, by several processes if it is much
 * @e: the engine, its numbers claimed
 *
 * The masters that have been opened are marked; they are at their numbers.
 *
 * Return: 0 or -errno, recorded.
 */
int engine_open_ahead(struct restore_engine *e)
{
	struct ahead a = { 0 };
	size_t helpers, size;
	int ret;

	for (size_t i = 0; i < e->my->n; i++)
		a.n += e->my->fle[i]->lands;
	helpers = helpers_wanted(e, a.n);
	if (!helpers)
		return 0;
	size = sizeof(*a.shared) + a.n * sizeof(a.shared->fd[0]);
	a.shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (a.shared == MAP_FAILED)
		return fail(e->ctx->report, "no-memory", errno, "memory shared by %zu helpers",
			    helpers);
	a.fle = malloc(a.n * sizeof(*a.fle));
	a.at = malloc(a.n * sizeof(*a.at));
	if (!a.fle || !a.at)
		abort();
	for (size_t i = 0, n = 0; i < e->my->n; i++)
		if (e->my->fle[i]->lands)
			a.fle[n++] = e->my->fle[i];
	for (size_t i = 0; i < a.n; i++)
		a.shared->fd[i] = -1;
	ret = open_all(e, &a, helpers);
	if (!ret)
		ret = settle(e, &a);
	free(a.fle);
	free(a.at);
	munmap(a.shared, size);
	return ret;
}
