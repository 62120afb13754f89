/*
 * files_sock - for the socket types of dump/types/.
 */
#ifndef CL_DUMP_FILES_SOCK_H
#define CL_DUMP_FILES_SOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "dump/files.h"
#include "kernel/sockdiag.h"
#include "proto/sk-opts.pb-c.h"

bool sock_opt(int fd, int level, int name, uint32_t *val);
int sock_dump_opts(struct dump_ctx *ctx, const struct fd_info *fi, const struct sockdiag_unix *u,
		   SkOptsEntry **out);
int sock_check_net(struct dump_ctx *ctx, const struct fd_info *fi);
void sock_holder(uint64_t ino, char *out, size_t size);
const struct sockdiag *sock_diag_get(struct dump_ctx *ctx);

#endif
