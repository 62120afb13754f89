/* locks - what the files about locks and leases share. Only restore/ includes this. */
#ifndef CL_RESTORE_LOCKS_H
#define CL_RESTORE_LOCKS_H

#include "restore/ctx.h"

void locks_take(struct restore_ctx *ctx, struct pstree_item *me);
int locks_in_flight(struct restore_ctx *ctx, struct pstree_item *me);
int locks_fetch(struct restore_ctx *ctx, const struct held_lock *k);

/* locks_conflict.c */
pid_t locks_lease_holder(const struct file_desc *d);
const char *locks_name(const struct file_desc *d);
int locks_refused(struct restore_ctx *ctx, const struct held_lock *k, int err);

#endif
