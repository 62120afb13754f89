/*
 * tcp_conn - which sockets are connections, how their packets look, what the
 * command line says of them, and the name of the table that holds them back.
 */
#include "model/tcp_conn.h"

#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "model/file_desc.h"
#include "model/pstree.h"

/**
 * tcp_is_connection - do packets of a peer concern it?
 * @e: a socket
 *
 * Return: true for a TCP socket that neither listens nor is closed.
 */
bool tcp_is_connection(const InetSkEntry *e)
{
	return e->type == SOCK_STREAM && e->proto == IPPROTO_TCP && e->state != TCP_LISTEN &&
	       e->state != TCP_CLOSE;
}

/**
 * tcp_has_stream - is there an image of its queues?
 * @e: a socket
 *
 * Return: true for a connection, also for one that has ended.
 */
bool tcp_has_stream(const InetSkEntry *e)
{
	return tcp_is_connection(e) || (e->type == SOCK_STREAM && e->proto == IPPROTO_TCP &&
					e->state == TCP_CLOSE && e->src_port && e->dst_port);
}

static bool is_mapped(const uint32_t *a)
{
	return !a[0] && !a[1] && a[2] == htonl(0xffff);
}

/**
 * tcp_tuple_of - addresses as packets have them
 * @e: a connection, its addresses as long as its family says
 * @t: gets them; an IPv6 socket may be of an IPv4 connection
 */
void tcp_tuple_of(const InetSkEntry *e, struct tcp_tuple *t)
{
	const bool six = e->family == AF_INET6;
	const bool mapped = six && is_mapped(e->src_addr);
	const size_t at = mapped ? 3 : 0, words = six && !mapped ? 4 : 1;

	memset(t, 0, sizeof(*t));
	t->v6 = six && !mapped;
	t->sport = (uint16_t)e->src_port;
	t->dport = (uint16_t)e->dst_port;
	memcpy(t->src, e->src_addr + at, words * sizeof(uint32_t));
	memcpy(t->dst, e->dst_addr + at, words * sizeof(uint32_t));
	if (t->v6 && e->ifname)
		t->scope = if_nametoindex(e->ifname);
}

/**
 * tcp_make_closed - the connection comes back as one that has ended
 * @e: the socket
 */
void tcp_make_closed(InetSkEntry *e)
{
	e->state = TCP_CLOSE;
	e->src_port = e->dst_port = 0;
	memset(e->src_addr, 0, e->n_src_addr * sizeof(*e->src_addr));
	memset(e->dst_addr, 0, e->n_dst_addr * sizeof(*e->dst_addr));
	e->has_shutdown = 1;
	e->shutdown = SK_SHUTDOWN__BOTH;
}

/**
 * tcp_rule_find - what the command line says of one socket
 * @rules: the rules
 * @n: how many
 * @d: the socket; any descriptor of it counts
 *
 * Return: the first rule that fits, or NULL.
 */
const struct tcp_rule *tcp_rule_find(const struct tcp_rule *rules, size_t n,
				     const struct file_desc *d)
{
	const struct fdinfo_list_entry *fle;
	const struct filedesc *fdt;

	for (size_t i = 0; i < n; i++) {
		fdt = pstree_table(d->tree, rules[i].pid);
		list_for_each(fle, &d->fles, of_desc)
			if (fdt && fle->fdt == fdt && fle->fd == rules[i].fd)
				return &rules[i];
	}
	return NULL;
}

/**
 * tcp_lock_table - the name of the table that holds connections back
 * @inv: the inventory
 * @name: gets it
 *
 * Return: false if the images do not say.
 */
bool tcp_lock_table(const InventoryEntry *inv, char name[static NFTLOCK_NAME_MAX])
{
	if (!inv->dump_criu_run_id || !*inv->dump_criu_run_id ||
	    strlen(inv->dump_criu_run_id) > NFTLOCK_NAME_MAX - sizeof("CRIU-"))
		return false;
	snprintf(name, NFTLOCK_NAME_MAX, "CRIU-%s", inv->dump_criu_run_id);
	return true;
}
