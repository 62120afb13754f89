/*
 * sockopt - a table. Dump reads each row of a socket and of a new one of the
 * same kind and keeps what differs; restore sets only what is in the table.
 */
#include "kernel/sockopt.h"

#include <linux/if_packet.h>
#include <linux/in6.h>
#include <linux/netlink.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <sys/socket.h>

/* Younger than the headers of older systems. */
#ifndef TCP_TX_DELAY
#define TCP_TX_DELAY 37
#endif
#ifndef TCP_RTO_MAX_MS
#define TCP_RTO_MAX_MS 44
#define TCP_RTO_MIN_US 45
#define TCP_DELACK_MAX_US 46
#endif

#ifndef PACKET_VNET_HDR_SZ
#define PACKET_VNET_HDR_SZ 24
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

#define ANY (SOCKOPT_INET | SOCKOPT_INET6 | SOCKOPT_UNIX | SOCKOPT_NETLINK | SOCKOPT_PACKET)
#define IP (SOCKOPT_INET | SOCKOPT_INET6)
#define ONLY6 SOCKOPT_INET6
#define NETLINK SOCKOPT_NETLINK
#define PACKET SOCKOPT_PACKET

/* Order matters where it stands: a locked filter cannot be changed any more. */
const struct sockopt_row sockopt_rows[] = {
	{ SOL_SOCKET, SO_PEEK_OFF, ANY },
	{ SOL_SOCKET, SO_PASSPIDFD, SOCKOPT_UNIX },
	{ SOL_SOCKET, SO_PASSRIGHTS, SOCKOPT_UNIX },
	{ SOL_SOCKET, SO_RXQ_OVFL, IP },
	{ SOL_SOCKET, SO_TIMESTAMP, ANY },
	{ SOL_SOCKET, SO_TIMESTAMPNS, ANY },
	{ SOL_SOCKET, SO_BUSY_POLL, IP },
	{ SOL_SOCKET, SO_PEEK_OFF, IP },
	{ SOL_SOCKET, SO_ZEROCOPY, IP },
	{ IPPROTO_IP, IP_RECVTTL, IP },
	{ IPPROTO_IP, IP_RECVTOS, IP },
	{ IPPROTO_IP, IP_RECVOPTS, IP },
	{ IPPROTO_IP, IP_RECVERR, IP },
	{ IPPROTO_IP, IP_RECVORIGDSTADDR, IP },
	{ IPPROTO_IP, IP_MTU_DISCOVER, IP },
	{ IPPROTO_IP, IP_MULTICAST_TTL, IP | SOCKOPT_DGRAM },
	{ IPPROTO_IP, IP_MULTICAST_LOOP, IP | SOCKOPT_DGRAM },
	{ IPPROTO_IP, IP_MULTICAST_ALL, IP | SOCKOPT_DGRAM },
	{ IPPROTO_IP, IP_MINTTL, IP },
	{ IPPROTO_IP, IP_TRANSPARENT, IP },
	{ IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, IP },
	{ IPPROTO_IPV6, IPV6_RECVPKTINFO, ONLY6 },
	{ IPPROTO_IPV6, IPV6_RECVHOPLIMIT, ONLY6 },
	{ IPPROTO_IPV6, IPV6_RECVTCLASS, ONLY6 },
	{ IPPROTO_IPV6, IPV6_RECVERR, ONLY6 },
	{ IPPROTO_IPV6, IPV6_TCLASS, ONLY6 },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS, ONLY6 },
	{ IPPROTO_IPV6, IPV6_MULTICAST_HOPS, ONLY6 | SOCKOPT_DGRAM },
	{ IPPROTO_IPV6, IPV6_MULTICAST_LOOP, ONLY6 | SOCKOPT_DGRAM },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER, ONLY6 },
	{ IPPROTO_TCP, TCP_DEFER_ACCEPT, IP },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, IP },
	{ IPPROTO_TCP, TCP_SYNCNT, IP },
	{ IPPROTO_TCP, TCP_LINGER2, IP },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, IP },
	{ IPPROTO_TCP, TCP_SAVE_SYN, IP },
	{ IPPROTO_TCP, TCP_FASTOPEN, IP },
	{ IPPROTO_TCP, TCP_CONGESTION, IP },
	{ IPPROTO_TCP, TCP_THIN_LINEAR_TIMEOUTS, IP },
	{ IPPROTO_TCP, TCP_FASTOPEN_CONNECT, IP },
	{ IPPROTO_TCP, TCP_FASTOPEN_NO_COOKIE, IP },
	{ IPPROTO_TCP, TCP_INQ, IP },
	{ IPPROTO_TCP, TCP_TX_DELAY, IP },
	{ IPPROTO_TCP, TCP_RTO_MAX_MS, IP },
	{ IPPROTO_TCP, TCP_RTO_MIN_US, IP },
	{ IPPROTO_TCP, TCP_DELACK_MAX_US, IP },
	{ SOL_NETLINK, NETLINK_PKTINFO, NETLINK },
	{ SOL_NETLINK, NETLINK_BROADCAST_ERROR, NETLINK },
	{ SOL_NETLINK, NETLINK_NO_ENOBUFS, NETLINK },
	{ SOL_NETLINK, NETLINK_LISTEN_ALL_NSID, NETLINK },
	{ SOL_NETLINK, NETLINK_CAP_ACK, NETLINK },
	{ SOL_NETLINK, NETLINK_EXT_ACK, NETLINK },
	{ SOL_NETLINK, NETLINK_GET_STRICT_CHK, NETLINK },
	{ SOL_PACKET, PACKET_QDISC_BYPASS, PACKET },
	{ SOL_PACKET, PACKET_IGNORE_OUTGOING, PACKET },
	{ SOL_PACKET, PACKET_VNET_HDR_SZ, PACKET },
	{ IPPROTO_UDP, UDP_SEGMENT, IP },
	{ IPPROTO_UDP, UDP_GRO, IP },
	{ SOL_SOCKET, SO_LOCK_FILTER, ANY },
};
const size_t nr_sockopt_rows = sizeof(sockopt_rows) / sizeof(*sockopt_rows);

/**
 * sockopt_find - the row of an option
 * @level: its level
 * @name: its name
 *
 * Return: the row, or NULL if it is none that images may have.
 */
const struct sockopt_row *sockopt_find(uint32_t level, uint32_t name)
{
	for (size_t i = 0; i < nr_sockopt_rows; i++)
		if (sockopt_rows[i].level == level && sockopt_rows[i].name == name)
			return &sockopt_rows[i];
	return NULL;
}

/**
 * sockopt_family - the bit of a family in sockopt_row.families
 * @domain: AF_*
 *
 * Return: the bit, or 0.
 */
uint8_t sockopt_family(int domain)
{
	return domain == AF_INET      ? SOCKOPT_INET
	       : domain == AF_INET6   ? SOCKOPT_INET6
	       : domain == AF_UNIX    ? SOCKOPT_UNIX
	       : domain == AF_NETLINK ? SOCKOPT_NETLINK
	       : domain == AF_PACKET  ? SOCKOPT_PACKET
				      : 0;
}
