/* files_tcp - TCP connections of the tree: held back, read, and let go or kept for the restore. */
#ifndef CL_DUMP_FILES_TCP_H
#define CL_DUMP_FILES_TCP_H

#include "dump/ctx.h"

int tcp_describe(struct dump_ctx *ctx, const struct fd_info *fi, struct InetSkEntry *e);
int tcp_decide(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi);
int tcp_rules_check(struct dump_ctx *ctx);

/* Stages of a dump. */
int tcp_hold(struct dump_ctx *ctx);
void tcp_kept(struct dump_ctx *ctx);
void tcp_let_go(struct dump_ctx *ctx);

#endif
