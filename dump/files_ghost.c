/*
 * files_ghost - files that have no name any more go into the image with their
 * content: an entry in remap-fpath.img for each description, one
 * ghost-file-N.img for each inode. Holes stay holes.
 */
#include "dump/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/ghost-file.pb-c.h"
#include "proto/remap-file-path.pb-c.h"

#define GHOST_LIMIT (1u << 20) /* bytes; the default of --ghost-limit */
#define GHOST_CHUNK (1u << 20) /* bytes per read */

struct ghost {
	struct ghost *next; /* another inode of the same number, on another device */
	dev_t dev;
	uint32_t id;
	struct file_desc *d; /* the first that leads to it */
};

/* One run of data; CRIU reads entries of any length. */
static int put_run(struct dump_ctx *ctx, const struct fd_info *fi, struct image_writer *w, int fd,
		   off_t from, off_t to, void *buf)
{
	GhostChunkEntry e = GHOST_CHUNK_ENTRY__INIT;
	int ret;

	e.off = (uint64_t)from;
	e.len = (uint64_t)(to - from);
	ret = image_put(w, &e.base);
	while (!ret && from < to) {
		size_t n = to - from < GHOST_CHUNK ? (size_t)(to - from) : GHOST_CHUNK;

		ret = pread_all(fd, buf, n, from);
		if (ret)
			return file_blocker(ctx, fi, "ghost-read", -ret,
					    "read of the deleted file at %lld", (long long)from);
		ret = image_put_raw(w, buf, n);
		from += (off_t)n;
	}
	return ret;
}

/* @holes: they may be looked for, which moves the position of @fd. */
static int put_content(struct dump_ctx *ctx, const struct fd_info *fi, struct image_writer *w,
		       int fd, bool holes)
{
	off_t from = 0, to, size = fi->st.st_size;
	void *buf = malloc(GHOST_CHUNK);
	int ret = buf ? 0 : -ENOMEM;

	if (!ret && !holes) {
		ret = put_run(ctx, fi, w, fd, 0, size, buf);
		from = size;
	}
	while (!ret && from < size) {
		from = lseek(fd, from, SEEK_DATA);
		if (from < 0 && errno == ENXIO)
			break;
		if (from < 0)
			from = 0;
		to = lseek(fd, from, SEEK_HOLE);
		if (to <= from || to > size)
			to = size;
		ret = put_run(ctx, fi, w, fd, from, to, buf);
		from = to;
	}
	free(buf);
	return ret;
}

/*
 * A description of our own of the inode: reads through it move nothing that others see. But to
 * open a file breaks a WRITE lease: then it is read through the description that has the lease.
 */
static int reopen(const struct fd_info *fi, bool *leased)
{
	char path[64];

	if (fi->local < 0)
		return -1;
	*leased = fcntl(fi->local, F_GETLEASE) == F_WRLCK;
	if (*leased)
		return fcntl(fi->local, F_DUPFD_CLOEXEC, 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fi->local);
	return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
}

static void fill_entry(const struct fd_info *fi, GhostFileEntry *e, Timeval *at, Timeval *mt)
{
	e->uid = fi->st.st_uid;
	e->gid = fi->st.st_gid;
	e->mode = fi->st.st_mode;
	e->has_dev = e->has_ino = 1;
	e->dev = file_kdev(fi->st.st_dev);
	e->ino = fi->st.st_ino;
	if (S_ISCHR(fi->st.st_mode) || S_ISBLK(fi->st.st_mode)) {
		e->has_rdev = 1;
		e->rdev = file_kdev(fi->st.st_rdev);
	}
	at->tv_sec = (uint64_t)fi->st.st_atim.tv_sec;
	at->tv_usec = (uint64_t)fi->st.st_atim.tv_nsec / 1000;
	mt->tv_sec = (uint64_t)fi->st.st_mtim.tv_sec;
	mt->tv_usec = (uint64_t)fi->st.st_mtim.tv_nsec / 1000;
	e->atim = at;
	e->mtim = mt;
	if (S_ISREG(fi->st.st_mode)) {
		e->has_chunks = e->has_size = 1;
		e->chunks = 1;
		e->size = (uint64_t)fi->st.st_size;
	}
}

static int put_ghost(struct dump_ctx *ctx, const struct fd_info *fi, uint32_t id)
{
	GhostFileEntry e = GHOST_FILE_ENTRY__INIT;
	Timeval at = TIMEVAL__INIT, mt = TIMEVAL__INIT;
	struct image_writer *w = NULL;
	cleanup_close int fd = -1;
	char target[PATH_MAX];
	bool leased = false;
	int ret, err;

	fill_entry(fi, &e, &at, &mt);
	if (S_ISLNK(fi->st.st_mode)) {
		ssize_t n = readlinkat(fi->local, "", target, sizeof(target) - 1);

		if (n < 0)
			return file_blocker(ctx, fi, "ghost-read", errno, "read the deleted link");
		target[n] = 0;
		e.symlnk_target = target;
	}
	if (!ctx->write)
		return 0;
	if (S_ISREG(fi->st.st_mode)) {
		fd = reopen(fi, &leased);
		if (fd < 0)
			return file_blocker(ctx, fi, "ghost-read", errno,
					    "open of the deleted file for reading");
	}
	ret = image_create(&w, ctx->images, IMAGE_GHOST_FILE, id);
	if (!ret)
		ret = image_put(w, &e.base);
	if (!ret && fd >= 0)
		ret = put_content(ctx, fi, w, fd, !leased);
	err = w ? image_finish(&w) : 0;
	return ret ? ret : err;
}

/* The data that a file has, holes not counted: what --ghost-limit is about. */
static uint64_t data_size(const struct fd_info *fi)
{
	uint64_t used = (uint64_t)fi->st.st_blocks * 512;

	return used < (uint64_t)fi->st.st_size ? used : (uint64_t)fi->st.st_size;
}

static struct ghost *ghost_find(struct dump_ctx *ctx, const struct fd_info *fi)
{
	struct ghost *g = file_seen(ctx, FILE_KIND_reg, fi->st.st_ino);

	while (g && g->dev != fi->st.st_dev)
		g = g->next;
	return g;
}

static struct ghost *ghost_new(struct dump_ctx *ctx, const struct fd_info *fi)
{
	struct ghost *g = arena_new_of(ctx->arena, struct ghost);
	struct ghost *first = file_seen(ctx, FILE_KIND_reg, fi->st.st_ino);

	*g = (struct ghost){ .dev = fi->st.st_dev, .id = ++ctx->files->last_ghost };
	if (first) {
		g->next = first->next;
		first->next = g;
	} else {
		file_see(ctx, FILE_KIND_reg, fi->st.st_ino, g);
	}
	return g;
}

/**
 * file_ghost_find - a file without a name that is in the image
 * @ctx: the dump
 * @st: its device and inode
 *
 * Return: a description that leads to it, or NULL.
 */
struct file_desc *file_ghost_find(struct dump_ctx *ctx, const struct stat *st)
{
	const struct fd_info fi = { .st = *st };
	const struct ghost *g = ghost_find(ctx, &fi);

	return g ? g->d : NULL;
}

/**
 * file_ghost - put a file without a name into the image
 * @ctx: the dump
 * @d: its description
 * @fi: the file
 * @w: the name that it had
 *
 * Return: 0, or -errno with a blocker recorded.
 */
int file_ghost(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi,
	       const struct file_where *w)
{
	uint64_t limit = ctx->opts->ghost_limit ? ctx->opts->ghost_limit : GHOST_LIMIT;
	RemapFilePathEntry e = REMAP_FILE_PATH_ENTRY__INIT;
	struct ghost *g = ghost_find(ctx, fi);
	int ret = 0;

	if (S_ISREG(fi->st.st_mode) && data_size(fi) > limit)
		return file_blocker(ctx, fi, "ghost-limit", EFBIG,
				    "a deleted file with %llu bytes; it needs --ghost-limit %lluM",
				    (unsigned long long)data_size(fi),
				    (unsigned long long)((data_size(fi) + (1 << 20) - 1) >> 20));
	if (!g) {
		g = ghost_new(ctx, fi);
		g->d = d;
		ret = put_ghost(ctx, fi, g->id);
	}
	if (ret)
		return ret;
	e.orig_id = d->id;
	e.remap_id = g->id;
	e.has_remap_type = 1;
	e.remap_type = REMAP_TYPE__GHOST;
	return file_side_put(ctx, IMAGE_REMAP_FPATH, &e.base, NULL, 0);
}
