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

#include "kernel/nftbatch.h"

#define ELEMS_MAX 512   /* of one message: a nested attribute has 64 KiB */
#define PRIORITY (-300) /* before connection tracking and address translation */
#define KEY_MAX 40      /* bytes of a key of IPv6 */
#define REG_WORD(n) (NFT_REG32_00 + (n))

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

struct expr {
	struct nlattr *elem, *data;
};

static struct expr expr_begin(struct nl_msg *m, const char *name)
{
	struct expr e = { .elem = nft_nest(m, NFTA_LIST_ELEM) };

	nft_put_str(m, NFTA_EXPR_NAME, name);
	e.data = nft_nest(m, NFTA_EXPR_DATA);
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

	nft_put_be(m, NFTA_META_KEY, key);
	nft_put_be(m, NFTA_META_DREG, NFT_REG_1);
	expr_end(m, e);
	e = expr_begin(m, "cmp");
	nft_put_be(m, NFTA_CMP_SREG, NFT_REG_1);
	nft_put_be(m, NFTA_CMP_OP, op);
	a = nft_nest(m, NFTA_CMP_DATA);
	nft_put(m, NFTA_DATA_VALUE, val, len);
	nla_nest_end(m, a);
	expr_end(m, e);
}

static void expr_payload(struct nl_msg *m, uint32_t base, uint32_t at, uint32_t len, uint32_t word)
{
	struct expr e = expr_begin(m, "payload");

	nft_put_be(m, NFTA_PAYLOAD_DREG, REG_WORD(word));
	nft_put_be(m, NFTA_PAYLOAD_BASE, base);
	nft_put_be(m, NFTA_PAYLOAD_OFFSET, at);
	nft_put_be(m, NFTA_PAYLOAD_LEN, len);
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
	nft_put_str(m, NFTA_LOOKUP_SET, f->set);
	nft_put_be(m, NFTA_LOOKUP_SET_ID, f->set_id);
	nft_put_be(m, NFTA_LOOKUP_SREG, REG_WORD(0));
	expr_end(m, e);
}

static void expr_drop(struct nl_msg *m)
{
	struct expr e = expr_begin(m, "immediate");
	struct nlattr *data, *verdict;

	nft_put_be(m, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = nft_nest(m, NFTA_IMMEDIATE_DATA);
	verdict = nft_nest(m, NFTA_DATA_VERDICT);
	nft_put_be(m, NFTA_VERDICT_CODE, NF_DROP);
	nla_nest_end(m, verdict);
	nla_nest_end(m, data);
	expr_end(m, e);
}

static void add_rule(struct nft_batch *b, const char *table, const char *chain,
		     const struct family *f)
{
	const uint32_t mark = NFTLOCK_MARK;
	const uint8_t tcp = IPPROTO_TCP;
	struct nl_msg *m = nft_msg(b, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND);
	struct nlattr *a;

	nft_put_str(m, NFTA_RULE_TABLE, table);
	nft_put_str(m, NFTA_RULE_CHAIN, chain);
	a = nft_nest(m, NFTA_RULE_EXPRESSIONS);
	expr_meta(m, NFT_META_NFPROTO, NFT_CMP_EQ, &f->proto, sizeof(f->proto));
	expr_meta(m, NFT_META_L4PROTO, NFT_CMP_EQ, &tcp, sizeof(tcp));
	expr_meta(m, NFT_META_MARK, NFT_CMP_NEQ, &mark, sizeof(mark));
	expr_lookup(m, f);
	expr_drop(m);
	nla_nest_end(m, a);
	nft_batch_add(b, m);
}

static void add_chain(struct nft_batch *b, const char *table, const char *chain, uint32_t hook)
{
	struct nl_msg *m = nft_msg(b, NFT_MSG_NEWCHAIN, NLM_F_CREATE);
	struct nlattr *a;

	nft_put_str(m, NFTA_CHAIN_TABLE, table);
	nft_put_str(m, NFTA_CHAIN_NAME, chain);
	a = nft_nest(m, NFTA_CHAIN_HOOK);
	nft_put_be(m, NFTA_HOOK_HOOKNUM, hook);
	nft_put_be(m, NFTA_HOOK_PRIORITY, (uint32_t)PRIORITY);
	nla_nest_end(m, a);
	nft_put_be(m, NFTA_CHAIN_POLICY, NF_ACCEPT);
	nft_put_str(m, NFTA_CHAIN_TYPE, "filter");
	nft_batch_add(b, m);
}

static void add_set(struct nft_batch *b, const char *table, const struct family *f)
{
	struct nl_msg *m = nft_msg(b, NFT_MSG_NEWSET, NLM_F_CREATE);

	nft_put_str(m, NFTA_SET_TABLE, table);
	nft_put_str(m, NFTA_SET_NAME, f->set);
	nft_put_be(m, NFTA_SET_FLAGS, 0);
	nft_put_be(m, NFTA_SET_KEY_TYPE, f->key_type);
	nft_put_be(m, NFTA_SET_KEY_LEN, f->key_len);
	nft_put_be(m, NFTA_SET_ID, f->set_id);
	nft_batch_add(b, m);
}

static void put_key(struct nl_msg *m, const struct family *f, const uint32_t *src, uint16_t sport,
		    const uint32_t *dst, uint16_t dport)
{
	struct nlattr *elem = nft_nest(m, NFTA_LIST_ELEM), *key = nft_nest(m, NFTA_SET_ELEM_KEY);
	const uint16_t ports[2] = { htons(sport), htons(dport) };
	const size_t half = f->addr_len + 4u;
	uint8_t k[KEY_MAX] = { 0 };

	memcpy(k, src, f->addr_len);
	memcpy(k + f->addr_len, &ports[0], 2);
	memcpy(k + half, dst, f->addr_len);
	memcpy(k + half + f->addr_len, &ports[1], 2);
	nft_put(m, NFTA_DATA_VALUE, k, f->key_len);
	nla_nest_end(m, key);
	nla_nest_end(m, elem);
}

/* Connections from @i on, as many as one message takes. */
static size_t add_elems(struct nft_batch *b, const char *table, const struct family *f,
			const struct tcp_tuple *c, size_t i, size_t n)
{
	struct nl_msg *m = nft_msg(b, NFT_MSG_NEWSETELEM, NLM_F_CREATE);
	struct nlattr *list;

	nft_put_str(m, NFTA_SET_ELEM_LIST_TABLE, table);
	nft_put_str(m, NFTA_SET_ELEM_LIST_SET, f->set);
	nft_put_be(m, NFTA_SET_ELEM_LIST_SET_ID, f->set_id);
	list = nft_nest(m, NFTA_SET_ELEM_LIST_ELEMENTS);
	for (size_t left = ELEMS_MAX; i < n && left; i++) {
		if (c[i].v6 != (f->proto == NFPROTO_IPV6))
			continue;
		put_key(m, f, c[i].src, c[i].sport, c[i].dst, c[i].dport);
		put_key(m, f, c[i].dst, c[i].dport, c[i].src, c[i].sport);
		left--;
	}
	nla_nest_end(m, list);
	nft_batch_add(b, m);
	return i;
}

static size_t count(const struct tcp_tuple *c, size_t n, bool v6)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += c[i].v6 == v6;
	return sum;
}

static void add_family(struct nft_batch *b, const char *table, const struct family *f,
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
	struct nft_batch b = { 0 };
	struct nl_msg *m;

	nft_batch_begin(&b);
	m = nft_msg(&b, NFT_MSG_NEWTABLE, NLM_F_CREATE | NLM_F_EXCL);
	nft_put_str(m, NFTA_TABLE_NAME, table);
	nft_batch_add(&b, m);
	add_chain(&b, table, "input", NF_INET_LOCAL_IN);
	add_chain(&b, table, "output", NF_INET_LOCAL_OUT);
	for (int f = 0; f < 2; f++)
		add_family(&b, table, &families[f], conns, n);
	/* Nothing more to say: the table once more, which exists now, for the answer. */
	m = nft_msg(&b, NFT_MSG_NEWTABLE, 0);
	nft_put_str(m, NFTA_TABLE_NAME, table);
	return nft_batch_send(&b, m);
}

/**
 * nftlock_delete - let connections go
 * @table: name of the table
 *
 * Return: 0; -ENOENT if there is none; -errno.
 */
int nftlock_delete(const char *table)
{
	struct nft_batch b = { 0 };
	struct nl_msg *m;

	nft_batch_begin(&b);
	m = nft_msg(&b, NFT_MSG_DELTABLE, 0);
	nft_put_str(m, NFTA_TABLE_NAME, table);
	return nft_batch_send(&b, m);
}

/**
 * nftlock_exists - is there such a table?
 * @table: its name
 *
 * Return: 1 if so, 0 if not, -errno if nobody can say.
 */
int nftlock_exists(const char *table)
{
	struct nft_batch b = { 0 };
	struct nl_msg *m = nft_msg(&b, NFT_MSG_GETTABLE, 0);
	int ret;

	nft_put_str(m, NFTA_TABLE_NAME, table);
	ret = nft_ask(&b, m, NULL, NULL);
	return ret == 0 ? 1 : ret == -ENOENT ? 0 : ret;
}
