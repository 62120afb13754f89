/*
 * files_dgram - options of raw sockets, and the multicast groups of a socket.
 */
#include "restore/files_dgram.h"

#include <errno.h>
#include <linux/icmp.h> /* ICMP_FILTER: ICMPV6_FILTER is the same number */
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "restore/files_sock.h"

#ifndef IPV6_HDRINCL
#define IPV6_HDRINCL 36
#endif

/**
 * raw_options - the options that only raw sockets have
 * @d: the socket's description
 * @fd: the socket
 * @e: its message
 *
 * Return: 0, or -1, recorded.
 */
int raw_options(struct file_desc *d, int fd, const InetSkEntry *e)
{
	const IpOptsRawEntry *raw = e->ip_opts ? e->ip_opts->raw : NULL;
	bool v6 = e->family == AF_INET6;

	if (!raw || e->type != SOCK_RAW)
		return 0;
	if (raw->has_hdrincl &&
	    sock_set(d, fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_HDRINCL : IP_HDRINCL,
		     raw->hdrincl, "IP_HDRINCL") < 0)
		return -1;
	if (raw->nodefrag && sock_set(d, fd, IPPROTO_IP, IP_NODEFRAG, 1, "IP_NODEFRAG") < 0)
		return -1;
	if (raw->checksum && sock_set(d, fd, IPPROTO_IP, IP_CHECKSUM, 1, "IP_CHECKSUM") < 0)
		return -1;
	if (!raw->n_icmpv_filter)
		return 0;
	if (raw->n_icmpv_filter > 8)
		return file_fail(d, EBADMSG, "an ICMP filter of %zu words", raw->n_icmpv_filter);
	if (setsockopt(fd, v6 ? IPPROTO_ICMPV6 : SOL_RAW, ICMP_FILTER, raw->icmpv_filter,
		       (socklen_t)(raw->n_icmpv_filter * sizeof(uint32_t))) < 0)
		return file_fail(d, errno, "its ICMP filter");
	return 0;
}

static int put_address(struct sockaddr_storage *out, const ProtobufCBinaryData *b)
{
	if (b->len > sizeof(*out))
		return -1;
	memset(out, 0, sizeof(*out));
	if (b->len)
		memcpy(out, b->data, b->len);
	return 0;
}

static int join_one(struct file_desc *d, int fd, int level, const InetMcastEntry *m)
{
	struct group_req r = { .gr_interface = m->ifindex };
	struct group_source_req s = { .gsr_interface = m->ifindex };

	if (put_address(&r.gr_group, &m->group) < 0)
		return file_fail(d, EBADMSG, "a multicast group of %zu bytes", m->group.len);
	s.gsr_group = r.gr_group;
	if (m->mode == MCAST_EXCLUDE && setsockopt(fd, level, MCAST_JOIN_GROUP, &r, sizeof(r)) < 0)
		return file_fail(d, errno, "join a multicast group on interface %u", m->ifindex);
	for (size_t i = 0; i < m->n_source; i++) {
		if (put_address(&s.gsr_source, &m->source[i]) < 0)
			return file_fail(d, EBADMSG, "a multicast source of %zu bytes",
					 m->source[i].len);
		if (setsockopt(fd, level,
			       m->mode == MCAST_EXCLUDE ? MCAST_BLOCK_SOURCE
							: MCAST_JOIN_SOURCE_GROUP,
			       &s, sizeof(s)) < 0)
			return file_fail(d, errno, "a source of a multicast group on interface %u",
					 m->ifindex);
	}
	return 0;
}

/**
 * mcast_join - the multicast groups of a socket
 * @d: the socket's description
 * @fd: the socket
 * @e: its message
 *
 * Return: 0, or -1, recorded.
 */
int mcast_join(struct file_desc *d, int fd, const InetSkEntry *e)
{
	const int level = e->family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;

	for (size_t i = 0; i < e->n_mcast; i++)
		if (join_one(d, fd, level, e->mcast[i]) < 0)
			return -1;
	return 0;
}
