/*
 * nftlock - TCP connections held back: a table of nf_tables that drops their
 * packets in both directions, but those that carry NFTLOCK_MARK.
 */
#ifndef CL_KERNEL_NFTLOCK_H
#define CL_KERNEL_NFTLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NFTLOCK_MARK 0xC114 /* as CRIU's rules have it */
#define NFTLOCK_NAME_MAX 64

/* A connection as its packets show it: addresses in network order, ports in host order. */
struct tcp_tuple {
	uint32_t src[4], dst[4]; /* ours, the peer's; IPv4 in the first word */
	uint16_t sport, dport;
	uint32_t scope; /* interface of a link-local address, or 0 */
	bool v6;
};

int nftlock_set(const char *table, const struct tcp_tuple *conns, size_t n);
int nftlock_delete(const char *table);
int nftlock_exists(const char *table);

#endif
