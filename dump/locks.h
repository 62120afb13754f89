/*
 * locks - what dump/ needs to know of locks and leases beside collecting them.
 */
#ifndef CL_DUMP_LOCKS_H
#define CL_DUMP_LOCKS_H

#include <sys/stat.h>

#include "dump/ctx.h"
#include "kernel/locks.h"

/* locks.c */
int locks_look(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi);
int locks_copy_leased(const struct dump_ctx *ctx, const struct stat *st);
void locks_add(struct dump_ctx *ctx, const struct lock_line *l, const struct filedesc *fdt, int fd,
	       struct file_desc *d);
size_t locks_of_descriptions(const struct dump_ctx *ctx, ino_t ino);
bool locks_leased(const struct dump_ctx *ctx, const struct stat *st);

/* locks_outside.c: who outside of the tree has a description, too. 0: nobody that is looked at. */
pid_t locks_shared_with(struct dump_ctx *ctx, const struct file_desc *d, pid_t taker);

/* locks_wait.c */
void locks_waits(struct dump_ctx *ctx);

#endif
