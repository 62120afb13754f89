/*
 * signals - pending ones, with all that came with them. They stay pending.
 */
#include "dump/tasks.h"

#include <errno.h>

#include "kernel/ptrace.h"

#define SOME 32

/**
 * signals_pending - the queue of a thread or of its process
 * @ctx: the dump
 * @tid: the thread, stopped
 * @shared: the queue of the process
 * @out: the message
 *
 * Return: 0 or -errno recorded.
 */
int signals_pending(struct dump_ctx *ctx, pid_t tid, bool shared, SignalQueueEntry **out)
{
	SignalQueueEntry *q = arena_new_of(ctx->arena, SignalQueueEntry);
	siginfo_t infos[SOME];
	int n;

	signal_queue_entry__init(q);
	do {
		n = ptrace_peek_siginfo(tid, shared, q->n_signals, infos, SOME);
		if (n < 0)
			return task_fail(ctx, tid, n, "pending signals");
		for (int i = 0; i < n; i++) {
			SiginfoEntry *e = arena_new_of(ctx->arena, SiginfoEntry);

			siginfo_entry__init(e);
			e->siginfo.data = arena_memdup(ctx->arena, &infos[i], sizeof(infos[i]));
			e->siginfo.len = sizeof(infos[i]);
			arena_push(ctx->arena, q->signals, q->n_signals) = e;
		}
	} while (n == SOME);
	*out = q;
	return 0;
}
