/*
 * unixsk - restore of Unix sockets. Connected ones are made in pairs in one
 * process; a listening socket is ready after the connections that were
 * accepted under its name exist; a datagram socket connects when its peer is there.
 * The other half is dump/types/unixsk.c.
 */
#include "restore/files_sock.h"
#include "restore/files_unix.h"

#include <errno.h>
#include <stdio.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/fd.h"
#include "proto/sk-packet.pb-c.h"

/* A message that was not read yet. */
struct packet {
	struct packet *next;
	const char *data;
	size_t len;
};

struct unixsk_priv {
	struct unix_pair *pair;
	int end;                /* which end of it */
	struct unix_name *name; /* of a listening socket */
	struct file_desc *to;   /* datagram: whom to connect to */
	struct packet *queue, **last;
	bool open;
};

static const UnixSkEntry *entry(const struct file_desc *d)
{
	return file_desc_entry(d);
}

static int each_packet(const struct pstree *t, struct image_reader *r, const ProtobufCMessage *m)
{
	const SkPacketEntry *e = (const SkPacketEntry *)m;
	struct file_desc *d = file_desc_find(t, e->id_for);
	struct unixsk_priv *p;
	struct packet *k;
	char *data = NULL;
	int ret;

	if (e->length <= image_rest(r))
		data = arena_alloc(t->arena, e->length + 1);
	ret = image_get_raw(r, data, e->length);
	if (ret)
		return ret;
	if (!d || d->kind != FILE_KIND_unixsk)
		return fail(t->report, "image-queue", EBADMSG,
			    "sk-queues.img: file %#x is no Unix socket of the image", e->id_for);
	if (e->n_scm)
		return fail(t->report, "unix-rights", EOPNOTSUPP,
			    "sk-queues.img: descriptors queued to file %#x are not supported by "
			    "this version",
			    e->id_for);
	p = file_desc_priv(d);
	k = arena_new_of(t->arena, struct packet);
	*k = (struct packet){ .data = data, .len = e->length };
	if (!p->last)
		p->last = &p->queue;
	*p->last = k;
	p->last = &k->next;
	return 0;
}

static struct unix_name *name_of(struct pstree *t, const UnixSkEntry *e)
{
	/* The lowest bit tells names from inodes, which are 32 bits long. */
	uint64_t key = XXH3_64bits(e->name.data, e->name.len) | 1ull << 63;
	struct unix_name *n = rfile_seen(t, FILE_KIND_unixsk, key);

	if (!n) {
		n = arena_new_of(t->arena, struct unix_name);
		n->fd = -1;
		rfile_see(t, FILE_KIND_unixsk, key, n);
	}
	return n;
}

/* Everything that is looked up by others: once, at the first prepare(). */
static int index_all(struct pstree *t)
{
	struct file_desc *d;

	list_for_each(d, &t->files.descs, list) {
		if (d->kind != FILE_KIND_unixsk)
			continue;
		rfile_see(t, FILE_KIND_unixsk, entry(d)->ino, d);
		if (entry(d)->state == TCP_LISTEN && entry(d)->name.len) {
			struct unix_name *n = name_of(t, entry(d));

			n->listener = d;
			n->maker = engine_master(d);
			((struct unixsk_priv *)file_desc_priv(d))->name = n;
		}
	}
	return file_side_load(t, IMAGE_SK_QUEUES, &sk_packet_entry__descriptor, each_packet);
}

/* Which end was accepted: the one with the name of a listening socket, or the only one named. */
static void find_accepted(struct pstree *t, struct unix_pair *p)
{
	bool named[2] = { entry(p->d[0])->name.len, p->d[1] && entry(p->d[1])->name.len };

	if (entry(p->d[0])->type == SOCK_DGRAM || (!named[0] && !named[1]))
		return;
	p->accepted = !named[0];
	if (named[0] && named[1] && !name_of(t, entry(p->d[0]))->listener)
		p->accepted = name_of(t, entry(p->d[1]))->listener != NULL;
	p->name = name_of(t, entry(p->d[p->accepted]));
	p->name->left++;
}

static int force_here(struct pstree *t, struct file_desc *d, struct pstree_item *who)
{
	struct fdinfo_list_entry *fle = engine_need(t, d, who);

	if (!fle) {
		file_fail(d, ESRCH, "no task can make its connection");
		return -ESRCH;
	}
	engine_force_master(fle);
	return 0;
}

static int prepare_pair(struct pstree *t, struct file_desc *d, struct file_desc *peer)
{
	struct unix_pair *p = arena_new_of(t->arena, struct unix_pair);
	struct pstree_item *who = engine_master(d);
	int ret = 0;

	*p = (struct unix_pair){ .d = { d, peer }, .fds = { -1, -1 } };
	find_accepted(t, p);
	if (p->name && !p->name->maker)
		p->name->maker = who;
	if (p->name)
		who = p->name->maker;
	for (int i = 0; i < 2 && !ret; i++) {
		struct unixsk_priv *priv = p->d[i] ? file_desc_priv(p->d[i]) : NULL;

		if (!priv)
			continue;
		priv->pair = p;
		priv->end = i;
		ret = force_here(t, p->d[i], who);
	}
	return ret;
}

static int unixsk_prepare(struct pstree *t, struct file_desc *d)
{
	const UnixSkEntry *e = entry(d);
	struct unixsk_priv *p = file_desc_priv(d);
	struct file_desc *peer;
	int ret = rfile_seen(t, FILE_KIND_unixsk, e->ino) ? 0 : index_all(t);

	if (ret || list_empty(&d->fles) || p->pair)
		return ret;
	peer = e->peer ? rfile_seen(t, FILE_KIND_unixsk, e->peer) : NULL;
	if (e->peer && (!peer || entry(peer)->type != e->type || list_empty(&peer->fles))) {
		file_fail(d, ENOTCONN, "its peer, socket %u, is not in the image", e->peer);
		return -ENOTCONN;
	}
	if (peer && peer != d && entry(peer)->peer == e->ino)
		return prepare_pair(t, d, peer);
	if (e->type == SOCK_DGRAM) {
		p->to = peer;
		/* A node without a name is known to the process that has bound it. */
		if (peer && entry(peer)->name.len && entry(peer)->has_deleted &&
		    entry(peer)->deleted)
			return force_here(t, d, engine_master(peer));
		if (!peer || entry(peer)->name.len)
			return 0;
		file_fail(d, EOPNOTSUPP, "its peer, socket %u, has no name to connect to", e->peer);
		return -EOPNOTSUPP;
	}
	if (e->state == TCP_ESTABLISHED)
		return prepare_pair(t, d, NULL);
	return 0;
}

static int unixsk_check(struct pstree *t, struct file_desc *d)
{
	return unix_check_node(d);
}

/* Into the queue of @d, through the socket at the other end. */
static int fill_queue(struct file_desc *d, int through)
{
	const struct unixsk_priv *p = file_desc_priv(d);

	for (const struct packet *k = p->queue; k; k = k->next) {
		size_t done = 0;

		while (done < k->len) {
			ssize_t n = send(through, k->data + done, k->len - done,
					 MSG_DONTWAIT | MSG_NOSIGNAL);

			if (n < 0)
				return file_fail(d, errno, "put %zu bytes into its queue", k->len);
			done += (size_t)n;
		}
	}
	return 0;
}

static int shut(struct file_desc *d, int fd)
{
	const UnixSkEntry *e = entry(d);

	if (e->has_shutdown && e->shutdown && shutdown(fd, (int)e->shutdown - 1) < 0 &&
	    errno != ENOTCONN)
		return file_fail(d, errno, "shutdown()");
	return 0;
}

/* Both ends, with what is in them; each description takes its own later. */
static int make_pair(struct unix_pair *p)
{
	if (unix_pair_make(p) < 0)
		return -1;
	for (int i = 0; i < 2; i++)
		if (p->d[i] && sock_restore_opts(p->d[i], p->fds[i], entry(p->d[i])->opts) < 0)
			return -1;
	for (int i = 0; i < 2; i++)
		if (p->d[i] && fill_queue(p->d[i], p->fds[!i]) < 0)
			return -1;
	for (int i = 0; i < 2; i++)
		if (p->d[i] && shut(p->d[i], p->fds[i]) < 0)
			return -1;
	if (!p->d[1])
		close_owned(&p->fds[1]);
	return 0;
}

static int open_pair_end(struct file_desc *d, int *new_fd)
{
	struct unixsk_priv *p = file_desc_priv(d);
	const UnixSkEntry *e = entry(d);

	if (!p->pair->made && make_pair(p->pair) < 0)
		return -1;
	if (file_params(d, p->pair->fds[p->end], e->flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&p->pair->fds[p->end]);
	return 0;
}

static int open_single(struct file_desc *d, int *new_fd)
{
	struct unixsk_priv *p = file_desc_priv(d);
	const UnixSkEntry *e = entry(d);
	cleanup_close int fd = p->name ? unix_name_taken(p->name) : -1;

	if (fd < 0) {
		fd = socket(AF_UNIX, (int)(e->type & 0xf) | SOCK_CLOEXEC, 0);
		if (fd < 0)
			return file_fail(d, errno, "socket()");
		if (unix_bind(d, fd) < 0)
			return -1;
	}
	if (sock_restore_opts(d, fd, e->opts) < 0)
		return -1;
	if (e->state == TCP_LISTEN && listen(fd, (int)e->backlog) < 0)
		return file_fail(d, errno, "listen()");
	if (shut(d, fd) < 0 || file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

static int unixsk_open(struct file_desc *d, int *new_fd)
{
	struct unixsk_priv *p = file_desc_priv(d);

	if (p->pair)
		return open_pair_end(d, new_fd);
	/* The connections that were accepted under the name come first. */
	if (p->name && p->name->left)
		return 1;
	if (!p->open) {
		if (open_single(d, new_fd) < 0)
			return -1;
		p->open = true;
		if (p->to)
			return 1;
		return 0;
	}
	if (!file_stage_reached(p->to, FLE_OPEN))
		return 1;
	return unix_connect(d, file_fd(d), p->to) < 0 ? -1 : 0;
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
	.prepare = unixsk_prepare,
	.check = unixsk_check,
	.priv_size = sizeof(struct unixsk_priv),
};
