/*
 * files_notify - what inotify and fanotify watch. fdinfo names it by file
 * handle; from that the path is found, if one leads there. A file without a
 * name is watched through the description that has it open. Where handles do
 * not help, --force-irmap looks for the file in the places that it names.
 */
#include "dump/files_notify.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/fhandle.h"

#define HANDLE_WORDS 16 /* of 64 bits: what the image format wants */

/**
 * notify_handle - the handle of a line of fdinfo
 * @ctx: the dump
 * @line: the line
 *
 * Return: the handle, without bytes if the file system has none; NULL if the
 * line cannot be understood.
 */
FhEntry *notify_handle(struct dump_ctx *ctx, const char *line)
{
	FhEntry *h = arena_new_of(ctx->arena, FhEntry);
	const char *end = strchrnul(line, '\n'), *hex = strstr(line, "f_handle:");
	unsigned bytes = 0, type = 0;

	fh_entry__init(h);
	h->n_handle = HANDLE_WORDS;
	h->handle = arena_array(ctx->arena, uint64_t, HANDLE_WORDS);
	line = strstr(line, "fhandle-bytes:");
	if (!line || !hex || line > end || hex > end)
		return h;
	if (sscanf(line, "fhandle-bytes:%x fhandle-type:%x", &bytes, &type) != 2 ||
	    bytes > HANDLE_WORDS * 8)
		return NULL;
	h->bytes = bytes;
	h->type = type;
	hex += strlen("f_handle:");
	for (unsigned i = 0; i < bytes; i++) {
		unsigned byte;

		if (sscanf(hex + 2 * (size_t)i, "%2x", &byte) != 1)
			return NULL;
		((uint8_t *)h->handle)[i] = (uint8_t)byte;
	}
	return h;
}

static int open_handle(struct dump_ctx *ctx, const FhEntry *h, uint32_t kdev)
{
	struct dump_files *f = ctx->files;

	if (!h->bytes)
		return -EOPNOTSUPP;
	if (f->mount_fd < 0 || f->mount_kdev != kdev) {
		close_owned(&f->mount_fd);
		f->mount_fd = fhandle_mount(kdev);
		f->mount_kdev = kdev;
	}
	return f->mount_fd < 0 ? -ENOENT : fhandle_open(f->mount_fd, h->handle, h->bytes, h->type);
}

static bool leads_to(const char *path, const struct stat *want)
{
	struct stat st;

	return path[0] == '/' && lstat(path, &st) == 0 && st.st_dev == want->st_dev &&
	       st.st_ino == want->st_ino;
}

/* A walk through the places where programs watch files, by inode. */
struct walk {
	uint32_t kdev;
	uint64_t ino;
	char *found;
	struct arena *arena;
};

static _Thread_local struct walk *walk; /* nftw(3) has no argument for its caller */

static int visit(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)flag;
	(void)ftw;
	if (st->st_ino != walk->ino || file_kdev(st->st_dev) != walk->kdev)
		return 0;
	walk->found = arena_strdup(walk->arena, path);
	return 1;
}

/* CRIU's manual page names --irmap-scan-path; the rest is where system programs watch. */
static char *irmap_scan(struct dump_ctx *ctx, uint32_t kdev, uint64_t ino)
{
	static const char *const usual[] = { "/etc",          "/var/spool",        "/var/log",
					     "/var/lib/dbus", "/usr/share/dbus-1", "/lib/udev",
					     "/run" };
	struct walk w = { .kdev = kdev, .ino = ino, .arena = ctx->arena };

	walk = &w;
	for (size_t i = 0; !w.found && i < ctx->opts->nr_irmap_paths; i++)
		nftw(ctx->opts->irmap_paths[i], visit, 32, FTW_PHYS | FTW_MOUNT);
	for (size_t i = 0; !w.found && i < sizeof(usual) / sizeof(*usual); i++)
		nftw(usual[i], visit, 32, FTW_PHYS | FTW_MOUNT);
	walk = NULL;
	return w.found;
}

static int without_handle(struct dump_ctx *ctx, const struct fd_info *fi, FhEntry *h, uint32_t kdev,
			  uint64_t ino, int err)
{
	if (ctx->opts->force_irmap)
		h->path = irmap_scan(ctx, kdev, ino);
	if (h->path)
		return 0;
	return file_blocker(ctx, fi, "notify-path", -err,
			    "what it watches, inode %llu of device %u:%u, cannot be found by its "
			    "handle%s",
			    (unsigned long long)ino, kdev >> 20, kdev & 0xfffff,
			    ctx->opts->force_irmap
				    ? " nor by search; name a directory above it with "
				      "--irmap-scan-path"
				    : "; --force-irmap looks for its name");
}

/**
 * notify_find - how restore finds what is watched
 * @ctx: the dump; every file of the tree is known
 * @fi: the watching file
 * @h: the handle; gets a path, or the id of the file that has no name
 * @kdev: device of what is watched
 * @ino: its inode number
 *
 * Return: 0, or -errno with a blocker recorded.
 */
int notify_find(struct dump_ctx *ctx, const struct fd_info *fi, FhEntry *h, uint32_t kdev,
		uint64_t ino)
{
	cleanup_close int fd = open_handle(ctx, h, kdev);
	const struct file_desc *ghost, *door;
	char link[32], path[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st) < 0)
		return without_handle(ctx, fi, h, kdev, ino, fd < 0 ? fd : -errno);
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	path[n > 0 ? n : 0] = 0;
	ghost = file_ghost_find(ctx, &st);
	door = file_seen(ctx, FILE_KIND_door, st.st_ino);
	/* A ticket may be made anew, and is not known by its handle or its name alone. */
	if (door && door->dump->fi.st.st_dev == st.st_dev) {
		h->has_file_id = 1;
		h->file_id = door->id;
	} else if (leads_to(path, &st)) {
		h->path = arena_strdup(ctx->arena, path);
	} else if (ghost) {
		h->has_file_id = 1;
		h->file_id = ghost->id;
	} else if (st.st_nlink == 0 && !ctx->files->blocked) {
		return file_blocker(ctx, fi, "notify-outside", ESTALE,
				    "it watches a deleted file, inode %llu, that no task of the "
				    "tree has open",
				    (unsigned long long)ino);
	} else if (ctx->opts->force_irmap) {
		/* Without a path the handle alone leads there. */
		h->path = irmap_scan(ctx, kdev, ino);
	}
	return 0;
}
