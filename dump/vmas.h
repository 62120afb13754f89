/*
 * vmas - what the files about memory share.
 */
#ifndef CL_DUMP_VMAS_H
#define CL_DUMP_VMAS_H

#include <fcntl.h>

#include "dump/ctx.h"

/* sysv.c */
int sysv_describe(struct dump_ctx *ctx, struct shmem *shm, uint64_t page);
int sysv_write(struct dump_ctx *ctx);

struct dump_shmem *shmem_mapped(const struct dump_ctx *ctx, const struct shmem *shm);

#endif
