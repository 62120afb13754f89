/*
 * nftrules - the rules by which CRIU's default method holds connections back.
 */
#ifndef CL_KERNEL_NFTRULES_H
#define CL_KERNEL_NFTRULES_H

#include "kernel/nftlock.h"

int nftrules_let_go(const struct tcp_tuple *conns, size_t n, unsigned *deleted);

#endif
