/*
 * inetsk - restore of TCP and UDP sockets that listen or are not connected,
 * and of UDP sockets with a peer. The other half is dump/types/inetsk.c.
 */
#include "restore/files_sock.h"

#include <errno.h>
#include <stdio.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "proto/sk-inet.pb-c.h"

union inet_addr {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static int inetsk_prepare(struct pstree *t, struct file_desc *d)
{
	const InetSkEntry *e = file_desc_entry(d);
	size_t words = e->family == AF_INET6 ? 4 : 1;

	if ((e->family != AF_INET && e->family != AF_INET6) || e->n_src_addr < words ||
	    e->n_dst_addr < words || e->src_port > 65535 || e->dst_port > 65535) {
		file_fail(d, EBADMSG, "impossible addresses");
		return -EBADMSG;
	}
	if (e->proto == IPPROTO_TCP && e->state != TCP_LISTEN && e->state != TCP_CLOSE) {
		file_fail(d, EOPNOTSUPP, "a TCP connection is not supported by this version");
		return -EOPNOTSUPP;
	}
	if (e->proto != IPPROTO_TCP && e->proto != IPPROTO_UDP && e->proto != IPPROTO_UDPLITE) {
		file_fail(d, EOPNOTSUPP, "protocol %u is not supported by this version", e->proto);
		return -EOPNOTSUPP;
	}
	return 0;
}

static socklen_t make_addr(const InetSkEntry *e, const uint32_t *addr, uint32_t port,
			   union inet_addr *a)
{
	memset(a, 0, sizeof(*a));
	if (e->family == AF_INET6) {
		a->v6.sin6_family = AF_INET6;
		a->v6.sin6_port = htons((uint16_t)port);
		memcpy(&a->v6.sin6_addr, addr, 16);
		if (e->ifname)
			a->v6.sin6_scope_id = if_nametoindex(e->ifname);
		return sizeof(a->v6);
	}
	a->v4.sin_family = AF_INET;
	a->v4.sin_port = htons((uint16_t)port);
	memcpy(&a->v4.sin_addr, addr, 4);
	return sizeof(a->v4);
}

static int set_ip_opts(struct file_desc *d, int fd, const InetSkEntry *e)
{
	const IpOptsEntry *o = e->ip_opts;
	bool v6 = e->family == AF_INET6;

	if (v6 && e->has_v6only &&
	    sock_set(d, fd, IPPROTO_IPV6, IPV6_V6ONLY, e->v6only, "IPV6_V6ONLY") < 0)
		return -1;
	if (!o)
		return 0;
	if (o->has_freebind &&
	    sock_set(d, fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_FREEBIND : IP_FREEBIND,
		     o->freebind, "IP_FREEBIND") < 0)
		return -1;
	if (o->has_pktinfo && !v6 &&
	    sock_set(d, fd, IPPROTO_IP, IP_PKTINFO, o->pktinfo, "IP_PKTINFO") < 0)
		return -1;
	if (o->has_tos && sock_set(d, fd, IPPROTO_IP, IP_TOS, o->tos, "IP_TOS") < 0)
		return -1;
	if (o->has_ttl && sock_set(d, fd, IPPROTO_IP, IP_TTL, o->ttl, "IP_TTL") < 0)
		return -1;
	return 0;
}

static int set_tcp_opts(struct file_desc *d, int fd, const TcpOptsEntry *o)
{
	if (!o)
		return 0;
	if ((o->has_cork && sock_set(d, fd, IPPROTO_TCP, TCP_CORK, o->cork, "TCP_CORK") < 0) ||
	    (o->has_nodelay &&
	     sock_set(d, fd, IPPROTO_TCP, TCP_NODELAY, o->nodelay, "TCP_NODELAY") < 0) ||
	    (o->has_keepcnt &&
	     sock_set(d, fd, IPPROTO_TCP, TCP_KEEPCNT, o->keepcnt, "TCP_KEEPCNT") < 0) ||
	    (o->has_keepidle &&
	     sock_set(d, fd, IPPROTO_TCP, TCP_KEEPIDLE, o->keepidle, "TCP_KEEPIDLE") < 0) ||
	    (o->has_keepintvl &&
	     sock_set(d, fd, IPPROTO_TCP, TCP_KEEPINTVL, o->keepintvl, "TCP_KEEPINTVL") < 0))
		return -1;
	return 0;
}

/* What is left of old connections may hold the port: never mind until the socket listens. */
static int do_bind(struct file_desc *d, int fd, const InetSkEntry *e)
{
	union inet_addr a;
	socklen_t len = make_addr(e, e->src_addr, e->src_port, &a);
	uint32_t one = 1;

	if (!e->src_port)
		return 0;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0)
		return file_fail(d, errno, "SO_REUSEADDR");
	if (bind(fd, &a.sa, len) < 0)
		return file_fail(d, errno, "bind to port %u", e->src_port);
	return 0;
}

static int do_connect(struct file_desc *d, int fd, const InetSkEntry *e)
{
	union inet_addr a;
	socklen_t len = make_addr(e, e->dst_addr, e->dst_port, &a);

	if (e->state == TCP_LISTEN && listen(fd, (int)e->backlog) < 0)
		return file_fail(d, errno, "listen on port %u", e->src_port);
	if (e->proto != IPPROTO_TCP && e->dst_port && connect(fd, &a.sa, len) < 0)
		return file_fail(d, errno, "connect to port %u", e->dst_port);
	if (e->has_shutdown && e->shutdown && shutdown(fd, (int)e->shutdown - 1) < 0)
		return file_fail(d, errno, "shutdown()");
	return 0;
}

static int inetsk_open(struct file_desc *d, int *new_fd)
{
	const InetSkEntry *e = file_desc_entry(d);
	cleanup_close int fd =
		socket((int)e->family, (int)(e->type & 0xf) | SOCK_CLOEXEC, (int)e->proto);

	if (fd < 0)
		return file_fail(d, errno, "socket()");
	if (set_ip_opts(d, fd, e) < 0)
		return -1;
	if (sock_restore_opts(d, fd, e->opts) < 0 || set_tcp_opts(d, fd, e->tcp_opts) < 0 ||
	    do_bind(d, fd, e) < 0 || do_connect(d, fd, e) < 0 ||
	    sock_set(d, fd, SOL_SOCKET, SO_REUSEADDR, e->opts->reuseaddr, "SO_REUSEADDR") < 0)
		return -1;
	if (file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

static bool inetsk_key(struct pstree *t, const struct file_desc *d, char *buf, size_t size)
{
	const InetSkEntry *e = file_desc_entry(d);

	(void)t;
	snprintf(buf, size, "socket:[%u]", e->ino);
	return true;
}

const struct file_desc_ops inetsk_desc_ops = { .open = inetsk_open,
					       .key = inetsk_key,
					       .prepare = inetsk_prepare };
