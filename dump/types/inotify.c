/*
 * inotify - dump. The other half is restore/types/inotify.c.
 */
#include "dump/files_notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "proto/inotify.pb-c.h"

static int inotify_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return !strcmp(fi->link, "anon_inode:inotify");
}

static int parse_watch(struct dump_ctx *ctx, const struct fd_info *fi, InotifyFileEntry *e,
		       const char *line)
{
	InotifyWdEntry *w = arena_new_of(ctx->arena, InotifyWdEntry);
	unsigned wd, dev, mask, ignored;
	unsigned long ino;

	inotify_wd_entry__init(w);
	if (sscanf(line, "inotify wd:%x ino:%lx sdev:%x mask:%x ignored_mask:%x", &wd, &ino, &dev,
		   &mask, &ignored) != 5 ||
	    !(w->f_handle = notify_handle(ctx, line)))
		return file_blocker(ctx, fi, "file-info", EIO, "a watch in fdinfo");
	w->wd = wd;
	w->i_ino = ino;
	w->s_dev = dev;
	w->mask = mask;
	w->ignored_mask = ignored;
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
	if (bad || ioctl(fi->local, FIONREAD, &queued) < 0 || queued <= 0)
		return bad;
	e->has_queued = 1;
	e->queued = (uint32_t)queued;
	if (ctx->write)
		log_warn(ctx->report,
			 "pid %d fd %d: inotify events not read yet (%d bytes) come back as "
			 "IN_Q_OVERFLOW",
			 fi->task->pid, fi->fd, queued);
	return bad;
}

/* A ticket of a door may come back on another device. */
static bool is_of_door(const struct dump_ctx *ctx, const FhEntry *h)
{
	const struct file_desc *d = h->has_file_id ? file_desc_find(ctx->tree, h->file_id) : NULL;

	return d && d->kind == FILE_KIND_door;
}

static int inotify_finish(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	InotifyFileEntry *e = (InotifyFileEntry *)d->msg;
	int bad = 0;

	for (size_t i = 0; i < e->n_wd; i++) {
		InotifyWdEntry *w = e->wd[i];
		int ret = notify_find(ctx, fi, w->f_handle, w->s_dev, w->i_ino);

		if (is_of_door(ctx, w->f_handle))
			w->s_dev = 0;
		bad = bad ? bad : ret;
	}
	return bad;
}

const struct file_dump_ops inotify_dump_ops = {
	.probe = inotify_probe,
	.dump = inotify_dump,
	.finish = inotify_finish,
};
