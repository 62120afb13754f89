/*
 * tcpdiag - one question to sock_diag(7) about one connection. The kernel finds
 * it by its addresses in a hash table, however many there are.
 */
#include "kernel/tcpdiag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

#define ANSWER_ROOM 8192

struct question {
	struct nlmsghdr h;
	struct inet_diag_req_v2 r;
};

/* An address of the tuple, as a socket of @family has it. */
static void put_addr(uint32_t to[4], const uint32_t *addr, bool v6, int family)
{
	if (!v6 && family == AF_INET6) {
		to[2] = htonl(0xffff);
		to[3] = addr[0];
		return;
	}
	memcpy(to, addr, v6 ? 16 : 4);
}

/**
 * tcpdiag_unread - how far a connection has received beyond what was read
 * @conn: the connection
 * @family: of its socket; IPv4 may go over one of AF_INET6
 * @unread: gets the bytes; a FIN counts as one, an urgent byte, too
 *
 * Unlike SIOCINQ it does not end at an urgent byte.
 *
 * Return: 0; -ENOENT if the kernel knows no such connection; another -errno.
 */
int tcpdiag_unread(const struct tcp_tuple *conn, int family, uint32_t *unread)
{
	struct question q = {
		.h = { .nlmsg_len = sizeof(q),
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST },
		.r = { .sdiag_family = (uint8_t)family,
		       .sdiag_protocol = IPPROTO_TCP,
		       .idiag_states = ~0u,
		       .id = { .idiag_sport = htons(conn->sport),
			       .idiag_dport = htons(conn->dport),
			       .idiag_if = conn->scope,
			       .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } },
	};
	cleanup_close int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
	_Alignas(struct nlmsghdr) char buf[ANSWER_ROOM];
	const struct nlmsghdr *h = (struct nlmsghdr *)buf;
	ssize_t n;

	put_addr(q.r.id.idiag_src, conn->src, conn->v6, family);
	put_addr(q.r.id.idiag_dst, conn->dst, conn->v6, family);
	if (fd < 0 || send(fd, &q, sizeof(q), 0) < 0)
		return -errno;
	/* The kernel has answered before send() returns. */
	n = recv(fd, buf, sizeof(buf), 0);
	if (n < 0)
		return -errno;
	if (n < (ssize_t)NLMSG_LENGTH(sizeof(int)))
		return -EBADMSG;
	if (h->nlmsg_type == NLMSG_ERROR)
		return *(const int *)NLMSG_DATA(h);
	if (h->nlmsg_type != SOCK_DIAG_BY_FAMILY ||
	    n < (ssize_t)NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
		return -EBADMSG;
	*unread = ((const struct inet_diag_msg *)NLMSG_DATA(h))->idiag_rqueue;
	return 0;
}
