/*
 * network - no packet may reach a connection that is only half made. The table
 * that the dump has left goes on holding them back; where there is none, as on
 * another host, one is made in time. When the tree is complete every socket
 * leaves repair mode, in which calls of the tasks would fail; then the tree
 * outlives us and the restore is committed; then the table goes and the peers
 * are asked for a sign of life. Here is the table; the sockets are in
 * network_conns.c.
 */
#include "restore/engine.h"
#include "restore/network_priv.h"

#include <errno.h>
#include <string.h>

#include "kernel/nftrules.h"
#include "model/tcp_conn.h"

static bool is_ours(const struct file_desc *d)
{
	return d->kind == FILE_KIND_inetsk && tcp_has_stream(file_desc_entry(d));
}

/**
 * network_plan - which connections there are, for the guardian to know, too
 * @ctx: the run
 *
 * Return: 0.
 */
int network_plan(struct restore_ctx *ctx)
{
	struct restore_net *net = arena_new_of(ctx->arena, struct restore_net);
	const InventoryEntry *inv = ctx->tree->inventory;
	struct file_desc *d;
	bool sockets = false;

	net->journal.images_fd = -1;
	list_for_each(d, &ctx->tree->files.descs, list) {
		sockets |= d->kind == FILE_KIND_inetsk;
		if (is_ours(d))
			arena_push(ctx->arena, net->conns, net->n) = d;
	}
	net->frees = sockets && ctx->opts->network_lock != NET_LOCK_SKIP &&
		     !(inv->has_network_lock_method && inv->network_lock_method == NET_LOCK_SKIP) &&
		     tcp_lock_table(inv, net->journal.table);
	net->locks = net->frees && net->n;
	ctx->net = net;
	return 0;
}

/* What packets there can be. */
static struct tcp_tuple *tuples(struct restore_ctx *ctx, size_t *n)
{
	struct restore_net *net = ctx->net;
	struct tcp_tuple *t = arena_array(ctx->arena, struct tcp_tuple, net->n + 1);

	*n = 0;
	for (size_t i = 0; i < net->n; i++)
		if (tcp_is_connection(file_desc_entry(net->conns[i])))
			tcp_tuple_of(file_desc_entry(net->conns[i]), &t[(*n)++]);
	return t;
}

static int make_table(struct restore_ctx *ctx, struct restore_net *net)
{
	size_t n;
	struct tcp_tuple *t = tuples(ctx, &n);
	int ret;

	if (!n)
		return 0;
	net->journal.guardian = ctx->guardian;
	if (net_undo_write(&net->journal) < 0)
		log_warn(ctx->report,
			 "no journal below %s: what is set is taken back by the "
			 "guardian process alone",
			 NET_UNDO_DIR);
	atomic_store(&ctx->shared->own_table, true);
	ret = nftlock_set(net->journal.table, t, n);
	if (!ret)
		return 0;
	atomic_store(&ctx->shared->own_table, false);
	net_undo_remove(&net->journal);
	return fail(ctx->report, "network-lock", -ret,
		    "table %s of nf_tables, which holds %zu connections back; --network-lock skip "
		    "leaves that to you",
		    net->journal.table, n);
}

/**
 * network_lock - see to it that connections are held back
 * @ctx: the run; nothing is made yet
 *
 * Return: 0 or -errno, recorded.
 */
int network_lock(struct restore_ctx *ctx)
{
	struct restore_net *net = ctx->net;
	struct net_undo_found undone;
	int ret;

	/* What a run that died has left, it may be of this very image. */
	net_undo_all(&undone);
	if (!net->locks)
		return 0;
	ret = nftlock_exists(net->journal.table);
	if (ret > 0)
		return 0;
	if (ret < 0)
		return fail(
			ctx->report, "network-lock", -ret,
			"look for table %s of nf_tables; --network-lock skip leaves that to you",
			net->journal.table);
	return make_table(ctx, net);
}

/**
 * network_unlock - the restore has failed: as it was before
 * @ctx: the run; its sockets are closed
 */
void network_unlock(struct restore_ctx *ctx)
{
	struct restore_net *net = ctx->net;

	if (!net || !atomic_load(&ctx->shared->own_table))
		return;
	nftlock_delete(net->journal.table);
	net_undo_remove(&net->journal);
	atomic_store(&ctx->shared->own_table, false);
}

/* CRIU's default method has made rules of iptables, two for each connection. */
static void let_go_iptables(struct restore_ctx *ctx)
{
	const InventoryEntry *inv = ctx->tree->inventory;
	struct restore_net *net = ctx->net;
	struct tcp_tuple *t;
	unsigned deleted;
	size_t n;
	int ret;

	if (!net->locks || !inv->has_network_lock_method ||
	    inv->network_lock_method != NET_LOCK_IPTABLES)
		return;
	t = tuples(ctx, &n);
	ret = n ? nftrules_let_go(t, n, &deleted) : 0;
	if (ret)
		log_warn(ctx->report,
			 "rules of iptables by which CRIU holds %zu connections back "
			 "cannot be removed: %s",
			 n, strerror(-ret));
	else if (n)
		log_info(ctx->report, "%u rules of iptables removed", deleted);
}

/**
 * network_release - let all connections go
 * @ctx: the run; committed, the tasks stand still
 */
void network_release(struct restore_ctx *ctx)
{
	struct restore_net *net = ctx->net;
	int ret = net && net->frees ? nftlock_delete(net->journal.table) : 0;

	if (!net)
		return;
	if (ret && ret != -ENOENT)
		log_warn(ctx->report, "table %s of nf_tables cannot be removed: %s",
			 net->journal.table, strerror(-ret));
	let_go_iptables(ctx);
	network_open(ctx);
	net_undo_remove(&net->journal);
	atomic_store(&ctx->shared->own_table, false);
}
