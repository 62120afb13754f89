/*
 * files_dgram - UDP, ICMP and raw sockets. What they have not read yet is not
 * kept, as the network may lose it too; a datagram that is being put together
 * (UDP_CORK, MSG_MORE) is a blocker.
 */
#include "dump/files_dgram.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/icmp.h> /* ICMP_FILTER: ICMPV6_FILTER is the same number */
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "dump/files_sock.h"
#include "kernel/dgramdiag.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#ifndef IPV6_HDRINCL
#define IPV6_HDRINCL 36
#endif

static void warn_queue(struct dump_ctx *ctx, const struct fd_info *fi, const InetSkEntry *e,
		       const char *what)
{
	int queued = 0;

	if (ioctl(fi->local, FIONREAD, &queued) == 0 && queued)
		log_warn(ctx->report, "pid %d fd %d: datagrams not read yet on %s %u are lost",
			 fi->task->pid, fi->fd, what, e->src_port);
}

static int describe_shutdown(struct dump_ctx *ctx, const struct fd_info *fi, InetSkEntry *e)
{
	struct dgramdiag **dd =
		&ctx->files->dgrams[e->family == AF_INET6][e->proto == IPPROTO_UDPLITE];
	uint8_t how;
	int ret = *dd ? 0 : dgramdiag_open((int)e->family, (int)e->proto, dd);

	if (ret)
		return file_blocker(ctx, fi, "sock-diag", -ret,
				    "NETLINK_SOCK_DIAG for UDP sockets; is udp_diag there?");
	how = dgramdiag_shutdown(*dd, e->ino);
	if (how) {
		e->has_shutdown = 1;
		e->shutdown = (SkShutdown)how;
	}
	return 0;
}

/**
 * udp_describe - what is special about UDP and UDP-Lite
 * @ctx: the dump
 * @fi: the socket
 * @e: its message; the addresses are known
 * @connected: whether it has a peer
 *
 * Return: 0, or -errno with a blocker recorded.
 */
int udp_describe(struct dump_ctx *ctx, const struct fd_info *fi, InetSkEntry *e, bool connected)
{
	int unsent = 0;

	e->state = connected ? TCP_ESTABLISHED : TCP_CLOSE;
	if (ioctl(fi->local, TIOCOUTQ, &unsent) == 0 && unsent)
		return file_blocker(
			ctx, fi, "udp-cork", EOPNOTSUPP,
			"a datagram is being put together (UDP_CORK, MSG_MORE) or on its "
			"way out on UDP port %u; try again when it was sent",
			e->src_port);
	warn_queue(ctx, fi, e, "UDP port");
	return describe_shutdown(ctx, fi, e);
}

/* The peer in the kernel's list, since getpeername(2) wants a port that it has none of. */
static void find_peer(const struct fd_info *fi, InetSkEntry *e, const char *list)
{
	FILE *f = fopen(list, "re");
	char line[512], peer[40] = "";
	unsigned long ino;
	unsigned port;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%*s %*s %32[0-9A-F]:%x %*s %*s %*s %*s %*s %*s %lu", peer, &port,
			   &ino) != 3 ||
		    ino != fi->st.st_ino)
			continue;
		e->dst_port = port;
		for (size_t i = 0; i < e->n_dst_addr && strlen(peer) >= 8 * (i + 1); i++)
			sscanf(peer + 8 * i, "%8x", &e->dst_addr[i]);
		break;
	}
	if (f)
		fclose(f);
}

static void describe_filter(struct dump_ctx *ctx, const struct fd_info *fi, InetSkEntry *e,
			    IpOptsRawEntry *raw)
{
	bool v6 = e->family == AF_INET6;
	uint32_t words[8] = { 0 };
	socklen_t len = v6 ? sizeof(words) : sizeof(words[0]);

	if (e->proto != (v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP) ||
	    getsockopt(fi->local, v6 ? IPPROTO_ICMPV6 : SOL_RAW, ICMP_FILTER, words, &len) < 0)
		return;
	raw->n_icmpv_filter = len / sizeof(words[0]);
	raw->icmpv_filter = arena_memdup(ctx->arena, words, len);
}

/**
 * raw_describe - what is special about raw and ICMP sockets
 * @ctx: the dump
 * @fi: the socket
 * @e: its message; its addresses and IP options are known
 *
 * Return: 0.
 */
int raw_describe(struct dump_ctx *ctx, const struct fd_info *fi, InetSkEntry *e)
{
	bool v6 = e->family == AF_INET6;
	IpOptsRawEntry *raw;
	uint32_t v = 0;

	e->state = TCP_CLOSE;
	warn_queue(ctx, fi, e, e->type == SOCK_RAW ? "protocol" : "ICMP id");
	if (e->type != SOCK_RAW) {
		find_peer(fi, e, v6 ? "/proc/net/icmp6" : "/proc/net/icmp");
		return 0;
	}
	find_peer(fi, e, v6 ? "/proc/net/raw6" : "/proc/net/raw");
	raw = arena_new_of(ctx->arena, IpOptsRawEntry);
	ip_opts_raw_entry__init(raw);
	e->ip_opts->raw = raw;
	if (sock_opt(fi->local, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_HDRINCL : IP_HDRINCL,
		     &v)) {
		raw->has_hdrincl = 1;
		raw->hdrincl = v != 0;
	}
	if (!v6 && sock_opt(fi->local, IPPROTO_IP, IP_NODEFRAG, &v) && v)
		raw->has_nodefrag = raw->nodefrag = 1;
	if (!v6 && sock_opt(fi->local, IPPROTO_IP, IP_CHECKSUM, &v) && v)
		raw->has_checksum = raw->checksum = 1;
	describe_filter(ctx, fi, e, raw);
	return 0;
}

static const char *protocol_name(const InetSkEntry *e)
{
	switch (e->proto) {
	case IPPROTO_MPTCP:
		return "MPTCP";
	case IPPROTO_SCTP:
		return "SCTP";
	case IPPROTO_DCCP:
		return "DCCP";
	case 115:
		return "L2TP";
	default:
		return "a protocol that is not known here";
	}
}

/**
 * inet_refuse - record that a socket's protocol cannot be dumped
 * @ctx: the dump
 * @fi: the socket
 * @e: its message; the addresses are known
 *
 * Return: -EOPNOTSUPP.
 */
int inet_refuse(struct dump_ctx *ctx, const struct fd_info *fi, const InetSkEntry *e)
{
	char src[INET6_ADDRSTRLEN] = "?", dst[INET6_ADDRSTRLEN] = "?";
	bool mptcp = e->proto == IPPROTO_MPTCP;

	inet_ntop((int)e->family, e->src_addr, src, sizeof(src));
	inet_ntop((int)e->family, e->dst_addr, dst, sizeof(dst));
	return file_blocker(
		ctx, fi, mptcp ? "mptcp" : "file-kind", EOPNOTSUPP,
		"a socket of %s (family %s, type %u, protocol %u), %s port %u to %s port "
		"%u, %s",
		protocol_name(e), e->family == AF_INET6 ? "IPv6" : "IPv4", e->type, e->proto, src,
		e->src_port, dst, e->dst_port,
		mptcp ? "whose subflows the kernel lets nobody read or set; have the "
			"program use TCP (mptcpize disable, GODEBUG=multipathtcp=0)"
		      : "which this version does not know; close it before the dump");
}
