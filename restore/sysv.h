/*
 * sysv - System V shared memory.
 */
#ifndef CL_RESTORE_SYSV_H
#define CL_RESTORE_SYSV_H

#include "restore/batch.h"

int sysv_open(struct restore_ctx *ctx, struct shmem *s);
void sysv_attach(struct batch *b, const struct pstree_item *it);
int sysv_settle(struct restore_ctx *ctx);
void sysv_undo(struct restore_ctx *ctx);

#endif
