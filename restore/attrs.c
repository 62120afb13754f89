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

#define IOPRIO_WHO_PROCESS 1
#define SPEC_OFF (PR_SPEC_DISABLE | PR_SPEC_FORCE_DISABLE | PR_SPEC_DISABLE_NOEXEC)

static int set_cpus(struct restore_ctx *ctx, pid_t tid, const ProtobufCBinaryData *want)
{
	unsigned char cpus[1024];
	size_t len = want->len < sizeof(cpus) ? want->len : sizeof(cpus);

	memset(cpus, want->len ? 0 : 0xff, sizeof(cpus));
	if (len)
		memcpy(cpus, want->data, len);
	/* All of them is no wish, only what a tool bound to some must not pass on. */
	if (!len && ctx->bound && syscall(SYS_sched_setaffinity, tid, sizeof(cpus), cpus) < 0)
		log_warn(ctx->report, "thread %d: may run on the processors of this program only",
			 tid);
	if (len && syscall(SYS_sched_setaffinity, tid, sizeof(cpus), cpus) < 0)
		return fail(ctx->report, "scheduling", errno,
			    "thread %d: none of its processors is here", tid);
	return 0;
}

/**
 * attrs_begin - look at what restored threads inherit from this program
 * @ctx: the run
 */
void attrs_begin(struct restore_ctx *ctx)
{
	cpu_set_t own;

	ctx->bound = sched_getaffinity(0, sizeof(own), &own) == 0 &&
		     CPU_COUNT(&own) < sysconf(_SC_NPROCESSORS_ONLN);
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
	return e->has_cpus ? set_cpus(ctx, t->tid, &e->cpus) : 0;
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
