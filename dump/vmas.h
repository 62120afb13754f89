/*
 * vmas - what the files about memory share.
 */
#ifndef CL_DUMP_VMAS_H
#define CL_DUMP_VMAS_H

#include <fcntl.h>

#include "dump/ctx.h"

int dump_vma_files(struct dump_ctx *ctx);

#endif
