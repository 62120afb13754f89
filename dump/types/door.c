/*
 * door - dump. A descriptor of a door of libdoor is an open ticket, and that
 * alone is of this type: the listener, the sessions and the memory of a server
 * are files like any other. What a ticket is of says its link in the store, so
 * nobody has to be asked. The other half is restore/types/door.c.
 *
 * A door whose listener is in the tree comes back with all its names. Of one
 * whose server is outside only the descriptor does.
 */
#include "dump/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "kernel/fhandle.h"
#include "lib/door.h"
#include "lib/door_names.h"
#include "proto/door.pb-c.h"
#include "proto/sk-unix.pb-c.h"

/* What is known of doors beside their descriptors, looked for once. */
struct door_around {
	struct door_mount {
		const char *root, *path;
		uint32_t kdev;
	} * mounts;
	size_t nr_mounts;
	ino_t *outside; /* tickets that others have open */
	size_t nr_outside;
	bool outside_read;
};

/* Keys that are no inode numbers. */
#define KEY_AROUND UINT64_MAX
#define KEY_SERVER (UINT64_C(1) << 63)

static int door_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	struct door_name n;
	int ret;

	(void)ctx;
	if (!S_ISDOOR(fi->st.st_mode) || fi->link[0] != '/')
		return 0;
	ret = door_name_find(&fi->st, &n);
	/* Whatever else is there, sticky and without a link, is empty if it was a ticket. */
	return !ret || (ret == -ENXIO && !fi->st.st_size);
}

static DoorTicketEntry *describe_ticket(struct dump_ctx *ctx, const struct door_name *n)
{
	DoorTicketEntry *t = arena_new_of(ctx->arena, DoorTicketEntry);

	door_ticket_entry__init(t);
	t->server = arena_strdup(ctx->arena, n->server);
	t->number = n->number;
	t->door_id = n->id;
	t->attributes = n->attributes;
	t->desc_max = n->desc_max;
	t->data_max = n->data_max;
	t->data_min = n->data_min;
	return t;
}

static int door_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	DoorEntry *e = (DoorEntry *)d->msg;
	struct door_name n;
	char path[DOOR_PATH_MAX] = "";
	struct stat st;

	if (!door_name_find(&fi->st, &n)) {
		e->ticket = describe_ticket(ctx, &n);
		door_name_ticket(&n, path);
	}
	e->store = arena_strdup(ctx->arena, n.root);
	e->ino = fi->st.st_ino;
	e->mode = fi->st.st_mode & 07777;
	e->uid = fi->st.st_uid;
	e->gid = fi->st.st_gid;
	if (strcmp(fi->link, path) != 0 && stat(fi->link, &st) == 0 && st.st_ino == fi->st.st_ino &&
	    st.st_dev == fi->st.st_dev)
		e->name = (char *)fi->link;
	file_see(ctx, FILE_KIND_door, fi->st.st_ino, d);
	return 0;
}

static bool listens_at(const struct file_desc *d, const char *path)
{
	const UnixSkEntry *e = d->kind == FILE_KIND_unixsk ? (const UnixSkEntry *)d->msg : NULL;
	const size_t len = strlen(path);

	return e && e->state == TCP_LISTEN && e->name.len >= len &&
	       !memcmp(e->name.data, path, len) && (e->name.len == len || !e->name.data[len]);
}

/* The listener of a server that is in the tree, or NULL. */
static struct file_desc *find_listener(struct dump_ctx *ctx, const struct door_name *n)
{
	const uint64_t key = strtoull(n->server, NULL, 16) | KEY_SERVER;
	struct file_desc *known = file_seen(ctx, FILE_KIND_door, key), *d;
	char path[DOOR_PATH_MAX];

	if (known)
		return known;
	door_name_listener(n, path);
	list_for_each(d, &ctx->tree->files.descs, list)
		if (listens_at(d, path)) {
			file_see(ctx, FILE_KIND_door, key, d);
			return d;
		}
	return NULL;
}

static int note_mount(void *arg, uint32_t kdev, const char *root, const char *path)
{
	struct dump_ctx *ctx = arg;
	struct door_around *w = file_seen(ctx, FILE_KIND_door, KEY_AROUND);
	const struct door_mount m = { .kdev = kdev,
				      .root = arena_strdup(ctx->arena, root),
				      .path = arena_strdup(ctx->arena, path) };

	if (strstr(root, "/t."))
		arena_push(ctx->arena, w->mounts, w->nr_mounts) = m;
	return 0;
}

static struct door_around *look_around(struct dump_ctx *ctx)
{
	struct door_around *w = file_seen(ctx, FILE_KIND_door, KEY_AROUND);

	if (w)
		return w;
	w = arena_new_of(ctx->arena, struct door_around);
	file_see(ctx, FILE_KIND_door, KEY_AROUND, w);
	fhandle_mounts(note_mount, ctx);
	return w;
}

/* The paths that the door is attached to by this ticket. */
static void find_attached(struct dump_ctx *ctx, DoorTicketEntry *t, const struct door_name *n,
			  const struct stat *st)
{
	const struct door_around *w = look_around(ctx);
	char path[DOOR_PATH_MAX];

	door_name_ticket(n, path);
	for (size_t i = 0; i < w->nr_mounts; i++)
		if (w->mounts[i].kdev == file_kdev(st->st_dev) &&
		    !strcmp(w->mounts[i].root, path + strlen(n->root)))
			arena_push(ctx->arena, t->attached, t->n_attached) =
				(char *)w->mounts[i].path;
}

static void note_opened(struct dump_ctx *ctx, struct door_around *w, const char *pid, dev_t dev)
{
	char name[PATH_MAX];
	struct dirent *de;
	struct stat st;
	DIR *dir;

	snprintf(name, sizeof(name), "/proc/%.16s/fd", pid);
	dir = opendir(name);
	while (dir && (de = readdir(dir)))
		if (de->d_name[0] != '.' && fstatat(dirfd(dir), de->d_name, &st, 0) == 0 &&
		    st.st_dev == dev && S_ISREG(st.st_mode))
			arena_push(ctx->arena, w->outside, w->nr_outside) = st.st_ino;
	if (dir)
		closedir(dir);
}

/* Do others have the ticket open? Whether they still do is to be looked at after the restore. */
static bool is_open_outside(struct dump_ctx *ctx, const struct stat *st)
{
	struct door_around *w = look_around(ctx);
	DIR *dir = w->outside_read ? NULL : opendir("/proc");
	struct dirent *de;

	while (dir && (de = readdir(dir))) {
		int pid = atoi(de->d_name);

		if (pid > 0 && pid != getpid() && !pstree_find(ctx->tree, pid))
			note_opened(ctx, w, de->d_name, st->st_dev);
	}
	if (dir)
		closedir(dir);
	w->outside_read = true;
	for (size_t i = 0; i < w->nr_outside; i++)
		if (w->outside[i] == st->st_ino)
			return true;
	return false;
}

static int door_finish(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	DoorTicketEntry *t = ((DoorEntry *)d->msg)->ticket;
	const struct file_desc *listener;
	char path[DOOR_PATH_MAX];
	struct door_name n;
	struct stat st;

	if (!t || door_name_find(&fi->st, &n))
		return 0;
	listener = find_listener(ctx, &n);
	if (!listener)
		return 0;
	door_name_dir(&n, path);
	if (stat(path, &st) < 0)
		st = fi->st;
	t->has_listener = t->has_server_uid = t->has_server_gid = 1;
	t->listener = listener->id;
	t->server_uid = st.st_uid;
	t->server_gid = st.st_gid;
	find_attached(ctx, t, &n, &fi->st);
	if (t->attributes & (DOOR_UNREF | DOOR_UNREF_MULTI) && is_open_outside(ctx, &fi->st))
		t->has_open_outside = t->open_outside = 1;
	return 0;
}

const struct file_dump_ops door_dump_ops = {
	.probe = door_probe,
	.dump = door_dump,
	.finish = door_finish,
};
