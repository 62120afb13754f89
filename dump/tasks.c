/*
 * tasks - what each process is, but for its memory and files.
 */
#include "dump/tasks.h"

#include <errno.h>
#include <string.h>

#include "dump/guardian.h"
#include "kernel/backoff.h"
#include "kernel/ptrace.h"

#define LIMIT_MIN_MS 100

static int task_dead(struct dump_ctx *ctx, struct pstree_item *it)
{
	TaskCoreEntry *tc = arena_new_of(ctx->arena, TaskCoreEntry);
	CoreEntry *core = arena_new_of(ctx->arena, CoreEntry);

	core_entry__init(core);
	task_core_entry__init(tc);
	core->mtype = CORE_ENTRY__MARCH__X86_64;
	core->tc = tc;
	tc->task_state = TASK_DEAD;
	tc->exit_code = it->dump->stat.exit_code;
	tc->comm = arena_strdup(ctx->arena, it->dump->stat.comm);
	it->threads = arena_new_of(ctx->arena, struct task_thread);
	it->threads[0] = (struct task_thread){ .tid = it->pid, .core = core };
	it->nr_threads = 1;
	return 0;
}

static int task_remote_open(struct dump_ctx *ctx, struct pstree_item *it)
{
	struct dump_task *t = it->dump;
	uint64_t now = backoff_now(), left;
	int ret;

	t->where.threads = it->nr_threads;
	dump_guardian_note(ctx, it->pid);
	ret = remote_open(&t->remote, it->pid, &t->where);
	if (ret == -EBUSY && ctx->nr_rescue < RESCUE_MAX) {
		ctx->rescue[ctx->nr_rescue++] = it->pid;
		return -EBUSY;
	}
	if (ret)
		return task_fail(ctx, it->pid, ret, "prepare for remote calls");
	left = ctx->deadline_ns > now ? (ctx->deadline_ns - now) / 1000000 : 0;
	remote_set_limit(t->remote, left > LIMIT_MIN_MS ? (unsigned int)left : LIMIT_MIN_MS);
	return 0;
}

static int task_collect(struct dump_ctx *ctx, struct pstree_item *it)
{
	struct dump_task *t = it->dump;
	int ret = 0;

	it->nr_threads = t->nr_threads;
	it->threads = arena_array(ctx->arena, struct task_thread, it->nr_threads);
	for (size_t i = 0; i < it->nr_threads && !ret; i++)
		ret = thread_collect(ctx, it, i);
	if (!ret)
		ret = leader_collect(ctx, it);
	if (!ret)
		ret = task_limits(ctx, it);
	if (ret || t->refused)
		return ret;
	ret = task_remote_open(ctx, it);
	/* What a dead tool has left is cleared away before the next try. */
	if (ret == -EBUSY)
		return 0;
	if (!ret)
		ret = threads_ask(ctx, it);
	if (!ret)
		ret = timers_ask(ctx, it);
	return ret;
}

/**
 * dump_tasks - what each process and thread is
 * @ctx: the dump; all tasks are stopped and their maps are known
 *
 * Every task that is not refused has dump->remote afterwards, until
 * dump_task_release().
 *
 * Return: 0 or -errno recorded. Blockers are recorded and are no error. -EBUSY
 * with ctx->nr_rescue set is not recorded: a dead tool has left something.
 */
int dump_tasks(struct dump_ctx *ctx)
{
	struct pstree_item *it;
	int ret = ids_collect(ctx);

	list_for_each(it, &ctx->tree->items, list) {
		if (ret)
			break;
		if (it->state == TASK_DEAD)
			ret = task_dead(ctx, it);
		else if (!it->dump->refused)
			ret = task_collect(ctx, it);
	}
	/* With a blocker on record there is no next try. */
	if (ret || !ctx->nr_rescue || report_count(ctx->report) > ctx->causes_before)
		return ret;
	return -EBUSY;
}

/**
 * dump_task_release - end remote calls in a process
 * @ctx: the dump
 * @it: the process, still stopped; its threads have their own registers again
 */
void dump_task_release(struct dump_ctx *ctx, struct pstree_item *it)
{
	struct dump_task *t = it->dump;
	int ret;

	if (!t->remote)
		return;
	ret = remote_close(t->remote);
	t->remote = NULL;
	dump_guardian_note(ctx, -it->pid);
	if (ret && ret != -ESRCH)
		log_warn(ctx->report, "pid %d: remote calls end: %s", it->pid, strerror(-ret));
}
