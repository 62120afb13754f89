/*
 * hold - tasks that do not run for a while even if the tool dies. Their threads
 * stand in the stub, and, left alone, sleep there before they return to their
 * own code. So whatever disturbs a task may be done to it then: the guardian has
 * time to take it back.
 */
#include "dump/tasks.h"

#include <sys/syscall.h>

/* The leader is attached; the others go into the stub, which ends when they have run something. */
static int attach_threads(struct dump_ctx *ctx, struct pstree_item *it)
{
	struct remote_call call = { .nr = SYS_gettid };
	size_t n = 1;
	int ret = 0, end = 0;

	for (; n < it->dump->nr_threads && !ret; n += !ret) {
		const struct dump_thread *th = &it->dump->threads[n];
		const struct remote_state known = {
			.regs = th->regs,
			.mask = th->sigmask,
			.xstate = th->xstate,
			.xlen = th->xlen,
		};

		ret = remote_attach_start(it->dump->remote, th->tid, &known, &call, 1);
		if (ret)
			task_fail(ctx, th->tid, ret, "hold it");
	}
	for (size_t i = 1; i < n && !end; i++) {
		pid_t tid = it->dump->threads[i].tid;

		end = remote_finish(it->dump->remote, tid, &call, 1, 0);
		if (end)
			task_fail(ctx, tid, end, "hold it");
	}
	return ret ? ret : end;
}

static int hold_task(struct dump_ctx *ctx, struct pstree_item *it)
{
	int ret;

	if (!it->dump->remote)
		return 0;
	ret = attach_threads(ctx, it);
	for (size_t i = 0; i < it->dump->nr_threads && !ret; i++) {
		pid_t tid = it->dump->threads[i].tid;

		ret = remote_hold(it->dump->remote, tid);
		if (ret)
			task_fail(ctx, tid, ret, "hold it");
	}
	return ret;
}

/**
 * dump_hold - see to it that tasks stay where they are should the tool die
 * @ctx: the dump
 * @h: which tasks; all zero but for those before the first call
 *
 * To be called before every disturbance; all calls but the first do nothing.
 *
 * Return: 0 or -errno, recorded.
 */
int dump_hold(struct dump_ctx *ctx, struct dump_hold *h)
{
	int ret = 0;

	for (size_t i = 0; i < h->n && !h->held && !ret; i++)
		ret = hold_task(ctx, h->items[i]);
	h->held = true;
	return ret;
}
