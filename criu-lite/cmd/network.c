/*
 * network - the options about connections: --tcp and --network-lock.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "cmd/cmd.h"
#include "model/tcp_conn.h"

static int parse_rule(const char *text, struct tcp_rule *r)
{
	static const char *const words[] = {
		[TCP_REFUSE] = "fail",
		[TCP_REPAIRED] = "repair",
		[TCP_CLOSED] = "close",
	};
	int at = 0;

	if (sscanf(text, "%d:%d=%n", &r->pid, &r->fd, &at) != 2 || !at || r->pid <= 0 || r->fd < 0)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strcmp(text + at, words[i])) {
			r->policy = (enum tcp_policy)i;
			return 0;
		}
	return -EINVAL;
}

/**
 * tcp_rules_parse - what --tcp says of single connections
 * @c: the run
 * @rules: gets as many as there are options, in their order
 *
 * Return: 0 or -errno, recorded.
 */
int tcp_rules_parse(struct cmd *c, struct tcp_rule **rules)
{
	const struct options *o = c->o;

	*rules = arena_array(o->arena, struct tcp_rule, o->tcp_rules.n + 1);
	for (size_t i = 0; i < o->tcp_rules.n; i++)
		if (parse_rule(o->tcp_rules.v[i], &(*rules)[i]) < 0)
			return fail(c->r, "option-value", 0,
				    "--tcp: '%s' is not PID:FD=repair, =close or =fail",
				    o->tcp_rules.v[i]);
	return 0;
}

/**
 * network_lock_method - how connections are held back
 * @c: the run
 *
 * Return: enum net_lock; iptables is another name for nftables.
 */
unsigned network_lock_method(const struct cmd *c)
{
	const char *method = c->o->network_lock;

	return method && !strcmp(method, "skip") ? NET_LOCK_SKIP : NET_LOCK_NFTABLES;
}
