/*
 * attrs - what a thread keeps and CRIU's format has no place for: timer slack,
 * the processors it may run on, its I/O priority, whether it may read the time
 * stamp counter, and which kinds of speculation it has turned off.
 */
#include "dump/tasks.h"

#include <errno.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/prctl.h"

#define IOPRIO_WHO_PROCESS 1

/* The calls, in this order; the kinds of speculation are numbered. */
enum { ASK_SLACK, ASK_TSC, ASK_SPECULATION, NR_SPECULATION = ATTRS_CALLS - ASK_SPECULATION };

/**
 * attrs_check - can remote calls be run in this thread at all?
 * @ctx: the dump
 * @it: its process
 * @th: the thread, stopped
 *
 * With syscall user dispatch (prctl(2), PR_SET_SYSCALL_USER_DISPATCH) a call
 * made for us would end in the thread's own SIGSYS handler.
 *
 * Return: 0, or 1 with a blocker recorded.
 */
int attrs_check(struct dump_ctx *ctx, const struct pstree_item *it, const struct dump_thread *th)
{
	struct ptrace_sud_config sud = { 0 };

	/* The older kernel cannot say. */
	if (ptrace(PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG, th->tid, sizeof(sud), &sud) < 0 ||
	    !sud.mode)
		return 0;
	fail(ctx->report, "task-user-dispatch", EOPNOTSUPP,
	     "pid %d (%s): thread %d catches its own system calls (PR_SET_SYSCALL_USER_DISPATCH)",
	     it->pid, it->dump->stat.comm, th->tid);
	return 1;
}

/**
 * attrs_calls - what a thread is to be asked
 * @calls: filled
 * @at: where in its memory a struct attrs_answer is
 */
void attrs_calls(struct remote_call calls[ATTRS_CALLS], unsigned long at)
{
	calls[ASK_SLACK] = (struct remote_call){ .nr = SYS_prctl, .args = { PR_GET_TIMERSLACK } };
	calls[ASK_TSC] = (struct remote_call){
		.nr = SYS_prctl,
		.args = { PR_GET_TSC, at + offsetof(struct attrs_answer, tsc) },
	};
	for (unsigned int i = 0; i < NR_SPECULATION; i++)
		calls[ASK_SPECULATION + i] = (struct remote_call){
			.nr = SYS_prctl,
			.args = { PR_GET_SPECULATION_CTRL, i },
		};
}

/* A mask that names every processor there is says nothing, and would be wrong elsewhere. */
static int thread_cpus(struct dump_ctx *ctx, pid_t tid, ThreadAttrsEntry *e)
{
	unsigned char cpus[1024];
	long n = syscall(SYS_sched_getaffinity, tid, sizeof(cpus), cpus);
	long left, used = 0;

	if (n < 0)
		return task_fail(ctx, tid, -errno, "sched_getaffinity()");
	left = ctx->cpus;
	for (long i = 0; i < n; i++) {
		left -= __builtin_popcount(cpus[i]);
		if (cpus[i])
			used = i + 1;
	}
	e->has_cpus = 1;
	if (left <= 0)
		return 0;
	e->cpus.data = arena_memdup(ctx->arena, cpus, (size_t)used);
	e->cpus.len = (size_t)used;
	return 0;
}

/**
 * attrs_answered - what a thread has answered, and what is seen from outside
 * @ctx: the dump
 * @t: the thread; its core message gets the attributes
 * @calls: the calls of attrs_calls(), run; a kernel may lack any of them
 * @a: the memory that they have filled
 *
 * Return: 0 or -errno recorded.
 */
int attrs_answered(struct dump_ctx *ctx, struct task_thread *t,
		   const struct remote_call calls[ATTRS_CALLS], const struct attrs_answer *a)
{
	ThreadAttrsEntry *e = arena_new_of(ctx->arena, ThreadAttrsEntry);
	long prio = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, t->tid);

	thread_attrs_entry__init(e);
	t->core->thread_core->attrs = e;
	e->has_timer_slack = calls[ASK_SLACK].ret > 0;
	e->timer_slack = e->has_timer_slack ? (uint64_t)calls[ASK_SLACK].ret : 0;
	e->has_ioprio = prio > 0;
	e->ioprio = e->has_ioprio ? (uint32_t)prio : 0;
	e->has_tsc_faults = calls[ASK_TSC].ret == 0 && a->tsc == PR_TSC_SIGSEGV;
	e->tsc_faults = e->has_tsc_faults;
	e->speculation = arena_array(ctx->arena, uint32_t, NR_SPECULATION);
	for (int i = 0; i < NR_SPECULATION && calls[ASK_SPECULATION + i].ret >= 0; i++)
		e->speculation[e->n_speculation++] = (uint32_t)calls[ASK_SPECULATION + i].ret;
	return thread_cpus(ctx, t->tid, e);
}
