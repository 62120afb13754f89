/*
 * files_unix - names of Unix sockets. A name in the file system that was
 * deleted is made, and its node stays open: who is to connect goes through
 * that. A node that was renamed is made under its first name, and renamed.
 * What has the name today, and directories that are gone, are seen to; one
 * process at a time.
 */
#include "restore/files_unix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/sockdiag.h"

#define MOVED_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) + NAME_MAX + 1)

/* Shared by all tasks. */
struct unix_region {
	pthread_mutex_t names; /* whoever makes or removes nodes */
	size_t used, n;
	struct unix_shared slots[];
};

/**
 * unix_region_new - memory that all tasks share, for a number of sockets
 * @t: the tree; nothing is forked yet
 * @n: how many
 *
 * Return: 0 or -errno, recorded.
 */
int unix_region_new(struct pstree *t, size_t n)
{
	size_t size = sizeof(struct unix_region) + n * sizeof(struct unix_shared);
	struct unix_region *r;
	pthread_mutexattr_t attr;

	r = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r == MAP_FAILED)
		return fail(t->report, "no-memory", errno, "memory shared by %zu sockets", n);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&r->names, &attr);
	r->n = n;
	restore_files(t)->unix_region = r;
	restore_files(t)->unix_region_size = size;
	return 0;
}

/**
 * unix_region_slot - a part of that memory
 * @t: the tree; nothing is forked yet
 *
 * Return: the next slot, all zero but for descriptors, which are -1.
 */
struct unix_shared *unix_region_slot(struct pstree *t)
{
	struct unix_region *r = restore_files(t)->unix_region;
	struct unix_shared *sh = &r->slots[r->used++];

	atomic_store(&sh->node_fd, -1);
	sh->made[0] = sh->made[1] = -1;
	return sh;
}

static void lock_names(const struct pstree *t)
{
	pthread_mutex_lock(&restore_files(t)->unix_region->names);
}

static void unlock_names(const struct pstree *t)
{
	pthread_mutex_unlock(&restore_files(t)->unix_region->names);
}

static int make_addr(struct file_desc *d, const ProtobufCBinaryData *name, struct sockaddr_un *a,
		     socklen_t *len)
{
	if (name->len > sizeof(a->sun_path))
		return file_fail(d, EBADMSG, "a name of %zu bytes", name->len);
	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (name->len)
		memcpy(a->sun_path, name->data, name->len);
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + name->len);
	return 0;
}

static bool is_path(const ProtobufCBinaryData *name)
{
	return name->len && name->data[0];
}

static bool is_deleted(const UnixSkEntry *e)
{
	return is_path(&e->name) && e->has_deleted && e->deleted;
}

/* Relative names count from the directory in which they were bound. */
static int enter_dir(struct file_desc *d, const UnixSkEntry *e, int *back)
{
	if (!e->name_dir || !is_path(&e->name) || e->name.data[0] == '/')
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

/* Where the node of a name is that was renamed; false: it was not. */
static bool moved_path(const UnixSkEntry *e, char *out, size_t size)
{
	const char *name = (const char *)e->name.data;
	size_t dir = e->name.len;

	if (!is_deleted(e) || !e->moved_to || !*e->moved_to || strchr(e->moved_to, '/'))
		return false;
	while (dir && name[dir - 1] != '/')
		dir--;
	return snprintf(out, size, "%.*s%s", (int)dir, name, e->moved_to) < (int)size;
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

/* The node of a name that was deleted: connecting goes through it, from any process. */
static int keep_node(struct file_desc *d, const char *path)
{
	struct unix_shared *sh = unix_priv(d)->sh;
	int node = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (node < 0)
		return file_fail(d, errno, "open its node");
	atomic_store(&sh->node_pid, getpid());
	atomic_store(&sh->node_fd, node);
	return 0;
}

/* Its node leaves the name that it was bound to. */
static int leave_name(struct file_desc *d, const char *path, const char *to)
{
	struct stat st;

	if (!to) {
		unlink(path);
		return 0;
	}
	/* As for a name that is kept: the dead node of the dumped socket may be there, no other. */
	if (lstat(to, &st) == 0 && !S_ISSOCK(st.st_mode))
		errno = EEXIST;
	else if (rename(path, to) == 0)
		return set_perms(d, unix_entry(d), to);
	file_fail(d, errno, "rename its node to %s", to);
	unlink(path);
	return -1;
}

/*
 * A name that is to be gone again: what has it today steps aside for the moment.
 * @to: where the node goes; NULL: it is deleted
 */
static int bind_passing(struct file_desc *d, int fd, const struct sockaddr_un *a, socklen_t len,
			bool keep, const char *to)
{
	char path[sizeof(a->sun_path) + 1] = "", aside[sizeof(path) + 32];
	int ret = 0, made = 0;
	bool taken;

	memcpy(path, a->sun_path, len - offsetof(struct sockaddr_un, sun_path));
	snprintf(aside, sizeof(aside), "%s" GHOST_MARK "%d", path, getpid());
	if (path[0] == '/' && !to)
		ghost_make_parents(path, &made);
	taken = rename(path, aside) == 0;
	if (bind(fd, (const struct sockaddr *)a, len) < 0)
		ret = file_fail(d, errno, "bind()");
	if (!ret && keep)
		ret = keep_node(d, path);
	if (!ret)
		ret = leave_name(d, path, to);
	else
		unlink(path);
	if (taken && rename(aside, path) < 0)
		ret = file_fail(d, errno, "rename %s, which has its name today, back", aside);
	ghost_remove_parents(path, made);
	return ret;
}

static int bind_here(struct file_desc *d, const UnixSkEntry *e, int fd)
{
	char moved[MOVED_MAX];
	struct sockaddr_un a;
	struct stat st;
	socklen_t len;

	if (make_addr(d, &e->name, &a, &len) < 0)
		return -1;
	if (is_deleted(e))
		return bind_passing(d, fd, &a, len, true,
				    moved_path(e, moved, sizeof(moved)) ? moved : NULL);
	/* The dead node of the dumped socket; unix_check_node() has seen that nobody has it. */
	if (is_path(&e->name) && lstat(a.sun_path, &st) == 0 && S_ISSOCK(st.st_mode))
		unlink(a.sun_path);
	if (bind(fd, (struct sockaddr *)&a, len) < 0)
		return file_fail(d, errno, "bind()");
	return is_path(&e->name) ? set_perms(d, e, a.sun_path) : 0;
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
	const UnixSkEntry *e = unix_entry(d);
	cleanup_close int back = -1;
	int ret;

	if (!e->name.len)
		return 0;
	lock_names(d->tree);
	ret = enter_dir(d, e, &back);
	if (!ret)
		ret = bind_here(d, e, fd);
	if (leave_dir(d, back) < 0)
		ret = -1;
	unlock_names(d->tree);
	return ret;
}

/**
 * unix_bind_as - give a socket a name for the moment
 * @d: the description that it is done for
 * @fd: the socket
 * @name: the name; a node that it makes is gone again
 *
 * Return: 0, or -1, recorded.
 */
int unix_bind_as(struct file_desc *d, int fd, const ProtobufCBinaryData *name)
{
	struct sockaddr_un a;
	socklen_t len;
	int ret = make_addr(d, name, &a, &len);

	if (ret)
		return ret;
	lock_names(d->tree);
	if (is_path(name))
		ret = bind_passing(d, fd, &a, len, false, NULL);
	else if (bind(fd, (struct sockaddr *)&a, len) < 0)
		ret = file_fail(d, errno, "bind to the name of who sent it a message");
	unlock_names(d->tree);
	return ret;
}

/**
 * unix_address - where a bound socket can be reached from this process
 * @d: the description that it is done for
 * @to: the socket
 * @a: filled; its directory is the caller's to close
 *
 * Return: 0, or -1, recorded.
 */
int unix_address(struct file_desc *d, const struct file_desc *to, struct unix_address *a)
{
	const UnixSkEntry *e = unix_entry(to);
	const struct unix_shared *sh = unix_priv(to)->sh;
	int n = 0;

	if (make_addr(d, &e->name, &a->addr, &a->len) < 0)
		return -1;
	if (sh && atomic_load(&sh->node_fd) >= 0) {
		n = snprintf(a->addr.sun_path, sizeof(a->addr.sun_path), "/proc/%d/fd/%d",
			     atomic_load(&sh->node_pid), atomic_load(&sh->node_fd));
	} else if (e->name_dir && is_path(&e->name) && e->name.data[0] != '/') {
		a->dir = open(e->name_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (a->dir < 0)
			return file_fail(d, errno, "open the directory %s of a name", e->name_dir);
		n = snprintf(a->addr.sun_path, sizeof(a->addr.sun_path), "/proc/self/fd/%d/%.*s",
			     a->dir, (int)e->name.len, (const char *)e->name.data);
	}
	if (n >= (int)sizeof(a->addr.sun_path))
		return file_fail(d, ENAMETOOLONG, "connect to socket %u", e->ino);
	if (n)
		a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1);
	return 0;
}

/**
 * unix_connect - connect a socket to the name of another
 * @d: its description
 * @fd: the socket; not blocking unless it is one of datagrams
 * @to: the other, bound
 *
 * Return: 0; 1: not yet; or -1, recorded.
 */
int unix_connect(struct file_desc *d, int fd, const struct file_desc *to)
{
	const UnixSkEntry *e = unix_entry(to);
	struct unix_address a = { .dir = -1 };
	int ret = unix_address(d, to, &a);

	if (!ret && connect(fd, (struct sockaddr *)&a.addr, a.len) < 0) {
		if (errno == EAGAIN)
			ret = 1;
		else
			ret = file_fail(d, errno, "connect to %s %u (%.*s)",
					e->uflags & UNIX_OUTSIDE ? "the socket outside that was"
								 : "socket",
					e->ino, (int)e->name.len, (const char *)e->name.data);
	}
	close_owned(&a.dir);
	return ret;
}

/**
 * unix_name_lend - a socket that has the name of one that was closed
 * @n: the name; its listening socket is made unless it is there
 *
 * Return: 0, or -1, recorded.
 */
int unix_name_lend(struct unix_name *n)
{
	struct file_desc *d = n->first;
	cleanup_close int fd = -1;

	if (n->listener || n->fd >= 0 || atomic_load(&n->sh->bound))
		return 0;
	fd = socket(AF_UNIX, (int)(unix_entry(d)->type & 0xf) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return file_fail(d, errno, "socket()");
	if (unix_bind(d, fd) < 0 || unix_listen(d, fd, SOMAXCONN) < 0)
		return -1;
	n->fd = take_fd(&fd);
	atomic_store(&n->sh->bound, true);
	engine_progress(d->tree);
	return 0;
}

/* Who has the name that a socket is to get, in the file system or not; NULL: nobody. */
static const struct sockdiag_unix *name_holder(const UnixSkEntry *e, const struct sockdiag *sd)
{
	char moved[MOVED_MAX];
	struct stat st;

	if (!is_deleted(e))
		return sockdiag_unix_by_name(sd, e->name.data, e->name.len);
	if (!moved_path(e, moved, sizeof(moved)) || lstat(moved, &st) < 0)
		return NULL;
	return sockdiag_unix_by_node(sd, major(st.st_dev) << 20 | minor(st.st_dev),
				     (uint32_t)st.st_ino);
}

/**
 * unix_check_node - is the name of a socket free?
 * @d: its description
 *
 * Return: 0, or -EADDRINUSE, recorded.
 */
int unix_check_node(struct file_desc *d)
{
	const UnixSkEntry *e = unix_entry(d);
	struct restore_files *f = restore_files(d->tree);
	const struct sockdiag_unix *u;
	uint32_t ino;

	if (!e->name.len || e->uflags & UNIX_OUTSIDE ||
	    (!f->sockdiag && sockdiag_open(&f->sockdiag)))
		return 0;
	u = name_holder(e, f->sockdiag);
	ino = u ? u->ino : 0;
	/* A relative name of somebody else's directory is not ours. */
	if (!ino || (is_path(&e->name) && e->name.data[0] != '/'))
		return 0;
	file_fail(d, EADDRINUSE, "its name is in use by socket %u", ino);
	return -EADDRINUSE;
}
