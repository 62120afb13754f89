/*
 * inetsk - dump of TCP, UDP, ICMP and raw sockets; what is special about TCP is
 * in dump/files_tcp.c, about the others in dump/files_dgram.c. The other half is
 * restore/types/inetsk.c.
 */
#include "dump/files_sock.h"
#include "dump/files_dgram.h"
#include "dump/files_tcp.h"

#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "proto/sk-inet.pb-c.h"

union inet_addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static int inetsk_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return fi->domain == AF_INET || fi->domain == AF_INET6;
}

/* Addresses as the image has them: words in network order; the port in host order. */
static uint32_t *put_addr(struct dump_ctx *ctx, const union inet_addr *a, int family, size_t *n,
			  uint32_t *port)
{
	if (family == AF_INET6) {
		*n = 4;
		*port = ntohs(a->v6.sin6_port);
		return arena_memdup(ctx->arena, &a->v6.sin6_addr, 16);
	}
	*n = 1;
	*port = ntohs(a->v4.sin_port);
	return arena_memdup(ctx->arena, &a->v4.sin_addr, 4);
}

static int dump_addrs(struct dump_ctx *ctx, const struct fd_info *fi, InetSkEntry *e,
		      bool *connected)
{
	union inet_addr src = { 0 }, dst = { 0 };
	socklen_t len = sizeof(src);
	char ifname[IFNAMSIZ];

	if (getsockname(fi->local, &src.sa, &len) < 0)
		return file_blocker(ctx, fi, "sock-name", errno, "getsockname()");
	len = e->family == AF_INET6 ? sizeof(dst.v6) : sizeof(dst.v4);
	/* Not getpeername(), which no longer tells it of a connection that has ended. */
	*connected = getsockopt(fi->local, SOL_SOCKET, SO_PEERNAME, &dst, &len) == 0;
	e->src_addr = put_addr(ctx, &src, (int)e->family, &e->n_src_addr, &e->src_port);
	e->dst_addr = put_addr(ctx, &dst, (int)e->family, &e->n_dst_addr, &e->dst_port);
	if (e->family == AF_INET6 && src.v6.sin6_scope_id &&
	    if_indextoname(src.v6.sin6_scope_id, ifname))
		e->ifname = arena_strdup(ctx->arena, ifname);
	return 0;
}

static bool is_six(const uint32_t *a)
{
	const struct in6_addr *addr = (const struct in6_addr *)a;

	return !IN6_IS_ADDR_UNSPECIFIED(addr) && !IN6_IS_ADDR_V4MAPPED(addr);
}

static void dump_ip_opts(struct dump_ctx *ctx, const struct fd_info *fi, InetSkEntry *e)
{
	IpOptsEntry *o = arena_new_of(ctx->arena, IpOptsEntry);
	bool v6 = e->family == AF_INET6;
	uint32_t v = 0;

	ip_opts_entry__init(o);
	e->ip_opts = o;
	if (sock_opt(fi->local, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND,
		     &v) &&
	    v)
		o->has_freebind = o->freebind = 1;
	if (!v6 && sock_opt(fi->local, IPPROTO_IP, IP_PKTINFO, &v) && v)
		o->has_pktinfo = o->pktinfo = 1;
	if (sock_opt(fi->local, IPPROTO_IP, IP_TOS, &v) && v) {
		o->has_tos = 1;
		o->tos = v;
	}
	/* 64 is the default of a kernel that nobody has told otherwise. */
	if (sock_opt(fi->local, IPPROTO_IP, IP_TTL, &v) && v != 64) {
		o->has_ttl = 1;
		o->ttl = v;
	}
	if (v6 && sock_opt(fi->local, IPPROTO_IPV6, IPV6_V6ONLY, &v)) {
		e->has_v6only = 1;
		/* To be bound to an address of IPv6 sets it, to be connected alone does not. */
		e->v6only = v || is_six(e->src_addr);
	}
}

static void dump_tcp_opts(struct dump_ctx *ctx, const struct fd_info *fi, InetSkEntry *e)
{
	TcpOptsEntry *o = arena_new_of(ctx->arena, TcpOptsEntry);
	uint32_t v;

	tcp_opts_entry__init(o);
	if (sock_opt(fi->local, IPPROTO_TCP, TCP_CORK, &v) && v)
		o->has_cork = o->cork = 1;
	if (sock_opt(fi->local, IPPROTO_TCP, TCP_NODELAY, &v) && v)
		o->has_nodelay = o->nodelay = 1;
	o->has_keepcnt = sock_opt(fi->local, IPPROTO_TCP, TCP_KEEPCNT, &o->keepcnt);
	o->has_keepidle = sock_opt(fi->local, IPPROTO_TCP, TCP_KEEPIDLE, &o->keepidle);
	o->has_keepintvl = sock_opt(fi->local, IPPROTO_TCP, TCP_KEEPINTVL, &o->keepintvl);
	e->tcp_opts = o;
}

static bool is_dgram(const InetSkEntry *e, uint32_t proto)
{
	return e->type == SOCK_DGRAM && e->proto == proto;
}

static int dump_protocol(struct dump_ctx *ctx, const struct fd_info *fi, InetSkEntry *e,
			 bool connected)
{
	int ret;

	if (e->type == SOCK_STREAM && e->proto == IPPROTO_TCP) {
		dump_tcp_opts(ctx, fi, e);
		return tcp_describe(ctx, fi, e);
	}
	if (is_dgram(e, IPPROTO_UDP) || is_dgram(e, IPPROTO_UDPLITE))
		ret = udp_describe(ctx, fi, e, connected);
	else if (e->type == SOCK_RAW || is_dgram(e, IPPROTO_ICMP) || is_dgram(e, IPPROTO_ICMPV6))
		ret = raw_describe(ctx, fi, e);
	else
		return inet_refuse(ctx, fi, e);
	return ret ? ret : mcast_describe(ctx, fi, e);
}

static int inetsk_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	InetSkEntry *e = (InetSkEntry *)d->msg;
	bool connected = false;
	int ret = sock_check_net(ctx, fi);

	if (ret)
		return ret;
	e->ino = (uint32_t)fi->st.st_ino;
	sock_opt(fi->local, SOL_SOCKET, SO_DOMAIN, &e->family);
	sock_opt(fi->local, SOL_SOCKET, SO_TYPE, &e->type);
	sock_opt(fi->local, SOL_SOCKET, SO_PROTOCOL, &e->proto);
	ret = dump_addrs(ctx, fi, e, &connected);
	if (ret)
		return ret;
	dump_ip_opts(ctx, fi, e);
	ret = dump_protocol(ctx, fi, e, connected);
	return ret ? ret : sock_dump_opts(ctx, fi, NULL, &e->opts);
}

static int inetsk_finish(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	return tcp_decide(ctx, d, fi);
}

const struct file_dump_ops inetsk_dump_ops = {
	.probe = inetsk_probe,
	.dump = inetsk_dump,
	.finish = inetsk_finish,
	.keep = true,
};
