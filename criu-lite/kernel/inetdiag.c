/*
 * inetdiag - one question to NETLINK_SOCK_DIAG, without a dump of all sockets.
 */
#include "kernel/inetdiag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

struct question {
	struct nlmsghdr h;
	struct inet_diag_req_v2 r;
};

static int put_address(const struct sockaddr *sa, __be32 *addr, __be16 *port)
{
	const struct sockaddr_in *v4 = (const void *)sa;
	const struct sockaddr_in6 *v6 = (const void *)sa;

	if (sa->sa_family == AF_INET) {
		memcpy(addr, &v4->sin_addr, sizeof(v4->sin_addr));
		*port = v4->sin_port;
	} else if (sa->sa_family == AF_INET6) {
		memcpy(addr, &v6->sin6_addr, sizeof(v6->sin6_addr));
		*port = v6->sin6_port;
	} else {
		return -EAFNOSUPPORT;
	}
	return 0;
}

static int read_answer(int sk, uint32_t *ino)
{
	_Alignas(struct nlmsghdr) char buf[4096];
	const struct nlmsghdr *h = (const void *)buf;
	ssize_t n = recv(sk, buf, sizeof(buf), 0);

	if (n < 0)
		return -errno;
	if (n < (ssize_t)sizeof(*h) || h->nlmsg_len > (size_t)n)
		return -EBADMSG;
	if (h->nlmsg_type == NLMSG_ERROR) {
		const struct nlmsgerr *e = NLMSG_DATA(h);

		return h->nlmsg_len >= NLMSG_LENGTH(sizeof(*e)) && e->error ? e->error : -EBADMSG;
	}
	if (h->nlmsg_len < NLMSG_LENGTH(sizeof(struct inet_diag_msg)))
		return -EBADMSG;
	*ino = ((const struct inet_diag_msg *)NLMSG_DATA(h))->idiag_inode;
	return 0;
}

/**
 * inetdiag_inode - the inode of a connected TCP socket
 * @own: its own address, of AF_INET or AF_INET6
 * @peer: its peer's
 * @ino: gets the inode; 0 while nobody has accepted it, and after its last close
 *
 * Return: 0; -ENOENT if there is none; -EAFNOSUPPORT; another -errno of the kernel.
 */
int inetdiag_inode(const struct sockaddr *own, const struct sockaddr *peer, uint32_t *ino)
{
	struct question q = {
		.h = { .nlmsg_len = sizeof(q),
		       .nlmsg_type = SOCK_DIAG_BY_FAMILY,
		       .nlmsg_flags = NLM_F_REQUEST },
		.r = { .sdiag_family = (uint8_t)own->sa_family,
		       .sdiag_protocol = IPPROTO_TCP,
		       .idiag_states = ~0u,
		       .id = { .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } },
	};
	cleanup_close int sk = -1;
	int ret = put_address(own, q.r.id.idiag_src, &q.r.id.idiag_sport);

	if (!ret)
		ret = put_address(peer, q.r.id.idiag_dst, &q.r.id.idiag_dport);
	if (ret)
		return ret;
	sk = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (sk < 0 || send(sk, &q, sizeof(q), 0) < 0)
		return -errno;
	return read_answer(sk, ino);
}
