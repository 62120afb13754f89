/*
 * packetdiag - what only NETLINK_SOCK_DIAG tells of a packet socket.
 */
#ifndef CL_KERNEL_PACKETDIAG_H
#define CL_KERNEL_PACKETDIAG_H

#include <linux/packet_diag.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;

struct packetdiag {
	uint32_t ino;
	uint16_t protocol; /* in network order */
	struct packet_diag_info info;
	struct packet_diag_mclist *mclist; /* in the caller's arena */
	size_t nr_mclist;
	bool has_rx, has_tx, has_fanout;
	struct packet_diag_ring rx, tx;
	uint32_t fanout; /* id, type and flags, as setsockopt(2) takes them */
};

int packetdiag_get(struct arena *a, uint32_t ino, struct packetdiag *out);

#endif
