/*
 * inotify - dump. fdinfo names what is watched by file handle; the path is
 * found by opening the handle on a mount of that device. The other half is
 * restore/types/inotify.c.
 */
#include "dump/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/inotify.pb-c.h"

#define HANDLE_WORDS 16 /* of 64 bits: what the image format wants */

static int inotify_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return !strcmp(fi->link, "anon_inode:inotify");
}

/* Any mount of that device, opened. */
static int open_mount(uint32_t kdev)
{
	FILE *in = fopen("/proc/self/mountinfo", "re");
	char line[PATH_MAX * 2], path[PATH_MAX];
	unsigned maj, min;
	int fd = -ENOENT;

	while (in && fd < 0 && fgets(line, sizeof(line), in))
		if (sscanf(line, "%*d %*d %u:%u %*s %4095s", &maj, &min, path) == 3 &&
		    (maj << 20 | min) == kdev)
			fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (in)
		fclose(in);
	return fd;
}

static int handle_path(struct dump_ctx *ctx, const FhEntry *h, uint32_t kdev, char **out)
{
	struct {
		struct file_handle h;
		uint8_t room[HANDLE_WORDS * 8];
	} fh = { .h = { .handle_bytes = h->bytes, .handle_type = (int)h->type } };
	cleanup_close int mnt = open_mount(kdev), fd = -1;
	char link[32], path[PATH_MAX];
	ssize_t n;

	if (mnt < 0)
		return -ENOENT;
	memcpy(fh.h.f_handle, h->handle, h->bytes);
	fd = open_by_handle_at(mnt, &fh.h, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, sizeof(path) - 1);
	if (n <= 0)
		return -errno;
	path[n] = 0;
	if (n > 10 && !strcmp(path + n - 10, " (deleted)"))
		return -ESTALE;
	*out = arena_strdup(ctx->arena, path);
	return 0;
}

static FhEntry *parse_handle(struct dump_ctx *ctx, const char *line)
{
	FhEntry *h = arena_new_of(ctx->arena, FhEntry);
	const char *hex = strstr(line, "f_handle:");
	unsigned bytes, type;

	fh_entry__init(h);
	line = strstr(line, "fhandle-bytes:");
	if (!line || !hex || sscanf(line, "fhandle-bytes:%x fhandle-type:%x", &bytes, &type) != 2 ||
	    bytes > HANDLE_WORDS * 8)
		return NULL;
	h->bytes = bytes;
	h->type = type;
	h->n_handle = HANDLE_WORDS;
	h->handle = arena_array(ctx->arena, uint64_t, HANDLE_WORDS);
	hex += strlen("f_handle:");
	for (unsigned i = 0; i < bytes; i++) {
		unsigned byte;

		if (sscanf(hex + 2 * i, "%2x", &byte) != 1)
			return NULL;
		((uint8_t *)h->handle)[i] = (uint8_t)byte;
	}
	return h;
}

static int parse_watch(struct dump_ctx *ctx, const struct fd_info *fi, InotifyFileEntry *e,
		       const char *line)
{
	InotifyWdEntry *w = arena_new_of(ctx->arena, InotifyWdEntry);
	unsigned wd, dev, mask, ignored;
	unsigned long ino;
	int ret;

	inotify_wd_entry__init(w);
	if (sscanf(line, "inotify wd:%x ino:%lx sdev:%x mask:%x ignored_mask:%x", &wd, &ino, &dev,
		   &mask, &ignored) != 5)
		return file_blocker(ctx, fi, "file-info", EIO, "a watch in fdinfo");
	w->wd = wd;
	w->i_ino = ino;
	w->s_dev = dev;
	w->mask = mask;
	w->ignored_mask = ignored;
	w->f_handle = parse_handle(ctx, line);
	if (!w->f_handle)
		return file_blocker(ctx, fi, "inotify-handle", EOPNOTSUPP,
				    "watch %u is on a file system without file handles", wd);
	ret = handle_path(ctx, w->f_handle, dev, &w->f_handle->path);
	if (ret)
		return file_blocker(ctx, fi, "inotify-path", -ret,
				    "no path leads to what watch %u is on (inode %lu)", wd, ino);
	arena_push(ctx->arena, e->wd, e->n_wd) = w;
	return 0;
}

static int by_wd(const void *a, const void *b)
{
	const InotifyWdEntry *x = *(InotifyWdEntry *const *)a, *y = *(InotifyWdEntry *const *)b;

	return x->wd < y->wd ? -1 : x->wd > y->wd;
}

static int inotify_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	InotifyFileEntry *e = (InotifyFileEntry *)d->msg;
	const char *p = fi->fdinfo;
	int bad = 0, queued = 0;

	while ((p = strstr(p, "\ninotify "))) {
		int ret = parse_watch(ctx, fi, e, ++p);

		bad = bad ? bad : ret;
	}
	if (e->n_wd)
		qsort(e->wd, e->n_wd, sizeof(*e->wd), by_wd);
	if (!bad && ioctl(fi->local, FIONREAD, &queued) == 0 && queued)
		log_warn(ctx->report,
			 "pid %d fd %d: inotify events not read yet (%d bytes) are lost",
			 fi->task->pid, fi->fd, queued);
	return bad;
}

const struct file_dump_ops inotify_dump_ops = { .probe = inotify_probe, .dump = inotify_dump };
