/*
 * files_notify - what inotify and fanotify share.
 */
#ifndef CL_DUMP_FILES_NOTIFY_H
#define CL_DUMP_FILES_NOTIFY_H

#include "dump/files.h"
#include "proto/fh.pb-c.h"

FhEntry *notify_handle(struct dump_ctx *ctx, const char *line);
int notify_find(struct dump_ctx *ctx, const struct fd_info *fi, FhEntry *h, uint32_t kdev,
		uint64_t ino);

#endif
