/*
 * network - no packet may reach a connection that is only half made. The table
 * that the dump has left goes on holding them back; where there is none, as on
 * another host, one is made in time. When the tree is complete every socket
 * leaves repair mode, in which calls of the tasks would fail; then the tree
 * outlives us and the restore is committed; then the table goes and the peers
 * are asked for a sign of life.
 *
 * It is the guardian who takes the sockets out of repair mode, and keeps them:
 * if the tool dies before the commit it puts them in again before the last of
 * them is closed, so that the peers hear nothing. A table of our own goes then,
 * that of the dump stays. After the commit the guardian does what is left.
 */
#include "restore/engine.h"
#include "restore/network.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/net_undo.h"
#include "kernel/nftrules.h"
#include "model/tcp_conn.h"

#define HOLD_WAIT_NS 10000000000ull

struct restore_net {
	struct file_desc **conns; /* with a stream: they are made in repair mode */
	int *fds;                 /* the guardian's own descriptors of them */
	size_t n;
	bool locks; /* there is something to hold back, and we are to do so */
	bool frees; /* there may be something held back, of which nothing else may be left */
	struct net_undo journal;
};

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

/* The process whose descriptors are fetched: that of the last one, mostly. */
struct source {
	const struct filedesc *fdt;
	int pidfd;
};

#define SOURCE_NONE ((struct source){ .pidfd = -1 })

static void source_close(struct source *s)
{
	close_owned(&s->pidfd);
}

#define cleanup_source __attribute__((cleanup(source_close)))

/* Our own descriptor of a connection, or -1. */
static int fetch(struct source *s, const struct file_desc *d)
{
	const struct fdinfo_list_entry *fle;

	list_for_each(fle, &d->fles, of_desc) {
		if (fle->fake)
			continue;
		if (s->pidfd < 0 || s->fdt != fle->fdt) {
			source_close(s);
			s->fdt = fle->fdt;
			s->pidfd = table_pidfd(s->fdt);
		}
		return s->pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, s->pidfd, fle->fd, 0);
	}
	return -1;
}

static void set_reuse(int fd, const InetSkEntry *e)
{
	const int val = e->opts->has_reuseaddr && e->opts->reuseaddr;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &val, sizeof(val));
}

/**
 * network_settle - for who looks at the tree before it runs
 * @ctx: the run; every socket is bound
 *
 * Repair mode shows in SO_REUSEADDR.
 *
 * Return: 0.
 */
int network_settle(struct restore_ctx *ctx)
{
	struct restore_net *net = ctx->net;
	cleanup_source struct source from = SOURCE_NONE;

	for (size_t i = 0; ctx->opts->verify && i < net->n; i++) {
		cleanup_close int fd = fetch(&from, net->conns[i]);

		if (fd >= 0)
			set_reuse(fd, file_desc_entry(net->conns[i]));
	}
	return 0;
}

static void let_go(struct restore_ctx *ctx, struct source *from, const struct file_desc *d)
{
	const InetSkEntry *e = file_desc_entry(d);
	cleanup_close int fd = fetch(from, d);
	int ret;

	if (fd < 0) {
		log_warn(ctx->report, "file %#x: its connection cannot be let go", d->id);
		return;
	}
	/* Out of repair mode or not, this makes the kernel ask the peer. */
	ret = tcp_repair_off(fd, true);
	set_reuse(fd, e);
	if (ret)
		log_warn(ctx->report, "file %#x: its connection stays in repair mode: %s", d->id,
			 strerror(-ret));
}

/**
 * network_thaw - connections can be read and written, and are still held back
 * @ctx: the run
 */
void network_thaw(struct restore_ctx *ctx)
{
	cleanup_source struct source from = SOURCE_NONE;

	atomic_store(&ctx->shared->thawed, true);
	for (size_t i = 0; i < ctx->net->n; i++)
		let_go(ctx, &from, ctx->net->conns[i]);
}

/**
 * network_freeze - after network_thaw(): their end is to tell the peers nothing
 * @ctx: the run, which is to be undone
 */
void network_freeze(struct restore_ctx *ctx)
{
	cleanup_source struct source from = SOURCE_NONE;

	for (size_t i = 0; i < ctx->net->n; i++) {
		cleanup_close int fd = fetch(&from, ctx->net->conns[i]);

		if (fd >= 0)
			tcp_repair_on(fd);
	}
}

/**
 * network_needed - are there connections?
 * @ctx: the run, planned
 *
 * Return: true if so.
 */
bool network_needed(const struct restore_ctx *ctx)
{
	return ctx->net && ctx->net->n;
}

/**
 * network_take - the guardian's part of network_hold()
 * @ctx: the run, as the guardian has it
 */
void network_take(struct restore_ctx *ctx)
{
	cleanup_source struct source from = SOURCE_NONE;
	struct restore_net *net = ctx->net;
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	net->fds = arena_array(ctx->arena, int, net->n);
	for (size_t i = 0; i < net->n; i++)
		net->fds[i] = fetch(&from, net->conns[i]);
	for (size_t i = 0; i < net->n; i++) {
		if (net->fds[i] < 0)
			return;
		if (tcp_repair_is_on(net->fds[i]))
			tcp_repair_off(net->fds[i], false);
		set_reuse(net->fds[i], file_desc_entry(net->conns[i]));
	}
	atomic_store(&ctx->shared->held, true);
}

/**
 * network_hold - every connection out of repair mode, held by the guardian
 * @ctx: the run; the tasks die with us, and connections are held back
 *
 * Return: 0 or -errno, recorded.
 */
int network_hold(struct restore_ctx *ctx)
{
	const uint64_t one = 1, until = restore_now() + HOLD_WAIT_NS;

	if (!network_needed(ctx))
		return 0;
	if (write_all(ctx->ask, &one, sizeof(one)) < 0)
		return fail(ctx->report, "guardian", errno, "ask the guardian process");
	while (!atomic_load(&ctx->shared->held)) {
		if (restore_now() > until || restore_task_ended(ctx->guardian))
			return fail(ctx->report, "guardian", ETIMEDOUT,
				    "the guardian process does not take %zu connections",
				    ctx->net->n);
		usleep(20);
	}
	return 0;
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
	cleanup_source struct source from = SOURCE_NONE;
	struct restore_net *net = ctx->net;
	int ret = net && net->frees ? nftlock_delete(net->journal.table) : 0;

	if (!net)
		return;
	if (ret && ret != -ENOENT)
		log_warn(ctx->report, "table %s of nf_tables cannot be removed: %s",
			 net->journal.table, strerror(-ret));
	let_go_iptables(ctx);
	for (size_t i = 0; i < net->n; i++)
		let_go(ctx, &from, net->conns[i]);
	net_undo_remove(&net->journal);
	atomic_store(&ctx->shared->own_table, false);
}

/**
 * network_rescue - the same by the guardian, when the tool has died
 * @ctx: the run, as the guardian has it
 */
void network_rescue(struct restore_ctx *ctx)
{
	if (!ctx->net)
		return;
	ctx->net->journal.written = atomic_load(&ctx->shared->own_table);
	for (size_t i = 0; ctx->net->fds && i < ctx->net->n; i++) {
		if (!atomic_load(&ctx->shared->committed) && ctx->net->fds[i] >= 0)
			tcp_repair_on(ctx->net->fds[i]);
		close_owned(&ctx->net->fds[i]);
	}
	ctx->net->fds = NULL;
	if (atomic_load(&ctx->shared->committed))
		network_release(ctx);
	else
		network_unlock(ctx);
}
