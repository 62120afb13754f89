/*
 * files_unix - names and connections of Unix sockets.
 *
 * A pair without names is a socketpair. An accepted socket shares the name of
 * the socket that accepted it, which bind(2) cannot give: so the connection is
 * made again, through the listening socket, or one that has the name for the
 * moment. All that needs one name happens in one process.
 */
#include "restore/files_unix.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/sockdiag.h"

static int make_addr(struct file_desc *d, const UnixSkEntry *e, struct sockaddr_un *a,
		     socklen_t *len)
{
	if (e->name.len > sizeof(a->sun_path))
		return file_fail(d, EBADMSG, "a name of %zu bytes", e->name.len);
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(a->sun_path, e->name.data, e->name.len);
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + e->name.len);
	return 0;
}

static bool has_node(const UnixSkEntry *e)
{
	return e->name.len && e->name.data[0];
}

/* Relative names count from the directory in which they were bound. */
static int enter_dir(struct file_desc *d, const UnixSkEntry *e, int *back)
{
	if (!e->name_dir || !has_node(e) || e->name.data[0] == '/')
		return 0;
	*back = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*back < 0 || chdir(e->name_dir) < 0)
		return file_fail(d, errno, "go to the directory %s of its name", e->name_dir);
	return 0;
}

static int leave_dir(struct file_desc *d, int back)
{
	if (back >= 0 && fchdir(back) < 0)
		return file_fail(d, errno, "leave the directory of its name");
	return 0;
}

static int set_perms(struct file_desc *d, const UnixSkEntry *e, const char *path)
{
	const FilePermsEntry *p = e->file_perms;

	if (!p)
		return 0;
	if (lchown(path, p->uid, p->gid) < 0 || chmod(path, p->mode & 07777) < 0)
		return file_fail(d, errno, "owner and mode of the socket's node");
	return 0;
}

/* What becomes of the node once the socket is bound: it may have been deleted. */
static int settle_node(struct file_desc *d, const UnixSkEntry *e, const char *path, bool stays)
{
	if (!stays || (e->has_deleted && e->deleted)) {
		unlink(path);
		return 0;
	}
	return set_perms(d, e, path);
}

/* The node of a name that was deleted: connecting goes through it in the same process. */
static uint64_t node_key(const UnixSkEntry *e)
{
	return e->ino | 1ull << 62;
}

static int keep_node(struct file_desc *d, const UnixSkEntry *e, const char *path)
{
	int *node = arena_new_of(d->tree->arena, int);

	*node = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (*node < 0)
		return file_fail(d, errno, "open its node");
	rfile_see(d->tree, FILE_KIND_unixsk, node_key(e), node);
	return 0;
}

/* A name that was deleted: what has it today steps aside for the moment. */
static int bind_deleted(struct file_desc *d, const UnixSkEntry *e, int fd,
			const struct sockaddr_un *a, socklen_t len)
{
	char path[sizeof(a->sun_path) + 1] = "", aside[sizeof(path) + 32];
	bool taken;
	int ret = 0;

	memcpy(path, a->sun_path, len - offsetof(struct sockaddr_un, sun_path));
	snprintf(aside, sizeof(aside), "%s" GHOST_MARK "%u", path, e->ino);
	taken = rename(path, aside) == 0;
	if (bind(fd, (const struct sockaddr *)a, len) < 0)
		ret = file_fail(d, errno, "bind()");
	if (!ret)
		ret = keep_node(d, e, path);
	unlink(path);
	if (taken && rename(aside, path) < 0)
		ret = file_fail(d, errno, "rename %s, which has its name today, back", aside);
	return ret;
}

static int bind_here(struct file_desc *d, const UnixSkEntry *e, int fd, bool lent)
{
	struct sockaddr_un a;
	struct stat st;
	socklen_t len;

	if (make_addr(d, e, &a, &len) < 0)
		return -1;
	if (has_node(e) && e->has_deleted && e->deleted && !lent)
		return bind_deleted(d, e, fd, &a, len);
	/* The dead node of the dumped socket; unix_check_node() has seen that nobody has it. */
	if (has_node(e) && lstat(a.sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(a.sun_path);
	if (bind(fd, (struct sockaddr *)&a, len) < 0)
		return file_fail(d, errno, "bind()");
	return has_node(e) && !lent ? settle_node(d, e, a.sun_path, true) : 0;
}

static int bind_in_dir(struct file_desc *d, int fd, bool lent)
{
	const UnixSkEntry *e = file_desc_entry(d);
	cleanup_close int back = -1;
	int ret = enter_dir(d, e, &back);

	if (!ret)
		ret = bind_here(d, e, fd, lent);
	return leave_dir(d, back) < 0 ? -1 : ret;
}

/* The lent name is given back; its node stays only if nobody else is about to make it. */
static int return_name(struct file_desc *d, bool stays)
{
	const UnixSkEntry *e = file_desc_entry(d);
	cleanup_close int back = -1;
	struct sockaddr_un a;
	socklen_t len;
	int ret;

	if (!has_node(e))
		return 0;
	ret = make_addr(d, e, &a, &len);
	if (!ret)
		ret = enter_dir(d, e, &back);
	if (!ret)
		ret = settle_node(d, e, a.sun_path, stays);
	return leave_dir(d, back) < 0 ? -1 : ret;
}

/**
 * unix_bind - give a socket its name, if it has one
 * @d: its description
 * @fd: the socket
 *
 * Return: 0, or -1, recorded.
 */
int unix_bind(struct file_desc *d, int fd)
{
	const UnixSkEntry *e = file_desc_entry(d);

	return e->name.len ? bind_in_dir(d, fd, false) : 0;
}

/**
 * unix_connect - connect a socket to the name of another
 * @d: its description
 * @fd: the socket
 * @to: the other, bound
 *
 * Return: 0, or -1, recorded.
 */
int unix_connect(struct file_desc *d, int fd, const struct file_desc *to)
{
	const UnixSkEntry *e = file_desc_entry(to);
	const int *node = rfile_seen(d->tree, FILE_KIND_unixsk, node_key(e));
	cleanup_close int back = -1;
	struct sockaddr_un a;
	socklen_t len;
	int ret;

	if (make_addr(d, e, &a, &len) < 0)
		return -1;
	if (node) {
		snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d", *node);
		len = sizeof(a);
	}
	ret = node ? 0 : enter_dir(d, e, &back);
	if (!ret && connect(fd, (struct sockaddr *)&a, len) < 0)
		ret = file_fail(d, errno, "connect to socket %u", e->ino);
	return leave_dir(d, back) < 0 ? -1 : ret;
}

/* The socket that listens under the name: its owner, or one for the moment. */
static int lender(struct unix_pair *p)
{
	struct unix_name *n = p->name;
	struct file_desc *d = n->listener ? n->listener : p->d[p->accepted];
	const UnixSkEntry *e = file_desc_entry(d);
	cleanup_close int fd = -1;

	if (n->fd >= 0)
		return 0;
	fd = socket(AF_UNIX, (int)(e->type & 0xf) | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return file_fail(d, errno, "socket()");
	if (bind_in_dir(d, fd, true) < 0)
		return -1;
	if (listen(fd, 1) < 0)
		return file_fail(d, errno, "listen()");
	n->fd = take_fd(&fd);
	return 0;
}

/* Somebody outside may be quicker than we are: only what we have connected ourselves counts. */
static int accept_own(struct file_desc *d, int fd)
{
	for (;;) {
		cleanup_close int a = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
		struct ucred who;
		socklen_t len = sizeof(who);

		if (a < 0)
			return file_fail(d, errno, "accept()");
		if (getsockopt(a, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 && who.pid == getpid())
			return take_fd(&a);
	}
}

/* Connects two sockets through the one that listens. */
static int make_accepted(struct unix_pair *p)
{
	struct file_desc *acc = p->d[p->accepted], *con = p->d[!p->accepted];
	const UnixSkEntry *e = file_desc_entry(acc);
	cleanup_close int a = -1, b = socket(AF_UNIX, (int)(e->type & 0xf) | SOCK_CLOEXEC, 0);

	if (b < 0)
		return file_fail(acc, errno, "socket()");
	if (lender(p) < 0 || (con && unix_bind(con, b) < 0) || unix_connect(acc, b, acc) < 0)
		return -1;
	a = accept_own(acc, p->name->fd);
	if (a < 0)
		return -1;
	p->fds[p->accepted] = take_fd(&a);
	p->fds[!p->accepted] = take_fd(&b);
	if (--p->name->left || p->name->listener)
		return 0;
	close_owned(&p->name->fd);
	p->name->fd = -1;
	return return_name(acc, e->file_perms);
}

/**
 * unix_name_taken - the owner of a name takes it over
 * @n: the name; all connections that need it are made
 *
 * Return: the listening socket, if there is one already; -1 otherwise.
 */
int unix_name_taken(struct unix_name *n)
{
	if (n->fd >= 0 && return_name(n->listener, true) < 0)
		return -1;
	return take_fd(&n->fd);
}

static int make_socketpair(struct unix_pair *p)
{
	const UnixSkEntry *e = file_desc_entry(p->d[0]);

	if (socketpair(AF_UNIX, (int)(e->type & 0xf) | SOCK_CLOEXEC, 0, p->fds) < 0) {
		p->fds[0] = p->fds[1] = -1;
		return file_fail(p->d[0], errno, "socketpair()");
	}
	for (int i = 0; i < 2; i++)
		if (p->d[i] && unix_bind(p->d[i], p->fds[i]) < 0)
			return -1;
	return 0;
}

/**
 * unix_pair_make - make the two sockets of a connection
 * @p: the pair; its descriptors are set
 *
 * Return: 0, or -1, recorded.
 */
int unix_pair_make(struct unix_pair *p)
{
	int ret = p->name ? make_accepted(p) : make_socketpair(p);

	p->made = !ret;
	return ret;
}

/**
 * unix_check_node - is the name of a socket free?
 * @d: its description
 *
 * Return: 0, or -EADDRINUSE, recorded.
 */
int unix_check_node(struct file_desc *d)
{
	const UnixSkEntry *e = file_desc_entry(d);
	struct restore_files *f = restore_files(d->tree);
	const struct sockdiag_unix *u;
	uint32_t ino;

	if (!e->name.len || (!f->sockdiag && sockdiag_open(&f->sockdiag)))
		return 0;
	u = sockdiag_unix_by_name(f->sockdiag, e->name.data, e->name.len);
	ino = u ? u->ino : 0;
	/* A relative name of somebody else's directory is not ours. */
	if (!ino || (has_node(e) && e->name.data[0] != '/'))
		return 0;
	file_fail(d, EADDRINUSE, "its name is in use by socket %u", ino);
	return -EADDRINUSE;
}
