/*
 * files_queue - what waits in a Unix socket, for dump/types/unixsk.c.
 */
#ifndef CL_DUMP_FILES_QUEUE_H
#define CL_DUMP_FILES_QUEUE_H

#include "dump/files.h"
#include "kernel/sockdiag.h"
#include "proto/sk-unix.pb-c.h"

int unix_queue_look(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi,
		    const struct sockdiag_unix *u);
int unix_queue_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi);

#endif
