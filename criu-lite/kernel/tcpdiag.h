/* tcpdiag - what sock_diag(7) tells of one TCP connection. */
#ifndef CL_KERNEL_TCPDIAG_H
#define CL_KERNEL_TCPDIAG_H

#include <stdint.h>

#include "kernel/nftlock.h"

int tcpdiag_unread(const struct tcp_tuple *conn, int family, uint32_t *unread);

#endif
