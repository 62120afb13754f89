/* creds - credentials of a thread, set by remote calls. */
#ifndef CL_RESTORE_CREDS_H
#define CL_RESTORE_CREDS_H

#include "restore/batch.h"

bool creds_same_groups(const CredsEntry *c);
size_t creds_groups_size(const struct pstree_item *it, const struct task_thread *t);
int creds_add(struct restore_ctx *ctx, struct batch *b, struct remote *r,
	      const struct pstree_item *it, const struct task_thread *t);

#endif
