/*
 * nftrules - a rule for each connection and direction in the chains INPUT and
 * OUTPUT of table filter, as iptables makes them in nf_tables: it drops what
 * has the addresses and ports and lacks NFTLOCK_MARK. Those of the old kernel
 * interface of iptables are not seen.
 */
#include "kernel/nftrules.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <netlink/msg.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/nftbatch.h"

/* What a rule asks for, as far as it is of this kind. */
struct rule {
	uint8_t src[16], dst[16];
	uint16_t sport, dport; /* network order */
	bool has_src, has_dst, has_ports, mark, drop;
	uint32_t base, at; /* of what was loaded last */
	uint32_t key;
	bool payload;
};

struct search {
	const struct tcp_tuple *conns;
	size_t n;
	bool v6;
	struct found {
		char chain[32];
		uint64_t handle;
	} * found;
	size_t nr_found;
};

static uint32_t be32(const struct nlattr *a)
{
	return a && nla_len(a) >= 4 ? ntohl(nla_get_u32(a)) : 0;
}

static void take_cmp(struct rule *r, const uint8_t *val, size_t len, uint32_t op, size_t addr)
{
	const uint32_t src_at = addr == 16 ? 8 : 12, dst_at = addr == 16 ? 24 : 16;
	uint32_t mark = 0;

	if (!r->payload) {
		if (r->key == NFT_META_MARK && op == NFT_CMP_NEQ && len == sizeof(mark)) {
			memcpy(&mark, val, sizeof(mark));
			r->mark = mark == NFTLOCK_MARK;
		}
		return;
	}
	if (op != NFT_CMP_EQ)
		return;
	if (r->base == NFT_PAYLOAD_NETWORK_HEADER && len == addr && r->at == src_at) {
		memcpy(r->src, val, len);
		r->has_src = true;
	} else if (r->base == NFT_PAYLOAD_NETWORK_HEADER && len == addr && r->at == dst_at) {
		memcpy(r->dst, val, len);
		r->has_dst = true;
	} else if (r->base == NFT_PAYLOAD_TRANSPORT_HEADER && len == 4 && r->at == 0) {
		memcpy(&r->sport, val, 2);
		memcpy(&r->dport, val + 2, 2);
		r->has_ports = true;
	}
}

static void take_expr(struct rule *r, const char *name, struct nlattr *data, size_t addr)
{
	struct nlattr *tb[16] = { 0 }, *in[4] = { 0 };

	if (nla_parse_nested(tb, 15, data, NULL) < 0)
		return;
	if (!strcmp(name, "payload")) {
		r->payload = true;
		r->base = be32(tb[NFTA_PAYLOAD_BASE]);
		r->at = be32(tb[NFTA_PAYLOAD_OFFSET]);
	} else if (!strcmp(name, "meta")) {
		r->payload = false;
		r->key = be32(tb[NFTA_META_KEY]);
	} else if (!strcmp(name, "cmp") && tb[NFTA_CMP_DATA] &&
		   nla_parse_nested(in, 3, tb[NFTA_CMP_DATA], NULL) == 0 && in[NFTA_DATA_VALUE]) {
		take_cmp(r, nla_data(in[NFTA_DATA_VALUE]), (size_t)nla_len(in[NFTA_DATA_VALUE]),
			 be32(tb[NFTA_CMP_OP]), addr);
	} else if (!strcmp(name, "immediate") && tb[NFTA_IMMEDIATE_DATA] &&
		   nla_parse_nested(in, 3, tb[NFTA_IMMEDIATE_DATA], NULL) == 0 &&
		   in[NFTA_DATA_VERDICT]) {
		struct nlattr *v[4] = { 0 };

		if (nla_parse_nested(v, 3, in[NFTA_DATA_VERDICT], NULL) == 0)
			r->drop = v[NFTA_VERDICT_CODE] && be32(v[NFTA_VERDICT_CODE]) == NF_DROP;
	}
}

static bool fits(const struct rule *r, const struct tcp_tuple *c, size_t addr)
{
	const uint16_t ours = htons(c->sport), peers = htons(c->dport);

	/* Both ends may have one address. */
	return (!memcmp(r->src, c->src, addr) && !memcmp(r->dst, c->dst, addr) &&
		r->sport == ours && r->dport == peers) ||
	       (!memcmp(r->src, c->dst, addr) && !memcmp(r->dst, c->src, addr) &&
		r->sport == peers && r->dport == ours);
}

static bool is_one(const struct search *s, struct nlattr *exprs)
{
	const size_t addr = s->v6 ? 16 : 4;
	struct rule r = { 0 };
	struct nlattr *elem;
	int left;

	nla_for_each_nested(elem, exprs, left)
	{
		struct nlattr *tb[4] = { 0 };

		if (nla_parse_nested(tb, 3, elem, NULL) == 0 && tb[NFTA_EXPR_NAME] &&
		    tb[NFTA_EXPR_DATA])
			take_expr(&r, nla_get_string(tb[NFTA_EXPR_NAME]), tb[NFTA_EXPR_DATA], addr);
	}
	if (!r.has_src || !r.has_dst || !r.has_ports || !r.mark || !r.drop)
		return false;
	for (size_t i = 0; i < s->n; i++)
		if (s->conns[i].v6 == s->v6 && fits(&r, &s->conns[i], addr))
			return true;
	return false;
}

static void take_rule(void *arg, struct nlmsghdr *h)
{
	struct nlattr *tb[16] = { 0 };
	struct search *s = arg;
	struct found *f;
	uint64_t handle;

	if (nlmsg_parse(h, 4, tb, 15, NULL) < 0 || !tb[NFTA_RULE_CHAIN] || !tb[NFTA_RULE_HANDLE] ||
	    !tb[NFTA_RULE_EXPRESSIONS] || nla_len(tb[NFTA_RULE_CHAIN]) > (int)sizeof(f->chain) ||
	    !is_one(s, tb[NFTA_RULE_EXPRESSIONS]))
		return;
	s->found = realloc(s->found, (s->nr_found + 1) * sizeof(*s->found));
	if (!s->found)
		abort();
	f = &s->found[s->nr_found++];
	memcpy(&handle, nla_data(tb[NFTA_RULE_HANDLE]), sizeof(handle));
	f->handle = handle;
	nla_strlcpy(f->chain, tb[NFTA_RULE_CHAIN], sizeof(f->chain));
}

static int delete_found(const struct search *s, uint8_t family)
{
	struct nft_batch b = { .family = family };
	struct nl_msg *m = NULL;

	nft_batch_begin(&b);
	for (size_t i = 0; i < s->nr_found; i++) {
		if (m)
			nft_batch_add(&b, m);
		m = nft_msg(&b, NFT_MSG_DELRULE, 0);
		nft_put_str(m, NFTA_RULE_TABLE, "filter");
		nft_put_str(m, NFTA_RULE_CHAIN, s->found[i].chain);
		nft_put(m, NFTA_RULE_HANDLE, &s->found[i].handle, sizeof(s->found[i].handle));
	}
	return nft_batch_send(&b, m);
}

static int let_go(struct search *s, uint8_t family, unsigned *deleted)
{
	struct nft_batch b = { .family = family };
	struct nl_msg *m = nft_msg(&b, NFT_MSG_GETRULE, NLM_F_DUMP);
	int ret;

	nft_put_str(m, NFTA_RULE_TABLE, "filter");
	ret = nft_ask(&b, m, take_rule, s);
	if (ret == -ENOENT)
		ret = 0;
	if (!ret && s->nr_found)
		ret = delete_found(s, family);
	if (!ret)
		*deleted += (unsigned)s->nr_found;
	free(s->found);
	return ret;
}

/**
 * nftrules_let_go - delete the rules that hold connections back
 * @conns: the connections
 * @n: how many
 * @deleted: gets how many rules there were
 *
 * Return: 0 or -errno.
 */
int nftrules_let_go(const struct tcp_tuple *conns, size_t n, unsigned *deleted)
{
	struct search four = { .conns = conns, .n = n },
		      six = { .conns = conns, .n = n, .v6 = true };
	int ret, err;

	*deleted = 0;
	ret = let_go(&four, NFPROTO_IPV4, deleted);
	err = let_go(&six, NFPROTO_IPV6, deleted);
	return ret ? ret : err;
}
