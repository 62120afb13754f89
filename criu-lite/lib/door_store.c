/*
 * door_store - where doors are known by name. The store is a small tmpfs on
 * /run/door, or where that cannot be mounted a directory of each user in
 * /dev/shm. In it are, for every server, a listener l.RANDOM and a directory
 * RANDOM that nobody else enters, with the tickets t.NUMBER; and for every
 * ticket a link s.INODE that names the listener, see door_names.c. A descriptor
 * of a door is a ticket that is open; a path that a door is attached to has a
 * ticket mounted on it.
 *
 * A ticket's content means nothing: device and inode number are what it is.
 * Nobody but its owner and root can make or replace the link s.INODE of it,
 * which is what a client goes by to find the server.
 */
#include "lib/door_names.h"
#include "lib/door_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"

#define ROOT DOOR_ROOT
#define OPTIONS "mode=1777,size=16m,nr_inodes=128k"
#define SWEEP_AGE 3600 /* seconds that the names of a dead server stay, for its restore */
#define LISTENER "l."

/* A file system of its own that root made, in which nobody removes what others have. */
static bool is_mounted(struct stat *st)
{
	struct statfs fs;

	return stat(ROOT, st) == 0 && S_ISDIR(st->st_mode) && st->st_uid == 0 &&
	       (st->st_mode & S_ISVTX) && statfs(ROOT, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
}

static void own_root(char *path, uid_t uid)
{
	snprintf(path, DOOR_PATH_MAX, DOOR_OWN_ROOT "%u", uid);
}

/* A directory of one user that nobody else writes to. */
static bool is_own(const char *path, uid_t uid, struct stat *st)
{
	return lstat(path, st) == 0 && S_ISDIR(st->st_mode) && st->st_uid == uid &&
	       !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static void store_set(struct door_store *s, const char *root, bool mounted)
{
	snprintf(s->root, sizeof(s->root), "%.63s", root);
	s->mounted = mounted;
}

static int mount_root(void)
{
	cleanup_close int under = -1;
	struct stat st;

	if (mkdir(ROOT, 0755) < 0 && errno != EEXIST)
		return -errno;
	under = open(ROOT, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (under < 0)
		return -errno;
	if (flock(under, LOCK_EX) < 0)
		return -errno;
	if (is_mounted(&st))
		return 0;
	return mount("tmpfs", ROOT, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, OPTIONS) < 0 ? -errno
											    : 0;
}

/**
 * door_store_make - find the store in which this process makes doors
 * @s: filled
 *
 * Return: 0 or -errno.
 */
int door_store_make(struct door_store *s)
{
	char own[DOOR_PATH_MAX];
	struct stat st;

	if (is_mounted(&st) || (!mount_root() && is_mounted(&st))) {
		store_set(s, ROOT, true);
		return 0;
	}
	own_root(own, geteuid());
	if (mkdir(own, 0711) < 0 && errno != EEXIST)
		return -errno;
	if (!is_own(own, geteuid(), &st))
		return -EPERM;
	if (chmod(own, 0711) < 0)
		return -errno;
	store_set(s, own, false);
	return 0;
}

/**
 * door_store_of - the store that a descriptor's file is of
 * @st: what fstat(2) says of it
 * @s: filled
 *
 * Return: 0; -EBADF if it is not of one.
 */
int door_store_of(const struct stat *st, struct door_store *s)
{
	char own[DOOR_PATH_MAX];
	struct stat dir;

	if (!S_ISREG(st->st_mode))
		return -EBADF;
	if (is_mounted(&dir) && dir.st_dev == st->st_dev) {
		store_set(s, ROOT, true);
		return 0;
	}
	own_root(own, st->st_uid);
	if (!is_own(own, st->st_uid, &dir) || dir.st_dev != st->st_dev)
		return -EBADF;
	store_set(s, own, false);
	return 0;
}

/**
 * door_name_find - what the store says of a descriptor's file
 * @st: what fstat(2) says of it
 * @n: filled; root only, unless 0 is returned
 *
 * Return: 0; -ENXIO for the ticket of a door that is gone; -EBADF if it is no
 * ticket, or the name is not one that its owner made.
 */
int door_name_find(const struct stat *st, struct door_name *n)
{
	struct door_store s = { .mounted = false };
	int ret = door_store_of(st, &s);

	if (ret)
		return ret;
	memcpy(n->root, s.root, sizeof(n->root));
	ret = door_name_read(n, st);
	if (ret == -ENOENT)
		return s.mounted && S_ISDOOR(st->st_mode) ? -ENXIO : -EBADF;
	return ret;
}

/**
 * door_store_at - have a store that was there
 * @root: its path, /run/door or that of a user
 * @made: set if it was not there
 *
 * Return: 0 or -errno.
 */
int door_store_at(const char *root, bool *made)
{
	struct stat st;
	int ret;

	if (strcmp(root, ROOT) != 0) {
		uid_t uid = (uid_t)strtoul(root + strlen(DOOR_OWN_ROOT), NULL, 10);

		*made = mkdir(root, 0711) == 0;
		if (*made && lchown(root, uid, (gid_t)-1) < 0)
			return -errno;
		return is_own(root, uid, &st) ? 0 : -EPERM;
	}
	*made = !is_mounted(&st);
	ret = *made ? mount_root() : 0;
	return ret ? ret : is_mounted(&st) ? 0 : -EPERM;
}

/**
 * door_reopen - open the file of a descriptor once more
 * @fd: the descriptor
 * @flags: for open(2); O_CLOEXEC is added
 *
 * Return: a descriptor that shares nothing with @fd, or -errno.
 */
int door_reopen(int fd, int flags)
{
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/**
 * door_name_is_dead - is a server gone?
 * @n: root and server
 *
 * Return: whether nobody listens any more.
 */
bool door_name_is_dead(const struct door_name *n)
{
	cleanup_close int sk = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char path[DOOR_PATH_MAX];

	door_name_listener(n, path);
	snprintf(a.sun_path, sizeof(a.sun_path), "%.107s", path);
	return sk >= 0 && connect(sk, (struct sockaddr *)&a, sizeof(a)) < 0 &&
	       (errno == ECONNREFUSED || errno == ENOENT);
}

static void sweep_server(struct door_name n)
{
	char dir[DOOR_PATH_MAX], path[DOOR_PATH_MAX];
	struct dirent *e;
	struct stat st;
	DIR *d;

	door_name_dir(&n, dir);
	d = opendir(dir);
	while (d && (e = readdir(d))) {
		if (sscanf(e->d_name, "t.%" SCNu64, &n.number) != 1 ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		door_name_link(&n, st.st_ino, path);
		unlink(path);
		unlinkat(dirfd(d), e->d_name, 0);
	}
	if (d)
		closedir(d);
	rmdir(dir);
	door_name_listener(&n, path);
	unlink(path);
}

/* Removes what servers that are long dead have left. */
static void sweep(const struct door_store *s)
{
	DIR *d = opendir(s->root);
	struct door_name n = { .number = 0 };
	struct dirent *e;
	struct stat st;

	memcpy(n.root, s->root, sizeof(n.root));
	while (d && (e = readdir(d))) {
		if (strncmp(e->d_name, LISTENER, strlen(LISTENER)) != 0)
			continue;
		snprintf(n.server, sizeof(n.server), "%.16s", e->d_name + strlen(LISTENER));
		if (!door_name_is_good(&n) ||
		    fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		    st.st_ctime + SWEEP_AGE > time(NULL))
			continue;
		if ((geteuid() == 0 || st.st_uid == geteuid()) && door_name_is_dead(&n))
			sweep_server(n);
	}
	if (d)
		closedir(d);
}

static void server_name(const struct door_server *s, struct door_name *n)
{
	*n = (struct door_name){ .number = 0 };
	memcpy(n->root, s->store.root, sizeof(n->root));
	memcpy(n->server, s->random, sizeof(n->server));
}

/**
 * door_store_listen - open the listener and the ticket directory of a server
 * @s: has its store; random and listener are set
 *
 * Return: 0 or -errno.
 */
int door_store_listen(struct door_server *s)
{
	cleanup_close int sk = -1;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char path[DOOR_PATH_MAX];
	struct door_name n;
	uint64_t random;

	sweep(&s->store);
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -EAGAIN;
	snprintf(s->random, sizeof(s->random), "%016" PRIx64, random);
	server_name(s, &n);
	door_name_listener(&n, path);
	snprintf(a.sun_path, sizeof(a.sun_path), "%.107s", path);
	door_name_dir(&n, path);
	sk = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sk < 0 || mkdir(path, 0700) < 0 || bind(sk, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    chmod(a.sun_path, 0666) < 0 || listen(sk, SOMAXCONN) < 0)
		return -errno;
	s->listener = take_fd(&sk);
	return 0;
}

/**
 * door_store_adopt - have the listener and the ticket directory of another server
 * @s: has its store; random and listener are set
 * @listener: as the other has it; taken over, whatever is returned
 *
 * Return: 0; -EINVAL if it is not a listener of this store; -errno.
 */
int door_store_adopt(struct door_server *s, int listener)
{
	struct sockaddr_un a;
	socklen_t len = sizeof(a);
	char path[DOOR_PATH_MAX], end;
	struct door_name n;

	s->listener = listener;
	memset(&a, 0, sizeof(a));
	if (getsockname(listener, (struct sockaddr *)&a, &len) < 0)
		return -errno;
	snprintf(path, sizeof(path), "%s/" LISTENER "%%16[0-9a-f]%%c", s->store.root);
	if (sscanf(a.sun_path, path, s->random, &end) != 1)
		return -EINVAL;
	server_name(s, &n);
	door_name_listener(&n, path);
	/* Once more, so that clients see the pid of this process. */
	if (strcmp(path, a.sun_path) != 0 || listen(listener, SOMAXCONN) < 0)
		return -EINVAL;
	if (fcntl(listener, F_SETFD, FD_CLOEXEC) < 0 || fcntl(listener, F_SETFL, O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

/**
 * door_store_tickets - the tickets that a server has in the store
 * @s: the server
 * @each: called with the descriptor of the directory and a name in it
 * @arg: for it
 *
 * Return: 0; -errno, also of @each, which ends it.
 */
int door_store_tickets(const struct door_server *s,
		       int (*each)(void *arg, int dir, const char *name), void *arg)
{
	char path[DOOR_PATH_MAX];
	struct door_name n;
	struct dirent *e;
	int ret = 0;
	DIR *d;

	server_name(s, &n);
	door_name_dir(&n, path);
	d = opendir(path);
	if (!d)
		return -errno;
	while (!ret && (e = readdir(d)))
		if (e->d_name[0] != '.')
			ret = each(arg, dirfd(d), e->d_name);
	closedir(d);
	return ret;
}

/* What the link of a ticket says. */
static void describe(const struct door_server *s, const struct door *d, const struct door_ticket *t,
		     struct door_name *n)
{
	server_name(s, n);
	n->number = t->number;
	n->id = d->id;
	n->attributes = d->attributes;
	n->desc_max = d->desc_max;
	n->data_max = d->data_max;
	n->data_min = d->data_min;
}

/**
 * door_store_ticket - make a ticket
 * @s: the server
 * @d: the door
 * @t: number, dev, ino and handle are set
 * @st: its permissions, owner and group
 *
 * Return: 0 or -errno.
 */
int door_store_ticket(const struct door_server *s, const struct door *d, struct door_ticket *t,
		      const struct stat *st)
{
	char from[32], to[DOOR_PATH_MAX];
	cleanup_close int fd = -1, handle = -1;
	struct door_name n;
	struct stat made;
	int ret;

	server_name(s, &n);
	door_name_dir(&n, to);
	fd = open(to, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 || fchown(fd, st->st_uid, st->st_gid) < 0 ||
	    fchmod(fd, (st->st_mode & 0777) | S_ISVTX) < 0 || fstat(fd, &made) < 0)
		return -errno;
	t->number = t->ino = made.st_ino;
	t->dev = made.st_dev;
	describe(s, d, t, &n);
	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	door_name_ticket(&n, to);
	if (linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	/* By its name: what @fd is has none, and cannot be mounted. */
	handle = open(to, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	ret = handle < 0 ? -errno : door_name_write(&n, made.st_ino);
	if (ret) {
		unlink(to);
		return ret;
	}
	t->handle = take_fd(&handle);
	return 0;
}

/**
 * door_store_note - say what has become of a door
 * @s: the server
 * @d: the door
 *
 * It is for who looks at the door from outside, and may fail.
 */
void door_store_note(const struct door_server *s, struct door *d)
{
	struct door_ticket *t;
	struct door_name n;

	list_for_each(t, &d->tickets, list) {
		door_ticket_look(t);
		describe(s, d, t, &n);
		door_name_write(&n, t->ino);
	}
}

/**
 * door_store_drop - remove the names of a ticket
 * @s: the server
 * @t: the ticket
 */
void door_store_drop(const struct door_server *s, struct door_ticket *t)
{
	char path[DOOR_PATH_MAX];
	struct door_name n;

	door_ticket_look(t);
	server_name(s, &n);
	n.number = t->number;
	door_name_link(&n, t->ino, path);
	unlink(path);
	door_name_ticket(&n, path);
	unlink(path);
}

/**
 * door_ticket_look - a restore may have made a ticket anew
 * @t: the ticket; dev and ino are set
 *
 * Return: whether they are others than before.
 */
bool door_ticket_look(struct door_ticket *t)
{
	struct stat st;

	if (fstat(t->handle, &st) < 0 || (st.st_ino == t->ino && st.st_dev == t->dev))
		return false;
	t->dev = st.st_dev;
	t->ino = st.st_ino;
	return true;
}
