/* timers - interval and POSIX timers of a process, set by remote calls. */
#ifndef CL_RESTORE_TIMERS_H
#define CL_RESTORE_TIMERS_H

#include "restore/batch.h"

int timers_restore(struct restore_ctx *ctx, struct pstree_item *it);

#endif
