/* cow - pages that a parent and a child have shared since fork(2). */
#ifndef CL_RESTORE_COW_H
#define CL_RESTORE_COW_H

#include "restore/ctx.h"

/* The part of a mapping that stands already; empty, at its start, if there is none. */
struct cow_range {
	uint64_t start, end;
};

int cow_plan(struct restore_ctx *ctx);
void cow_free(struct restore_ctx *ctx);
int cow_born(struct restore_ctx *ctx, struct pstree_item *me);
struct cow_range cow_kept(const struct pstree_item *it, size_t vma);
uint64_t cow_part(const struct pstree_item *it, uint64_t at, uint64_t stop, bool *there);

#endif
