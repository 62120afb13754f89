/*
 * probe-net - probes of what concerns sockets and the network.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_link.h>
#include <linux/inet_diag.h>
#include <linux/net_namespace.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <linux/unix_diag.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/probe-internal.h"

/* Younger than the oldest headers that this is built with. */
#define CL_SO_BUF_LOCK 72      /* Linux 5.14 */
#define CL_IPV6_FREEBIND 78    /* Linux 4.15 */
#define CL_IFLA_NEW_IFINDEX 49 /* Linux 4.15 */
#ifndef SIOCUNIXFILE
#define SIOCUNIXFILE (SIOCPROTOPRIVATE + 0)
#endif

struct request {
	struct nlmsghdr h;
	char body[256];
};

static void put_body(struct request *q, const void *body, size_t len)
{
	memcpy((char *)q + NLMSG_ALIGN(q->h.nlmsg_len), body, len);
	q->h.nlmsg_len = (uint32_t)(NLMSG_ALIGN(q->h.nlmsg_len) + len);
}

static void put_attr(struct request *q, unsigned short type, const void *value, size_t len)
{
	struct nlattr a = { .nla_len = (unsigned short)(NLA_HDRLEN + len), .nla_type = type };

	put_body(q, &a, sizeof(a));
	put_body(q, value, len);
}

/* One question. Return: 0 for an answer that is no error, -errno for one that is. */
static int ask(int protocol, struct request *q, unsigned short type, unsigned short flags)
{
	cleanup_close int sk = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol);
	struct timeval limit = { .tv_sec = PROBE_LIMIT_S };
	union {
		struct nlmsghdr h;
		char room[8192];
	} answer;
	struct nlmsgerr *e = NLMSG_DATA(&answer.h);
	ssize_t n;

	if (sk < 0)
		return -errno;
	q->h.nlmsg_type = type;
	q->h.nlmsg_flags = NLM_F_REQUEST | flags;
	setsockopt(sk, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (send(sk, q, q->h.nlmsg_len, 0) < 0)
		return -errno;
	n = recv(sk, &answer, sizeof(answer), 0);
	if (n < 0)
		return -errno;
	if (n < NLMSG_HDRLEN || answer.h.nlmsg_type != NLMSG_ERROR)
		return n < NLMSG_HDRLEN ? -EPROTO : 0;
	return n < (ssize_t)NLMSG_LENGTH(sizeof(*e)) ? -EPROTO : e->error;
}

/* Sockets of the Unix family are listed. */
int probe_sock_diag(void)
{
	struct unix_diag_req body = { .sdiag_family = AF_UNIX, .udiag_states = ~0u };
	struct request q = { .h.nlmsg_len = NLMSG_HDRLEN };

	put_body(&q, &body, sizeof(body));
	return ask(NETLINK_SOCK_DIAG, &q, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
}

/* Raw sockets are listed. */
int probe_diag_raw(void)
{
	struct inet_diag_req_v2 body = {
		.sdiag_family = AF_INET,
		.sdiag_protocol = IPPROTO_RAW,
		.idiag_states = ~0u,
	};
	struct request q = { .h.nlmsg_len = NLMSG_HDRLEN };

	body.pad = IPPROTO_ICMP; /* sdiag_raw_protocol */
	put_body(&q, &body, sizeof(body));
	return ask(NETLINK_SOCK_DIAG, &q, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP);
}

/* SIOCGSKNS. */
int probe_sk_ns(void)
{
	cleanup_close int sk = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), ns = -1;

	ns = sk < 0 ? -1 : ioctl(sk, SIOCGSKNS);
	return ns < 0 ? -errno : 0;
}

/* SIOCUNIXFILE: the file of a bound socket. */
int probe_sk_unix_file(void)
{
	cleanup_close int sk = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0), fd = -1;
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "/tmp/criu-lite-probe.%d", getpid());
	unlink(a.sun_path);
	if (sk < 0 || bind(sk, (struct sockaddr *)&a, sizeof(a)) < 0)
		return -errno;
	fd = ioctl(sk, SIOCUNIXFILE);
	if (fd < 0) {
		int err = errno;

		unlink(a.sun_path);
		return -err;
	}
	unlink(a.sun_path);
	return 0;
}

static int repair_half_closed(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	socklen_t len = sizeof(a);
	int l, c, on = 1;

	probe_private_net();
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	c = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (l < 0 || c < 0 || bind(l, (struct sockaddr *)&a, len) < 0 || listen(l, 1) < 0 ||
	    getsockname(l, (struct sockaddr *)&a, &len) < 0 ||
	    connect(c, (struct sockaddr *)&a, len) < 0 || shutdown(c, SHUT_WR) < 0)
		return -errno;
	return setsockopt(c, IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)) < 0 ? -errno : 0;
}

/* TCP_REPAIR on a connection that is half closed. */
int probe_half_closed(void)
{
	return probe_in_child(repair_half_closed);
}

static int has_sockopt(int family, int level, int name)
{
	cleanup_close int sk = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(int);
	int value;

	return sk < 0 || getsockopt(sk, level, name, &value, &len) < 0 ? -errno : 0;
}

/* SO_BUF_LOCK. */
int probe_buf_lock(void)
{
	return has_sockopt(AF_INET, SOL_SOCKET, CL_SO_BUF_LOCK);
}

/* IPV6_FREEBIND. */
int probe_ipv6_freebind(void)
{
	return has_sockopt(AF_INET6, IPPROTO_IPV6, CL_IPV6_FREEBIND);
}

/* RTM_GETNSID: the id of our own namespace, or that it has none. */
int probe_nsid(void)
{
	cleanup_close int ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	struct rtgenmsg body = { .rtgen_family = AF_UNSPEC };
	struct request q = { .h.nlmsg_len = NLMSG_HDRLEN };

	if (ns < 0)
		return -errno;
	put_body(&q, &body, sizeof(body));
	put_attr(&q, NETNSA_FD, &ns, sizeof(ns));
	return ask(NETLINK_ROUTE, &q, RTM_GETNSID, 0);
}

static int ask_link(unsigned short type, unsigned short attr, int value)
{
	struct ifinfomsg body = { .ifi_family = AF_UNSPEC, .ifi_index = 1 };
	struct request q = { .h.nlmsg_len = NLMSG_HDRLEN };

	put_body(&q, &body, sizeof(body));
	put_attr(&q, attr, &value, sizeof(value));
	return ask(NETLINK_ROUTE, &q, type, NLM_F_ACK);
}

/* A device in a namespace that does not exist: refused by a kernel that looks. */
int probe_link_nsid(void)
{
	int ret = ask_link(RTM_GETLINK, IFLA_IF_NETNSID, 0x7ffffff0);

	return ret == -EINVAL || ret == -ENOENT ? 0 : ret ? ret : -EOPNOTSUPP;
}

/* A new index of 0: refused by a kernel that looks; the device stays as it is. */
int probe_newifindex(void)
{
	int ret = ask_link(RTM_SETLINK, CL_IFLA_NEW_IFINDEX, 0);

	return ret == -ERANGE || ret == -EINVAL ? 0 : ret ? ret : -EOPNOTSUPP;
}

/* nftables answers. */
int probe_nftables(void)
{
	struct nfgenmsg body = { .version = NFNETLINK_V0 };
	struct request q = { .h.nlmsg_len = NLMSG_HDRLEN };

	put_body(&q, &body, sizeof(body));
	return ask(NETLINK_NETFILTER, &q, (NFNL_SUBSYS_NFTABLES << 8) | NFT_MSG_GETGEN, 0);
}

/* The filter table of iptables is there. */
int probe_iptables(void)
{
	cleanup_close int sk = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	struct ipt_getinfo info = { .name = "filter" };
	socklen_t len = sizeof(info);

	return sk < 0 || getsockopt(sk, IPPROTO_IP, IPT_SO_GET_INFO, &info, &len) < 0 ? -errno : 0;
}
