/*
 * files_unixconn - connections of Unix sockets. A pair without names is a
 * socketpair. An accepted socket shares the name of the socket that accepted
 * it, which bind(2) cannot give: so the connection is made again, through the
 * listening socket, or one that has the name for the moment.
 *
 * Whoever connects says first which connection it is; the word is taken out
 * before anybody else sees the socket. So strangers are told apart, and several
 * processes may connect at a time.
 */
#include "restore/files_unix.h"

#include <errno.h>
#include <unistd.h>

#include "base/fd.h"

struct pair_call {
	struct unix_shared *sh;
	int type;
};

static int call_socketpair(void *arg)
{
	struct pair_call *c = arg;

	return socketpair(AF_UNIX, c->type | SOCK_CLOEXEC, 0, c->sh->made) < 0 ? -errno : 0;
}

/* A datagram socket that its peer does not know any more: it was a pair, and one turned away. */
static int turn_away(struct file_desc *d, int fd)
{
	struct sockaddr none = { .sa_family = AF_UNSPEC };

	if (connect(fd, &none, sizeof(none)) < 0)
		return file_fail(d, errno, "disconnect it from its pair");
	return 0;
}

/**
 * unix_pair_make - the two sockets of a pair, with their names
 * @p: the pair; its descriptors are set
 *
 * Return: 0, or -1, recorded.
 */
int unix_pair_make(struct unix_pair *p)
{
	struct file_desc *d = p->d[0];
	const UnixSkEntry *e = unix_entry(d);
	struct pair_call c = { .sh = unix_priv(d)->sh, .type = (int)(e->type & 0xf) };
	int ret = run_as(d, e->peer_cred, call_socketpair, &c);

	if (ret < 0)
		return file_fail(d, -ret, "socketpair()");
	p->fds[0] = c.sh->made[0];
	p->fds[1] = c.sh->made[1];
	p->made = true;
	for (int i = 0; i < 2; i++)
		if (p->d[i] && unix_bind(p->d[i], p->fds[i]) < 0)
			return -1;
	/* The end of a closed peer sends what it has sent under the name that it had. */
	if (!p->d[1] && e->type == SOCK_DGRAM && unix_priv(d)->queue && unix_priv(d)->queue->from &&
	    unix_bind_as(d, p->fds[1], unix_priv(d)->queue->from) < 0)
		return -1;
	if (p->d[1] && unix_priv(p->d[1])->mate == d)
		return turn_away(p->d[1], p->fds[1]);
	return 0;
}

struct listen_call {
	int fd, backlog;
};

static int call_listen(void *arg)
{
	const struct listen_call *c = arg;

	return listen(c->fd, c->backlog) < 0 ? -errno : 0;
}

/**
 * unix_listen - listen as who did so
 * @d: the description: of the listening socket, or of one that it accepted
 * @fd: the socket
 * @backlog: as for listen(2)
 *
 * Return: 0, or -1, recorded.
 */
int unix_listen(struct file_desc *d, int fd, int backlog)
{
	const struct unixsk_priv *p = unix_priv(d);
	struct listen_call c = { fd, backlog };
	const SkCredEntry *who = unix_entry(d)->peer_cred;
	int ret;

	/* Who connected has the credentials of who listened, and the other way round. */
	if (p->role == UNIX_ACCEPTED) {
		const struct file_desc *client = p->pair->d[!p->end];

		who = client ? unix_entry(client)->peer_cred : NULL;
	}
	ret = run_as(d, who, call_listen, &c);
	return ret < 0 ? file_fail(d, -ret, "listen()") : 0;
}

struct connect_call {
	int fd;
	const struct unix_address *a;
	uint32_t word; /* 0: say nothing */
};

static int call_connect(void *arg)
{
	const struct connect_call *c = arg;

	if (connect(c->fd, (const struct sockaddr *)&c->a->addr, c->a->len) < 0)
		return -errno;
	if (c->word && send(c->fd, &c->word, sizeof(c->word), MSG_NOSIGNAL) != sizeof(c->word))
		return -errno;
	return 0;
}

/* 0: connected, 1: not yet, -1: failed and recorded. */
static int connect_to(struct file_desc *d, int fd, struct unix_name *n, const SkCredEntry *who,
		      uint32_t word)
{
	struct unix_address a = { .dir = -1 };
	struct connect_call c = { .fd = fd, .a = &a, .word = word };
	int ret = unix_address(d, n->first, &a);

	if (!ret) {
		ret = run_as(d, who, call_connect, &c);
		if (ret == -EAGAIN)
			ret = 1;
		else if (ret < 0)
			ret = file_fail(d, -ret, "connect to socket %u", unix_entry(n->first)->ino);
	}
	close_owned(&a.dir);
	return ret;
}

/**
 * unix_knock - connect to the name, and say for which connection
 * @p: the connection
 * @fd: the end that connects, non-blocking
 *
 * Return: 0 connected, 1 not yet, -1 failed and recorded.
 */
int unix_knock(struct unix_pair *p, int fd)
{
	struct file_desc *acc = p->d[p->accepted], *con = p->d[!p->accepted];
	struct file_desc *d = con ? con : acc;
	int ret;

	if (!atomic_load(&p->name->sh->bound)) {
		if (con)
			file_stage_reached(p->name->first, FLE_OPEN);
		return 1;
	}
	ret = connect_to(d, fd, p->name, unix_entry(acc)->peer_cred, unix_entry(acc)->ino);
	if (!ret)
		engine_progress(d->tree);
	return ret;
}

/**
 * unix_wait_turn - connect, and wait to be accepted, as it was
 * @d: the description
 * @fd: the socket, non-blocking
 *
 * Return: 0 connected, 1 not yet, -1 failed and recorded.
 */
int unix_wait_turn(struct file_desc *d, int fd)
{
	struct unixsk_priv *p = unix_priv(d);
	struct unix_shared *sh = p->name->sh;
	int ret;

	if (!atomic_load(&sh->bound) || !atomic_load(&sh->served) ||
	    atomic_load(&sh->turn) != p->turn) {
		file_stage_reached(p->name->first, FLE_RESTORED);
		return 1;
	}
	ret = connect_to(d, fd, p->name, NULL, 0);
	if (ret)
		return ret;
	atomic_fetch_add(&sh->turn, 1);
	engine_progress(d->tree);
	return 0;
}

/* For which connection it is; 0: not known yet, -1: for none of ours. */
static int read_word(struct unix_name *n, int fd)
{
	struct file_desc *d;
	struct unix_pair *p;
	uint32_t word;
	ssize_t got = recv(fd, &word, sizeof(word), MSG_DONTWAIT);

	if (got < 0 && errno == EAGAIN)
		return 0;
	if (got != sizeof(word))
		return -1;
	d = rfile_seen(n->first->tree, FILE_KIND_unixsk, word);
	p = d && unix_priv(d)->role == UNIX_ACCEPTED ? unix_priv(d)->pair : NULL;
	if (!p || p->name != n || p->made)
		return -1;
	p->fds[p->accepted] = fd;
	p->made = true;
	n->left--;
	engine_progress(d->tree);
	return 1;
}

/* Ends that have closed connect from here. */
static int knock_for_closed(struct unix_name *n)
{
	struct pstree *t = n->first->tree;
	struct file_desc *d;

	if (n->knocked)
		return 0;
	list_for_each(d, &t->files.descs, list) {
		struct unix_pair *p = d->kind == FILE_KIND_unixsk ? unix_priv(d)->pair : NULL;
		int fd, ret;

		if (!p || p->name != n || p->d[1] || p->knocked ||
		    unix_priv(d)->role != UNIX_ACCEPTED)
			continue;
		fd = socket(AF_UNIX,
			    (int)(unix_entry(d)->type & 0xf) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		if (fd < 0)
			return file_fail(d, errno, "socket()");
		ret = unix_knock(p, fd);
		if (ret) {
			close(fd);
			return ret;
		}
		p->knocked = true;
		p->fds[!p->accepted] = fd;
	}
	n->knocked = true;
	return 0;
}

/**
 * unix_name_serve - accept connections under a name, as far as they are there
 * @n: the name; in its maker
 *
 * Return: 0 all are there, 1 not yet, -1 failed and recorded.
 */
int unix_name_serve(struct unix_name *n)
{
	int fd = n->listener ? file_fd(n->listener) : n->fd, ret, a;
	size_t keep = 0;

	if (!n->left)
		return 0;
	ret = knock_for_closed(n);
	if (ret < 0)
		return -1;
	while ((a = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		arena_push(n->first->tree->arena, n->strange, n->nr_strange) = a;
	if (errno != EAGAIN)
		return file_fail(n->first, errno, "accept()");
	for (size_t i = 0; i < n->nr_strange; i++) {
		int known = read_word(n, n->strange[i]);

		if (!known)
			n->strange[keep++] = n->strange[i];
		else if (known < 0)
			close(n->strange[i]);
	}
	n->nr_strange = keep;
	if (n->left)
		return 1;
	/* Somebody outside has been quicker: it was not to be heard before the restore is done. */
	while (n->nr_strange)
		close(n->strange[--n->nr_strange]);
	close_owned(&n->fd);
	n->fd = -1;
	atomic_store(&n->sh->served, true);
	engine_progress(n->first->tree);
	return 0;
}
