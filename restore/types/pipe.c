/*
 * pipe - restore. All ends of a pipe are opened in one process, that of the
 * first end: it makes the pipe, fills it, and hands each description its end.
 * The first reader and the first writer take what pipe2(2) gave; others, which
 * were opened through /proc once, are opened so again. When every end has
 * been given the process closes its own two, so an end that nobody had stays
 * closed. The other half is dump/types/pipe.c.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/pipe.pb-c.h"

/* A pipe; after the fork only the process that makes it uses its copy. */
struct pipe_group {
	struct pstree_item *maker;
	unsigned left; /* descriptions without a descriptor */
	int fds[2];    /* what pipe2() gave: -1 before, and when left is 0 again */
	bool taken[2]; /* by the description that pipe2() made it for */
};

struct pipe_priv {
	struct pipe_group *group;
};

static int pipe_prepare(struct pstree *t, struct file_desc *d)
{
	const PipeEntry *e = file_desc_entry(d);
	struct pipe_priv *p = file_desc_priv(d);
	struct pipe_group *g = rfile_seen(t, FILE_KIND_pipe, e->pipe_id);
	struct fdinfo_list_entry *fle;
	int ret = pipe_content_load(t, IMAGE_PIPES_DATA);

	if (ret || list_empty(&d->fles))
		return ret;
	if (!g) {
		g = arena_new_of(t->arena, struct pipe_group);
		*g = (struct pipe_group){ .maker = engine_master(d), .fds = { -1, -1 } };
		rfile_see(t, FILE_KIND_pipe, e->pipe_id, g);
	}
	fle = engine_need(t, d, g->maker);
	if (!fle)
		return file_fail(d, ESRCH, "no task restores its pipe") < 0 ? -ESRCH : 0;
	engine_force_master(fle);
	g->left++;
	p->group = g;
	return 0;
}

static int make_pipe(struct file_desc *d, struct pipe_group *g)
{
	const PipeEntry *e = file_desc_entry(d);

	if (pipe2(g->fds, O_CLOEXEC | O_NONBLOCK) < 0) {
		g->fds[0] = g->fds[1] = -1;
		return file_fail(d, errno, "pipe2()");
	}
	return pipe_fill(d, g->fds[1], pipe_content_find(d->tree, IMAGE_PIPES_DATA, e->pipe_id));
}

static int reopen(int fd, int flags)
{
	char path[32];
	int got;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	got = open(path, flags | O_NONBLOCK | O_CLOEXEC);
	return got < 0 ? -errno : got;
}

/* The end that pipe2() made, unless the description was opened, or that end is gone. */
static int take_end(struct pipe_group *g, int flags)
{
	int mode = flags & O_ACCMODE, end = mode == O_WRONLY;
	bool opened = mode == O_RDWR || (flags & KERNEL_O_LARGEFILE);
	int fd;

	if (opened || g->taken[end])
		return reopen(g->fds[end], flags);
	fd = fcntl(g->fds[end], F_DUPFD_CLOEXEC, 0);
	g->taken[end] = fd >= 0;
	return fd < 0 ? -errno : fd;
}

static int pipe_open(struct file_desc *d, int *new_fd)
{
	const PipeEntry *e = file_desc_entry(d);
	struct pipe_priv *p = file_desc_priv(d);
	cleanup_close int fd = -1;

	if (p->group->fds[0] < 0 && make_pipe(d, p->group) < 0)
		return -1;
	fd = take_end(p->group, (int)e->flags);
	if (fd < 0)
		return file_fail(d, -fd, "open an end with flags %#o", e->flags);
	if (file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	if (--p->group->left == 0) {
		close_owned(&p->group->fds[0]);
		close_owned(&p->group->fds[1]);
	}
	*new_fd = take_fd(&fd);
	return 0;
}

static bool pipe_key(struct pstree *t, const struct file_desc *d, char *buf, size_t size)
{
	const PipeEntry *e = file_desc_entry(d);

	(void)t;
	snprintf(buf, size, "pipe:[%u]", e->pipe_id);
	return true;
}

const struct file_desc_ops pipe_desc_ops = {
	.open = pipe_open,
	.key = pipe_key,
	.prepare = pipe_prepare,
	.priv_size = sizeof(struct pipe_priv),
};
