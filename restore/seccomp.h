/* seccomp - modes and filters of a thread, set by remote calls. */
#ifndef CL_RESTORE_SECCOMP_H
#define CL_RESTORE_SECCOMP_H

#include "restore/batch.h"

int seccomp_load(struct restore_ctx *ctx);
int seccomp_add_shared(struct restore_ctx *ctx, struct batch *b, const struct pstree_item *it);
int seccomp_size(struct restore_ctx *ctx, const struct pstree_item *it,
		 const struct task_thread *t);
int seccomp_add(struct restore_ctx *ctx, struct batch *b, const struct pstree_item *it,
		const struct task_thread *t);

#endif
