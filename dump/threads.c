/*
 * threads - one thread: first what can be seen from outside, then what only
 * the thread itself can tell. All threads of a process are asked at once.
 */
#include "dump/tasks.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/kcmp.h"
#include "kernel/ptrace.h"

#define LATE_MS 200 /* for threads whose answers are of no use any more */
#define WAVE 512    /* threads that are asked at a time: their answers fit the work area */

/* What a thread answers, in its own memory. */
struct thread_answer {
	stack_t sas;
	uint64_t tid_addr;
	int32_t pdeath_sig;
	char comm[20];
	struct attrs_answer attrs;
};

/* The calls of a thread, in this order. */
enum {
	ASK_SAS,
	ASK_TID_ADDR,
	ASK_PDEATH,
	ASK_COMM,
	ASK_SECUREBITS,
	ASK_ATTRS,
	NR_ASK = ASK_ATTRS + ATTRS_CALLS
};

/**
 * task_fail_at - record that a thread could not be asked
 * @ctx: the dump
 * @tid: the thread
 * @file: source file of the caller
 * @line: its line
 * @err: -errno
 * @what: what was wanted
 *
 * Return: @err.
 */
int task_fail_at(struct dump_ctx *ctx, pid_t tid, const char *file, int line, int err,
		 const char *what)
{
	if (err == -ESRCH)
		return report_fail(ctx->report, file, line, "task-gone", ESRCH,
				   "thread %d has died meanwhile (%s)", tid, what);
	return report_fail(ctx->report, file, line, "task-read", -err, "thread %d: %s", tid, what);
}

/* Linux 6.6 on: the features that a thread has turned on are named in its status. */
static bool has_shadow_stack(const char *status)
{
	const char *p = strstr(status, "\nx86_Thread_features:"), *on;

	on = p ? strstr(p, "shstk") : NULL;
	return on && on < p + 1 + strcspn(p + 1, "\n");
}

static int thread_status(struct dump_ctx *ctx, struct pstree_item *it, struct dump_thread *th)
{
	struct proc_status *st = &th->status;
	char name[40];
	void *groups;
	int ret;

	snprintf(name, sizeof(name), "task/%d/status", th->tid);
	ret = proc_read(it->dump->proc_fd, name, &ctx->text);
	if (!ret)
		ret = proc_parse_status(ctx->text.p, st);
	if (ret)
		return task_fail(ctx, th->tid, ret == -ENOENT ? -ESRCH : ret, "status");
	th->shadow_stack = has_shadow_stack(ctx->text.p);
	groups = st->groups;
	st->groups = arena_memdup(ctx->arena, groups, st->nr_groups * sizeof(*st->groups));
	free(groups);
	return 0;
}

static int thread_sched(struct dump_ctx *ctx, pid_t tid, ThreadCoreEntry *tc)
{
	struct sched_param sp = { 0 };
	int policy = sched_getscheduler(tid);

	if (policy < 0)
		return task_fail(ctx, tid, -errno, "sched_getscheduler()");
	tc->has_sched_policy = 1;
	tc->sched_policy = (uint32_t)policy;
	policy &= ~SCHED_RESET_ON_FORK;
	if (policy == SCHED_FIFO || policy == SCHED_RR) {
		if (sched_getparam(tid, &sp) < 0)
			return task_fail(ctx, tid, -errno, "sched_getparam()");
		tc->has_sched_prio = 1;
		tc->sched_prio = (uint32_t)sp.sched_priority;
	}
	if (policy == 6) /* SCHED_DEADLINE */
		fail(ctx->report, "task-deadline", EOPNOTSUPP,
		     "thread %d is scheduled by SCHED_DEADLINE", tid);
	errno = 0;
	tc->sched_nice = getpriority(PRIO_PROCESS, (id_t)tid);
	if (errno)
		return task_fail(ctx, tid, -errno, "getpriority()");
	tc->has_sched_nice = 1;
	return 0;
}

static int thread_lists(struct dump_ctx *ctx, const struct dump_thread *th, ThreadCoreEntry *tc)
{
	size_t len = 0;
	void *head = NULL;

	if (syscall(SYS_get_robust_list, th->tid, &head, &len) < 0)
		return task_fail(ctx, th->tid, -errno, "get_robust_list()");
	tc->futex_rla = (uintptr_t)head;
	tc->futex_rla_len = (uint32_t)len;
	if (!th->rseq.address)
		return 0;
	tc->rseq_entry = arena_new_of(ctx->arena, RseqEntry);
	rseq_entry__init(tc->rseq_entry);
	tc->rseq_entry->rseq_abi_pointer = th->rseq.address;
	tc->rseq_entry->rseq_abi_size = th->rseq.size;
	tc->rseq_entry->signature = th->rseq.signature;
	return 0;
}

static int thread_regs(struct dump_ctx *ctx, struct pstree_item *it, struct dump_thread *th,
		       CoreEntry *core)
{
	int ret = ptrace_get_regs(th->tid, &th->regs);

	if (!ret && (regs_check(ctx, it, th) || attrs_check(ctx, it, th))) {
		it->dump->refused = true;
		return 0;
	}
	if (!ret)
		ret = ptrace_get_rseq(th->tid, &th->rseq);
	/* Linux before 5.13 does not tell. */
	if (ret == -EIO)
		ret = 0;
	if (!ret)
		ret = ptrace_rseq_abort(th->tid, &th->regs, &th->rseq);
	if (ret >= 0)
		ret = ptrace_get_sigmask(th->tid, &th->sigmask);
	if (ret)
		return task_fail(ctx, th->tid, ret, "registers");
	return regs_info(ctx, th, core);
}

static int thread_pending(struct dump_ctx *ctx, const struct dump_thread *th, ThreadCoreEntry *tc)
{
	if (th->status.sig_pending)
		return signals_pending(ctx, th->tid, false, &tc->signals_p);
	tc->signals_p = arena_new_of(ctx->arena, SignalQueueEntry);
	signal_queue_entry__init(tc->signals_p);
	return 0;
}

/**
 * thread_collect - what is seen of a thread from outside
 * @ctx: the dump
 * @it: its process
 * @i: its index; its core message is made here
 *
 * Return: 0 or -errno recorded.
 */
int thread_collect(struct dump_ctx *ctx, struct pstree_item *it, size_t i)
{
	struct dump_thread *th = &it->dump->threads[i];
	CoreEntry *core = arena_new_of(ctx->arena, CoreEntry);
	ThreadCoreEntry *tc = arena_new_of(ctx->arena, ThreadCoreEntry);
	int ret;

	core_entry__init(core);
	thread_core_entry__init(tc);
	core->mtype = CORE_ENTRY__MARCH__X86_64;
	core->thread_core = tc;
	it->threads[i] = (struct task_thread){ .tid = th->tid, .core = core };
	ret = thread_regs(ctx, it, th, core);
	if (!ret)
		ret = thread_status(ctx, it, th);
	if (!ret)
		ret = thread_sched(ctx, th->tid, tc);
	if (!ret)
		ret = thread_lists(ctx, th, tc);
	if (!ret)
		ret = thread_pending(ctx, th, tc);
	if (!ret)
		ret = seccomp_collect(ctx, it, i);
	if (ret)
		return ret;
	tc->creds = creds_entry(ctx->arena, &th->status);
	if (i) {
		tc->has_blk_sigset = 1;
		tc->blk_sigset = th->sigmask;
		if (kcmp(it->pid, th->tid, CL_KCMP_FS, 0, 0) > 0)
			fail(ctx->report, "thread-fs", EOPNOTSUPP,
			     "pid %d: thread %d has a working directory of its own", it->pid,
			     th->tid);
	}
	return 0;
}

static void thread_calls(struct remote_call calls[NR_ASK], unsigned long at)
{
	const unsigned long sas = at + offsetof(struct thread_answer, sas);
	const unsigned long addr = at + offsetof(struct thread_answer, tid_addr);
	const unsigned long sig = at + offsetof(struct thread_answer, pdeath_sig);
	const unsigned long comm = at + offsetof(struct thread_answer, comm);

	calls[ASK_SAS] = (struct remote_call){ .nr = SYS_sigaltstack, .args = { 0, sas } };
	calls[ASK_TID_ADDR] =
		(struct remote_call){ .nr = SYS_prctl, .args = { PR_GET_TID_ADDRESS, addr } };
	calls[ASK_PDEATH] =
		(struct remote_call){ .nr = SYS_prctl, .args = { PR_GET_PDEATHSIG, sig } };
	calls[ASK_COMM] = (struct remote_call){ .nr = SYS_prctl, .args = { PR_GET_NAME, comm } };
	calls[ASK_SECUREBITS] =
		(struct remote_call){ .nr = SYS_prctl, .args = { PR_GET_SECUREBITS } };
	attrs_calls(&calls[ASK_ATTRS], at + offsetof(struct thread_answer, attrs));
}

static int thread_answered(struct dump_ctx *ctx, struct task_thread *t,
			   const struct remote_call calls[NR_ASK], const struct thread_answer *a)
{
	ThreadCoreEntry *tc = t->core->thread_core;

	for (int i = 0; i < ASK_ATTRS; i++)
		if (calls[i].ret < 0)
			return task_fail(ctx, t->tid, (int)calls[i].ret,
					 i == ASK_SAS ? "sigaltstack()" : "prctl()");
	tc->sas = arena_new_of(ctx->arena, ThreadSasEntry);
	thread_sas_entry__init(tc->sas);
	tc->sas->ss_sp = (uintptr_t)a->sas.ss_sp;
	tc->sas->ss_size = a->sas.ss_size;
	/* Being on the stack is not a property of it. */
	tc->sas->ss_flags = (uint32_t)a->sas.ss_flags & ~(uint32_t)SS_ONSTACK;
	t->core->thread_info->clear_tid_addr = a->tid_addr;
	tc->has_pdeath_sig = a->pdeath_sig != 0;
	tc->pdeath_sig = (uint32_t)a->pdeath_sig;
	tc->comm = arena_memdup(ctx->arena, a->comm, sizeof(a->comm));
	tc->comm[sizeof(a->comm) - 1] = '\0';
	tc->creds->secbits = (uint32_t)calls[ASK_SECUREBITS].ret;
	return attrs_answered(ctx, t, &calls[ASK_ATTRS], &a->attrs);
}

/* Threads asked at once, and where their answers are. */
struct wave {
	struct pstree_item *it;
	struct task_thread *t;
	const struct dump_thread *th;
	size_t n;
	struct remote_call (*calls)[NR_ASK + LEADER_CALLS]; /* [0] also has the leader's */
	struct remote_batch *batches;
	unsigned long at, leader_at; /* in their memory */
	struct thread_answer *answers;
};

static int wave_start(struct dump_ctx *ctx, struct wave *w, size_t i)
{
	struct remote *r = w->it->dump->remote;
	pid_t tid = w->t[i].tid;
	int ret = 0;

	thread_calls(w->calls[i], w->at + i * sizeof(*w->answers));
	w->batches[i] = (struct remote_batch){ .tid = tid, .calls = w->calls[i], .n = NR_ASK };
	if (tid == w->it->pid) {
		w->batches[i].n += leader_calls(w->calls[i] + NR_ASK, w->leader_at);
		ret = remote_start(r, tid, w->calls[i], w->batches[i].n, 0);
	} else {
		const struct dump_thread *th = &w->th[i];
		const struct remote_state known = {
			.regs = th->regs,
			.mask = th->sigmask,
			.xstate = th->xstate,
			.xlen = th->xlen,
		};

		ret = th->shadow_stack ? -EOPNOTSUPP
				       : remote_attach_start(r, tid, &known, w->calls[i], NR_ASK);
	}
	return ret ? task_fail(ctx, tid, ret, "remote call") : 0;
}

/* Waits for all threads. The leader comes last: its death shows after all others'. */
static int wave_finish(struct dump_ctx *ctx, struct wave *w)
{
	pid_t failed = w->it->pid;
	int ret = remote_finish_home(w->it->dump->remote, w->batches, w->n, &failed);

	if (!ret)
		return 0;
	task_fail(ctx, failed, ret, "remote call");
	/* Nothing that the rest may say will be of use. */
	remote_set_limit(w->it->dump->remote, LATE_MS);
	return ret;
}

static int wave_answered(struct dump_ctx *ctx, struct wave *w)
{
	struct remote *r = w->it->dump->remote;
	void *leader = NULL;
	int ret = remote_read(r, w->at, w->answers, w->n * sizeof(*w->answers));

	if (!ret && w->leader_at) {
		leader = arena_alloc(ctx->arena, leader_answer_size());
		ret = remote_read(r, w->leader_at, leader, leader_answer_size());
	}
	if (ret)
		return task_fail(ctx, w->it->pid, ret, "read answers");
	for (size_t i = 0; i < w->n && !ret; i++)
		ret = thread_answered(ctx, &w->t[i], w->calls[i], &w->answers[i]);
	if (!ret && leader)
		ret = leader_answered(ctx, w->it, w->calls[0] + NR_ASK, w->batches[0].n - NR_ASK,
				      leader);
	return ret;
}

/* Asks @n threads at once; what they answer lies in one array in their memory. */
static int wave_ask(struct dump_ctx *ctx, struct wave *w)
{
	struct remote *r = w->it->dump->remote;
	size_t started = 0;
	int ret = 0, end;

	w->at = remote_alloc(r, w->n * sizeof(*w->answers), 16);
	w->leader_at = w->t[0].tid == w->it->pid ? remote_alloc(r, leader_answer_size(), 16) : 0;
	if (!w->at || (w->t[0].tid == w->it->pid && !w->leader_at))
		ret = task_fail(ctx, w->it->pid, -ENOMEM, "remote call");
	for (; started < w->n && !ret; started += !ret)
		ret = wave_start(ctx, w, started);
	if (ret)
		remote_set_limit(r, LATE_MS);
	end = ret ? 0 : wave_finish(ctx, w);
	ret = ret ? ret : end;
	if (!ret)
		ret = wave_answered(ctx, w);
	remote_reset(r);
	return ret;
}

/**
 * threads_ask - what only the threads of a process, and it itself, can tell
 * @ctx: the dump
 * @it: the process; its leader is attached to dump->remote
 *
 * Return: 0 or -errno recorded.
 */
int threads_ask(struct dump_ctx *ctx, struct pstree_item *it)
{
	size_t most = it->nr_threads < WAVE ? it->nr_threads : WAVE;
	struct wave w = {
		.it = it,
		.calls = calloc(most, sizeof(*w.calls)),
		.batches = calloc(most, sizeof(*w.batches)),
		.answers = calloc(most, sizeof(*w.answers)),
	};
	int ret = 0;

	if (!w.calls || !w.batches || !w.answers)
		abort();
	for (size_t i = 0; i < it->nr_threads && !ret; i += w.n) {
		w.t = &it->threads[i];
		w.th = &it->dump->threads[i];
		w.n = it->nr_threads - i < WAVE ? it->nr_threads - i : WAVE;
		ret = wave_ask(ctx, &w);
	}
	free(w.calls);
	free(w.batches);
	free(w.answers);
	return ret;
}
