/*
 * threads - the threads of each task are made by clone3(2) at their ids, and
 * each gets what belongs to a thread: names, stacks, lists, rseq, pending
 * signals, scheduling, credentials, seccomp. The batches of all threads of a
 * process run at the same time.
 */
#include "restore/ctx.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/ptrace.h"
#include "restore/attrs.h"
#include "restore/batch.h"
#include "restore/creds.h"
#include "restore/seccomp.h"
#include "restore/timers.h"

/*
 * The kernel frees the id of a thread that has ended a moment after its leader
 * can be waited for (Linux 6.16), and lists nobody by it any more: up to 2 s.
 */
#define TID_TRIES 200

/*
 * Those with tables of their own are there: see early.c.
 * CLONE_PTRACE: the thread is born traced by us and stops before its first instruction.
 */
static int make_threads(struct restore_ctx *ctx, struct pstree_item *it)
{
	struct batch b = { .arena = ctx->arena, .retries = TID_TRIES };
	struct remote *r = it->restore->remote;
	struct ptrace_stop stop;
	int ret;

	remote_reset(r);
	ret = seccomp_add_shared(ctx, &b, it);
	if (ret < 0)
		return ret;
	for (size_t i = 1; i < it->nr_threads; i++) {
		pid_t tid = it->threads[i].tid;
		struct clone_args args = {
			.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
				 CLONE_SYSVSEM | CLONE_PTRACE,
			.set_tid_size = 1,
		};
		unsigned long at;

		if (it->threads[i].fdt)
			continue;
		ret = batch_room(ctx, r, it->pid, &b, sizeof(tid) + sizeof(args));
		if (ret < 0)
			return ret;
		args.set_tid = batch_data(r, &tid, sizeof(tid));
		at = batch_data(r, &args, sizeof(args));
		if (!args.set_tid || !at)
			return fail(ctx->report, "remote-call", ENOMEM, "pid %d: work area",
				    it->pid);
		batch_add(&b, "clone3", SYS_clone3, at, sizeof(args), 0, 0, 0, 0);
	}
	ret = batch_run(ctx, r, it->pid, &b);
	for (size_t i = 1; i < it->nr_threads && ret >= 0; i++) {
		if (it->threads[i].fdt)
			continue;
		ret = ptrace_wait_stop(it->threads[i].tid, restore_left_ms(ctx), &stop);
		if (ret >= 0)
			ret = remote_attach_thread(r, it->threads[i].tid);
		if (ret < 0)
			ret = fail(ctx->report, "trace", -ret, "thread %d: take it over",
				   it->threads[i].tid);
	}
	return ret;
}

static int set_scheduling(struct restore_ctx *ctx, const struct task_thread *t)
{
	const ThreadCoreEntry *tc = t->core->thread_core;
	struct sched_param param = { .sched_priority = (int)tc->sched_prio };

	if (tc->has_sched_nice && getpriority(PRIO_PROCESS, (id_t)t->tid) != tc->sched_nice &&
	    setpriority(PRIO_PROCESS, (id_t)t->tid, tc->sched_nice) < 0)
		return fail(ctx->report, "nice", errno, "thread %d: nice %d", t->tid,
			    tc->sched_nice);
	if (tc->has_sched_policy && sched_getscheduler(t->tid) != (int)tc->sched_policy &&
	    sched_setscheduler(t->tid, (int)tc->sched_policy, &param) < 0)
		return fail(ctx->report, "scheduling", errno, "thread %d: policy %u, priority %u",
			    t->tid, tc->sched_policy, tc->sched_prio);
	return attrs_set(ctx, t);
}

/* The leader has queued its own in task.c. */
static size_t nr_signals(const struct pstree_item *it, const struct task_thread *t)
{
	const SignalQueueEntry *q = t->core->thread_core->signals_p;

	return q && t != it->threads ? q->n_signals : 0;
}

static int add_signals(struct restore_ctx *ctx, struct batch *b, struct remote *r,
		       const struct pstree_item *it, const struct task_thread *t)
{
	const SignalQueueEntry *q = t->core->thread_core->signals_p;

	for (size_t i = 0; i < nr_signals(it, t); i++) {
		siginfo_t si;
		int ret = batch_room(ctx, r, t->tid, b, sizeof(si));

		if (ret < 0)
			return ret;
		if (q->signals[i]->siginfo.len != sizeof(si))
			continue;
		memcpy(&si, q->signals[i]->siginfo.data, sizeof(si));
		if (si.si_signo == SIGSTOP)
			continue;
		batch_add(b, "queue a signal", SYS_rt_tgsigqueueinfo, (unsigned long)it->pid,
			  (unsigned long)t->tid, (unsigned long)si.si_signo,
			  batch_data(r, &si, sizeof(si)), 0, 0);
	}
	return 0;
}

static void add_own(struct batch *b, struct remote *r, const struct task_thread *t)
{
	const ThreadCoreEntry *tc = t->core->thread_core;
	const char *comm = tc->comm ? tc->comm : t->core->tc ? t->core->tc->comm : NULL;
	char name[16] = "";

	batch_add(b, "set_tid_address", SYS_set_tid_address, t->core->thread_info->clear_tid_addr,
		  0, 0, 0, 0, 0);
	if (tc->futex_rla_len)
		batch_add(b, "set_robust_list", SYS_set_robust_list, tc->futex_rla,
			  tc->futex_rla_len, 0, 0, 0, 0);
	if (tc->sas && !(tc->sas->ss_flags & SS_DISABLE)) {
		stack_t ss = { .ss_sp = (void *)tc->sas->ss_sp,
			       .ss_size = tc->sas->ss_size,
			       .ss_flags = (int)(tc->sas->ss_flags & ~(unsigned)SS_ONSTACK) };

		batch_add(b, "sigaltstack", SYS_sigaltstack, batch_data(r, &ss, sizeof(ss)), 0, 0,
			  0, 0, 0);
	}
	if (comm) {
		strncpy(name, comm, sizeof(name) - 1);
		batch_add(b, "name", SYS_prctl, PR_SET_NAME, batch_data(r, name, sizeof(name)), 0,
			  0, 0, 0);
	}
	if (tc->rseq_entry && tc->rseq_entry->rseq_abi_pointer)
		batch_add(b, "register rseq", SYS_rseq, tc->rseq_entry->rseq_abi_pointer,
			  tc->rseq_entry->rseq_abi_size, 0, tc->rseq_entry->signature, 0, 0);
}

static void add_limits(struct batch *b, struct remote *r, const struct pstree_item *it)
{
	const TaskRlimitsEntry *e = item_core(it)->tc->rlimits;

	for (size_t i = 0; e && i < e->n_rlimits && i < RLIM_NLIMITS; i++) {
		struct rlimit lim = { e->rlimits[i]->cur, e->rlimits[i]->max };
		unsigned long at = batch_data(r, &lim, sizeof(lim));

		batch_add(b, "setrlimit", SYS_prlimit64, 0, i, at, 0, 0, 0);
	}
}

/* Each bit is the command that has set it: membarrier(2). */
static void add_membarrier(struct batch *b, const TaskCoreEntry *tc)
{
	for (int bit = 0; tc->has_membarrier_registration_mask && bit < 32; bit++)
		if (tc->membarrier_registration_mask & (1u << bit))
			batch_add(b, "membarrier", SYS_membarrier, 1ul << bit, 0, 0, 0, 0, 0);
}

/* 2 cannot be asked for; it comes by itself where the system wants it, or 0 is as good. */
static void add_dumpable(struct batch *b, const MmEntry *mm)
{
	if (mm->has_dumpable)
		batch_add(b, "dumpable", SYS_prctl, PR_SET_DUMPABLE, mm->dumpable == 1, 0, 0, 0, 0);
}

/* Both are reset by a change of credentials of any thread. */
static void add_memory(struct restore_ctx *ctx, struct batch *b, const struct pstree_item *it)
{
	add_dumpable(b, it->mm);
	attrs_add_memory(ctx, b, it);
}

static int set_memory(struct restore_ctx *ctx, const struct pstree_item *it)
{
	struct batch b = { .arena = ctx->arena };

	remote_reset(it->restore->remote);
	add_memory(ctx, &b, it);
	return batch_run(ctx, it->restore->remote, it->pid, &b);
}

/* Room in the work area for what thread_batch() puts there at the very most. */
#define ROOM_FIXED 2048

static int thread_room(struct restore_ctx *ctx, const struct pstree_item *it,
		       const struct task_thread *t)
{
	int filters = seccomp_size(ctx, it, t);
	size_t more = creds_groups_size(it, t) + nr_signals(it, t) * sizeof(siginfo_t);

	if (filters < 0)
		return filters;
	return ROOM_FIXED + filters + (int)(more < (1 << 20) ? more : 1 << 20);
}

static int thread_batch(struct restore_ctx *ctx, struct batch *b, const struct pstree_item *it,
			const struct task_thread *t)
{
	const ThreadCoreEntry *tc = t->core->thread_core;
	struct remote *r = it->restore->remote;
	int ret;

	add_own(b, r, t);
	attrs_add(ctx, b, t);
	if (t == it->threads) {
		add_limits(b, r, it);
		add_membarrier(b, t->core->tc);
	}
	if ((ret = add_signals(ctx, b, r, it, t)) < 0 || (ret = seccomp_add(ctx, b, it, t)) < 0 ||
	    (ret = creds_add(ctx, b, r, it, t)) < 0)
		return ret;
	if (it->nr_threads == 1)
		add_memory(ctx, b, it);
	batch_add(b, "parent-death signal", SYS_prctl, PR_SET_PDEATHSIG,
		  tc->has_pdeath_sig ? tc->pdeath_sig : 0, 0, 0, 0, 0);
	return 0;
}

#define ABREAST 64 /* threads at a time, if the work area has room for them */

static int start_thread(struct restore_ctx *ctx, struct pstree_item *it, size_t i, struct batch *b)
{
	int ret = set_scheduling(ctx, &it->threads[i]);

	*b = (struct batch){ .arena = ctx->arena };
	if (ret >= 0)
		ret = thread_batch(ctx, b, it, &it->threads[i]);
	if (ret >= 0)
		ret = batch_start(ctx, it->restore->remote, it->threads[i].tid, b);
	return ret;
}

/* A thread that needs more than the whole work area is alone, and runs in several parts. */
static int run_threads(struct restore_ctx *ctx, struct pstree_item *it)
{
	struct batch *b = arena_array(ctx->arena, struct batch, ABREAST);
	struct remote *r = it->restore->remote;

	for (size_t from = 0, to; from < it->nr_threads; from = to) {
		int ret = 0;

		remote_reset(r);
		for (to = from; to < it->nr_threads && to < from + ABREAST && ret >= 0; to++) {
			int room = thread_room(ctx, it, &it->threads[to]);

			if (room < 0)
				return room;
			if (to > from && (size_t)room > remote_left(r))
				break;
			ret = start_thread(ctx, it, to, &b[to - from]);
		}
		for (size_t i = from; i < to && ret >= 0; i++)
			ret = batch_finish(ctx, r, it->threads[i].tid, &b[i - from]);
		if (ret < 0)
			return ret;
	}
	return it->nr_threads > 1 ? set_memory(ctx, it) : 0;
}

/**
 * restore_threads - threads, and what belongs to each
 * @ctx: the run; memory stands
 *
 * Return: 0 or -errno, recorded.
 */
int restore_threads(struct restore_ctx *ctx)
{
	struct pstree_item *it;
	int ret;

	list_for_each(it, &ctx->tree->items, list)
		if (item_alive(it) && (ret = make_threads(ctx, it)) < 0)
			return ret;
	/* Before limits and credentials stand in the way. */
	ret = file_late(ctx);
	if (ret < 0)
		return ret;
	list_for_each(it, &ctx->tree->items, list)
		if (item_alive(it) && (ret = run_threads(ctx, it)) < 0)
			return ret;
	list_for_each(it, &ctx->tree->items, list)
		if (item_alive(it) && (ret = timers_restore(ctx, it)) < 0)
			return ret;
	return 0;
}
