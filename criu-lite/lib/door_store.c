/*
 * door_store - where doors are known by name. The store is a small tmpfs on
 * /run/door, or where that cannot be mounted a directory of each user in
 * /dev/shm. In it are, for every server, a listener l.RANDOM and a directory
 * RANDOM that nobody else enters, with the tickets t.INODE; and for every
 * ticket a link s.INODE to the listener. A descriptor of a door is a ticket
 * that is open; a path that a door is attached to has a ticket mounted on it.
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
#include <linux/magic.h>
#include <stdio.h>
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

#define ROOT "/run/door"
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
	snprintf(path, DOOR_PATH_MAX, "/dev/shm/door-%u", uid);
}

/* A directory of one user that nobody else writes to. */
static bool is_own(const char *path, uid_t uid, struct stat *st)
{
	return lstat(path, st) == 0 && S_ISDIR(st->st_mode) && st->st_uid == uid &&
	       !(st->st_mode & (S_IWGRP | S_IWOTH));
}

static void store_set(struct door_store *s, const char *root, dev_t dev, bool mounted)
{
	snprintf(s->root, sizeof(s->root), "%s", root);
	s->dev = dev;
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
		store_set(s, ROOT, st.st_dev, true);
		return 0;
	}
	own_root(own, geteuid());
	if (mkdir(own, 0711) < 0 && errno != EEXIST)
		return -errno;
	if (!is_own(own, geteuid(), &st))
		return -EPERM;
	if (chmod(own, 0711) < 0)
		return -errno;
	store_set(s, own, st.st_dev, false);
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
		store_set(s, ROOT, dir.st_dev, true);
		return 0;
	}
	own_root(own, st->st_uid);
	if (!is_own(own, st->st_uid, &dir) || dir.st_dev != st->st_dev)
		return -EBADF;
	store_set(s, own, dir.st_dev, false);
	return 0;
}

static void link_name(char *path, const struct door_store *s, ino_t ino)
{
	snprintf(path, DOOR_PATH_MAX, "%.60s/s.%llu", s->root, (unsigned long long)ino);
}

static void ticket_name(char *path, const char *dir, ino_t ino)
{
	snprintf(path, DOOR_PATH_MAX, "%.90s/t.%llu", dir, (unsigned long long)ino);
}

/**
 * door_store_address - the socket of a ticket's server
 * @s: its store
 * @st: what fstat(2) says of the ticket
 * @path: DOOR_PATH_MAX bytes, filled
 *
 * Return: 0; -ENXIO for the ticket of a door that is gone; -EBADF if it is no
 * ticket, or the name is not one that its owner made.
 */
int door_store_address(const struct door_store *s, const struct stat *st, char *path)
{
	char target[DOOR_PATH_MAX];
	struct stat l;
	ssize_t n;

	link_name(path, s, st->st_ino);
	if (lstat(path, &l) < 0)
		return errno == ENOENT && s->mounted && S_ISDOOR(st->st_mode) ? -ENXIO : -EBADF;
	if (!S_ISLNK(l.st_mode) || (l.st_uid != 0 && l.st_uid != st->st_uid))
		return -EBADF;
	/* Not followed by the kernel: fs.protected_symlinks would forbid it. */
	n = readlink(path, target, sizeof(target) - 1);
	if (n < 0)
		return -ENXIO;
	target[n] = 0;
	if (strncmp(target, LISTENER, strlen(LISTENER)) || strchr(target, '/'))
		return -EBADF;
	snprintf(path, DOOR_PATH_MAX, "%.60s/%.40s", s->root, target);
	return 0;
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
 * door_name_is_listener - is this the name of a listener of doors?
 * @name: a Unix socket's
 * @len: its bytes
 *
 * Return: that.
 */
bool door_name_is_listener(const uint8_t *name, size_t len)
{
	static const char *const roots[] = { ROOT "/" LISTENER, "/dev/shm/door-" };

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++)
		if (len > strlen(roots[i]) && !memcmp(name, roots[i], strlen(roots[i])))
			return true;
	return false;
}

/* Does nobody listen at the socket any more? */
static bool is_dead(const char *path)
{
	cleanup_close int sk = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path, sizeof(a.sun_path), "%.107s", path);
	return sk >= 0 && connect(sk, (struct sockaddr *)&a, sizeof(a)) < 0 &&
	       errno == ECONNREFUSED;
}

static void sweep_server(const struct door_store *s, const char *random)
{
	char dir[DOOR_PATH_MAX], path[DOOR_PATH_MAX];
	unsigned long long ino;
	struct dirent *e;
	DIR *d;

	snprintf(dir, sizeof(dir), "%.60s/%.40s", s->root, random);
	d = opendir(dir);
	while (d && (e = readdir(d))) {
		if (sscanf(e->d_name, "t.%llu", &ino) != 1)
			continue;
		link_name(path, s, ino);
		unlink(path);
		ticket_name(path, dir, ino);
		unlink(path);
	}
	if (d)
		closedir(d);
	rmdir(dir);
	snprintf(path, sizeof(path), "%.60s/" LISTENER "%.40s", s->root, random);
	unlink(path);
}

/* Removes what servers that are long dead have left. */
static void sweep(const struct door_store *s)
{
	DIR *d = opendir(s->root);
	struct dirent *e;
	struct stat st;

	while (d && (e = readdir(d))) {
		char path[DOOR_PATH_MAX];

		if (strncmp(e->d_name, LISTENER, strlen(LISTENER)))
			continue;
		snprintf(path, sizeof(path), "%.60s/%.40s", s->root, e->d_name);
		if (lstat(path, &st) < 0 || st.st_ctime + SWEEP_AGE > time(NULL))
			continue;
		if ((geteuid() == 0 || st.st_uid == geteuid()) && is_dead(path))
			sweep_server(s, e->d_name + strlen(LISTENER));
	}
	if (d)
		closedir(d);
}

/**
 * door_store_listen - open the listener and the ticket directory of a server
 * @s: has its store; dir, sock_name and listener are set
 *
 * Return: 0 or -errno.
 */
int door_store_listen(struct door_server *s)
{
	cleanup_close int sk = -1;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	uint64_t random;

	sweep(&s->store);
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return -EAGAIN;
	snprintf(s->sock_name, sizeof(s->sock_name), LISTENER "%016llx",
		 (unsigned long long)random);
	snprintf(s->dir, sizeof(s->dir), "%.60s/%016llx", s->store.root,
		 (unsigned long long)random);
	snprintf(a.sun_path, sizeof(a.sun_path), "%.60s/%.40s", s->store.root, s->sock_name);
	sk = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (sk < 0 || mkdir(s->dir, 0700) < 0 || bind(sk, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    chmod(a.sun_path, 0666) < 0 || listen(sk, SOMAXCONN) < 0)
		return -errno;
	s->listener = take_fd(&sk);
	return 0;
}

/**
 * door_store_ticket - make a ticket
 * @s: the server
 * @t: dev, ino and handle are set
 * @mode: permissions
 * @uid: owner
 * @gid: group
 *
 * Return: 0 or -errno.
 */
int door_store_ticket(const struct door_server *s, struct door_ticket *t, mode_t mode, uid_t uid,
		      gid_t gid)
{
	char from[32], to[DOOR_PATH_MAX], name[DOOR_PATH_MAX];
	cleanup_close int fd = open(s->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), handle = -1;
	struct stat st;
	int err;

	if (fd < 0 || fchown(fd, uid, gid) < 0 || fchmod(fd, (mode & 0777) | S_ISVTX) < 0 ||
	    fstat(fd, &st) < 0)
		return -errno;
	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	ticket_name(to, s->dir, st.st_ino);
	if (linkat(AT_FDCWD, from, AT_FDCWD, to, AT_SYMLINK_FOLLOW) < 0)
		return -errno;
	/* By its name: what @fd is has none, and cannot be mounted. */
	handle = open(to, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	link_name(name, &s->store, st.st_ino);
	if (handle < 0 || symlink(s->sock_name, name) < 0) {
		err = errno;
		unlink(to);
		return -err;
	}
	t->dev = st.st_dev;
	t->ino = st.st_ino;
	t->handle = take_fd(&handle);
	return 0;
}

/**
 * door_store_drop - remove the names of a ticket
 * @s: the server
 * @t: the ticket
 */
void door_store_drop(const struct door_server *s, const struct door_ticket *t)
{
	char path[DOOR_PATH_MAX];

	link_name(path, &s->store, t->ino);
	unlink(path);
	ticket_name(path, s->dir, t->ino);
	unlink(path);
}
