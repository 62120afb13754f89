/*
 * eventpoll - dump. fdinfo lists what is watched, by the number under which
 * it was added. That number may since have been closed, or reused for
 * another file: kcmp(2) tells, and the file itself is looked for in the tree.
 * The other half is restore/types/eventpoll.c.
 */
#include "dump/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/kcmp.h"
#include "proto/eventpoll.pb-c.h"

static int eventpoll_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return !strcmp(fi->link, "anon_inode:[eventpoll]");
}

static int tfd_cmp(const void *a, const void *b)
{
	const EventpollTfdEntry *x = *(EventpollTfdEntry *const *)a;
	const EventpollTfdEntry *y = *(EventpollTfdEntry *const *)b;

	if (x->tfd != y->tfd)
		return x->tfd < y->tfd ? -1 : 1;
	return 0;
}

static int parse_tfd(struct dump_ctx *ctx, EventpollFileEntry *e, const char *line)
{
	unsigned long long data;
	long long pos;
	unsigned long ino;
	unsigned events, dev;
	EventpollTfdEntry *t;
	int tfd, n;

	n = sscanf(line, "tfd: %d events: %x data: %llx pos:%lli ino:%lx sdev:%x", &tfd, &events,
		   &data, &pos, &ino, &dev);
	if (n < 3 || tfd < 0)
		return -EIO;
	t = arena_new_of(ctx->arena, EventpollTfdEntry);
	eventpoll_tfd_entry__init(t);
	t->tfd = (uint32_t)tfd;
	t->events = events;
	t->data = data;
	if (n == 6) {
		t->has_dev = t->has_inode = t->has_pos = 1;
		t->dev = dev;
		t->inode = ino;
		t->pos = (uint64_t)pos;
	}
	arena_push(ctx->arena, e->tfd, e->n_tfd) = t;
	return 0;
}

static int eventpoll_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	EventpollFileEntry *e = (EventpollFileEntry *)d->msg;
	const char *p = fi->fdinfo;

	while ((p = strstr(p, "\ntfd:"))) {
		if (parse_tfd(ctx, e, ++p))
			return file_blocker(ctx, fi, "file-info", EIO, "a tfd line of fdinfo");
	}
	/* The kernel lists them by address; several of one number keep their order. */
	if (e->n_tfd)
		qsort(e->tfd, e->n_tfd, sizeof(*e->tfd), tfd_cmp);
	return 0;
}

/* Is @fd of @task the file that was added as the @toff'th of number @tfd? */
static bool is_target(const struct fd_info *fi, const EventpollTfdEntry *t, uint32_t toff,
		      pid_t task, int fd)
{
	struct kcmp_epoll_slot slot = { .efd = (uint32_t)fi->fd, .tfd = t->tfd, .toff = toff };

	return kcmp(task, file_info_pid(fi), CL_KCMP_EPOLL_TFD, (unsigned)fd,
		    (unsigned long)&slot) == 0;
}

static struct fdinfo_list_entry *fle_in(struct filedesc *fdt, int fd)
{
	struct fdinfo_list_entry *f;

	list_for_each(f, &fdt->fles, in_table)
		if (f->fd == fd)
			return f;
	return NULL;
}

/* A description that is watched: in this table by its number, else anywhere in the tree. */
static struct fdinfo_list_entry *find_target(struct dump_ctx *ctx, const struct fd_info *fi,
					     const EventpollTfdEntry *t, uint32_t toff)
{
	struct fdinfo_list_entry *f, *own = fle_in(fi->task->fdt, (int)t->tfd);
	struct filedesc *fdt;

	if (own && is_target(fi, t, toff, fi->task->pid, own->fd))
		return own;
	list_for_each(f, &fi->task->fdt->fles, in_table)
		if (is_target(fi, t, toff, fi->task->pid, f->fd))
			return f;
	list_for_each(fdt, &ctx->tree->files.tables, list)
		list_for_each(f, &fdt->fles, in_table)
			if (is_target(fi, t, toff, fdt->owner->pid, f->fd))
				return f;
	return NULL;
}

static int eventpoll_finish(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	EventpollFileEntry *e = (EventpollFileEntry *)d->msg;
	struct fdinfo_list_entry *f;
	uint32_t toff = 0;
	int bad = 0;

	for (size_t i = 0; i < e->n_tfd; i++) {
		EventpollTfdEntry *t = e->tfd[i];

		toff = i && e->tfd[i - 1]->tfd == t->tfd ? toff + 1 : 0;
		f = find_target(ctx, fi, t, toff);
		if (!f && ctx->files->blocked)
			return 0;
		if (!f) {
			bad = file_blocker(ctx, fi, "epoll-outside", EOPNOTSUPP,
					   "it watches a file, added as fd %u, that no task of the "
					   "tree has open",
					   t->tfd);
			continue;
		}
		t->has_file_id = 1;
		t->file_id = f->desc->id;
		t->has_number = f->fd != (int)t->tfd || f->fdt != fi->task->fdt;
		t->number = t->tfd;
	}
	/* Only now: entries of one number are told apart by their place in the list. */
	for (size_t i = 0; !bad && i < e->n_tfd; i++) {
		EventpollTfdEntry *t = e->tfd[i];

		if (!t->has_number)
			continue;
		f = list_first(&file_desc_find(ctx->tree, t->file_id)->fles,
			       struct fdinfo_list_entry, of_desc);
		t->tfd = (uint32_t)f->fd;
	}
	return bad;
}

const struct file_dump_ops eventpoll_dump_ops = {
	.probe = eventpoll_probe,
	.dump = eventpoll_dump,
	.finish = eventpoll_finish,
};
