/*
 * files_unixplace - how Unix sockets are made, and by which process: what is
 * connected as a pair or through a name, by the task that had done so; where
 * what is in flight has to be open for a queue to be filled.
 */
#include "restore/files_unix.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <xxhash.h>

/* How deep sockets may be in flight in each other's queues; the kernel has a limit of its own. */
#define NESTED 64

static uint64_t hash_field(uint64_t h, const void *data, size_t len)
{
	return XXH3_64bits_withSeed(data, len, h);
}

/* What listens and what it has accepted have one name, and one node. */
static struct unix_name *name_of(struct pstree *t, struct file_desc *d)
{
	const UnixSkEntry *e = unix_entry(d);
	uint64_t key = e->has_node ? e->node : (uint64_t)(e->has_deleted && e->deleted);
	struct unix_name *n;

	key = hash_field(key, e->name_dir, e->name_dir ? strlen(e->name_dir) : 0);
	/* The highest bit tells names from inodes, which are 32 bits long. */
	key = hash_field(key, e->name.data, e->name.len) | UINT64_C(1) << 63;
	n = rfile_seen(t, FILE_KIND_unixsk, key);
	if (!n) {
		n = arena_new_of(t->arena, struct unix_name);
		*n = (struct unix_name){ .fd = -1, .first = d, .sh = unix_priv(d)->sh };
		rfile_see(t, FILE_KIND_unixsk, key, n);
	}
	return n;
}

static uint64_t sender_key(const void *name, size_t len)
{
	return hash_field(0, name, len) >> 2 | UINT64_C(1) << 61;
}

static bool is_socket(const struct file_desc *d)
{
	return d->kind == FILE_KIND_unixsk && !d->outside &&
	       !(unix_entry(d)->uflags & UNIX_OUTSIDE);
}

/* Everything that is looked up by others. */
static int index_all(struct pstree *t)
{
	struct file_desc *d;
	size_t n = 0;
	int ret;

	list_for_each(d, &t->files.descs, list)
		n += d->kind == FILE_KIND_unixsk;
	ret = unix_region_new(t, n);
	if (ret)
		return ret;
	list_for_each(d, &t->files.descs, list) {
		const UnixSkEntry *e = d->kind == FILE_KIND_unixsk ? unix_entry(d) : NULL;

		if (!e)
			continue;
		unix_priv(d)->sh = unix_region_slot(t);
		rfile_see(t, FILE_KIND_unixsk, e->ino, d);
		if (e->type == SOCK_DGRAM && e->name.len && is_socket(d))
			rfile_see(t, FILE_KIND_unixsk, sender_key(e->name.data, e->name.len), d);
		if (e->state == TCP_LISTEN && e->name.len && is_socket(d)) {
			struct unix_name *name = name_of(t, d);

			name->listener = name->first = d;
			name->sh = unix_priv(d)->sh;
			unix_priv(d)->name = name;
		}
	}
	return unix_queues_load(t);
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

/* The task that @who was, or else one that has the file. */
static struct pstree_item *task_of(const struct pstree *t, const SkCredEntry *who,
				   const struct file_desc *d)
{
	struct pstree_item *it = run_as_task(t, who);

	return it ? it : d ? engine_master(d) : NULL;
}

/* Which end was accepted: the one with the name of a listening socket, or the only one named. */
static void find_accepted(struct pstree *t, struct unix_pair *p)
{
	bool named[2] = { unix_entry(p->d[0])->name.len, p->d[1] && unix_entry(p->d[1])->name.len };

	if (unix_entry(p->d[0])->type == SOCK_DGRAM || (!named[0] && !named[1]))
		return;
	p->accepted = !named[0];
	if (named[0] && named[1] && !name_of(t, p->d[0])->listener)
		p->accepted = name_of(t, p->d[1])->listener != NULL;
	p->name = name_of(t, p->d[p->accepted]);
	p->name->left++;
}

/* Who accepts; the listening socket is to be there. */
static int find_maker(struct pstree *t, struct unix_pair *p)
{
	struct unix_name *n = p->name;
	struct file_desc *acc = p->d[p->accepted], *con = p->d[!p->accepted];
	int ret = 0;

	if (n->maker)
		return 0;
	n->maker = task_of(t, con ? unix_entry(con)->peer_cred : NULL,
			   n->listener ? n->listener : acc);
	if (!n->maker)
		n->maker = engine_master(acc) ? engine_master(acc) : engine_master(con);
	if (n->listener)
		ret = force_here(t, n->listener, n->maker);
	return ret;
}

static int place_pair(struct pstree *t, struct file_desc *d, struct file_desc *peer)
{
	struct unix_pair *p = arena_new_of(t->arena, struct unix_pair);
	struct pstree_item *who[2];
	int ret = 0;

	*p = (struct unix_pair){ .d = { d, peer }, .fds = { -1, -1 } };
	find_accepted(t, p);
	for (int i = 0; i < 2; i++) {
		struct unixsk_priv *priv = p->d[i] ? unix_priv(p->d[i]) : NULL;

		if (!priv)
			continue;
		priv->pair = p;
		priv->end = i;
		priv->role = !p->name ? UNIX_PAIR : i == p->accepted ? UNIX_ACCEPTED : UNIX_CLIENT;
		priv->name = p->name;
	}
	who[0] = who[1] = task_of(t, unix_entry(d)->peer_cred, d);
	if (p->name) {
		struct file_desc *con = p->d[!p->accepted];

		ret = find_maker(t, p);
		who[p->accepted] = p->name->maker;
		who[!p->accepted] = task_of(t, unix_entry(p->d[p->accepted])->peer_cred, con);
		if (!who[!p->accepted])
			who[!p->accepted] = p->name->maker;
	} else if (!who[0] && peer) {
		who[0] = who[1] = engine_master(peer);
	}
	for (int i = 0; i < 2 && !ret; i++)
		ret = p->d[i] ? force_here(t, p->d[i], who[i]) : 0;
	return ret;
}

/* A connection that was not accepted yet; without an order in the image the first is the first. */
static int place_waiting(struct pstree *t, struct file_desc *d, struct file_desc *at)
{
	struct unixsk_priv *p = unix_priv(d);
	const UnixSkEntry *l = unix_entry(at);

	if (!unix_priv(at)->name) {
		file_fail(d, EBADMSG, "socket %u, which is to accept it, has no name", l->ino);
		return -EBADMSG;
	}
	p->role = UNIX_WAITING;
	p->name = unix_priv(at)->name;
	p->turn = unix_priv(at)->turn++;
	for (size_t i = 0; i < l->n_waiting; i++)
		if (l->waiting[i] == unix_entry(d)->ino)
			p->turn = (unsigned)i;
	return force_here(t, d, engine_master(d));
}

/* @d is to connect to @to when both are there. */
static void call_on(struct file_desc *d, struct file_desc *to)
{
	unix_priv(d)->to = to;
	if (to)
		atomic_fetch_add(&unix_priv(to)->sh->callers, 1);
}

/* Its peer has no name, and so was once the other end of a pair, and has turned away. */
static int place_mate(struct pstree *t, struct file_desc *d, struct file_desc *peer)
{
	struct unixsk_priv *p = unix_priv(peer);

	if (p->role != UNIX_NONE) {
		file_fail(d, EOPNOTSUPP, "its peer, socket %u, has no name to connect to",
			  unix_entry(d)->peer);
		return -EOPNOTSUPP;
	}
	p->mate = d;
	call_on(peer, unix_entry(peer)->peer
			      ? rfile_seen(t, FILE_KIND_unixsk, unix_entry(peer)->peer)
			      : NULL);
	return place_pair(t, d, peer);
}

/* The other end is outside of the tree: where the image does not say, as CRIU does it. */
static int place_outside(struct pstree *t, struct file_desc *d, struct file_desc *peer)
{
	const UnixSkEntry *e = unix_entry(d);
	bool named = e->type == SOCK_DGRAM && unix_entry(peer)->name.len;
	UnixOutside how = e->has_outside ? e->outside
			  : named        ? UNIX_OUTSIDE__OUTSIDE_RECONNECT
					 : UNIX_OUTSIDE__OUTSIDE_CLOSED;

	if (how == UNIX_OUTSIDE__OUTSIDE_CLOSED)
		return place_pair(t, d, NULL);
	if (how == UNIX_OUTSIDE__OUTSIDE_INHERIT) {
		file_fail(d, ENOTCONN, "it is to be inherited: give --inherit-fd fd[N]:socket:[%u]",
			  e->ino);
		return -ENOTCONN;
	}
	unix_priv(d)->role = UNIX_SINGLE;
	call_on(d, peer);
	return force_here(t, d, engine_master(d));
}

static int place_one(struct pstree *t, struct file_desc *d)
{
	const UnixSkEntry *e = unix_entry(d);
	struct unixsk_priv *p = unix_priv(d);
	struct file_desc *peer = e->peer ? rfile_seen(t, FILE_KIND_unixsk, e->peer) : NULL;
	struct pstree_item *who = engine_master(d);

	if (e->peer && (!peer || unix_entry(peer)->type != e->type)) {
		file_fail(d, ENOTCONN, "its peer, socket %u, is not in the image", e->peer);
		return -ENOTCONN;
	}
	if (peer && !is_socket(peer))
		return place_outside(t, d, peer);
	if (peer && peer != d && unix_entry(peer)->peer == e->ino)
		return place_pair(t, d, peer);
	if (peer && e->type != SOCK_DGRAM && unix_entry(peer)->state == TCP_LISTEN)
		return place_waiting(t, d, peer);
	if (peer && !unix_entry(peer)->name.len)
		return place_mate(t, d, peer);
	/* Whoever was connected to by name is in that state too: nothing tells but that no pair was
	 * made. */
	if (!peer && e->state == TCP_ESTABLISHED &&
	    (e->type != SOCK_DGRAM || e->peer_cred || !e->name.len))
		return place_pair(t, d, NULL);
	p->role = UNIX_SINGLE;
	call_on(d, peer);
	if (p->name && !p->name->maker)
		p->name->maker = task_of(t, e->peer_cred, d);
	if (p->name)
		who = p->name->maker;
	return force_here(t, d, who);
}

/* Where the other end is, or the socket itself if that is closed or it is sent to by name. */
static struct pstree_item *feeder(const struct file_desc *d)
{
	const struct unixsk_priv *p = unix_priv(d);
	struct file_desc *other = p->pair ? p->pair->d[!p->end] : NULL;

	return engine_master(other ? other : d);
}

static int place_queue(struct pstree *t, struct file_desc *d)
{
	struct unixsk_priv *p = unix_priv(d);
	struct pstree_item *who = feeder(d);

	for (struct packet *k = p->queue; k; k = k->next) {
		if (k->from && p->role == UNIX_SINGLE)
			k->sender = rfile_seen(t, FILE_KIND_unixsk,
					       sender_key(k->from->data, k->from->len));
		p->others |= k->sender != NULL;
		for (size_t i = 0; i < k->nr_rights; i++)
			if (!engine_need(t, k->rights[i], who))
				return fail(t->report, "image-queue", EBADMSG,
					    "nobody can send file %#x to %#x", k->rights[i]->id,
					    d->id);
		if (k->sender && !engine_need(t, k->sender, who))
			k->sender = NULL;
	}
	return 0;
}

/**
 * unix_place - say how every Unix socket of the image is made, and by whom
 * @t: the tree
 * @d: any of them
 *
 * At the first call, all: sockets in flight have a place only when those are
 * placed that have them.
 *
 * Return: 0, or -errno with every cause recorded.
 */
int unix_place(struct pstree *t, struct file_desc *d)
{
	int ret, bad = 0;
	bool again = true;

	if (restore_files(t)->unix_region)
		return 0;
	ret = index_all(t);
	if (ret)
		return ret;
	for (int depth = 0; again && depth < NESTED; depth++) {
		again = false;
		list_for_each(d, &t->files.descs, list) {
			struct unixsk_priv *p = is_socket(d) ? unix_priv(d) : NULL;

			if (!p || p->placed || (p->role == UNIX_NONE && list_empty(&d->fles)))
				continue;
			again = p->placed = true;
			ret = p->role == UNIX_NONE ? place_one(t, d) : 0;
			if (!ret)
				ret = place_queue(t, d);
			bad = bad ? bad : ret;
		}
	}
	return bad;
}
