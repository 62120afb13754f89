/*
 * dgramdiag - what only NETLINK_SOCK_DIAG tells of the UDP sockets of our
 * network namespace.
 */
#ifndef CL_KERNEL_DGRAMDIAG_H
#define CL_KERNEL_DGRAMDIAG_H

#include <stdint.h>

struct dgramdiag;

int dgramdiag_open(int family, int protocol, struct dgramdiag **out);
void dgramdiag_close(struct dgramdiag *dd);
uint8_t dgramdiag_shutdown(const struct dgramdiag *dd, uint32_t ino);

#endif
