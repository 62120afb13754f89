/*
 * tcp_conn - what dump and restore agree on about TCP connections.
 */
#ifndef CL_MODEL_TCP_CONN_H
#define CL_MODEL_TCP_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kernel/nftlock.h"
#include "kernel/tcp_repair.h"

#include "proto/inventory.pb-c.h"
#include "proto/sk-inet.pb-c.h"
#include "proto/tcp-stream.pb-c.h"

struct file_desc;

/* What becomes of a connection. */
enum tcp_policy { TCP_REFUSE, TCP_REPAIRED, TCP_CLOSED };

/* --tcp PID:FD=POLICY */
struct tcp_rule {
	pid_t pid;
	int fd;
	enum tcp_policy policy;
};

/* --network-lock; the numbers are those of the inventory. */
enum net_lock { NET_LOCK_IPTABLES = 0, NET_LOCK_NFTABLES = 1, NET_LOCK_SKIP = 2 };

bool tcp_is_connection(const InetSkEntry *e);
bool tcp_has_stream(const InetSkEntry *e);
void tcp_tuple_of(const InetSkEntry *e, struct tcp_tuple *t);
void tcp_make_closed(InetSkEntry *e);
const struct tcp_rule *tcp_rule_find(const struct tcp_rule *rules, size_t n,
				     const struct file_desc *d);
bool tcp_lock_table(const InventoryEntry *inv, char name[static NFTLOCK_NAME_MAX]);

#endif
