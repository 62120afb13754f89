/* fork - births by a task, for task.c. */
#ifndef CL_RESTORE_FORK_H
#define CL_RESTORE_FORK_H

#include "restore/ctx.h"

int restore_fork_children(struct restore_ctx *ctx, struct pstree_item *me, enum birth birth);

#endif
