/*
 * transport - descriptors between the processes of a restore. Every table
 * that receives has an inbox: a datagram socket pair made before the first
 * fork, which nobody outside can reach. Sending never blocks; what does not
 * fit waits while the sender goes on with its own work, so two processes that
 * send to each other cannot stand still.
 *
 * A message says which file goes to which number, and who sends it. The
 * receiver takes it only if its plan says the same.
 */
#include "restore/engine_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "lib/fdpass.h"

struct fd_message {
	int32_t sender; /* pid */
	uint32_t n;
	struct fd_address {
		uint32_t id; /* of the file */
		int32_t fd;  /* in the receiver's table */
	} to[FD_MSG_MAX];
};

static size_t message_size(size_t n)
{
	return offsetof(struct fd_message, to) + n * sizeof(struct fd_address);
}

/* Above every table if possible, so that no task has to move it. */
static void raise_fd(int *fd, int top)
{
	int up = fcntl(*fd, F_DUPFD_CLOEXEC, top);

	if (up < 0)
		return;
	close(*fd);
	*fd = up;
}

/**
 * transport_open - make the inboxes; before any fork
 * @e: the engine, its tables planned
 *
 * Return: 0 or -errno, recorded.
 */
int transport_open(struct restore_engine *e)
{
	int top = 0;

	for (size_t i = 0; i < e->nr_tables; i++)
		if (e->tables[i].base > top)
			top = e->tables[i].base;
	e->dirty = arena_array(e->ctx->arena, struct engine_table *, e->nr_tables);
	for (size_t i = 0; i < e->nr_tables; i++) {
		struct engine_table *t = &e->tables[i];
		int sk[2];

		if (!t->receives)
			continue;
		if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, sk) < 0)
			return fail(e->ctx->report, "fd-inbox", errno, "make the inbox of pid %d",
				    filedesc_pid(t->fdt));
		raise_fd(&sk[0], top);
		raise_fd(&sk[1], top);
		t->rx = sk[0];
		t->tx = sk[1];
		engine_service(e->ctx, &t->rx);
		engine_service(e->ctx, &t->tx);
	}
	return 0;
}

/**
 * transport_post - a file of this process is to be sent
 * @e: the engine
 * @fle: where it goes; the file's master is here and open
 */
void transport_post(struct restore_engine *e, struct fdinfo_list_entry *fle)
{
	struct engine_table *t = fle->fdt->engine;

	if (t->sent == t->n_out) {
		e->dirty[e->nr_dirty++] = t;
		t->sent = t->n_out = 0;
		t->out = NULL;
	}
	arena_push(e->ctx->arena, t->out, t->n_out) = fle;
}

/* No memory, or too many on their way: both pass as the receivers go on. */
static bool no_room(int ret)
{
	return ret == -EAGAIN || ret == -ENOBUFS || ret == -ENOMEM || ret == -ETOOMANYREFS;
}

/* One message. 0, -EAGAIN, or another -errno that was recorded. */
static int send_some(struct restore_engine *e, struct engine_table *t)
{
	struct fd_message m = { .sender = e->me->pid };
	int fds[FD_MSG_MAX], ret;

	while (m.n < e->batch && t->sent + m.n < t->n_out) {
		const struct fdinfo_list_entry *fle = t->out[t->sent + m.n];

		m.to[m.n] = (struct fd_address){ fle->desc->id, fle->fd };
		fds[m.n++] = file_master(fle->desc)->fd;
	}
	ret = fd_send_msg(t->tx, &m, message_size(m.n), fds, m.n, MSG_DONTWAIT);
	if (no_room(ret)) {
		/* Whoever takes a message from now on wakes us; one may have done so just now. */
		atomic_store(&e->shared->starving, 1);
		ret = fd_send_msg(t->tx, &m, message_size(m.n), fds, m.n, MSG_DONTWAIT);
	}
	if (no_room(ret))
		return -EAGAIN;
	if (ret)
		return fail(e->ctx->report, "fd-send", -ret, "pid %d: send %u files to pid %d",
			    e->me->pid, m.n, filedesc_pid(t->fdt));
	t->sent += m.n;
	e->wake |= table_bit(t);
	return 0;
}

/**
 * transport_flush - send what was posted, as far as it goes without waiting
 * @e: the engine
 * @left: whether something could not be sent yet
 *
 * Return: 0 or -errno, recorded.
 */
int transport_flush(struct restore_engine *e, bool *left)
{
	size_t keep = 0;

	for (size_t i = 0; i < e->nr_dirty; i++) {
		struct engine_table *t = e->dirty[i];
		int ret = 0;

		while (!ret && t->sent < t->n_out) {
			ret = send_some(e, t);
			e->progress |= !ret;
		}
		if (ret == -EAGAIN)
			e->dirty[keep++] = t;
		else if (ret)
			return ret;
	}
	e->nr_dirty = keep;
	*left = keep > 0;
	return 0;
}

/* The fle that a message means, if the plan has it so. */
static struct fdinfo_list_entry *expected(struct restore_engine *e, const struct fd_message *m,
					  size_t i)
{
	struct fdinfo_list_entry *fle = engine_table_find(e->my, m->to[i].fd), *master;

	if (!fle || fle->desc->id != m->to[i].id || fle_get_stage(e, fle) != FLE_INITIALIZED)
		return NULL;
	master = file_master(fle->desc);
	return master->fdt != fle->fdt && master->fdt->owner->pid == m->sender ? fle : NULL;
}

/* The same file at all numbers that this table has for it: they follow each other. */
static int plant_slaves(struct restore_engine *e, struct fdinfo_list_entry *fle, int fd)
{
	const struct list_head *end = &fle->desc->fles;

	for (;;) {
		int ret = engine_plant(e, fle, fd);

		if (ret)
			return ret;
		fle_set_stage(e, fle, FLE_RESTORED);
		e->slaves_left--;
		if (fle->of_desc.next == end)
			return 0;
		fle = container_of(fle->of_desc.next, struct fdinfo_list_entry, of_desc);
		if (fle->fdt != e->my->fdt)
			return 0;
	}
}

static int take_message(struct restore_engine *e, const struct fd_message *m, size_t len, int *fds,
			size_t n)
{
	int ret = 0;

	if (len < message_size(0) || m->n != n || !n || len != message_size(n))
		ret = fail(e->ctx->report, "fd-message", EPROTO,
			   "pid %d: a message of %zu bytes with %zu descriptors", e->me->pid, len,
			   n);
	for (size_t i = 0; i < n; i++) {
		struct fdinfo_list_entry *fle = ret ? NULL : expected(e, m, i);

		if (fle)
			ret = plant_slaves(e, fle, fds[i]);
		else if (!ret)
			ret = fail(e->ctx->report, "fd-message", EPROTO,
				   "pid %d: file id %#x from pid %d is not for descriptor %d",
				   e->me->pid, m->to[i].id, m->sender, m->to[i].fd);
		close(fds[i]);
	}
	return ret;
}

/**
 * transport_drain - take everything out of this process's inbox
 * @e: the engine
 *
 * Return: 0 or -errno, recorded.
 */
int transport_drain(struct restore_engine *e)
{
	struct fd_message m;
	int fds[FD_MSG_MAX];

	while (e->my->rx >= 0) {
		size_t n, len = 0;
		int ret = fd_recv_msg(e->my->rx, &m, sizeof(m), &len, fds, FD_MSG_MAX, &n,
				      MSG_DONTWAIT);

		if (ret == -EAGAIN)
			return 0;
		if (ret) {
			for (size_t i = 0; i < n; i++)
				close(fds[i]);
			return fail(e->ctx->report, "fd-receive", -ret,
				    "pid %d: receive files from other processes", e->me->pid);
		}
		if (atomic_load(&e->shared->starving) && atomic_exchange(&e->shared->starving, 0))
			e->wake = UINT32_MAX;
		ret = take_message(e, &m, len, fds, n);
		if (ret)
			return ret;
	}
	return 0;
}
