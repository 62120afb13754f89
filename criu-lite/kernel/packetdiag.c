/*
 * packetdiag - one dump of the packet sockets over libnl, of which one is kept.
 */
#include "kernel/packetdiag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <string.h>
#include <sys/socket.h>

#include "base/arena.h"

struct query {
	struct arena *arena;
	struct packetdiag *out;
	bool found;
	int err; /* what the kernel said, positive */
};

static bool take(struct nlattr *a, void *out, size_t size)
{
	if (!a || (size_t)nla_len(a) < size)
		return false;
	memcpy(out, nla_data(a), size);
	return true;
}

static int take_packet(struct nl_msg *msg, void *arg)
{
	struct nlattr *tb[PACKET_DIAG_MAX + 1] = { 0 };
	struct nlmsghdr *h = nlmsg_hdr(msg);
	struct query *q = arg;
	struct packetdiag *p = q->out;
	struct packet_diag_msg *m;

	if (!nlmsg_valid_hdr(h, sizeof(*m)))
		return NL_SKIP;
	m = nlmsg_data(h);
	if (m->pdiag_ino != p->ino || nlmsg_parse(h, sizeof(*m), tb, PACKET_DIAG_MAX, NULL) < 0)
		return NL_SKIP;
	p->protocol = htons(m->pdiag_num);
	q->found = take(tb[PACKET_DIAG_INFO], &p->info, sizeof(p->info));
	p->has_rx = take(tb[PACKET_DIAG_RX_RING], &p->rx, sizeof(p->rx));
	p->has_tx = take(tb[PACKET_DIAG_TX_RING], &p->tx, sizeof(p->tx));
	p->has_fanout = take(tb[PACKET_DIAG_FANOUT], &p->fanout, sizeof(p->fanout));
	if (tb[PACKET_DIAG_MCLIST]) {
		p->nr_mclist = (size_t)nla_len(tb[PACKET_DIAG_MCLIST]) / sizeof(*p->mclist);
		p->mclist = arena_memdup(q->arena, nla_data(tb[PACKET_DIAG_MCLIST]),
					 p->nr_mclist * sizeof(*p->mclist));
	}
	return NL_OK;
}

static int take_error(struct sockaddr_nl *from, struct nlmsgerr *e, void *arg)
{
	struct query *q = arg;

	(void)from;
	q->err = -e->error;
	return NL_STOP;
}

static int ask(struct nl_sock *sk)
{
	struct packet_diag_req req = {
		.sdiag_family = AF_PACKET,
		.pdiag_show = PACKET_SHOW_INFO | PACKET_SHOW_MCLIST | PACKET_SHOW_RING_CFG |
			      PACKET_SHOW_FANOUT,
	};
	struct nl_msg *msg = nlmsg_alloc_simple(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP | NLM_F_REQUEST);
	int ret = -ENOMEM;

	if (msg && nlmsg_append(msg, &req, sizeof(req), NLMSG_ALIGNTO) == 0)
		ret = nl_send_auto(sk, msg) < 0 ? -EIO : 0;
	nlmsg_free(msg);
	if (ret)
		return ret;
	return nl_recvmsgs_default(sk) < 0 ? -EIO : 0;
}

/**
 * packetdiag_get - ask for a packet socket of our network namespace
 * @a: gets its memberships
 * @ino: inode of the socket
 * @out: filled
 *
 * Return: 0; -ENOENT if there is none, or the kernel lacks packet_diag; -EIO, -ENOMEM, or what the
 * kernel said.
 */
int packetdiag_get(struct arena *a, uint32_t ino, struct packetdiag *out)
{
	struct query q = { .arena = a, .out = out };
	struct nl_sock *sk = nl_socket_alloc();
	int ret = -ENOMEM;

	*out = (struct packetdiag){ .ino = ino };
	if (sk)
		ret = nl_connect(sk, NETLINK_SOCK_DIAG) < 0 ? -EPROTONOSUPPORT : 0;
	if (!ret) {
		nl_socket_modify_cb(sk, NL_CB_VALID, NL_CB_CUSTOM, take_packet, &q);
		nl_socket_modify_err_cb(sk, NL_CB_CUSTOM, take_error, &q);
		ret = ask(sk);
	}
	if (sk)
		nl_socket_free(sk);
	if (q.err)
		return -q.err;
	return ret ? ret : q.found ? 0 : -ENOENT;
}
