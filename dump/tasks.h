/*
 * tasks - what the files about tasks share: one step each, for one thread or
 * for one task. All return 0 or -errno recorded.
 */
#ifndef CL_DUMP_TASKS_H
#define CL_DUMP_TASKS_H

#include "dump/ctx.h"

struct pstree_item;

/* regs-<machine>.c: registers as the image has them, syscalls wound back. */
int regs_info(struct dump_ctx *ctx, struct dump_thread *th, CoreEntry *core);
int regs_check(struct dump_ctx *ctx, const struct pstree_item *it,
	       const struct dump_thread *th); /* 1: a blocker, recorded */

/* threads.c: what is seen from outside; then what the thread itself tells. */
int thread_collect(struct dump_ctx *ctx, struct pstree_item *it, size_t i);
int threads_ask(struct dump_ctx *ctx, struct pstree_item *it);

/* attrs.c: what a thread keeps and the format has no place for. */
struct attrs_answer {
	int32_t tsc;
};
#define ATTRS_CALLS 5
int attrs_check(struct dump_ctx *ctx, const struct pstree_item *it,
		const struct dump_thread *th); /* 1: a blocker, recorded */
void attrs_calls(struct remote_call calls[ATTRS_CALLS], unsigned long at);
int attrs_answered(struct dump_ctx *ctx, struct task_thread *t,
		   const struct remote_call calls[ATTRS_CALLS], const struct attrs_answer *a);

/* leader.c: what one thread tells for its whole process. */
int leader_collect(struct dump_ctx *ctx, struct pstree_item *it);
#define LEADER_CALLS 72 /* as many as leader_calls() may fill in */
size_t leader_calls(struct remote_call calls[LEADER_CALLS], unsigned long at);
size_t leader_answer_size(void); /* bytes that the calls fill from @at on */
int leader_answered(struct dump_ctx *ctx, struct pstree_item *it, const struct remote_call *calls,
		    size_t n, const void *answer);

/* timers.c */
int timers_ask(struct dump_ctx *ctx, struct pstree_item *it);

/* creds.c */
CredsEntry *creds_entry(struct arena *a, const struct proc_status *st);
int task_limits(struct dump_ctx *ctx, struct pstree_item *it);

/* seccomp.c: the thread's chain of filters, shared with threads that have the same. */
int seccomp_collect(struct dump_ctx *ctx, struct pstree_item *it, size_t i);

/* signals.c */
int signals_pending(struct dump_ctx *ctx, pid_t tid, bool shared, SignalQueueEntry **out);

/* hold.c */
struct dump_hold {
	struct pstree_item **items;
	size_t n;
	bool held;
};
int dump_hold(struct dump_ctx *ctx, struct dump_hold *h);

/* ids.c */
int ids_collect(struct dump_ctx *ctx);
void ids_inventory(struct dump_ctx *ctx);

int task_fail_at(struct dump_ctx *ctx, pid_t tid, const char *file, int line, int err,
		 const char *what);
/* The cause of a failed ptrace or remote call: the thread has died, or worse. Returns -errno. */
#define task_fail(ctx, tid, err, what) task_fail_at(ctx, tid, __FILE_NAME__, __LINE__, err, what)

#endif
