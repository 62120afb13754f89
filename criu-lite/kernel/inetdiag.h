/*
 * inetdiag - one TCP connection of our network namespace, asked for by its
 * two addresses.
 */
#ifndef CL_KERNEL_INETDIAG_H
#define CL_KERNEL_INETDIAG_H

#include <stdint.h>

struct sockaddr;

int inetdiag_inode(const struct sockaddr *own, const struct sockaddr *peer, uint32_t *ino);

#endif
