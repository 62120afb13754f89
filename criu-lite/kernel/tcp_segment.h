/*
 * tcp_segment - a segment put into our own network stack as if the peer of a
 * connection had sent it.
 */
#ifndef CL_KERNEL_TCP_SEGMENT_H
#define CL_KERNEL_TCP_SEGMENT_H

#include <stdint.h>

#include "kernel/nftlock.h"

enum { TCP_SEG_FIN = 0x01, TCP_SEG_RST = 0x04, TCP_SEG_ACK = 0x10 };

/* Numbers as the peer's: @seq is its own, @ack ours; @window as on the wire. */
struct tcp_segment {
	uint32_t seq, ack;
	uint16_t window;
	uint8_t flags; /* TCP_SEG_ */
};

int tcp_segment_send(const struct tcp_tuple *conn, const struct tcp_segment *s);

#endif
