/*
 * files_door - tickets of doors. One that is still in the store, with the link
 * that says so, is the one. Otherwise the tool makes it before the first fork:
 * under its name and with the door's id if its server comes back, without a
 * name if not. Links and mounts are made when the server listens. All that is
 * made is noted in memory that the guardian shares, and goes if the restore
 * fails.
 */
#include "restore/files_door.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/door.h"

/**
 * door_ticket_path - a path that leads to a ticket while files are restored
 * @t: the ticket
 * @path: DOOR_PATH_MAX bytes, filled
 */
void door_ticket_path(const struct door_ticket *t, char *path)
{
	if (t->state == TICKET_DEAD)
		snprintf(path, DOOR_PATH_MAX, "/proc/self/fd/%d", t->fd);
	else
		door_name_ticket(&t->name, path);
}

static bool same_door(const struct door_ticket *t, const struct door_name *n)
{
	return !strcmp(n->server, t->name.server) && n->number == t->name.number &&
	       n->id == t->name.id;
}

/* Is the file with this name the ticket? Its link may have been lost. */
static bool is_ticket(const struct door_ticket *t, const struct stat *st)
{
	struct door_name n;

	if (!S_ISREG(st->st_mode) || !S_ISDOOR(st->st_mode))
		return false;
	if (!door_name_find(st, &n))
		return same_door(t, &n);
	return st->st_ino == t->e->ino && st->st_uid == t->e->uid;
}

/**
 * door_check_ticket - find out what there is of a ticket
 * @t: the ticket, named; its state is set
 *
 * Return: 0 or -errno, recorded.
 */
int door_check_ticket(struct door_ticket *t)
{
	const bool comes_back = t->listener;
	char path[DOOR_PATH_MAX];
	struct stat st;
	bool there, same;

	door_name_ticket(&t->name, path);
	there = lstat(path, &st) == 0;
	same = there && is_ticket(t, &st);
	t->state = same ? TICKET_THERE : comes_back ? TICKET_MISSING : TICKET_DEAD;
	if (there && !same && comes_back) {
		file_fail(t->d, EEXIST,
			  "%s is another file, not the ticket of this door: move it away", path);
		return -EEXIST;
	}
	if (!comes_back && (!same || door_name_is_dead(&t->name)))
		log_warn(t->d->tree->report,
			 "file id %#x: door %llu is gone with its server, calls of it get EBADF",
			 t->d->id, (unsigned long long)t->name.id);
	return 0;
}

static bool has_ticket(const struct door_ticket *t, const char *path)
{
	char own[DOOR_PATH_MAX];
	struct stat st, want;

	door_ticket_path(t, own);
	return stat(own, &want) == 0 && stat(path, &st) == 0 && st.st_ino == want.st_ino &&
	       st.st_dev == want.st_dev;
}

/* A mount of a ticket whose door is gone, if only because its names are. */
static bool is_dead_door(const struct stat *st, const struct statx *x)
{
	struct door_name n;
	int ret;

	if (!(x->stx_attributes & STATX_ATTR_MOUNT_ROOT) || !S_ISREG(st->st_mode) ||
	    !S_ISDOOR(st->st_mode))
		return false;
	ret = door_name_find(st, &n);
	return ret ? !st->st_size : door_name_is_dead(&n);
}

/**
 * door_check_place - can a ticket be mounted on a path, or is it there?
 * @t: the ticket
 * @path: the path
 *
 * Return: 0; 1: a mount of a dead door is in the way; or -errno, recorded.
 */
int door_check_place(struct door_ticket *t, const char *path)
{
	struct statx x;
	struct stat st;

	if (path[0] != '/' || stat(path, &st) < 0 || statx(AT_FDCWD, path, 0, STATX_TYPE, &x) < 0) {
		int err = path[0] == '/' ? errno : EBADMSG;

		file_fail(t->d, err, "%s, to which the door is attached, must be there", path);
		return -err;
	}
	if (t->state == TICKET_THERE && has_ticket(t, path))
		return 0;
	if (is_dead_door(&st, &x))
		return 1;
	if (!S_ISDIR(st.st_mode) && !(x.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return 0;
	file_fail(t->d, EBUSY, "%s, to which the door is attached, is %s", path,
		  S_ISDIR(st.st_mode) ? "a directory" : "taken by another mount: unmount that");
	return -EBUSY;
}

static int make_dir(struct door_ticket *t)
{
	const DoorTicketEntry *k = t->e->ticket;
	char dir[DOOR_PATH_MAX];
	struct stat st;
	bool made;
	int ret;

	atomic_store(&t->made->root, access(t->name.root, F_OK) < 0);
	ret = door_store_at(t->name.root, &made);
	atomic_store(&t->made->root, made);
	if (ret < 0) {
		file_fail(t->d, -ret, "make the store of doors, %s", t->name.root);
		return ret;
	}
	if (t->state == TICKET_DEAD)
		return 0;
	door_name_dir(&t->name, dir);
	if (lstat(dir, &st) == 0)
		return 0;
	atomic_store(&t->made->dir, true);
	if (mkdir(dir, 0700) == 0 && lchown(dir, k->server_uid, k->server_gid) == 0)
		return 0;
	ret = -errno;
	file_fail(t->d, -ret, "make the directory of tickets, %s", dir);
	return ret;
}

/* The name comes last: it is never one of an unfinished ticket. */
static int make_file(struct door_ticket *t)
{
	const DoorEntry *e = t->e;
	char from[32], path[DOOR_PATH_MAX];
	cleanup_close int fd = -1;
	struct stat st;

	if (t->state == TICKET_DEAD)
		snprintf(path, sizeof(path), "%s", t->name.root);
	else
		door_name_dir(&t->name, path);
	fd = open(path, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 || fchown(fd, e->uid, e->gid) < 0 ||
	    fchmod(fd, (e->mode & 0777) | S_ISVTX) < 0 || fstat(fd, &st) < 0)
		return -errno;
	if (t->state == TICKET_DEAD) {
		t->fd = take_fd(&fd);
		file_keep(t->d->tree, &t->fd);
		return 0;
	}
	atomic_store(&t->made->ino, st.st_ino);
	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	door_name_ticket(&t->name, path);
	return linkat(AT_FDCWD, from, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/**
 * doors_make - make the tickets that are not there
 * @ctx: the run; nothing is forked but the guardian
 *
 * Return: 0 or -errno, recorded.
 */
int doors_make(struct restore_ctx *ctx)
{
	struct door_ticket *t = ctx->files ? ctx->files->tickets : NULL;

	for (; t; t = t->next) {
		int ret;

		if (t->state == TICKET_THERE)
			continue;
		ret = make_dir(t);
		if (ret)
			return ret;
		ret = make_file(t);
		if (ret) {
			file_fail(t->d, -ret, "make its ticket anew");
			return ret;
		}
	}
	return 0;
}

static int put_link(struct door_ticket *t)
{
	char path[DOOR_PATH_MAX];
	const DoorTicketEntry *k = t->e->ticket;
	struct door_name n;
	struct stat st;
	int ret;

	door_name_ticket(&t->name, path);
	if (stat(path, &st) < 0)
		return file_fail(t->d, errno, "look at its ticket %s", path);
	if (!door_name_find(&st, &n) && same_door(t, &n))
		return 0;
	atomic_store(&t->made->link, true);
	ret = door_name_write(&t->name, st.st_ino);
	door_name_link(&t->name, st.st_ino, path);
	if (ret || lchown(path, k->server_uid, k->server_gid) < 0)
		return file_fail(t->d, ret ? -ret : errno, "make its link %s", path);
	return 0;
}

static int put_mount(struct door_ticket *t, const char *path)
{
	char own[DOOR_PATH_MAX];
	int ret = door_check_place(t, path);

	if (ret < 0)
		return -1;
	if (ret == 1 && umount2(path, MNT_DETACH) < 0)
		return file_fail(t->d, errno, "unmount a dead door from %s", path);
	if (has_ticket(t, path))
		return 0;
	door_ticket_path(t, own);
	atomic_fetch_add(&t->made->mounts, 1);
	if (mount(own, path, NULL, MS_BIND, NULL) < 0)
		return file_fail(t->d, errno, "attach it to %s", path);
	return 0;
}

/**
 * door_put_names - a ticket is led to again: by its link, and by paths
 * @t: the ticket; its server listens
 *
 * Return: 0, or -1, recorded.
 */
int door_put_names(struct door_ticket *t)
{
	int ret = put_link(t);

	for (size_t i = 0; !ret && i < t->e->ticket->n_attached; i++)
		ret = put_mount(t, t->e->ticket->attached[i]);
	return ret;
}

static void undo_ticket(const struct door_ticket *t)
{
	char path[DOOR_PATH_MAX], link[DOOR_PATH_MAX];
	struct ticket_made *m = t->made;
	struct stat st;

	if (t->state == TICKET_DEAD)
		return;
	door_name_ticket(&t->name, path);
	for (size_t i = 0; atomic_load(&m->mounts) && i < t->e->ticket->n_attached; i++)
		if (has_ticket(t, t->e->ticket->attached[i]))
			umount2(t->e->ticket->attached[i], MNT_DETACH);
	if (lstat(path, &st) < 0)
		return;
	door_name_link(&t->name, st.st_ino, link);
	if (atomic_load(&m->link))
		unlink(link);
	if (atomic_load(&m->ino) && st.st_ino == atomic_load(&m->ino))
		unlink(path);
}

/* What holds tickets, after them. */
static void undo_holders(const struct door_ticket *t)
{
	char path[DOOR_PATH_MAX];

	if (atomic_load(&t->made->dir)) {
		door_name_dir(&t->name, path);
		rmdir(path);
		door_name_listener(&t->name, path);
		unlink(path);
	}
	if (atomic_load(&t->made->root) && !strcmp(t->name.root, DOOR_ROOT))
		umount2(t->name.root, 0);
	if (atomic_load(&t->made->root))
		rmdir(t->name.root);
}

/**
 * doors_undo - a restore has failed: what it has made of doors goes
 * @ctx: the run; also called by the guardian, when the tool is gone
 */
void doors_undo(struct restore_ctx *ctx)
{
	struct door_ticket *tickets = ctx->files ? ctx->files->tickets : NULL, *t;

	if (atomic_load(&ctx->shared->committed))
		return;
	for (t = tickets; t; t = t->next) {
		close_owned(&t->fd);
		t->fd = -1;
		undo_ticket(t);
	}
	for (t = tickets; t; t = t->next)
		undo_holders(t);
}

/**
 * doors_look - let servers look whether others still have their doors open
 * @ctx: the run; the tree is complete and stands still
 *
 * Whoever closed one while the server was not there was not heard.
 *
 * Return: 0.
 */
int doors_look(struct restore_ctx *ctx)
{
	struct door_ticket *t = ctx->files ? ctx->files->tickets : NULL;
	char path[DOOR_PATH_MAX];

	for (; t; t = t->next) {
		const DoorTicketEntry *k = t->e->ticket;
		int fd;

		if (!k || !k->has_open_outside || !k->open_outside)
			continue;
		door_ticket_path(t, path);
		fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		close_owned(&fd);
	}
	return 0;
}
