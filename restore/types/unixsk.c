/*
 * unixsk - restore of Unix sockets. What is connected is made in pairs in one
 * process, or through a listening socket by those that had done so. A
 * descriptor is given as soon as it exists, since it may be in flight
 * somewhere; a queue is filled by the other end when what is in flight there is
 * open; options and shutdowns come last. The other half is dump/types/unixsk.c.
 */
#include "restore/files_sock.h"
#include "restore/files_unix.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"

static int unixsk_check(struct pstree *t, struct file_desc *d)
{
	return unix_check_node(d);
}

static int shut(struct file_desc *d, int fd)
{
	const UnixSkEntry *e = unix_entry(d);

	if (e->has_shutdown && e->shutdown && shutdown(fd, (int)e->shutdown - 1) < 0 &&
	    errno != ENOTCONN)
		return file_fail(d, errno, "shutdown()");
	return 0;
}

static int pair_fd(const struct unix_pair *p, int i)
{
	return p->fds[i] >= 0 || !p->d[i] ? p->fds[i] : file_fd(p->d[i]);
}

/* Queues, options and shutdowns of both ends; the end that is closed goes. */
static int settle_pair(struct unix_pair *p)
{
	int fds[2] = { pair_fd(p, 0), pair_fd(p, 1) };

	p->settled = true;
	for (int i = 0; i < 2; i++)
		if (p->d[i] && unix_feed(p->d[i], fds[!i]) < 0)
			return -1;
	for (int i = 0; i < 2; i++)
		if (p->d[i] && sock_restore_opts(p->d[i], fds[i], unix_entry(p->d[i])->opts) < 0)
			return -1;
	for (int i = 0; i < 2; i++)
		if (p->d[i] && shut(p->d[i], fds[i]) < 0)
			return -1;
	if (!p->d[1]) {
		close_owned(&p->fds[1]);
		p->fds[1] = -1;
	}
	return 0;
}

static bool pair_ready(const struct unix_pair *p)
{
	return unix_others_here(p->d[0]) && (!p->d[1] || unix_others_here(p->d[1]));
}

/* Connects a datagram socket, as the last step. */
static int connect_to(struct file_desc *d)
{
	struct file_desc *to = unix_priv(d)->to;
	int ret;

	if (!to)
		return 0;
	if (!file_stage_reached(to, FLE_OPEN))
		return 1;
	ret = unix_connect(d, file_fd(d), to);
	if (ret)
		return ret;
	atomic_fetch_sub(&unix_priv(to)->sh->callers, 1);
	engine_progress(d->tree);
	return 0;
}

static int open_pair(struct file_desc *d, int *new_fd)
{
	struct unixsk_priv *p = unix_priv(d);
	const UnixSkEntry *e = unix_entry(d);
	struct unix_pair *pair = p->pair;

	if (!pair->made && unix_pair_make(pair) < 0)
		return -1;
	if (!pair->settled && pair_ready(pair) && settle_pair(pair) < 0)
		return -1;
	if (pair->fds[p->end] >= 0) {
		if (file_params(d, pair->fds[p->end], e->flags, e->fown) < 0)
			return -1;
		*new_fd = take_fd(&pair->fds[p->end]);
		return pair->settled && !p->to ? 0 : 1;
	}
	return pair->settled ? connect_to(d) : 1;
}

/* The descriptor of a socket that begins alone. */
static int open_alone(struct file_desc *d, int *new_fd)
{
	const UnixSkEntry *e = unix_entry(d);
	struct unixsk_priv *p = unix_priv(d);
	cleanup_close int fd =
		socket(AF_UNIX, (int)(e->type & 0xf) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return file_fail(d, errno, "socket()");
	if (unix_bind(d, fd) < 0)
		return -1;
	if (p->name && p->name->listener == d) {
		if (unix_listen(d, fd, SOMAXCONN) < 0)
			return -1;
		atomic_store(&p->sh->bound, true);
		atomic_store(&p->sh->served, !p->name->left);
	}
	*new_fd = take_fd(&fd);
	return 1;
}

/*
 * Somebody was connected to it who is gone, as a client of a syslog: the kernel counts that as
 * connected, too. A node that does not let us in stays without.
 */
static void be_called(struct file_desc *d)
{
	struct unix_address a = { .dir = -1 };
	cleanup_close int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && unix_address(d, d, &a) == 0)
		(void)connect(fd, (struct sockaddr *)&a.addr, a.len);
	close_owned(&a.dir);
}

/* The last touches; flags only now, since until here it does not block. */
static int end_alone(struct file_desc *d)
{
	const UnixSkEntry *e = unix_entry(d);
	int fd = file_fd(d);

	if (sock_restore_opts(d, fd, e->opts) < 0 || shut(d, fd) < 0)
		return -1;
	return file_params(d, fd, e->flags, e->fown);
}

static int open_single(struct file_desc *d, int *new_fd)
{
	const UnixSkEntry *e = unix_entry(d);
	struct unixsk_priv *p = unix_priv(d);
	int ret;

	if (file_fd(d) < 0)
		return open_alone(d, new_fd);
	if (p->name && p->name->listener == d) {
		ret = unix_name_serve(p->name);
		if (ret)
			return ret;
		/* Those that wait to be accepted have their turns. */
		if (atomic_load(&p->sh->turn) < p->turn)
			return 1;
		if (unix_listen(d, file_fd(d), (int)e->backlog) < 0)
			return -1;
	}
	if (!atomic_load(&p->sh->filled)) {
		if (!unix_others_here(d))
			return 1;
		if (unix_feed_named(d) < 0)
			return -1;
	}
	ret = connect_to(d);
	if (ret)
		return ret;
	if (e->type == SOCK_DGRAM && e->state == TCP_ESTABLISHED && !p->to && e->name.len)
		be_called(d);
	return end_alone(d);
}

/* What the two ends of a connection have in common, each in its process. */
static int end_connected(struct file_desc *d)
{
	struct unixsk_priv *p = unix_priv(d);
	struct file_desc *other = p->pair->d[!p->end], *feeds = other ? other : d;
	int through = other ? file_fd(d) : p->pair->fds[!p->end];

	if (!atomic_load(&unix_priv(feeds)->sh->filled)) {
		if (!unix_others_here(feeds))
			return 1;
		if (unix_feed(feeds, through) < 0)
			return -1;
		engine_progress(d->tree);
	}
	if (!other) {
		close_owned(&p->pair->fds[!p->end]);
		p->pair->fds[!p->end] = -1;
	} else if (!atomic_load(&p->sh->filled)) {
		file_stage_reached(other, FLE_RESTORED);
		return 1;
	}
	return end_alone(d);
}

static int open_accepted(struct file_desc *d, int *new_fd)
{
	struct unixsk_priv *p = unix_priv(d);
	struct unix_pair *pair = p->pair;

	if (file_fd(d) >= 0)
		return end_connected(d);
	if (unix_name_lend(p->name) < 0)
		return -1;
	if (!atomic_load(&p->name->sh->bound)) {
		file_stage_reached(p->name->first, FLE_OPEN);
		return 1;
	}
	if (!pair->made && unix_name_serve(p->name) < 0)
		return -1;
	if (!pair->made) {
		if (pair->d[!p->end])
			file_stage_reached(pair->d[!p->end], FLE_RESTORED);
		return 1;
	}
	*new_fd = take_fd(&pair->fds[p->end]);
	return 1;
}

static int open_client(struct file_desc *d, int *new_fd)
{
	struct unixsk_priv *p = unix_priv(d);
	int ret;

	if (file_fd(d) < 0)
		return open_alone(d, new_fd);
	if (!p->connected) {
		ret = p->role == UNIX_WAITING ? unix_wait_turn(d, file_fd(d))
					      : unix_knock(p->pair, file_fd(d));
		if (ret)
			return ret;
		p->connected = true;
	}
	return p->role == UNIX_WAITING ? end_alone(d) : end_connected(d);
}

static int open_by_role(struct file_desc *d, int *new_fd)
{
	switch (unix_priv(d)->role) {
	case UNIX_PAIR:
		return open_pair(d, new_fd);
	case UNIX_ACCEPTED:
		return open_accepted(d, new_fd);
	case UNIX_CLIENT:
	case UNIX_WAITING:
		return open_client(d, new_fd);
	default:
		return open_single(d, new_fd);
	}
}

/* Whoever connects to a name that was deleted goes through the node that is open here till then. */
static bool has_callers(const struct file_desc *d)
{
	const struct unix_shared *sh = unix_priv(d)->sh;

	return atomic_load(&sh->node_fd) >= 0 && atomic_load(&sh->callers) > 0;
}

static int unixsk_open(struct file_desc *d, int *new_fd)
{
	struct unixsk_priv *p = unix_priv(d);
	int ret;

	if (!p->done) {
		ret = open_by_role(d, new_fd);
		if (ret)
			return ret;
		p->done = true;
	}
	return has_callers(d) ? 1 : 0;
}

static bool unixsk_key(struct pstree *t, const struct file_desc *d, char *buf, size_t size)
{
	const UnixSkEntry *e = file_desc_entry(d);

	(void)t;
	snprintf(buf, size, "socket:[%u]", e->ino);
	return true;
}

const struct file_desc_ops unixsk_desc_ops = {
	.open = unixsk_open,
	.key = unixsk_key,
	.place = unix_place,
	.check = unixsk_check,
	.priv_size = sizeof(struct unixsk_priv),
};
