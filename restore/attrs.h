/*
 * attrs - attributes of threads that only images of ours have.
 */
#ifndef CL_RESTORE_ATTRS_H
#define CL_RESTORE_ATTRS_H

#include "restore/batch.h"

int attrs_begin(struct restore_ctx *ctx);
void attrs_end(struct restore_ctx *ctx);
int attrs_spread(struct restore_ctx *ctx);
int attrs_set(struct restore_ctx *ctx, const struct task_thread *t);
void attrs_add(struct restore_ctx *ctx, struct batch *b, const struct task_thread *t);
void attrs_add_memory(struct restore_ctx *ctx, struct batch *b, const struct pstree_item *it);

#endif
