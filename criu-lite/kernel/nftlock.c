/*
 * nftlock - one table of family inet, made and removed in one transaction each:
 * a set of addresses and ports for each family of addresses, each connection in
 * it once in either direction, and in the chains for input and output one rule
 * that looks packets up. So the cost of a packet does not depend on how many
 * connections are held back. The chains come before address translation, and
 * see addresses as the sockets have them.
 */
#include "kernel/nftlock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netinet/in.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fd.h"

#define ELEMS_MAX 512   /* of one message: a nested attribute has 64 KiB */
#define MSG_ROOM 65536  /* bytes of one message */
#define ANSWER_WAIT 10  /* seconds */
#define PRIORITY (-300) /* before connection tracking and address translation */
#define KEY_MAX 40      /* bytes of a key of IPv6 */
#define REG_WORD(n) (NFT_REG32_00 + (n))

/* Messages of one transaction, one after the other. */
struct batch {
	uint8_t *buf;
	size_t len, room;
	uint32_t seq; /* of the last message */
	int err;
};

/* The two families of addresses; sizes of the key's parts as nf_tables pads them. */
static const struct family {
	const char *set;
	uint8_t proto;
	uint8_t addr_len, src_at, dst_at; /* of the address in the packet */
	uint32_t set_id, key_type, key_len;
} families[2] = {
	/* Types as nft(8) numbers them: 7 IPv4 address, 8 IPv6 address, 13 port; 6 bits each. */
	{ "conns4", NFPROTO_IPV4, 4, 12, 16, 1, 7 << 18 | 13 << 12 | 7 << 6 | 13, 16 },
	{ "conns6", NFPROTO_IPV6, 16, 8, 24, 2, 8 << 18 | 13 << 12 | 8 << 6 | 13, 40 },
};

static struct nl_msg *msg_new(struct batch *b, int type, int flags, uint8_t family, uint16_t res)
{
	struct nfgenmsg g = { .nfgen_family = family,
			      .version = NFNETLINK_V0,
			      .res_id = htons(res) };
	struct nl_msg *m = nlmsg_alloc_size(MSG_ROOM);

	if (!m || !nlmsg_put(m, 0, ++b->seq, type, 0, NLM_F_REQUEST | flags) ||
	    nlmsg_append(m, &g, sizeof(g), NLMSG_ALIGNTO) < 0)
		abort();
	return m;
}

static struct nl_msg *nft_new(struct batch *b, int type, int flags)
{
	return msg_new(b, NFNL_SUBSYS_NFTABLES << 8 | type, flags, NFPROTO_INET, 0);
}

static void batch_add(struct batch *b, struct nl_msg *m)
{
	const struct nlmsghdr *h = nlmsg_hdr(m);
	size_t len = NLMSG_ALIGN(h->nlmsg_len);

	if (b->len + len > b->room) {
		b->room = 2 * b->room + len;
		b->buf = realloc(b->buf, b->room);
		if (!b->buf)
			abort();
	}
	memcpy(b->buf + b->len, h, h->nlmsg_len);
	memset(b->buf + b->len + h->nlmsg_len, 0, len - h->nlmsg_len);
	b->len += len;
	nlmsg_free(m);
}

static void batch_mark(struct batch *b, int type)
{
	batch_add(b, msg_new(b, type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

/* Attributes fit: the room of a message was chosen for the largest. */
static void put(struct nl_msg *m, int attr, const void *data, size_t len)
{
	if (nla_put(m, attr, (int)len, data) < 0)
		abort();
}

static void put_str(struct nl_msg *m, int attr, const char *s)
{
	put(m, attr, s, strlen(s) + 1);
}

static void put_be(struct nl_msg *m, int attr, uint32_t v)
{
	v = htonl(v);
	put(m, attr, &v, sizeof(v));
}

static struct nlattr *nest(struct nl_msg *m, int attr)
{
	struct nlattr *a = nla_nest_start(m, attr | NLA_F_NESTED);

	if (!a)
		abort();
	return a;
}

struct expr {
	struct nlattr *elem, *data;
};

static struct expr expr_begin(struct nl_msg *m, const char *name)
{
	struct expr e = { .elem = nest(m, NFTA_LIST_ELEM) };

	put_str(m, NFTA_EXPR_NAME, name);
	e.data = nest(m, NFTA_EXPR_DATA);
	return e;
}

static void expr_end(struct nl_msg *m, struct expr e)
{
	nla_nest_end(m, e.data);
	nla_nest_end(m, e.elem);
}

/* Only packets whose @key is, or is not, the value go on in the rule. */
static void expr_meta(struct nl_msg *m, uint32_t key, uint32_t op, const void *val, size_t len)
{
	struct expr e = expr_begin(m, "meta");
	struct nlattr *a;

	put_be(m, NFTA_META_KEY, key);
	put_be(m, NFTA_META_DREG, NFT_REG_1);
	expr_end(m, e);
	e = expr_begin(m, "cmp");
	put_be(m, NFTA_CMP_SREG, NFT_REG_1);
	put_be(m, NFTA_CMP_OP, op);
	a = nest(m, NFTA_CMP_DATA);
	put(m, NFTA_DATA_VALUE, val, len);
	nla_nest_end(m, a);
	expr_end(m, e);
}

static void expr_payload(struct nl_msg *m, uint32_t base, uint32_t at, uint32_t len, uint32_t word)
{
	struct expr e = expr_begin(m, "payload");

	put_be(m, NFTA_PAYLOAD_DREG, REG_WORD(word));
	put_be(m, NFTA_PAYLOAD_BASE, base);
	put_be(m, NFTA_PAYLOAD_OFFSET, at);
	put_be(m, NFTA_PAYLOAD_LEN, len);
	expr_end(m, e);
}

static void expr_lookup(struct nl_msg *m, const struct family *f)
{
	const uint32_t words = f->addr_len / 4;
	struct expr e;

	expr_payload(m, NFT_PAYLOAD_NETWORK_HEADER, f->src_at, f->addr_len, 0);
	expr_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 2, words);
	expr_payload(m, NFT_PAYLOAD_NETWORK_HEADER, f->dst_at, f->addr_len, words + 1);
	expr_payload(m, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, 2 * words + 1);
	e = expr_begin(m, "lookup");
	put_str(m, NFTA_LOOKUP_SET, f->set);
	put_be(m, NFTA_LOOKUP_SET_ID, f->set_id);
	put_be(m, NFTA_LOOKUP_SREG, REG_WORD(0));
	expr_end(m, e);
}

static void expr_drop(struct nl_msg *m)
{
	struct expr e = expr_begin(m, "immediate");
	struct nlattr *data, *verdict;

	put_be(m, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = nest(m, NFTA_IMMEDIATE_DATA);
	verdict = nest(m, NFTA_DATA_VERDICT);
	put_be(m, NFTA_VERDICT_CODE, NF_DROP);
	nla_nest_end(m, verdict);
	nla_nest_end(m, data);
	expr_end(m, e);
}

static void add_rule(struct batch *b, const char *table, const char *chain, const struct family *f)
{
	const uint32_t mark = NFTLOCK_MARK;
	const uint8_t tcp = IPPROTO_TCP;
	struct nl_msg *m = nft_new(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	struct nlattr *a;

	put_str(m, NFTA_RULE_TABLE, table);
	put_str(m, NFTA_RULE_CHAIN, chain);
	a = nest(m, NFTA_RULE_EXPRESSIONS);
	expr_meta(m, NFT_META_NFPROTO, NFT_CMP_EQ, &f->proto, sizeof(f->proto));
	expr_meta(m, NFT_META_L4PROTO, NFT_CMP_EQ, &tcp, sizeof(tcp));
	expr_meta(m, NFT_META_MARK, NFT_CMP_NEQ, &mark, sizeof(mark));
	expr_lookup(m, f);
	expr_drop(m);
	nla_nest_end(m, a);
	batch_add(b, m);
}

static void add_chain(struct batch *b, const char *table, const char *chain, uint32_t hook)
{
	struct nl_msg *m = nft_new(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	struct nlattr *a;

	put_str(m, NFTA_CHAIN_TABLE, table);
	put_str(m, NFTA_CHAIN_NAME, chain);
	a = nest(m, NFTA_CHAIN_HOOK);
	put_be(m, NFTA_HOOK_HOOKNUM, hook);
	put_be(m, NFTA_HOOK_PRIORITY, (uint32_t)PRIORITY);
	nla_nest_end(m, a);
	put_be(m, NFTA_CHAIN_POLICY, NF_ACCEPT);
	put_str(m, NFTA_CHAIN_TYPE, "filter");
	batch_add(b, m);
}

static void add_set(struct batch *b, const char *table, const struct family *f)
{
	struct nl_msg *m = nft_new(b, NFT_MSG_NEWSET, NLM_F_CREATE);

	put_str(m, NFTA_SET_TABLE, table);
	put_str(m, NFTA_SET_NAME, f->set);
	put_be(m, NFTA_SET_FLAGS, 0);
	put_be(m, NFTA_SET_KEY_TYPE, f->key_type);
	put_be(m, NFTA_SET_KEY_LEN, f->key_len);
	put_be(m, NFTA_SET_ID, f->set_id);
	batch_add(b, m);
}

static void put_key(struct nl_msg *m, const struct family *f, const uint32_t *src, uint16_t sport,
		    const uint32_t *dst, uint16_t dport)
{
	struct nlattr *elem = nest(m, NFTA_LIST_ELEM), *key = nest(m, NFTA_SET_ELEM_KEY);
	const uint16_t ports[2] = { htons(sport), htons(dport) };
	const size_t half = f->addr_len + 4u;
	uint8_t k[KEY_MAX] = { 0 };

	memcpy(k, src, f->addr_len);
	memcpy(k + f->addr_len, &ports[0], 2);
	memcpy(k + half, dst, f->addr_len);
	memcpy(k + half + f->addr_len, &ports[1], 2);
	put(m, NFTA_DATA_VALUE, k, f->key_len);
	nla_nest_end(m, key);
	nla_nest_end(m, elem);
}

/* Connections from @i on, as many as one message takes. */
static size_t add_elems(struct batch *b, const char *table, const struct family *f,
			const struct tcp_tuple *c, size_t i, size_t n)
{
	struct nl_msg *m = nft_new(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
	struct nlattr *list;

	put_str(m, NFTA_SET_ELEM_LIST_TABLE, table);
	put_str(m, NFTA_SET_ELEM_LIST_SET, f->set);
	put_be(m, NFTA_SET_ELEM_LIST_SET_ID, f->set_id);
	list = nest(m, NFTA_SET_ELEM_LIST_ELEMENTS);
	for (size_t left = ELEMS_MAX; i < n && left; i++) {
		if (c[i].v6 != (f->proto == NFPROTO_IPV6))
			continue;
		put_key(m, f, c[i].src, c[i].sport, c[i].dst, c[i].dport);
		put_key(m, f, c[i].dst, c[i].dport, c[i].src, c[i].sport);
		left--;
	}
	nla_nest_end(m, list);
	batch_add(b, m);
	return i;
}

static size_t count(const struct tcp_tuple *c, size_t n, bool v6)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += c[i].v6 == v6;
	return sum;
}

static void add_family(struct batch *b, const char *table, const struct family *f,
		       const struct tcp_tuple *c, size_t n)
{
	if (!count(c, n, f->proto == NFPROTO_IPV6))
		return;
	add_set(b, table, f);
	for (size_t i = 0; i < n;)
		i = add_elems(b, table, f, c, i, n);
	add_rule(b, table, "input", f);
	add_rule(b, table, "output", f);
}

static int nft_open(void)
{
	cleanup_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	const struct timeval wait = { .tv_sec = ANSWER_WAIT };

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0)
		return -errno;
	return take_fd(&fd);
}

/* Answers up to the one for @last; the first error is the result. */
static int read_answers(int fd, uint32_t first, uint32_t last)
{
	uint8_t buf[8192];
	int err = 0;

	for (;;) {
		ssize_t n = recv(fd, buf, sizeof(buf), 0);
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		for (struct nlmsghdr *h = (struct nlmsghdr *)buf; nlmsg_ok(h, left);
		     h = nlmsg_next(h, &left)) {
			const struct nlmsgerr *e = nlmsg_data(h);

			if (h->nlmsg_type != NLMSG_ERROR)
				continue;
			err = err ? err : e->error;
			if (e->msg.nlmsg_seq == last || (err && e->msg.nlmsg_seq == first))
				return err;
		}
	}
}

/* The last message asks for an answer; the transaction is done or undone as a whole. */
static int batch_send(struct batch *b, struct nl_msg *last)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	cleanup_close int fd = nft_open();
	int room = (int)b->len + 65536, ret = fd < 0 ? fd : 0;

	nlmsg_hdr(last)->nlmsg_flags |= NLM_F_ACK;
	batch_add(b, last);
	batch_mark(b, NFNL_MSG_BATCH_END);
	if (!ret) {
		/* All of it is one datagram. */
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
		if (sendto(fd, b->buf, b->len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
			ret = -errno;
	}
	if (!ret)
		ret = read_answers(fd, 1, b->seq - 1);
	free(b->buf);
	return ret;
}

/**
 * nftlock_set - hold connections back
 * @table: name of the table to be made
 * @conns: the connections
 * @n: how many
 *
 * Return: 0; -EEXIST if there is such a table; -EPERM without CAP_NET_ADMIN;
 * -EPROTONOSUPPORT or another -errno if the kernel has no nf_tables.
 */
int nftlock_set(const char *table, const struct tcp_tuple *conns, size_t n)
{
	struct batch b = { 0 };
	struct nl_msg *m;

	batch_mark(&b, NFNL_MSG_BATCH_BEGIN);
	m = nft_new(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
	put_str(m, NFTA_TABLE_NAME, table);
	batch_add(&b, m);
	add_chain(&b, table, "input", NF_INET_LOCAL_IN);
	add_chain(&b, table, "output", NF_INET_LOCAL_OUT);
	for (int f = 0; f < 2; f++)
		add_family(&b, table, &families[f], conns, n);
	/* Nothing more to say: the table once more, which exists now, for the answer. */
	m = nft_new(&b, NFT_MSG_NEWTABLE, 0);
	put_str(m, NFTA_TABLE_NAME, table);
	return batch_send(&b, m);
}

/**
 * nftlock_delete - let connections go
 * @table: name of the table
 *
 * Return: 0; -ENOENT if there is none; -errno.
 */
int nftlock_delete(const char *table)
{
	struct batch b = { 0 };
	struct nl_msg *m;

	batch_mark(&b, NFNL_MSG_BATCH_BEGIN);
	m = nft_new(&b, NFT_MSG_DELTABLE, 0);
	put_str(m, NFTA_TABLE_NAME, table);
	return batch_send(&b, m);
}

/**
 * nftlock_exists - is there such a table?
 * @table: its name
 *
 * Return: 1 if so, 0 if not, -errno if nobody can say.
 */
int nftlock_exists(const char *table)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	cleanup_close int fd = nft_open();
	struct batch b = { 0 };
	struct nl_msg *m;
	int ret = fd < 0 ? fd : 0;

	m = nft_new(&b, NFT_MSG_GETTABLE, NLM_F_ACK);
	put_str(m, NFTA_TABLE_NAME, table);
	batch_add(&b, m);
	if (!ret && sendto(fd, b.buf, b.len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		ret = -errno;
	if (!ret)
		ret = read_answers(fd, 1, 1);
	free(b.buf);
	return ret == 0 ? 1 : ret == -ENOENT ? 0 : ret;
}
