/*
 * tcp_segment - over a raw socket with a header of our own: it is routed to an
 * address of this host, so it stays here, and the sender's address is not
 * looked at. It carries the mark that passes nftlock's rules.
 */
#include "kernel/tcp_segment.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

#ifndef IPV6_HDRINCL
#define IPV6_HDRINCL 36
#endif

static uint32_t sum16(const void *p, size_t len, uint32_t sum)
{
	const uint8_t *b = p;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)b[i] << 8 | b[i + 1];
	return sum;
}

static void make_tcp(struct tcphdr *t, const struct tcp_tuple *c, const struct tcp_segment *s)
{
	const size_t addr = c->v6 ? 16 : 4;
	uint32_t sum = IPPROTO_TCP + sizeof(*t);

	memset(t, 0, sizeof(*t));
	t->source = htons(c->dport);
	t->dest = htons(c->sport);
	t->seq = htonl(s->seq);
	t->ack_seq = htonl(s->ack);
	t->doff = sizeof(*t) / 4;
	t->fin = !!(s->flags & TCP_SEG_FIN);
	t->rst = !!(s->flags & TCP_SEG_RST);
	t->ack = !!(s->flags & TCP_SEG_ACK);
	t->window = htons(s->window);
	sum = sum16(c->src, addr, sum16(c->dst, addr, sum16(t, sizeof(*t), sum)));
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	t->check = htons((uint16_t)~sum);
}

static int send4(int fd, const struct tcp_tuple *c, const struct tcp_segment *s)
{
	struct {
		struct iphdr ip;
		struct tcphdr tcp;
	} p = {
		/* The kernel fills in length, identity and checksum. */
		.ip = { .version = 4,
			.ihl = 5,
			.ttl = 64,
			.protocol = IPPROTO_TCP,
			.saddr = c->dst[0],
			.daddr = c->src[0] },
	};
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = c->src[0] };

	make_tcp(&p.tcp, c, s);
	return sendto(fd, &p, sizeof(p), 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

static int send6(int fd, const struct tcp_tuple *c, const struct tcp_segment *s)
{
	struct {
		struct ip6_hdr ip;
		struct tcphdr tcp;
	} p = { 0 };
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_scope_id = c->scope };

	p.ip.ip6_flow = htonl(6u << 28);
	p.ip.ip6_plen = htons(sizeof(p.tcp));
	p.ip.ip6_nxt = IPPROTO_TCP;
	p.ip.ip6_hlim = 64;
	memcpy(&p.ip.ip6_src, c->dst, 16);
	memcpy(&p.ip.ip6_dst, c->src, 16);
	memcpy(&to.sin6_addr, c->src, 16);
	make_tcp(&p.tcp, c, s);
	return sendto(fd, &p, sizeof(p), 0, (struct sockaddr *)&to, sizeof(to)) < 0 ? -errno : 0;
}

/**
 * tcp_segment_send - a segment from the peer
 * @conn: the connection, as our end sees it
 * @s: the segment; it has no payload and no options
 *
 * Return: 0 or -errno; -EPERM without CAP_NET_RAW.
 */
int tcp_segment_send(const struct tcp_tuple *conn, const struct tcp_segment *s)
{
	cleanup_close int fd =
		socket(conn->v6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	const int one = 1, mark = NFTLOCK_MARK;

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0)
		return -errno;
	if (conn->v6 && setsockopt(fd, IPPROTO_IPV6, IPV6_HDRINCL, &one, sizeof(one)) < 0)
		return -errno;
	return conn->v6 ? send6(fd, conn, s) : send4(fd, conn, s);
}
