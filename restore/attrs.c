/*
 * attrs - what a thread keeps and CRIU's format has no place for: timer slack,
 * the processors it may run on, its I/O priority, whether it may read the time
 * stamp counter, which kinds of speculation are off; and of its memory, whether
 * it refuses to become executable and is merged. The other half is dump/attrs.c.
 */
#include "restore/attrs.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/prctl.h"
#include "restore/engine.h"

#define IOPRIO_WHO_PROCESS 1
#define SPEC_OFF (PR_SPEC_DISABLE | PR_SPEC_FORCE_DISABLE | PR_SPEC_DISABLE_NOEXEC)

/* A tree of few pages and files, in as few tasks, is made on one processor: a stop that another one
 * has to be woken for takes ten times as long, and there is nothing to be done at the same time. */
#define ONE_CPU_TASKS 2
#define ONE_CPU_PAGES 4096
#define ONE_CPU_FILES 1000

static bool is_small(const struct restore_ctx *ctx)
{
	const struct pstree *t = ctx->tree;
	const struct pstree_item *it;
	uint64_t tasks = 0, pages = 0;

	list_for_each(it, &t->items, list) {
		tasks++;
		for (size_t i = 0; i < it->nr_runs; i++)
			pages += it->runs[i].pages;
	}
	return tasks <= ONE_CPU_TASKS && pages <= ONE_CPU_PAGES &&
	       engine_count(ctx) <= ONE_CPU_FILES;
}

/**
 * attrs_begin - choose the processors that tasks are born on, which are ours
 * @ctx: the run; loaded
 *
 * Return: 0.
 */
int attrs_begin(struct restore_ctx *ctx)
{
	cpu_set_t one;

	ctx->has_cpus = sched_getaffinity(0, sizeof(ctx->own_cpus), &ctx->own_cpus) == 0;
	if (!ctx->has_cpus || !is_small(ctx))
		return 0;
	CPU_ZERO(&one);
	CPU_SET((size_t)sched_getcpu(), &one);
	sched_setaffinity(0, sizeof(one), &one);
	return 0;
}

/**
 * attrs_end - this program runs where it ran before attrs_begin()
 * @ctx: the run
 */
void attrs_end(struct restore_ctx *ctx)
{
	if (ctx->has_cpus)
		sched_setaffinity(0, sizeof(ctx->own_cpus), &ctx->own_cpus);
}

/* All of them is no wish, and what a tool is bound to is not passed on to a tree of ours. */
static int set_cpus(struct restore_ctx *ctx, const struct task_thread *t)
{
	const ThreadAttrsEntry *e = t->core->thread_core->attrs;
	unsigned char cpus[1024];
	size_t len = e && e->has_cpus ? e->cpus.len : 0;

	if (len > sizeof(cpus))
		len = sizeof(cpus);
	memset(cpus, e && !len ? 0xff : 0, sizeof(cpus));
	if (len)
		memcpy(cpus, e->cpus.data, len);
	else if (!e)
		memcpy(cpus, &ctx->own_cpus, sizeof(ctx->own_cpus));
	if (syscall(SYS_sched_setaffinity, t->tid, sizeof(cpus), cpus) == 0)
		return 0;
	if (len)
		return fail(ctx->report, "scheduling", errno,
			    "thread %d: none of its processors is here", t->tid);
	log_warn(ctx->report, "thread %d: may run on the processors of this program only", t->tid);
	return 0;
}

/**
 * attrs_spread - every thread may run on its own processors
 * @ctx: the run; all else is restored
 *
 * Return: 0 or -errno, recorded.
 */
int attrs_spread(struct restore_ctx *ctx)
{
	struct pstree_item *it;
	int ret = 0;

	list_for_each(it, &ctx->tree->items, list)
		for (size_t i = 0; item_alive(it) && i < it->nr_threads && !ret; i++)
			ret = set_cpus(ctx, &it->threads[i]);
	return ret;
}

/**
 * attrs_set - what is set of a thread from outside
 * @ctx: the run
 * @t: the thread
 *
 * Return: 0 or -errno, recorded.
 */
int attrs_set(struct restore_ctx *ctx, const struct task_thread *t)
{
	const ThreadAttrsEntry *e = t->core->thread_core->attrs;

	if (!e)
		return 0;
	if (e->has_ioprio &&
	    syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, t->tid) != (long)e->ioprio &&
	    syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, t->tid, e->ioprio) < 0)
		return fail(ctx->report, "scheduling", errno, "thread %d: I/O priority %#x", t->tid,
			    e->ioprio);
	return 0;
}

/* A processor that is not affected, or cannot do it, has nothing to turn off. */
static void add_speculation(struct restore_ctx *ctx, struct batch *b, pid_t tid,
			    const ThreadAttrsEntry *e)
{
	for (size_t i = 0; i < e->n_speculation; i++) {
		unsigned long off = e->speculation[i] & SPEC_OFF;

		if (!off || !(e->speculation[i] & PR_SPEC_PRCTL))
			continue;
		if (prctl(PR_GET_SPECULATION_CTRL, i, 0, 0, 0) & PR_SPEC_PRCTL)
			batch_add(b, "speculation", SYS_prctl, PR_SET_SPECULATION_CTRL, i, off, 0,
				  0, 0);
		else
			log_warn(ctx->report,
				 "thread %d: speculation %zu cannot be turned off here", tid, i);
	}
}

/**
 * attrs_add - what a thread sets of itself
 * @ctx: the run
 * @b: the batch that it goes to
 * @t: the thread
 */
void attrs_add(struct restore_ctx *ctx, struct batch *b, const struct task_thread *t)
{
	const ThreadAttrsEntry *e = t->core->thread_core->attrs;

	if (!e)
		return;
	if (e->has_timer_slack)
		batch_add(b, "timer slack", SYS_prctl, PR_SET_TIMERSLACK, e->timer_slack, 0, 0, 0,
			  0);
	if (e->tsc_faults)
		batch_add(b, "time stamp counter", SYS_prctl, PR_SET_TSC, PR_TSC_SIGSEGV, 0, 0, 0,
			  0);
	add_speculation(ctx, b, t->tid, e);
}

/**
 * attrs_add_memory - what holds for the memory of a task from now on
 * @ctx: the run
 * @b: the batch that it goes to, of the leader
 * @it: the task; its mappings stand
 */
void attrs_add_memory(struct restore_ctx *ctx, struct batch *b, const struct pstree_item *it)
{
	if (it->mm->merge && prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0) < 0)
		log_warn(ctx->report, "pid %d: this kernel does not merge memory (KSM)", it->pid);
	else if (it->mm->merge)
		batch_add(b, "merge memory", SYS_prctl, PR_SET_MEMORY_MERGE, 1, 0, 0, 0, 0);
	if (it->mm->has_mdwe)
		batch_add(b, "no new executable memory", SYS_prctl, PR_SET_MDWE, it->mm->mdwe, 0, 0,
			  0, 0);
}
