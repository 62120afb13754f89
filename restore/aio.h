/* aio - the rings of io_setup(2). */
#ifndef CL_RESTORE_AIO_H
#define CL_RESTORE_AIO_H

#include "restore/ctx.h"

int aio_restore(struct restore_ctx *ctx, struct pstree_item *it);

#endif
