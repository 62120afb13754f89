/* creds - credentials of a thread, set by remote calls. */
#ifndef CL_RESTORE_CREDS_H
#define CL_RESTORE_CREDS_H

#include "restore/batch.h"

int creds_add(struct restore_ctx *ctx, struct batch *b, struct remote *r, const struct task_thread *t);

#endif
