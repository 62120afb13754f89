/*
 * rtlink - a network interface, its addresses and its routes: rtnetlink(7),
 * over libnl. An address or route is kept as the kernel has told it, without
 * what names its interface by number and what goes with time.
 */
#include "kernel/rtlink.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>
#include <string.h>

#define SETTABLE \
	(IFF_UP | IFF_DEBUG | IFF_NOARP | IFF_PROMISC | IFF_ALLMULTI | IFF_MULTICAST | IFF_DYNAMIC)

/* Of an address: what can be set. The rest says how it is doing. */
#define KEPT (IFA_F_HOMEADDRESS | IFA_F_MANAGETEMPADDR | IFA_F_NOPREFIXROUTE | IFA_F_MCAUTOJOIN)

/* One question and its answers. */
struct talk {
	int err; /* what the kernel said, negative, or what @take returned */
	int (*take)(struct talk *t, struct nlmsghdr *h);
	uint32_t index;
	rtlink_part_fn *each;
	void *arg;
};

static int on_valid(struct nl_msg *msg, void *arg)
{
	struct talk *t = arg;

	if (t->take && !t->err)
		t->err = t->take(t, nlmsg_hdr(msg));
	return NL_OK;
}

static int on_error(struct sockaddr_nl *from, struct nlmsgerr *e, void *arg)
{
	struct talk *t = arg;

	(void)from;
	t->err = e->error;
	return NL_STOP;
}

/* Sends @msg, which may be NULL and is freed, and takes all that is answered. */
static int talk(struct talk *t, struct nl_msg *msg)
{
	struct nl_sock *sk = nl_socket_alloc();
	int ret = sk && msg ? 0 : -ENOMEM;

	if (!ret && nl_connect(sk, NETLINK_ROUTE) < 0)
		ret = -EPROTONOSUPPORT;
	if (!ret) {
		nl_socket_modify_cb(sk, NL_CB_VALID, NL_CB_CUSTOM, on_valid, t);
		nl_socket_modify_err_cb(sk, NL_CB_CUSTOM, on_error, t);
		ret = nl_send_auto(sk, msg) < 0 ? -EIO : 0;
	}
	if (!ret) {
		ret = nlmsg_hdr(msg)->nlmsg_flags & NLM_F_ACK && !t->take ? nl_wait_for_ack(sk)
									  : nl_recvmsgs_default(sk);
		ret = t->err ? t->err : ret < 0 ? -EIO : 0;
	}
	nlmsg_free(msg);
	if (sk)
		nl_socket_free(sk);
	return ret;
}

static struct nl_msg *message(int type, int flags, const void *head, size_t len)
{
	struct nl_msg *msg = nlmsg_alloc_simple(type, NLM_F_REQUEST | flags);

	if (msg && nlmsg_append(msg, (void *)(uintptr_t)head, len, NLMSG_ALIGNTO) < 0) {
		nlmsg_free(msg);
		return NULL;
	}
	return msg;
}

static void take_tun(struct rtlink *l, struct nlattr *info)
{
	struct nlattr *tb[IFLA_INFO_MAX + 1] = { 0 }, *tun[IFLA_TUN_MAX + 1] = { 0 };

	if (!info || nla_parse_nested(tb, IFLA_INFO_MAX, info, NULL) < 0 || !tb[IFLA_INFO_DATA] ||
	    nla_parse_nested(tun, IFLA_TUN_MAX, tb[IFLA_INFO_DATA], NULL) < 0)
		return;
	l->no_pi = tun[IFLA_TUN_PI] && !nla_get_u8(tun[IFLA_TUN_PI]);
	if (tun[IFLA_TUN_OWNER])
		l->owner = nla_get_u32(tun[IFLA_TUN_OWNER]);
	if (tun[IFLA_TUN_GROUP])
		l->group = nla_get_u32(tun[IFLA_TUN_GROUP]);
}

static int gen_mode(struct nlattr *spec)
{
	struct nlattr *inet6 = spec ? nla_find(nla_data(spec), nla_len(spec), AF_INET6) : NULL;
	struct nlattr *mode =
		inet6 ? nla_find(nla_data(inet6), nla_len(inet6), IFLA_INET6_ADDR_GEN_MODE) : NULL;

	return mode ? nla_get_u8(mode) : -1;
}

static uint32_t attr_u32(struct nlattr *a)
{
	return a ? nla_get_u32(a) : 0;
}

static int take_link(struct talk *t, struct nlmsghdr *h)
{
	struct nlattr *tb[IFLA_MAX + 1] = { 0 };
	const struct ifinfomsg *m = nlmsg_data(h);
	struct rtlink *l = t->arg;

	if (h->nlmsg_type != RTM_NEWLINK || nlmsg_parse(h, sizeof(*m), tb, IFLA_MAX, NULL) < 0)
		return 0;
	*l = (struct rtlink){ .index = (uint32_t)m->ifi_index,
			      .flags = m->ifi_flags & SETTABLE,
			      .arp_type = m->ifi_type,
			      .owner = ~0u,
			      .group = ~0u,
			      .mtu = attr_u32(tb[IFLA_MTU]),
			      .txqlen = attr_u32(tb[IFLA_TXQLEN]),
			      .carrier = tb[IFLA_CARRIER] ? nla_get_u8(tb[IFLA_CARRIER]) : 1,
			      .gen_mode = gen_mode(tb[IFLA_AF_SPEC]) };
	if (tb[IFLA_ADDRESS] && nla_len(tb[IFLA_ADDRESS]) <= RTLINK_HWADDR) {
		l->hwaddr_len = (uint8_t)nla_len(tb[IFLA_ADDRESS]);
		memcpy(l->hwaddr, nla_data(tb[IFLA_ADDRESS]), l->hwaddr_len);
	}
	if (tb[IFLA_IFALIAS])
		nla_strlcpy(l->alias, tb[IFLA_IFALIAS], sizeof(l->alias));
	if (tb[IFLA_MASTER] && !if_indextoname(nla_get_u32(tb[IFLA_MASTER]), l->master))
		return -errno;
	take_tun(l, tb[IFLA_LINKINFO]);
	return 0;
}

/**
 * rtlink_get - look at an interface
 * @name: its name
 * @l: filled
 *
 * Return: 0 or -errno; -ENODEV.
 */
int rtlink_get(const char *name, struct rtlink *l)
{
	struct ifinfomsg m = { .ifi_index = (int)if_nametoindex(name) };
	struct talk t = { .take = take_link, .arg = l };

	if (!m.ifi_index)
		return -ENODEV;
	return talk(&t, message(RTM_GETLINK, 0, &m, sizeof(m)));
}

static int put_gen_mode(struct nl_msg *msg, int mode)
{
	struct nlattr *spec = nla_nest_start(msg, IFLA_AF_SPEC), *inet6;

	inet6 = spec ? nla_nest_start(msg, AF_INET6) : NULL;
	if (!inet6 || nla_put_u8(msg, IFLA_INET6_ADDR_GEN_MODE, (uint8_t)mode) < 0)
		return -1;
	nla_nest_end(msg, inet6);
	nla_nest_end(msg, spec);
	return 0;
}

/**
 * rtlink_set - make an interface what another one was
 * @l: index says which; its name, type, owner and carrier are not touched, nor is its
 * hardware address where that has no bytes
 * @flags: IFF_* as they are to be
 * @gen_mode: how IPv6 makes addresses of its own, -1: as it is
 *
 * Return: 0 or -errno; -ENODEV also for a bridge that is not there.
 */
int rtlink_set(const struct rtlink *l, uint32_t flags, int gen_mode)
{
	struct ifinfomsg m = { .ifi_index = (int)l->index,
			       .ifi_flags = flags & SETTABLE,
			       .ifi_change = SETTABLE };
	uint32_t master = l->master[0] ? if_nametoindex(l->master) : 0;
	struct nl_msg *msg = message(RTM_SETLINK, NLM_F_ACK, &m, sizeof(m));
	struct talk t = { 0 };

	if (!msg)
		return -ENOMEM;
	if ((l->master[0] && !master) || nla_put_u32(msg, IFLA_MTU, l->mtu) < 0 ||
	    nla_put_u32(msg, IFLA_TXQLEN, l->txqlen) < 0 ||
	    (l->hwaddr_len && nla_put(msg, IFLA_ADDRESS, l->hwaddr_len, l->hwaddr) < 0) ||
	    (l->alias[0] && nla_put_string(msg, IFLA_IFALIAS, l->alias) < 0) ||
	    (master && nla_put_u32(msg, IFLA_MASTER, master) < 0) ||
	    (gen_mode >= 0 && put_gen_mode(msg, gen_mode) < 0)) {
		nlmsg_free(msg);
		return l->master[0] && !master ? -ENODEV : -ENOMEM;
	}
	return talk(&t, msg);
}

/* Hands on the head, which the caller has cleaned, and all attributes but those of @without. */
static int hand_on(struct talk *t, const struct nlmsghdr *h, const void *head, int head_len,
		   uint64_t without)
{
	struct nl_msg *msg = message(0, 0, head, (size_t)head_len);
	struct nlattr *a;
	int rest, ret = msg ? 0 : -ENOMEM;

	nlmsg_for_each_attr(a, (struct nlmsghdr *)(uintptr_t)h, head_len,
			    rest) if (!ret && !(without >> nla_type(a) & 1) &&
				      nla_put(msg, nla_type(a), nla_len(a), nla_data(a)) < 0) ret =
		-ENOMEM;
	if (!ret)
		ret = t->each(t->arg, nlmsg_data(nlmsg_hdr(msg)),
			      (size_t)nlmsg_datalen(nlmsg_hdr(msg)));
	nlmsg_free(msg);
	return ret;
}

static int take_addr(struct talk *t, struct nlmsghdr *h)
{
	struct nlattr *tb[IFA_MAX + 1] = { 0 };
	struct ifa_cacheinfo *c;
	struct ifaddrmsg m;
	uint32_t flags;

	if (h->nlmsg_type != RTM_NEWADDR || nlmsg_parse(h, sizeof(m), tb, IFA_MAX, NULL) < 0)
		return 0;
	memcpy(&m, nlmsg_data(h), sizeof(m));
	flags = tb[IFA_FLAGS] ? nla_get_u32(tb[IFA_FLAGS]) : m.ifa_flags;
	/* The kernel makes those by itself, each for a time. */
	if (m.ifa_index != t->index || (m.ifa_family == AF_INET6 && flags & IFA_F_TEMPORARY))
		return 0;
	m.ifa_index = 0;
	flags &= KEPT;
	m.ifa_flags = (uint8_t)flags;
	if (tb[IFA_FLAGS])
		memcpy(nla_data(tb[IFA_FLAGS]), &flags, sizeof(flags));
	if (tb[IFA_CACHEINFO] && nla_len(tb[IFA_CACHEINFO]) >= (int)sizeof(*c)) {
		c = nla_data(tb[IFA_CACHEINFO]);
		c->cstamp = c->tstamp = 0;
	}
	return hand_on(t, h, &m, sizeof(m), 0);
}

static int take_route(struct talk *t, struct nlmsghdr *h)
{
	struct nlattr *tb[RTA_MAX + 1] = { 0 };
	const struct rtmsg *m = nlmsg_data(h);

	if (h->nlmsg_type != RTM_NEWROUTE || nlmsg_parse(h, sizeof(*m), tb, RTA_MAX, NULL) < 0 ||
	    !tb[RTA_OIF] || nla_get_u32(tb[RTA_OIF]) != t->index || tb[RTA_MULTIPATH] ||
	    tb[RTA_NH_ID] || m->rtm_flags & RTM_F_CLONED || m->rtm_protocol == RTPROT_KERNEL ||
	    m->rtm_protocol == RTPROT_RA)
		return 0;
	return hand_on(t, h, m, sizeof(*m),
		       1ull << RTA_OIF | 1ull << RTA_CACHEINFO | 1ull << RTA_IIF);
}

/**
 * rtlink_addrs - the addresses of an interface
 * @index: its number
 * @each: called with @arg and every address; what is not 0 ends it
 * @arg: for @each
 *
 * Return: 0, -errno, or what @each has returned.
 */
int rtlink_addrs(uint32_t index, rtlink_part_fn *each, void *arg)
{
	struct talk t = { .take = take_addr, .index = index, .each = each, .arg = arg };
	struct ifaddrmsg m = { .ifa_family = AF_UNSPEC };

	return talk(&t, message(RTM_GETADDR, NLM_F_DUMP, &m, sizeof(m)));
}

/**
 * rtlink_routes - the routes over an interface and no other that do not come by themselves
 * @index: its number
 * @each: called with @arg and every route; what is not 0 ends it
 * @arg: for @each
 *
 * Return: 0, -errno, or what @each has returned.
 */
int rtlink_routes(uint32_t index, rtlink_part_fn *each, void *arg)
{
	struct talk t = { .take = take_route, .index = index, .each = each, .arg = arg };
	struct rtmsg m = { .rtm_family = AF_UNSPEC };

	return talk(&t, message(RTM_GETROUTE, NLM_F_DUMP, &m, sizeof(m)));
}

/**
 * rtlink_add_addr - give an interface an address
 * @index: its number
 * @part: as rtlink_addrs() had it
 * @len: its bytes
 *
 * It can be used at once: nobody is asked whether he has it, too.
 *
 * Return: 0 or -errno; -EBADMSG for what is no address.
 */
int rtlink_add_addr(uint32_t index, const void *part, size_t len)
{
	struct nl_msg *msg = len >= sizeof(struct ifaddrmsg)
				     ? message(RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE, part, len)
				     : NULL;
	struct ifaddrmsg *m = msg ? nlmsg_data(nlmsg_hdr(msg)) : NULL;
	struct talk t = { 0 };
	struct nlattr *a;

	if (!msg)
		return len >= sizeof(*m) ? -ENOMEM : -EBADMSG;
	m->ifa_index = index;
	a = nlmsg_find_attr(nlmsg_hdr(msg), sizeof(*m), IFA_FLAGS);
	if (m->ifa_family == AF_INET6 && a && nla_len(a) >= 4) {
		uint32_t flags = nla_get_u32(a) | IFA_F_NODAD;

		memcpy(nla_data(a), &flags, sizeof(flags));
	}
	return talk(&t, msg);
}

/**
 * rtlink_add_route - make a route over an interface
 * @index: its number
 * @part: as rtlink_routes() had it
 * @len: its bytes
 *
 * Return: 0 or -errno; -EBADMSG for what is no route.
 */
int rtlink_add_route(uint32_t index, const void *part, size_t len)
{
	struct nl_msg *msg = len >= sizeof(struct rtmsg)
				     ? message(RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE, part, len)
				     : NULL;
	struct talk t = { 0 };
	struct rtmsg *m;

	if (!msg)
		return len >= sizeof(*m) ? -ENOMEM : -EBADMSG;
	m = nlmsg_data(nlmsg_hdr(msg));
	/* What only the kernel says: it is dead, or offloaded. */
	m->rtm_flags &= RTNH_F_ONLINK | RTNH_F_PERVASIVE;
	if (nla_put_u32(msg, RTA_OIF, index) < 0) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	return talk(&t, msg);
}
