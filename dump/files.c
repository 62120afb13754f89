/*
 * files - every descriptor of every task, once per open file description.
 *
 * A table is read once, however many tasks share it, and threads that have left
 * the table of their process. Each descriptor is
 * fetched with pidfd_getfd(2), takes its slot larval, and matures when it is
 * known which description it leads to: one met before, or a new one, described
 * by the first type of the registry that recognises it. What no type knows is
 * a blocker; all of them are recorded, none stops the walk.
 */
#include "dump/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/kcmp.h"
#include "kernel/dgramdiag.h"
#include "kernel/sockdiag.h"

/* Most of what a child has it got from its parent, under the same number: one kcmp(2) tells. */
static struct file_desc *inherited(struct dump_ctx *ctx, const struct pstree_item *it, int fd)
{
	const struct pstree_item *p = it->parent;
	struct file *fp = p && p->fdt ? fd_getfile(p->fdt, fd) : NULL;
	struct file_desc *d = fp ? fp->f_desc : NULL;

	if (fp)
		FRELE(fp);
	return d && file_same(ctx, it->pid, fd, p->pid, fd) == 0 ? d : NULL;
}

/* The description that a fetched descriptor leads to; the copy is given back. */
static struct file_desc *describe(struct dump_ctx *ctx, struct file_fetch *f)
{
	struct fd_info fi;
	struct known_file *k = NULL;
	bool found;

	if (!file_info_get(ctx, &fi, file_fetch_next(f, &fi)))
		k = file_known(ctx, &fi, &found);
	if (k && !found) {
		k->d = file_probe(ctx, &fi);
		files_kept_put(ctx, &fi);
	} else {
		file_info_put(&fi);
	}
	return k ? k->d : NULL;
}

static int dump_one(struct dump_ctx *ctx, struct pstree_item *it, const struct open_fd *o,
		    struct file_desc *d, struct file_fetch *f)
{
	struct file *larval;
	int got, ret;

	ret = falloc(it->fdt, o->fd, &larval, &got);
	if (ret || got != o->fd)
		return fail(ctx->report, "file-table", ret ? -ret : EBADF,
			    "pid %d: descriptor %d has no place in the table", it->pid, o->fd);
	d = d ? d : describe(ctx, f);
	if (d && fle_merge(d, it->fdt, o->fd, o->cloexec ? FD_CLOEXEC : 0, larval))
		return 0;
	fdremove(it->fdt, o->fd);
	closef(larval, NULL);
	return -EOPNOTSUPP;
}

static int dump_list(struct dump_ctx *ctx, struct pstree_item *it, const struct fd_list *l)
{
	struct file_desc **known = arena_array(ctx->arena, struct file_desc *, l->n);
	int *fds = arena_array(ctx->arena, int, l->n), bad = 0;
	struct file_fetch *f;
	size_t n = 0;

	for (size_t i = 0; i < l->n; i++) {
		known[i] = inherited(ctx, it, l->fd[i].fd);
		if (!known[i])
			fds[n++] = l->fd[i].fd;
	}
	f = file_fetch_start(it, fds, n);
	for (size_t i = 0; i < l->n; i++) {
		int ret = dump_one(ctx, it, &l->fd[i], known[i], f);

		bad = bad ? bad : ret;
	}
	file_fetch_end(f);
	return bad;
}

static int new_table(struct dump_ctx *ctx, struct pstree_item *it)
{
	it->fdt = filedesc_new(&ctx->tree->files, INT32_MAX);
	if (!it->fdt)
		return fail(ctx->report, "file-table", ENOMEM, "pid %d: table of files", it->pid);
	it->fdt->owner = it;
	it->fdt->id = ++ctx->files->last_table;
	return 0;
}

static int dump_table(struct dump_ctx *ctx, struct pstree_item *it)
{
	struct fd_list l = { 0 };
	struct stat st;
	int ret;

	/* The directory's size is the number of descriptors, since 6.2. */
	if (fstatat(it->dump->proc_fd, "fd", &st, 0) == 0 && st.st_size >= FILES_MANY) {
		files_kept_room(ctx, (size_t)st.st_size);
		files_locked_ahead(ctx);
	}
	ret = file_list_get(ctx, it, &l);
	if (!ret)
		ret = dump_list(ctx, it, &l);
	file_list_free(&l);
	return ret;
}

/* Tables that have been read, in the order that kcmp gives their users. */
struct table_order {
	struct table_user {
		pid_t id; /* of a process, or of a thread */
		struct filedesc *fdt;
	} * users;
	size_t n;
};

/* 0: @fdt is the table of @id, read before; 1: it is a new one; or -errno, recorded. */
static int find_table(struct dump_ctx *ctx, const struct table_order *o, pid_t id, size_t *at,
		      struct filedesc **fdt)
{
	size_t lo = 0, hi = o->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = kcmp(id, o->users[mid].id, CL_KCMP_FILES, 0, 0);

		if (c < 0)
			return fail(ctx->report, "kcmp", -c, "pid %d: kcmp(KCMP_FILES)", id);
		if (c == 0) {
			*fdt = fdshare(o->users[mid].fdt);
			return 0;
		}
		if (c == 1)
			hi = mid;
		else
			lo = mid + 1;
	}
	*at = lo;
	return 1;
}

static void note_table(struct dump_ctx *ctx, struct table_order *o, size_t at, pid_t id,
		       struct filedesc *fdt)
{
	arena_push(ctx->arena, o->users, o->n) = (struct table_user){ id, fdt };
	memmove(&o->users[at + 1], &o->users[at], (o->n - 1 - at) * sizeof(*o->users));
	o->users[at] = (struct table_user){ id, fdt };
}

static int task_table(struct dump_ctx *ctx, struct table_order *o, struct pstree_item *it)
{
	size_t at;
	int ret = find_table(ctx, o, it->pid, &at, &it->fdt);

	if (ret <= 0 || (ret = new_table(ctx, it)))
		return ret;
	note_table(ctx, o, at, it->pid, it->fdt);
	return dump_table(ctx, it);
}

static int thread_table(struct dump_ctx *ctx, struct table_order *o, struct pstree_item *it,
			struct task_thread *th)
{
	struct pstree_item *user;
	size_t at;
	int ret = find_table(ctx, o, th->tid, &at, &th->fdt);

	if (ret <= 0)
		return ret;
	ret = files_thread(ctx, it, th->tid, &user);
	if (ret || (ret = new_table(ctx, user)))
		return ret;
	th->fdt = user->fdt;
	th->fdt->thread_of = it;
	th->fdt->tid = th->tid;
	note_table(ctx, o, at, th->tid, th->fdt);
	files_thread_borrow(it, user);
	ret = dump_table(ctx, user);
	files_thread_return(user);
	return ret;
}

/* Threads that have left the table of their process; a process may have what a thread has, too. */
static int thread_tables(struct dump_ctx *ctx, struct table_order *o, struct pstree_item *it)
{
	int bad = 0;

	for (size_t i = 0; i < it->nr_threads; i++) {
		struct task_thread *th = &it->threads[i];
		ThreadCoreEntry *tc = th->core ? th->core->thread_core : NULL;
		int ret = th->tid == it->pid ? 0 : kcmp(it->pid, th->tid, CL_KCMP_FILES, 0, 0);

		if (!ret)
			continue;
		ret = ret < 0 ? fail(ctx->report, "kcmp", -ret, "thread %d: kcmp(KCMP_FILES)",
				     th->tid)
			      : thread_table(ctx, o, it, th);
		if (tc && th->fdt) {
			tc->has_files_id = 1;
			tc->files_id = th->fdt->id;
		}
		bad = bad ? bad : ret;
	}
	return bad;
}

/**
 * dump_files_begin - what there is to know before any file is looked at
 * @ctx: the dump; nothing is stopped yet, as none of this is about the tree
 *
 * dump_files_finish() is to follow, also after a failure.
 *
 * Return: 0 or -errno, recorded.
 */
int dump_files_begin(struct dump_ctx *ctx)
{
	struct dump_files *f = arena_new_of(ctx->arena, struct dump_files);

	f->scratch[0] = f->scratch[1] = f->own_dir = f->mount_fd = -1;
	f->dir = PATH_DIR_INIT;
	f->last_table = 1; /* the number of this program's own table */
	ctx->files = f;
	f->own_dir = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (f->own_dir < 0)
		return fail(ctx->report, "file-table", errno, "open /proc/self/fd");
	return 0;
}

/**
 * files_own_pipe - have a pipe of our own, if there is none yet
 * @ctx: the dump
 *
 * It tells where pipes are that have no name, and takes copies of what is in them.
 *
 * Return: 0 or -errno, recorded.
 */
int files_own_pipe(struct dump_ctx *ctx)
{
	struct dump_files *f = ctx->files;
	struct stat st;

	if (f->pipe_dev)
		return 0;
	if (pipe2(f->scratch, O_CLOEXEC | O_NONBLOCK) < 0 || fstat(f->scratch[0], &st) < 0)
		return fail(ctx->report, "file-table", errno, "pipe2()");
	f->pipe_dev = st.st_dev;
	return 0;
}

/**
 * dump_files - describe every descriptor of every task
 * @ctx: the dump; all tasks are stopped
 *
 * Fills pstree_item.fdt, the file table and its descriptions.
 *
 * Return: 0, or -errno after every blocker has been recorded.
 */
int dump_files(struct dump_ctx *ctx)
{
	struct table_order order = { 0 };
	struct pstree_item *it;
	int bad, ret;

	ctx->files->netns = ctx->own_ns.ino[NS_NET];
	bad = outside_begin(ctx);
	if (bad)
		return bad;
	list_for_each(it, &ctx->tree->items, list) {
		if (!item_alive(it))
			continue;
		ret = task_table(ctx, &order, it);
		if (it->ids && it->fdt)
			it->ids->files_id = it->fdt->id;
		bad = bad ? bad : ret;
	}
	list_for_each(it, &ctx->tree->items, list) {
		ret = item_alive(it) ? thread_tables(ctx, &order, it) : 0;
		bad = bad ? bad : ret;
	}
	ret = files_later(ctx);
	bad = bad ? bad : ret;
	if (ctx->stats)
		ctx->stats->files = ctx->tree->files.nfiles;
	return bad;
}

/**
 * dump_files_finish - what types can only tell once every file is known
 * @ctx: the dump
 *
 * Ends the images that go with the files, and gives back what dump_files()
 * took. To be called once, also after a failure.
 *
 * Return: 0, or -errno after every cause has been recorded.
 */
int dump_files_finish(struct dump_ctx *ctx)
{
	struct dump_files *f = ctx->files;
	struct file_desc *d;
	int bad = 0, ret;

	if (!f)
		return 0;
	list_for_each(d, &ctx->tree->files.descs, list) {
		const struct file_dump_ops *ops = file_dump_ops[d->kind];

		if (!d->dump)
			continue;
		ret = ops->finish ? ops->finish(ctx, d, &d->dump->fi) : 0;
		bad = bad ? bad : ret;
		file_info_put(&d->dump->fi);
	}
	bad = outside_end(ctx) ?: bad;
	files_landed(ctx);
	files_locked_end(ctx);
	files_kept_limit(ctx);
	for (int k = 0; k < IMAGE_KINDS; k++) {
		ret = f->side[k] ? image_finish(&f->side[k]) : 0;
		bad = bad ? bad : ret;
	}
	for (int k = 0; k < FILE_KINDS; k++)
		idmap_free(&f->seen[k]);
	idmap_free(&f->by_key);
	idmap_free(&f->by_path);
	idmap_free(&f->locked);
	idmap_free(&f->outside);
	idmap_free(&f->outside_pids);
	idmap_free(&f->fresh_opts);
	for (int i = 0; i < 4; i++)
		dgramdiag_close(f->dgrams[i / 2][i % 2]);
	sockdiag_close(f->sockdiag);
	path_dir_close(&f->dir);
	close_owned(&f->own_dir);
	close_owned(&f->mount_fd);
	close_owned(&f->scratch[0]);
	close_owned(&f->scratch[1]);
	ctx->files = NULL;
	return bad;
}
