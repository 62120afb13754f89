/*
 * inetsk - restore of TCP, UDP, ICMP and raw sockets; TCP connections are made
 * by restore/files_tcp.c. The other half is dump/types/inetsk.c.
 */
#include "restore/files_dgram.h"
#include "restore/files_sock.h"
#include "restore/files_tcp.h"

#include <errno.h>
#include <stdio.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "model/tcp_conn.h"

/* Sockets of one protocol that are bound to one port, each perhaps by leave of an option. */
struct port_users {
	struct file_desc **d;
	size_t n;
	/* Connections come first: for a moment they would be in the way of a socket that listens.
	 */
	struct file_desc **conns;
	size_t nr_conns;
};

struct inetsk_priv {
	struct port_users *port; /* NULL: not bound, or a connection */
	bool bound;
};

static void share_port(struct pstree *t, struct file_desc *d)
{
	const InetSkEntry *e = file_desc_entry(d);
	const uint64_t key = 1ull << 32 | (uint64_t)(e->proto & 0xff) << 16 | e->src_port;
	struct inetsk_priv *priv = file_desc_priv(d);
	struct port_users *u = rfile_seen(t, FILE_KIND_inetsk, key);

	if (!e->src_port || e->type == SOCK_RAW)
		return;
	if (!u) {
		u = arena_new_of(t->arena, struct port_users);
		rfile_see(t, FILE_KIND_inetsk, key, u);
	}
	if (tcp_has_stream(e)) {
		arena_push(t->arena, u->conns, u->nr_conns) = d;
		return;
	}
	arena_push(t->arena, u->d, u->n) = d;
	priv->port = u;
}

static int inetsk_prepare(struct pstree *t, struct file_desc *d)
{
	const InetSkEntry *e = file_desc_entry(d);
	size_t words = e->family == AF_INET6 ? 4 : 1;
	int ret;

	if ((e->family != AF_INET && e->family != AF_INET6) || e->n_src_addr < words ||
	    e->n_dst_addr < words || e->src_port > 65535 || e->dst_port > 65535) {
		file_fail(d, EBADMSG, "impossible addresses");
		return -EBADMSG;
	}
	if (e->type != SOCK_RAW && e->proto != IPPROTO_TCP && e->proto != IPPROTO_UDP &&
	    e->proto != IPPROTO_UDPLITE && e->proto != IPPROTO_ICMP && e->proto != IPPROTO_ICMPV6) {
		file_fail(d, EOPNOTSUPP, "protocol %u is not supported by this version", e->proto);
		return -EOPNOTSUPP;
	}
	if (e->type == SOCK_STREAM && (e->state < TCP_ESTABLISHED || e->state > TCP_CLOSING)) {
		file_fail(d, EBADMSG, "a TCP socket in state %u", e->state);
		return -EBADMSG;
	}
	ret = tcp_prepare(t, d);
	if (!ret)
		share_port(t, d);
	return ret;
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

/* An address that this host does not have, bound while IP_FREEBIND was set. */
static int bind_anywhere(int fd, const InetSkEntry *e, const union inet_addr *a, socklen_t len)
{
	const int level = e->family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP;
	const int name = e->family == AF_INET6 ? IPV6_FREEBIND : IP_FREEBIND;
	int on = 1, ret;

	if (bind(fd, &a->sa, len) == 0)
		return 0;
	if (errno == EADDRINUSE)
		return sock_name(bind, fd, &a->sa, len);
	if (errno != EADDRNOTAVAIL || setsockopt(fd, level, name, &on, sizeof(on)) < 0)
		return -errno;
	ret = sock_name(bind, fd, &a->sa, len);
	on = e->ip_opts && e->ip_opts->freebind;
	setsockopt(fd, level, name, &on, sizeof(on));
	return ret;
}

/*
 * What is left of old connections may hold the port, and other sockets of the
 * tree: with both options nobody is in the way. They get their values when all
 * users of the port are bound.
 */
static int do_bind(struct file_desc *d, int fd, const InetSkEntry *e)
{
	const struct inetsk_priv *priv = file_desc_priv(d);
	const int one = 1;
	union inet_addr a;
	socklen_t len = make_addr(e, e->src_addr, e->src_port, &a);
	int ret;

	if (!e->src_port)
		return 0;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0 ||
	    (priv->port->n > 1 && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0))
		return file_fail(d, errno, "SO_REUSEADDR");
	ret = bind_anywhere(fd, e, &a, len);
	return ret < 0 ? file_fail(d, -ret, "bind to port %u", e->src_port) : 0;
}

static int set_reuse(struct file_desc *d, int fd, const SkOptsEntry *o)
{
	if (sock_set(d, fd, SOL_SOCKET, SO_REUSEADDR, o->reuseaddr, "SO_REUSEADDR") < 0)
		return -1;
	return sock_set(d, fd, SOL_SOCKET, SO_REUSEPORT, o->so_reuseport, "SO_REUSEPORT");
}

static bool all_open(struct file_desc **d, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!file_stage_reached(d[i], FLE_OPEN))
			return false;
	return true;
}

static bool is_zero(const uint32_t *addr, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (addr[i])
			return false;
	return true;
}

/* A raw socket has no port; what stands there is its protocol. */
static int do_raw(struct file_desc *d, int fd, const InetSkEntry *e)
{
	union inet_addr src, dst;
	socklen_t len = make_addr(e, e->src_addr, 0, &src);
	size_t words = e->family == AF_INET6 ? 4 : 1;

	make_addr(e, e->dst_addr, e->dst_port, &dst);
	if (!is_zero(e->src_addr, words) && bind(fd, &src.sa, len) < 0)
		return file_fail(d, errno, "bind a raw socket of protocol %u", e->proto);
	if (!is_zero(e->dst_addr, words) && connect(fd, &dst.sa, len) < 0)
		return file_fail(d, errno, "connect a raw socket of protocol %u", e->proto);
	return 0;
}

static int do_connect(struct file_desc *d, int fd, const InetSkEntry *e)
{
	union inet_addr a;
	socklen_t len = make_addr(e, e->dst_addr, e->dst_port, &a);

	if (e->state == TCP_LISTEN && listen(fd, (int)e->backlog) < 0)
		return file_fail(d, errno, "listen on port %u", e->src_port);
	if (e->type != SOCK_STREAM &&
	    (e->dst_port || !is_zero(e->dst_addr, e->family == AF_INET6 ? 4 : 1)) &&
	    connect(fd, &a.sa, len) < 0)
		return file_fail(d, errno, "connect to port %u", e->dst_port);
	/* A socket without a peer remembers it, too, and says ENOTCONN all the same. */
	if (e->has_shutdown && e->shutdown && shutdown(fd, (int)e->shutdown - 1) < 0 &&
	    errno != ENOTCONN)
		return file_fail(d, errno, "shutdown()");
	return 0;
}

static int do_connection(struct file_desc *d, int fd, const InetSkEntry *e)
{
	union inet_addr src, dst;
	socklen_t len = make_addr(e, e->src_addr, e->src_port, &src);

	make_addr(e, e->dst_addr, e->dst_port, &dst);
	return tcp_restore(d, fd, e, &src, &dst, len);
}

static int do_socket(struct file_desc *d, int fd, const InetSkEntry *e)
{
	const struct inetsk_priv *priv = file_desc_priv(d);

	if (e->type == SOCK_RAW)
		return do_raw(d, fd, e);
	if (do_bind(d, fd, e) < 0 || do_connect(d, fd, e) < 0)
		return -1;
	return priv->port && priv->port->n > 1 ? 0 : set_reuse(d, fd, e->opts);
}

static int inetsk_make(struct file_desc *d, int *new_fd)
{
	const InetSkEntry *e = file_desc_entry(d);
	cleanup_close int fd =
		socket((int)e->family, (int)(e->type & 0xf) | SOCK_CLOEXEC, (int)e->proto);

	if (fd < 0)
		return file_fail(d, errno, "socket()");
	if (set_ip_opts(d, fd, e) < 0 || raw_options(d, fd, e) < 0 || mcast_join(d, fd, e) < 0)
		return -1;
	if (sock_restore_opts(d, fd, e->opts) < 0 || set_tcp_opts(d, fd, e->tcp_opts) < 0 ||
	    (tcp_has_stream(e) ? do_connection(d, fd, e) : do_socket(d, fd, e)) < 0)
		return -1;
	if (file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

static int inetsk_open(struct file_desc *d, int *new_fd)
{
	struct inetsk_priv *priv = file_desc_priv(d);
	const InetSkEntry *e = file_desc_entry(d);

	if (!priv->bound) {
		if (priv->port && !all_open(priv->port->conns, priv->port->nr_conns))
			return 1;
		if (inetsk_make(d, new_fd) < 0)
			return -1;
		priv->bound = true;
		return priv->port && priv->port->n > 1 ? 1 : 0;
	}
	if (!all_open(priv->port->d, priv->port->n))
		return 1;
	return set_reuse(d, file_fd(d), e->opts);
}

const struct file_desc_ops inetsk_desc_ops = {
	.open = inetsk_open,
	.prepare = inetsk_prepare,
	.priv_size = sizeof(struct inetsk_priv),
};
