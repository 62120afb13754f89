/* task - what a restored task does for itself. Only restore/ includes this. */
#ifndef CL_RESTORE_TASK_H
#define CL_RESTORE_TASK_H

#include "restore/ctx.h"

int task_fs(struct restore_ctx *ctx, struct pstree_item *me);
int task_misc(struct restore_ctx *ctx, struct pstree_item *me);
/* files_tty.c: a session leader takes its terminal; later it sets the foreground group. */
int tty_take_session(struct restore_ctx *ctx, struct pstree_item *me);
int tty_set_group(struct restore_ctx *ctx, struct pstree_item *me);

#endif
