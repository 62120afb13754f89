/*
 * diagdump - one question to sock_diag(7) that is answered by a list.
 */
#ifndef CL_KERNEL_DIAGDUMP_H
#define CL_KERNEL_DIAGDUMP_H

#include <stddef.h>

struct nl_msg;

int diag_dump(const void *req, size_t len, int (*take)(struct nl_msg *msg, void *arg), void *arg);

#endif
