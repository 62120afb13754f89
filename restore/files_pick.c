/*
 * files_pick - of a tree, one task; of its table, the descriptors asked for.
 * Everything else is taken out of the model, so that the engine restores
 * these and what they need.
 */
#include "restore/files_only.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fdword.h"

#include "proto/sk-inet.pb-c.h"
#include "proto/sk-unix.pb-c.h"

static bool is_socket(const struct file_desc *d)
{
	return d->kind == FILE_KIND_inetsk || d->kind == FILE_KIND_unixsk;
}

static bool listens(const struct file_desc *d)
{
	if (d->kind == FILE_KIND_inetsk)
		return ((const InetSkEntry *)file_desc_entry(d))->state == TCP_LISTEN;
	return d->kind == FILE_KIND_unixsk &&
	       ((const UnixSkEntry *)file_desc_entry(d))->state == TCP_LISTEN;
}

/* A Unix socket with a peer is of no use without the task that has the peer. */
static bool of_kind(const char *word, const struct file_desc *d)
{
	if (!strcmp(word, "all"))
		return true;
	if (!strcmp(word, "sockets"))
		return listens(d) ||
		       (is_socket(d) && (d->kind == FILE_KIND_inetsk ||
					 !((const UnixSkEntry *)file_desc_entry(d))->peer));
	return listens(d);
}

static bool is_kind_word(const char *list)
{
	return !strcmp(list, "all") || !strcmp(list, "sockets") || !strcmp(list, "listeners");
}

/* [NAME=]NUMBER up to @end. */
static int pick_word(struct restore_ctx *ctx, const struct filedesc *fdt, const char *word,
		     const char *end, struct picked *out)
{
	struct fdword w;
	int ret = fdword_parse(ctx->report, word, (size_t)(end - word), &w);

	if (ret < 0)
		return ret;
	*out = (struct picked){ .fle = fle_find(fdt, w.nr, NULL) };
	if (!out->fle)
		return fail(ctx->report, "files-only", ENOENT,
			    "the image has no descriptor %d of pid %d", w.nr, filedesc_pid(fdt));
	if (w.name_len) {
		out->name = w.name;
		out->name_len = w.name_len;
	}
	return 0;
}

static bool is_picked(const struct fdinfo_list_entry *fle, const struct picked *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (p[i].fle == fle)
			return true;
	return false;
}

static int pick_all(struct restore_ctx *ctx, const struct filedesc *fdt, const char *list,
		    struct picked **out, size_t *n)
{
	const struct fdinfo_list_entry *fle;
	struct picked p;
	int ret = 0;

	if (is_kind_word(list)) {
		list_for_each(fle, &fdt->fles, in_table)
			if (of_kind(list, fle->desc))
				arena_push(ctx->arena, *out, *n) = (struct picked){ .fle = fle };
		return 0;
	}
	for (;;) {
		size_t len = strcspn(list, ",");

		ret = pick_word(ctx, fdt, list, list + len, &p);
		if (!ret && is_picked(p.fle, *out, *n))
			ret = fail(ctx->report, "option-value", 0, "descriptor %d is listed twice",
				   p.fle->fd);
		if (ret)
			return ret;
		arena_push(ctx->arena, *out, *n) = p;
		if (!list[len])
			return 0;
		list += len + 1;
	}
}

static void drop_files(struct pstree *t, const struct picked *p, size_t n)
{
	struct fdinfo_list_entry *fle, *next;
	struct file_desc *d, *after;

	list_for_each_safe(d, after, &t->files.descs, list) {
		list_for_each_safe(fle, next, &d->fles, of_desc) {
			if (is_picked(fle, p, n))
				continue;
			list_del(&fle->of_desc);
			list_del(&fle->in_table);
		}
		if (list_empty(&d->fles))
			list_del(&d->list);
	}
}

static void drop_tasks(struct pstree *t, struct pstree_item *keep)
{
	struct pstree_item *it, *next;

	list_for_each_safe(it, next, &t->items, list)
		if (it != keep)
			list_del(&it->list);
	list_init(&keep->children);
	keep->parent = NULL;
	t->root = keep;
	t->nr_items = 1;
}

/* @pid may be that of a thread; 0 is the root. */
static struct pstree_item *find_task(const struct pstree *t, pid_t pid)
{
	struct pstree_item *task = pid ? pstree_find(t, pid) : t->root, *it;

	if (task)
		return task;
	list_for_each(it, &t->items, list)
		for (size_t i = 1; item_alive(it) && i < it->nr_threads; i++)
			if (it->threads[i].tid == pid)
				return it;
	return NULL;
}

/* One table is left: that of the process, or of the thread that was asked for. */
static void drop_threads(struct pstree_item *it, pid_t tid)
{
	for (size_t i = 1; i < it->nr_threads; i++) {
		struct filedesc *fdt = it->threads[i].fdt;

		if (fdt && it->threads[i].tid == tid) {
			it->fdt = fdt;
			fdt->thread_of = NULL;
			fdt->tid = 0;
		}
		it->threads[i].fdt = NULL;
	}
}

/**
 * files_pick - leave nothing in the tree but what was asked for
 * @ctx: the run; the tree is loaded, not planned
 * @pid: the task, as of the image, or a thread of it; 0 is the root
 * @list: [NAME=]NUMBER with commas between, or listeners, sockets, all;
 * NULL is sockets
 * @out: gets what was picked, in the order of the list, of the run's arena
 * @n: how many
 *
 * Return: 0 or -errno, recorded.
 */
int files_pick(struct restore_ctx *ctx, pid_t pid, const char *list, struct picked **out, size_t *n)
{
	struct pstree *t = ctx->tree;
	struct pstree_item *it = find_task(t, pid);
	int ret;

	if (!it || !item_alive(it) || !it->fdt)
		return fail(ctx->report, "files-only", ESRCH, "the image has no living process %d",
			    pid);
	drop_tasks(t, it);
	drop_threads(it, pid);
	*n = 0;
	*out = NULL;
	ret = pick_all(ctx, it->fdt, list ? list : "sockets", out, n);
	if (ret)
		return ret;
	if (!*n)
		return fail(ctx->report, "files-only", 0,
			    "the image has nothing of pid %d that is to be handed over", it->pid);
	drop_files(t, *out, *n);
	return 0;
}
