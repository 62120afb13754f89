/*
 * dgramdiag - one dump of the sockets of a family and a protocol, over libnl.
 */
#include "kernel/dgramdiag.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <netlink/msg.h>
#include <stdlib.h>

#include "base/idmap.h"
#include "kernel/diagdump.h"

struct dgramdiag {
	struct idmap shut; /* by inode, one above the bits of shutdown */
};

static int take_sock(struct nl_msg *msg, void *arg)
{
	struct nlattr *tb[INET_DIAG_MAX + 1] = { 0 };
	struct nlmsghdr *h = nlmsg_hdr(msg);
	struct dgramdiag *dd = arg;
	struct inet_diag_msg *m;

	if (!nlmsg_valid_hdr(h, sizeof(*m)) ||
	    nlmsg_parse(h, sizeof(*m), tb, INET_DIAG_MAX, NULL) < 0 || !tb[INET_DIAG_SHUTDOWN])
		return NL_SKIP;
	m = nlmsg_data(h);
	if (nla_get_u8(tb[INET_DIAG_SHUTDOWN]))
		idmap_put(&dd->shut, m->idiag_inode,
			  (void *)(uintptr_t)(nla_get_u8(tb[INET_DIAG_SHUTDOWN]) + 1u));
	return NL_OK;
}

/**
 * dgramdiag_open - ask for all sockets of a kind
 * @family: AF_INET or AF_INET6
 * @protocol: IPPROTO_UDP or IPPROTO_UDPLITE
 * @out: the answer
 *
 * Return: 0 or -errno of diag_dump().
 */
int dgramdiag_open(int family, int protocol, struct dgramdiag **out)
{
	struct inet_diag_req_v2 req = { .sdiag_family = (uint8_t)family,
					.sdiag_protocol = (uint8_t)protocol,
					.idiag_states = ~0u };
	struct dgramdiag *dd = calloc(1, sizeof(*dd));
	int ret = dd ? diag_dump(&req, sizeof(req), take_sock, dd) : -ENOMEM;

	if (ret)
		dgramdiag_close(dd);
	else
		*out = dd;
	return ret;
}

/**
 * dgramdiag_close - forget the answer
 * @dd: the answer, or NULL
 */
void dgramdiag_close(struct dgramdiag *dd)
{
	if (!dd)
		return;
	idmap_free(&dd->shut);
	free(dd);
}

/**
 * dgramdiag_shutdown - what shutdown(2) has done to a socket
 * @dd: the answer
 * @ino: inode of the socket
 *
 * Return: 1: it receives nothing more, 2: it sends nothing more, 3: both.
 */
uint8_t dgramdiag_shutdown(const struct dgramdiag *dd, uint32_t ino)
{
	uintptr_t v = (uintptr_t)idmap_get(&dd->shut, ino);

	return v ? (uint8_t)(v - 1) : 0;
}
