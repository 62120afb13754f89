/*
 * tcp_hold - the time in which the connections of a tree are held back.
 *
 * Nothing is changed before every blocker is known. Then, in this order: the
 * guardian gets every socket, the journal is written, and the packets of all
 * connections are dropped by one table. One socket after the other enters
 * repair mode, is read, and leaves it: calls on a socket fail meanwhile, so the
 * tasks that have it are made to wait even if the tool dies. If the tree is
 * killed its sockets are in repair mode once more, so that they die without a
 * word to their peers, and the table stays until a restore removes it.
 */
#include "dump/files_tcp.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "dump/files.h"
#include "dump/guardian.h"
#include "model/tcp_conn.h"

static int lock(struct dump_ctx *ctx, struct dump_tcp *t)
{
	struct tcp_tuple *conns;
	size_t n = 0;
	int ret;

	if (ctx->opts->network_lock == NET_LOCK_SKIP)
		return 0;
	conns = arena_array(ctx->arena, struct tcp_tuple, t->n);
	for (size_t i = 0; i < t->n; i++)
		if (tcp_is_connection(file_desc_entry(t->socks[i].d)))
			tcp_tuple_of(file_desc_entry(t->socks[i].d), &conns[n++]);
	if (!n)
		return 0;
	t->locked = true;
	ret = nftlock_set(t->journal.table, conns, n);
	if (!ret)
		return 0;
	t->locked = false;
	return fail(ctx->report, "network-lock", -ret,
		    "table %s of nf_tables, which holds %zu connections back; --network-lock skip "
		    "leaves that to you",
		    t->journal.table, n);
}

static int fail_conn(struct dump_ctx *ctx, const struct tcp_sock *s, int err, const char *what)
{
	return fail(ctx->report, "tcp-repair", -err, "pid %d fd %d: TCP connection, %s: %s",
		    s->undo.pid, s->undo.num, tcp_addr_text(ctx, file_desc_entry(s->d)), what);
}

static void to_stream(const struct tcp_repair_state *st, TcpStreamEntry *s)
{
	tcp_stream_entry__init(s);
	s->inq_len = st->inq_len;
	s->inq_seq = st->inq_seq;
	s->outq_len = st->outq_len;
	s->outq_seq = st->outq_seq;
	s->opt_mask = st->opt_mask;
	s->snd_wscale = st->snd_wscale;
	s->mss_clamp = st->mss_clamp;
	s->has_unsq_len = 1;
	s->unsq_len = st->unsq_len;
	if (st->opt_mask & TCPI_OPT_WSCALE) {
		s->has_rcv_wscale = 1;
		s->rcv_wscale = st->rcv_wscale;
	}
	if (st->opt_mask & TCPI_OPT_TIMESTAMPS) {
		s->has_timestamp = 1;
		s->timestamp = st->timestamp;
	}
	s->has_snd_wl1 = s->has_snd_wnd = s->has_max_window = s->has_rcv_wnd = s->has_rcv_wup = 1;
	s->snd_wl1 = st->snd_wl1;
	s->snd_wnd = st->snd_wnd;
	s->max_window = st->max_window;
	s->rcv_wnd = st->rcv_wnd;
	s->rcv_wup = st->rcv_wup;
}

static int write_stream(struct dump_ctx *ctx, const InetSkEntry *e, const TcpStreamEntry *s)
{
	struct image_writer *w;
	int ret = image_create(&w, ctx->images, IMAGE_TCP_STREAM, e->ino), end;

	if (ret)
		return ret;
	ret = image_put(w, &s->base);
	if (!ret && s->inq_len + s->outq_len)
		ret = image_put_raw(w, ctx->tcp->buf, s->inq_len + s->outq_len);
	end = image_finish(&w);
	return ret ? ret : end;
}

/* A program's own peek offset would apply to our peeking. */
static int read_queues(struct dump_tcp *t, struct tcp_sock *s, const struct tcp_repair_state *st)
{
	const size_t need = (size_t)st->inq_len + st->outq_len;
	int ret;

	if (!t->buf || need > t->room) {
		t->room = need + need / 2 + 1;
		free(t->buf);
		t->buf = malloc(t->room);
		if (!t->buf)
			abort();
	}
	ret = tcp_repair_peek(s->undo.fd, TCP_QUEUE_RECV, t->buf, st->inq_len);
	return ret ? ret
		   : tcp_repair_peek(s->undo.fd, TCP_QUEUE_SEND, t->buf + st->inq_len,
				     st->outq_len);
}

/* Until net_undo_release() calls of the tree on this socket would fail. */
static int read_repaired(struct dump_ctx *ctx, struct dump_tcp *t, struct tcp_sock *s)
{
	InetSkEntry *e = (InetSkEntry *)s->d->msg;
	struct tcp_repair_state st;
	TcpStreamEntry stream;
	int ret = tcp_repair_on(s->undo.fd), end;

	if (ret)
		return fail_conn(ctx, s, ret, "enter repair mode");
	net_undo_no_peek(&s->undo);
	ret = tcp_repair_get(s->undo.fd, &st);
	if (!ret)
		ret = read_queues(t, s, &st);
	end = net_undo_release(&s->undo);
	if (end < 0)
		return fail_conn(ctx, s, end, "leave repair mode");
	if (ret)
		return fail_conn(ctx, s, ret, "read its state and queues");
	if (tcp_urgent(s->undo.fd, e))
		return fail(ctx->report, "tcp-urgent", EOPNOTSUPP,
			    "pid %d fd %d: TCP connection, %s: an urgent byte (MSG_OOB) has come",
			    s->undo.pid, s->undo.num, tcp_addr_text(ctx, e));
	/* The peer may have gone on until it was held back. */
	if (st.state != e->state) {
		e->state = st.state;
		e->has_shutdown = e->has_reset = 0;
		tcp_describe_shutdown(s->undo.fd, e);
	}
	to_stream(&st, &stream);
	if (e->tcp_opts && e->tcp_opts->cork)
		stream.has_cork = stream.cork = 1;
	if (e->tcp_opts && e->tcp_opts->nodelay)
		stream.has_nodelay = stream.nodelay = 1;
	return write_stream(ctx, e, &stream);
}

/* Every task that has one of the sockets, whoever it was found in. */
static void note_holders(struct dump_ctx *ctx, struct dump_tcp *t)
{
	const struct fdinfo_list_entry *fle;
	struct idmap tables = { 0 };
	struct pstree_item *it;

	for (size_t i = 0; i < t->n; i++)
		list_for_each(fle, &t->socks[i].d->fles, of_desc)
			idmap_put(&tables, fle->fdt->id, fle->fdt);
	list_for_each(it, &ctx->tree->items, list) {
		bool has = it->fdt && idmap_get(&tables, it->fdt->id);

		for (size_t i = 0; i < it->nr_threads && !has; i++)
			has = it->threads[i].fdt && idmap_get(&tables, it->threads[i].fdt->id);
		if (item_alive(it) && has)
			arena_push(ctx->arena, t->hold.items, t->hold.n) = it;
	}
	idmap_free(&tables);
}

static int begin_undo(struct dump_ctx *ctx, struct dump_tcp *t)
{
	struct pstree_item *it;
	int ret;

	ids_inventory(ctx);
	ctx->tree->inventory->network_lock_method =
		ctx->opts->network_lock == NET_LOCK_SKIP ? NET_LOCK_SKIP : NET_LOCK_NFTABLES;
	tcp_lock_table(ctx->tree->inventory, t->journal.table);
	t->journal.images_fd = ctx->opts->images_fd;
	t->journal.guardian = ctx->guardian ? ctx->guardian->pid : 0;
	for (size_t i = 0; i < t->n; i++)
		arena_push(ctx->arena, t->journal.socks, t->journal.nr_socks) = &t->socks[i].undo;
	list_for_each(it, &ctx->tree->items, list)
		if (item_alive(it))
			arena_push(ctx->arena, t->journal.tasks, t->journal.nr_tasks) = it->pid;
	ret = dump_guardian_sockets(ctx, &t->journal);
	if (!ret && net_undo_write(&t->journal) < 0)
		log_warn(ctx->report,
			 "no journal below %s: what is set is taken back by the "
			 "guardian process alone",
			 NET_UNDO_DIR);
	return ret;
}

/**
 * tcp_hold - hold all connections back and read them
 * @ctx: the dump; all stands still, no blocker is known
 *
 * Return: 0 or -errno recorded; tcp_let_go() undoes it.
 */
int tcp_hold(struct dump_ctx *ctx)
{
	struct dump_tcp *t = ctx->tcp;
	int ret;

	if (!t || !t->n)
		return 0;
	note_holders(ctx, t);
	ret = begin_undo(ctx, t);
	if (!ret)
		ret = lock(ctx, t);
	for (size_t i = 0; i < t->n && !ret; i++) {
		ret = dump_hold(ctx, &t->hold);
		if (!ret)
			ret = read_repaired(ctx, t, &t->socks[i]);
	}
	free(t->buf);
	t->buf = NULL;
	t->room = 0;
	return ret;
}

/**
 * tcp_kept - the tree is about to be killed: its connections stay held back
 * @ctx: the dump; its images are complete
 */
void tcp_kept(struct dump_ctx *ctx)
{
	if (!ctx->tcp || !ctx->tcp->n)
		return;
	for (size_t i = 0; i < ctx->tcp->n; i++)
		tcp_repair_on(ctx->tcp->socks[i].undo.fd);
	ctx->tcp->kept = true;
}

/**
 * tcp_let_go - connections as they were, unless the tree was killed
 * @ctx: the dump; a second call does nothing
 */
void tcp_let_go(struct dump_ctx *ctx)
{
	struct dump_tcp *t = ctx->tcp;
	int ret = 0;

	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++) {
		if (!t->kept)
			net_undo_release(&t->socks[i].undo);
		close_owned(&t->socks[i].undo.fd);
	}
	if (t->locked && !t->kept)
		ret = nftlock_delete(t->journal.table);
	if (ret)
		log_warn(ctx->report, "table %s of nf_tables cannot be removed: %s",
			 t->journal.table, strerror(-ret));
	else
		net_undo_remove(&t->journal);
	if (!t->kept)
		dump_guardian_released(ctx);
	t->n = 0;
	ctx->tcp = NULL;
}
