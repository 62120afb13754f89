/*
 * leader - what one thread tells for its whole process, by one batch of remote
 * calls, and what /proc tells.
 */
#include "dump/tasks.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "kernel/prctl.h"

#define NR_SIGNALS 64
#define MEMBARRIER_GET_REGISTRATIONS (1 << 9) /* Linux 6.3 */

/* struct sigaction of the kernel. */
struct kernel_action {
	uint64_t handler, flags, restorer, mask;
};

/* What the leader answers in its memory. */
struct leader_answer {
	struct kernel_action act[NR_SIGNALS];
	struct itimerval itimer[3];
	int32_t subreaper;
};

/* The calls after those for the signals. */
enum {
	ASK_ITIMER,
	ASK_SUBREAPER = ASK_ITIMER + 3,
	ASK_DUMPABLE,
	ASK_THP,
	ASK_BRK,
	ASK_MEMBARRIER,
	ASK_MDWE,
	ASK_MERGE,
	NR_ASK
};

static bool has_action(int sig)
{
	return sig != SIGKILL && sig != SIGSTOP;
}

/**
 * leader_answer_size - how much memory the answers take
 *
 * Return: bytes, to be aligned to 16.
 */
size_t leader_answer_size(void)
{
	return sizeof(struct leader_answer);
}

/**
 * leader_calls - what the process itself is to be asked
 * @calls: filled
 * @at: where in its memory the answers go
 *
 * Return: how many calls.
 */
size_t leader_calls(struct remote_call calls[LEADER_CALLS], unsigned long at)
{
	struct remote_call *c = calls;

	_Static_assert(NR_SIGNALS - 2 + NR_ASK <= LEADER_CALLS, "room for all calls");
	for (int sig = 1; sig <= NR_SIGNALS; sig++)
		if (has_action(sig))
			*c++ = (struct remote_call){
				.nr = SYS_rt_sigaction,
				.args = { (unsigned)sig, 0,
					  at + offsetof(struct leader_answer, act) +
						  ((unsigned)sig - 1) *
							  sizeof(struct kernel_action),
					  8 },
			};
	for (unsigned int i = 0; i < 3; i++)
		c[ASK_ITIMER + i] = (struct remote_call){
			.nr = SYS_getitimer,
			.args = { i, at + offsetof(struct leader_answer, itimer) +
					     i * sizeof(struct itimerval) },
		};
	c[ASK_SUBREAPER] = (struct remote_call){
		.nr = SYS_prctl,
		.args = { PR_GET_CHILD_SUBREAPER, at + offsetof(struct leader_answer, subreaper) },
	};
	c[ASK_DUMPABLE] = (struct remote_call){ .nr = SYS_prctl, .args = { PR_GET_DUMPABLE } };
	c[ASK_THP] = (struct remote_call){ .nr = SYS_prctl, .args = { PR_GET_THP_DISABLE } };
	c[ASK_BRK] = (struct remote_call){ .nr = SYS_brk };
	c[ASK_MEMBARRIER] = (struct remote_call){ .nr = SYS_membarrier,
						  .args = { MEMBARRIER_GET_REGISTRATIONS } };
	c[ASK_MDWE] = (struct remote_call){ .nr = SYS_prctl, .args = { PR_GET_MDWE } };
	c[ASK_MERGE] = (struct remote_call){ .nr = SYS_prctl, .args = { PR_GET_MEMORY_MERGE } };
	return (size_t)(c - calls) + NR_ASK;
}

static void sigactions(struct arena *a, TaskCoreEntry *tc, const struct kernel_action *act)
{
	SaEntry *rows = arena_array(a, SaEntry, NR_SIGNALS);

	tc->sigactions = arena_array(a, SaEntry *, NR_SIGNALS);
	for (int sig = 1; sig <= NR_SIGNALS; sig++) {
		const struct kernel_action *k = &act[sig - 1];
		SaEntry *e = &rows[sig - 1];

		if (!has_action(sig))
			continue;
		sa_entry__init(e);
		e->sigaction = k->handler;
		e->flags = k->flags;
		e->restorer = k->restorer;
		e->mask = k->mask;
		e->has_compat_sigaction = 1;
		tc->sigactions[tc->n_sigactions++] = e;
	}
}

static ItimerEntry *itimer(struct arena *a, const struct itimerval *it)
{
	ItimerEntry *e = arena_new_of(a, ItimerEntry);

	itimer_entry__init(e);
	e->isec = (uint64_t)it->it_interval.tv_sec;
	e->iusec = (uint64_t)it->it_interval.tv_usec;
	e->vsec = (uint64_t)it->it_value.tv_sec;
	e->vusec = (uint64_t)it->it_value.tv_usec;
	return e;
}

/* What a kernel may have been built without, or be too old for. */
static bool may_lack(ptrdiff_t call)
{
	return call == ASK_MEMBARRIER || call == ASK_THP || call == ASK_MDWE || call == ASK_MERGE;
}

/**
 * leader_answered - what the process has answered, into its messages
 * @ctx: the dump
 * @it: the process
 * @calls: the calls of leader_calls(), run
 * @n: how many
 * @answer: the memory that they have filled
 *
 * Return: 0 or -errno recorded.
 */
int leader_answered(struct dump_ctx *ctx, struct pstree_item *it, const struct remote_call *calls,
		    size_t n, const void *answer)
{
	TaskCoreEntry *tc = item_core(it)->tc;
	const struct leader_answer *a = answer;
	const struct remote_call *c = calls + n - NR_ASK;
	TaskTimersEntry *t = arena_new_of(ctx->arena, TaskTimersEntry);

	for (size_t i = 0; i < n; i++)
		if (calls[i].ret < 0 && !may_lack(&calls[i] - c))
			return task_fail(ctx, it->pid, (int)calls[i].ret,
					 calls[i].nr == SYS_rt_sigaction
						 ? "sigaction()"
						 : "getitimer() or prctl()");
	sigactions(ctx->arena, tc, a->act);
	task_timers_entry__init(t);
	t->real = itimer(ctx->arena, &a->itimer[0]);
	t->virt = itimer(ctx->arena, &a->itimer[1]);
	t->prof = itimer(ctx->arena, &a->itimer[2]);
	tc->timers = t;
	tc->has_child_subreaper = 1;
	tc->child_subreaper = a->subreaper != 0;
	it->mm->has_dumpable = 1;
	it->mm->dumpable = (int32_t)c[ASK_DUMPABLE].ret;
	it->mm->has_thp_disabled = 1;
	it->mm->thp_disabled = c[ASK_THP].ret > 0;
	it->mm->mm_brk = (uint64_t)c[ASK_BRK].ret;
	it->mm->has_mdwe = c[ASK_MDWE].ret > 0;
	it->mm->mdwe = it->mm->has_mdwe ? (uint32_t)c[ASK_MDWE].ret : 0;
	it->mm->has_merge = c[ASK_MERGE].ret > 0;
	it->mm->merge = it->mm->has_merge;
	tc->has_membarrier_registration_mask = c[ASK_MEMBARRIER].ret > 0;
	if (tc->has_membarrier_registration_mask)
		tc->membarrier_registration_mask = (uint32_t)c[ASK_MEMBARRIER].ret;
	return 0;
}

/* A number alone in a file; 0: it is there, 1: it is not. */
static int proc_number(struct dump_ctx *ctx, struct pstree_item *it, const char *name, int base,
		       long long *out)
{
	char *end;

	if (proc_read(it->dump->proc_fd, name, &ctx->text))
		return 1;
	errno = 0;
	*out = strtoll(ctx->text.p, &end, base);
	return errno || end == ctx->text.p;
}

/**
 * leader_collect - what /proc tells of a process
 * @ctx: the dump
 * @it: the process; its threads have been collected
 *
 * Return: 0 or -errno recorded.
 */
int leader_collect(struct dump_ctx *ctx, struct pstree_item *it)
{
	const struct dump_thread *th = &it->dump->threads[0];
	TaskCoreEntry *tc = arena_new_of(ctx->arena, TaskCoreEntry);
	long long v;

	task_core_entry__init(tc);
	item_core(it)->tc = tc;
	tc->task_state = (uint32_t)it->state;
	tc->flags = it->dump->stat.flags;
	tc->comm = arena_strdup(ctx->arena, it->dump->stat.comm);
	tc->blk_sigset = th->sigmask;
	tc->has_stop_signo = it->dump->stopped;
	tc->stop_signo = (uint32_t)it->dump->stop_sig;
	if (!proc_number(ctx, it, "personality", 16, &v))
		tc->personality = (uint32_t)v;
	tc->has_oom_score_adj = !proc_number(ctx, it, "oom_score_adj", 10, &v);
	tc->oom_score_adj = tc->has_oom_score_adj ? (int32_t)v : 0;
	tc->has_loginuid = !proc_number(ctx, it, "loginuid", 10, &v);
	tc->loginuid = tc->has_loginuid ? (uint32_t)v : 0;
	it->fs = arena_new_of(ctx->arena, FsEntry);
	fs_entry__init(it->fs);
	it->fs->has_umask = 1;
	it->fs->umask = th->status.umask;
	if (th->status.shared_pending)
		return signals_pending(ctx, it->pid, true, &tc->signals_s);
	tc->signals_s = arena_new_of(ctx->arena, SignalQueueEntry);
	signal_queue_entry__init(tc->signals_s);
	return 0;
}
