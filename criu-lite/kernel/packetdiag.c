/*
 * packetdiag - one dump of the packet sockets over libnl, of which one is kept.
 */
#include "kernel/packetdiag.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netlink/msg.h>
#include <string.h>
#include <sys/socket.h>

#include "base/arena.h"
#include "kernel/diagdump.h"

struct query {
	struct arena *arena;
	struct packetdiag *out;
	bool found;
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

/**
 * packetdiag_get - ask for a packet socket of our network namespace
 * @a: gets its memberships
 * @ino: inode of the socket
 * @out: filled
 *
 * Return: 0; -ENOENT if there is none, or the kernel lacks packet_diag; another -errno of
 * diag_dump().
 */
int packetdiag_get(struct arena *a, uint32_t ino, struct packetdiag *out)
{
	struct packet_diag_req req = {
		.sdiag_family = AF_PACKET,
		.pdiag_show = PACKET_SHOW_INFO | PACKET_SHOW_MCLIST | PACKET_SHOW_RING_CFG |
			      PACKET_SHOW_FANOUT,
	};
	struct query q = { .arena = a, .out = out };
	int ret;

	*out = (struct packetdiag){ .ino = ino };
	ret = diag_dump(&req, sizeof(req), take_packet, &q);
	return ret ? ret : q.found ? 0 : -ENOENT;
}
