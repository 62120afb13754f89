/* early - threads with tables of descriptors of their own. */
#ifndef CL_RESTORE_EARLY_H
#define CL_RESTORE_EARLY_H

#include "restore/ctx.h"

int early_plan(struct restore_ctx *ctx);
int early_births(struct restore_ctx *ctx);
int early_threads(struct restore_ctx *ctx, struct pstree_item *me);
int early_in(struct restore_ctx *ctx, struct pstree_item *me, struct filedesc *fdt,
	     int (*fn)(struct restore_ctx *ctx, struct pstree_item *me, void *arg), void *arg);

#endif
