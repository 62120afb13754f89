/* files_tty - what dump/types/tty.c needs of a terminal. Only dump/ includes this. */
#ifndef CL_DUMP_FILES_TTY_H
#define CL_DUMP_FILES_TTY_H

#include "dump/files.h"

#include "proto/tty.pb-c.h"

void tty_settings(struct dump_ctx *ctx, int fd, TtyInfoEntry *e);
void tty_owner(struct dump_ctx *ctx, uint32_t dev, TtyInfoEntry *e);
int tty_queues(struct dump_ctx *ctx, const struct fd_info *fi, TtyInfoEntry *e, uint32_t slave_id);

#endif
