/*
 * trace - every task held by the tool, and let go at the end. From here to
 * the release a task dies with the tool (PTRACE_O_EXITKILL).
 */
#include "restore/ctx.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>

#include "kernel/ptrace.h"
#include "restore/arch.h"
#include "restore/attrs.h"
#include "restore/network.h"

/* Without CAP_SYS_ADMIN filters cannot be suspended; then a tree with filters fails later. */
static int seize_and_stop(struct restore_ctx *ctx, pid_t tid)
{
	unsigned long options = PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD;
	struct ptrace_stop stop;
	int ret = ptrace_seize(tid, options | PTRACE_O_SUSPEND_SECCOMP);

	if (ret == -EPERM)
		ret = ptrace_seize(tid, options);
	return ret < 0 ? ret : ptrace_interrupt_wait(tid, restore_left_ms(ctx), &stop);
}

/* One that was made before the task was parked: see early.c. */
static int seize_thread(struct restore_ctx *ctx, struct pstree_item *it, pid_t tid)
{
	int ret = seize_and_stop(ctx, tid);

	if (ret >= 0)
		ret = remote_attach_thread(it->restore->remote, tid);
	return ret < 0 ? fail(ctx->report, "trace", -ret, "thread %d: trace it", tid) : 0;
}

static int seize_task(struct restore_ctx *ctx, struct pstree_item *it)
{
	struct restore_task *rt = it->restore;
	int ret = seize_and_stop(ctx, it->pid);

	if (ret >= 0)
		ret = remote_adopt(&rt->remote, it->pid, rt->area,
				   remote_area_size(it->nr_threads));
	if (ret < 0)
		return fail(ctx->report, "trace", -ret, "pid %d: trace it", it->pid);
	remote_set_limit(rt->remote, restore_left_ms(ctx));
	for (size_t i = 1; i < it->nr_threads && ret >= 0; i++)
		if (it->threads[i].fdt)
			ret = seize_thread(ctx, it, it->threads[i].tid);
	return ret;
}

/**
 * restore_seize - trace every living task
 * @ctx: the run; tasks are parked
 *
 * Return: 0 or -errno, recorded.
 */
int restore_seize(struct restore_ctx *ctx)
{
	struct pstree_item *it;
	int ret;

	list_for_each(it, &ctx->tree->items, list)
		if (item_alive(it) && (ret = seize_task(ctx, it)) < 0)
			return ret;
	return 0;
}

/* A thread, which runs none of our code any more, continues where it was dumped. */
static int restore_registers(struct restore_ctx *ctx, const struct task_thread *t)
{
	struct user_regs_struct regs;
	int ret;

	arch_regs_from_image(t->core->thread_info->gpregs, t->core->thread_core->restart, &regs);
	ret = arch_set_xstate(ctx->report, t->tid, t->core->thread_info->fpregs);
	if (ret < 0)
		return ret;
	ret = ptrace_set_regs(t->tid, &regs);
	if (ret >= 0)
		ret = ptrace_set_sigmask(t->tid, t->core->tc ? t->core->tc->blk_sigset
							     : t->core->thread_core->blk_sigset);
	if (ret < 0)
		return fail(ctx->report, "registers", -ret, "thread %d: registers", t->tid);
	return 0;
}

/*
 * The leader is on its way out of a call, where the kernel looks for signals
 * only if there are some. A stop on request is on that way, before any signal.
 */
static int to_event_stop(struct restore_ctx *ctx, const struct task_thread *t)
{
	struct ptrace_stop stop;
	int ret;

	if (!t->core->thread_core->restart)
		return 0;
	ret = ptrace_interrupt(t->tid);
	if (ret >= 0)
		ret = ptrace_resume(t->tid, 0);
	if (ret >= 0)
		ret = ptrace_wait_stop(t->tid, restore_left_ms(ctx), &stop);
	if (ret < 0)
		return ret;
	return stop.kind == PTRACE_STOP_EVENT || stop.kind == PTRACE_STOP_GROUP ? 0 : -EPROTO;
}

/**
 * restore_disarm - the work areas go and every thread has its own registers
 * @ctx: the run; all remote calls are done
 *
 * Return: 0 or -errno, recorded.
 */
int restore_disarm(struct restore_ctx *ctx)
{
	struct pstree_item *it;

	list_for_each(it, &ctx->tree->items, list) {
		unsigned long start, end;
		int ret;

		if (!item_alive(it))
			continue;
		remote_area(it->restore->remote, &start, &end);
		ret = remote_close(it->restore->remote);
		it->restore->remote = NULL;
		if (ret >= 0)
			ret = arch_unmap_code(it->pid, start, end);
		if (ret >= 0)
			ret = to_event_stop(ctx, it->threads);
		if (ret < 0)
			return fail(ctx->report, "remote-call", -ret, "pid %d: unmap the work area",
				    it->pid);
		for (size_t i = 0; i < it->nr_threads; i++)
			if ((ret = restore_registers(ctx, &it->threads[i])) < 0)
				return ret;
	}
	return attrs_spread(ctx);
}

/* A SIGSTOP that was pending; it takes effect when the task runs. */
static void queue_stops(pid_t pid, pid_t tid, const SignalQueueEntry *q)
{
	for (size_t i = 0; q && i < q->n_signals; i++) {
		siginfo_t si;

		if (q->signals[i]->siginfo.len != sizeof(si))
			continue;
		memcpy(&si, q->signals[i]->siginfo.data, sizeof(si));
		if (si.si_signo != SIGSTOP)
			continue;
		if (tid)
			tgkill(pid, tid, SIGSTOP);
		else
			kill(pid, SIGSTOP);
	}
}

/* What acts as soon as a task runs is queued while it cannot. */
static void queue_last(struct restore_ctx *ctx, const struct pstree_item *it)
{
	if (ctx->opts->leave_stopped)
		kill(it->pid, SIGSTOP);
	queue_stops(it->pid, 0, item_core(it)->tc->signals_s);
	for (size_t i = 0; i < it->nr_threads; i++)
		queue_stops(it->pid, it->threads[i].tid,
			    it->threads[i].core->thread_core->signals_p);
}

static int each_thread(struct restore_ctx *ctx, int (*what)(pid_t tid))
{
	struct pstree_item *it;
	int ret = 0;

	list_for_each(it, &ctx->tree->items, list)
		for (size_t i = 0; item_alive(it) && i < it->nr_threads && ret >= 0; i++) {
			ret = what(it->threads[i].tid);
			if (ret < 0)
				ret = fail(ctx->report, "trace", -ret, "thread %d: let it go",
					   it->threads[i].tid);
		}
	return ret;
}

static int outlive_us(pid_t tid)
{
	return ptrace_set_options(tid, 0);
}

static int let_go(pid_t tid)
{
	int ret = ptrace_detach(tid, 0);

	/* Whoever dies from here on does so as one of a tree that runs. */
	return ret == -ESRCH ? 0 : ret;
}

/**
 * restore_release - let the tree run
 * @ctx: the run; nothing is left to be done
 *
 * First no task dies with the tool any more, then the restore is committed,
 * then they are let go. The tool's death in the last step lets go of all: so
 * the tree runs whole or not at all, but for the moment of the first step, in
 * which no task is let go by us.
 *
 * Return: 0 or -errno, recorded.
 */
int restore_release(struct restore_ctx *ctx)
{
	struct pstree_item *it;
	int ret;

	list_for_each(it, &ctx->tree->items, list)
		if (item_alive(it))
			queue_last(ctx, it);
	ret = network_hold(ctx);
	if (ret >= 0)
		ret = each_thread(ctx, outlive_us);
	if (ret < 0)
		return ret;
	atomic_store(&ctx->shared->committed, true);
	network_release(ctx);
	restore_guardian_end(ctx);
	return each_thread(ctx, let_go);
}
