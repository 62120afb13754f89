/*
 * sockdiag - what only NETLINK_SOCK_DIAG tells of sockets, of all of them in
 * our network namespace at once.
 */
#ifndef CL_KERNEL_SOCKDIAG_H
#define CL_KERNEL_SOCKDIAG_H

#include <stddef.h>
#include <stdint.h>

struct sockdiag;

/* A socket of AF_UNIX. */
struct sockdiag_unix {
	uint32_t ino;
	uint32_t peer; /* inode of the peer; 0: none, or closed */
	uint8_t type, state;
	uint8_t shutdown; /* RCV_SHUTDOWN 1, SEND_SHUTDOWN 2 */
	uint32_t rqueue;  /* bytes; of a listening one: connections not accepted yet */
	uint32_t wqueue; /* memory of what the peer has not read; of a listening one: its backlog */
	uint32_t rcvbuf, sndbuf; /* 0: the kernel does not say */
	uint32_t optmem;         /* bytes of its filter, if the above are known */
	uint32_t vfs_dev;        /* of the node it is bound to, as the kernel counts devices */
	uint32_t vfs_ino;        /* 0: bound to no node */
	const uint8_t *name;     /* as in sun_path */
	size_t name_len;
	const uint32_t *waiting; /* of a listening one: who waits to be accepted; 0: gone again */
	size_t nr_waiting;
};

int sockdiag_open(struct sockdiag **out);
void sockdiag_close(struct sockdiag *sd);
const struct sockdiag_unix *sockdiag_unix_by_ino(const struct sockdiag *sd, uint32_t ino);
const struct sockdiag_unix *sockdiag_unix_waits_at(const struct sockdiag *sd, uint32_t client);
const struct sockdiag_unix *sockdiag_unix_by_node(const struct sockdiag *sd, uint32_t dev,
						  uint32_t ino);
const struct sockdiag_unix *sockdiag_unix_by_name(const struct sockdiag *sd, const void *name,
						  size_t len);

#endif
