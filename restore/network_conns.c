/*
 * network_conns - the sockets of connections from the end of their making to
 * the moment in which the tree runs. It is the guardian who takes them out of
 * repair mode, and keeps them: if the tool dies before the commit it puts them
 * in again before the last of them is closed, so that the peers hear nothing.
 * A table of our own goes then, that of the dump stays. After the commit tool
 * and guardian ask the peers together, and the guardian does what is left.
 */
#include "restore/engine.h"
#include "restore/network_priv.h"

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
#include "model/tcp_conn.h"

#define HOLD_WAIT_NS 10000000000ull

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

/*
 * An answer may end these two in TIME_WAIT, which would keep the port from
 * others for a minute, as SO_REUSEADDR is off in that moment.
 */
static bool ends_soon(uint32_t state)
{
	return state == TCP_FIN_WAIT2 || state == TCP_CLOSING;
}

static void let_go(struct restore_ctx *ctx, struct source *from, size_t i)
{
	const struct restore_net *net = ctx->net;
	const struct file_desc *d = net->conns[i];
	cleanup_close int fetched = net->fds ? -1 : fetch(from, d);
	const int fd = net->fds ? net->fds[i] : fetched;
	const InetSkEntry *e = file_desc_entry(d);
	const bool asks = !ends_soon(e->state);
	int ret;

	if (fd < 0) {
		log_warn(ctx->report, "file %#x: its connection cannot be let go", d->id);
		return;
	}
	/* Out of repair mode or not, this makes the kernel ask the peer. */
	ret = asks || tcp_repair_is_on(fd) ? tcp_repair_off(fd, asks) : 0;
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
		let_go(ctx, &from, i);
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

static void take(struct restore_ctx *ctx)
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
		tcp_repair_off(net->fds[i], false);
		set_reuse(net->fds[i], file_desc_entry(net->conns[i]));
	}
	atomic_store(&ctx->shared->held, true);
}

/* Each of us takes the next one until there is none left. */
static void share_out(struct restore_ctx *ctx)
{
	cleanup_source struct source from = SOURCE_NONE;
	struct restore_shared *shared = ctx->shared;
	size_t i;

	while ((i = atomic_fetch_add(&shared->next_conn, 1)) < ctx->net->n) {
		let_go(ctx, &from, i);
		atomic_fetch_add(&shared->conns_free, 1);
	}
}

/**
 * network_asked - the guardian's part of network_hold(), then of network_open()
 * @ctx: the run, as the guardian has it
 */
void network_asked(struct restore_ctx *ctx)
{
	if (!ctx->net->fds)
		take(ctx);
	else
		share_out(ctx);
}

static int ask(struct restore_ctx *ctx)
{
	const uint64_t one = 1;

	return write_all(ctx->ask, &one, sizeof(one)) < 0 ? -errno : 0;
}

/* It takes microseconds, but for a guardian that somebody has stopped. */
static bool gives_up(struct restore_ctx *ctx, uint64_t until)
{
	return restore_now() > until || restore_task_ended(ctx->guardian) || usleep(20) < 0;
}

/**
 * network_hold - every connection out of repair mode, held by the guardian
 * @ctx: the run; the tasks die with us, and connections are held back
 *
 * Return: 0 or -errno, recorded.
 */
int network_hold(struct restore_ctx *ctx)
{
	const uint64_t until = restore_now() + HOLD_WAIT_NS;
	int ret = network_needed(ctx) ? ask(ctx) : 0;

	if (ret)
		return fail(ctx->report, "guardian", -ret, "ask the guardian process");
	while (network_needed(ctx) && !atomic_load(&ctx->shared->held))
		if (gives_up(ctx, until))
			return fail(ctx->report, "guardian", ETIMEDOUT,
				    "the guardian process does not take %zu connections",
				    ctx->net->n);
	return 0;
}

/**
 * network_open - the connections go on
 * @ctx: the run, or as the guardian has it; committed, nothing holds them back
 *
 * The guardian, where it has them, does its share.
 */
void network_open(struct restore_ctx *ctx)
{
	const uint64_t until = restore_now() + HOLD_WAIT_NS;
	struct restore_shared *shared = ctx->shared;
	cleanup_source struct source from = SOURCE_NONE;

	if (atomic_load(&shared->held) && !ctx->net->fds)
		ask(ctx);
	share_out(ctx);
	while (atomic_load(&shared->conns_free) < ctx->net->n) {
		if (!gives_up(ctx, until))
			continue;
		/* It is not known which one it had. */
		for (size_t i = 0; i < ctx->net->n; i++)
			let_go(ctx, &from, i);
		return;
	}
}

/**
 * network_rescue - the guardian does what is left, when the tool has died
 * @ctx: the run, as the guardian has it
 */
void network_rescue(struct restore_ctx *ctx)
{
	const bool committed = atomic_load(&ctx->shared->committed);
	struct restore_net *net = ctx->net;

	if (!net)
		return;
	net->journal.written = atomic_load(&ctx->shared->own_table);
	if (committed) {
		atomic_store(&ctx->shared->next_conn, 0);
		network_release(ctx);
	}
	for (size_t i = 0; net->fds && i < net->n; i++) {
		if (!committed && net->fds[i] >= 0)
			tcp_repair_on(net->fds[i]);
		close_owned(&net->fds[i]);
	}
	net->fds = NULL;
	if (!committed)
		network_unlock(ctx);
}
