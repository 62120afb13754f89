/*
 * rtlink - a network interface, its addresses and its routes: rtnetlink(7).
 */
#ifndef CL_KERNEL_RTLINK_H
#define CL_KERNEL_RTLINK_H

#include <net/if.h>
#include <stddef.h>
#include <stdint.h>

#define RTLINK_ALIAS 256 /* bytes, IFALIASZ of the kernel */
#define RTLINK_HWADDR 32 /* bytes, MAX_ADDR_LEN of the kernel */

/* What can be asked of an interface, and most of it set. */
struct rtlink {
	uint32_t index;
	uint32_t flags; /* those of SIOCSIFFLAGS that can be set */
	uint32_t mtu, txqlen;
	uint32_t owner, group; /* of a tun; ~0: nobody's */
	uint16_t arp_type;     /* ARPHRD_* */
	uint8_t hwaddr_len, hwaddr[RTLINK_HWADDR];
	uint8_t carrier;
	uint8_t no_pi;         /* of a tun: IFF_NO_PI, which TUNGETIFF hides behind IFF_NOFILTER */
	int gen_mode;          /* IN6_ADDR_GEN_MODE_*, or -1 without IPv6 */
	char master[IFNAMSIZ]; /* the bridge that it is in, or "" */
	char alias[RTLINK_ALIAS];
};

/* One address or route, without the number of its interface. */
typedef int rtlink_part_fn(void *arg, const void *part, size_t len);

int rtlink_get(const char *name, struct rtlink *l);
int rtlink_set(const struct rtlink *l, uint32_t flags, int gen_mode);
int rtlink_addrs(uint32_t index, rtlink_part_fn *each, void *arg);
int rtlink_routes(uint32_t index, rtlink_part_fn *each, void *arg);
int rtlink_add_addr(uint32_t index, const void *part, size_t len);
int rtlink_add_route(uint32_t index, const void *part, size_t len);

#endif
