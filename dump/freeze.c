/*
 * freeze - the whole tree stopped, and enumerated on the way.
 *
 * A process is complete when a look at its threads finds none that is new
 * while all others stand still; its children are listed after that, as only a
 * running thread can make more. A process that dies meanwhile hands its
 * children to another one, perhaps to one that has been looked at: then the
 * children of all are listed once more, until nothing new is found.
 */
#include "dump/freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/backoff.h"
#include "kernel/ptrace.h"

static int task_open(struct dump_task *t, pid_t pid)
{
	t->proc_fd = proc_open(pid);
	if (t->proc_fd < 0)
		return t->proc_fd == -ENOENT ? FREEZE_GONE : t->proc_fd;
	t->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (t->pidfd < 0)
		return errno == ESRCH ? FREEZE_GONE : -errno;
	return 0;
}

static void task_close(struct dump_task *t)
{
	close_owned(&t->proc_fd);
	close_owned(&t->pidfd);
	t->proc_fd = t->pidfd = -1;
}

static int task_add(struct freeze *f, struct pstree_item *parent, pid_t pid,
		    struct pstree_item **out)
{
	struct dump_ctx *ctx = f->ctx;
	struct dump_task *t = arena_new_of(ctx->arena, struct dump_task);
	int ret;

	t->proc_fd = t->pidfd = -1;
	ret = task_open(t, pid);
	if (ret) {
		task_close(t);
		if (ret < 0)
			fail(ctx->report, "process-open", -ret, "pid %d: open /proc/%d", pid, pid);
		return ret;
	}
	t->item = pstree_add(ctx->tree, parent, pid);
	t->item->dump = t;
	t->item->state = TASK_ALIVE;
	*out = t->item;
	return 0;
}

/* The threads seized so far, without those of items that were dropped. */
static void forget_threads(struct freeze *f)
{
	struct pstree_item *it;

	idmap_free(&f->tids);
	list_for_each(it, &f->ctx->tree->items, list)
		for (size_t i = 0; i < it->dump->nr_threads; i++)
			idmap_put(&f->tids, (uint64_t)it->dump->threads[i].tid, it->dump);
}

static void item_drop(struct freeze *f, struct pstree_item *it)
{
	struct pstree *tree = f->ctx->tree;
	struct dump_task *t = it->dump;

	for (size_t i = 0; i < t->nr_threads; i++)
		if (t->threads[i].attached)
			ptrace_detach(t->threads[i].tid, 0);
	t->nr_threads = 0;
	task_close(t);
	list_del(&it->list);
	list_del(&it->sibling);
	tree->nr_items--;
	/* A map forgets nothing, and the pid may be met again under another parent. */
	idmap_free(&tree->by_pid);
	list_for_each(it, &tree->items, list)
		idmap_put(&tree->by_pid, (uint64_t)it->pid, it);
	forget_threads(f);
}

/**
 * freeze_note - read the stat of a process that stands still or is dead
 * @ctx: the dump
 * @it: the process
 *
 * Return: 0, FREEZE_GONE, or -errno recorded.
 */
int freeze_note(struct dump_ctx *ctx, struct pstree_item *it)
{
	int ret = proc_read(it->dump->proc_fd, "stat", &ctx->text);

	if (ret == -ENOENT || ret == -ESRCH)
		return FREEZE_GONE;
	if (!ret)
		ret = proc_parse_stat(ctx->text.p, &it->dump->stat);
	if (ret)
		return fail(ctx->report, "process-read", -ret, "pid %d: /proc/%d/stat", it->pid,
			    it->pid);
	it->pgid = it->dump->stat.pgrp;
	it->sid = it->dump->stat.session;
	return 0;
}

/* Stops one process. A child that is not its parent's any more is let go again. */
static int freeze_item(struct freeze *f, struct pstree_item *it)
{
	int ret = freeze_threads(f, it);

	if (ret < 0)
		return ret;
	if (!ret)
		ret = freeze_note(f->ctx, it);
	if (!ret && it->parent && it->dump->stat.ppid != it->parent->pid)
		ret = FREEZE_GONE;
	if (ret == FREEZE_GONE) {
		f->rescan = true;
		if (it != f->ctx->tree->root) {
			item_drop(f, it);
			return 0;
		}
		return fail(f->ctx->report, "no-process", ESRCH, "pid %d has ended meanwhile",
			    it->pid);
	}
	if (ret < 0)
		return ret;
	if (it->state == TASK_DEAD)
		f->rescan = true;
	return 0;
}

static int child_found(struct freeze *f, struct pstree_item *parent, pid_t pid)
{
	struct pstree_item *it;
	int ret;

	if (pstree_find(f->ctx->tree, pid))
		return 0;
	ret = task_add(f, parent, pid, &it);
	if (ret == FREEZE_GONE) {
		f->rescan = true;
		return 0;
	}
	return ret;
}

/* Without CONFIG_PROC_CHILDREN: every process of the machine, by its parent's number. */
static int children_by_scan(struct freeze *f, struct pstree_item *it)
{
	cleanup_close int dir = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t n = 0;
	int ret = dir < 0 ? -errno : proc_list_tasks(dir, &f->list, &n, &f->room);

	for (size_t i = 0; !ret && i < n; i++) {
		struct proc_stat st;
		char name[24];

		snprintf(name, sizeof(name), "%d/stat", f->list[i]);
		if (proc_read(dir, name, &f->ctx->text) || proc_parse_stat(f->ctx->text.p, &st))
			continue;
		if (st.ppid == it->pid)
			ret = child_found(f, it, st.pid);
	}
	return ret;
}

/* Every child of a process that stands still becomes an item of the tree. */
static int children_find(struct freeze *f, struct pstree_item *it)
{
	struct dump_task *t = it->dump;
	pid_t *kids = NULL;
	size_t n = 0;
	int ret = 0;

	for (size_t i = 0; !ret && i < t->nr_threads; i++) {
		char name[40];

		snprintf(name, sizeof(name), "task/%d/children", t->threads[i].tid);
		ret = proc_read(t->proc_fd, name, &f->ctx->text);
		if (ret == -ENOENT) {
			free(kids);
			return children_by_scan(f, it);
		}
		if (!ret)
			ret = proc_parse_pids(f->ctx->text.p, &kids, &n);
	}
	if (ret)
		fail(f->ctx->report, "process-read", -ret, "pid %d: list of its children", it->pid);
	for (size_t i = 0; !ret && i < n; i++)
		ret = child_found(f, it, kids[i]);
	free(kids);
	return ret;
}

/* From @it to the end of the list, which grows on the way. */
static int freeze_from(struct freeze *f, struct list_head *at)
{
	struct list_head *next;
	int ret = 0;

	/* A dropped item leaves the list: step by the one before it. */
	for (; !ret && at->next != &f->ctx->tree->items; at = next) {
		struct pstree_item *it = container_of(at->next, struct pstree_item, list);

		ret = freeze_item(f, it);
		next = at->next == &it->list ? &it->list : at;
		if (!ret && next == &it->list && it->state != TASK_DEAD)
			ret = children_find(f, it);
	}
	return ret;
}

static int freeze_tree(struct freeze *f)
{
	struct list_head *items = &f->ctx->tree->items;
	struct pstree_item *it;
	int ret = freeze_from(f, items);

	while (!ret && f->rescan) {
		struct list_head *last = items->prev;

		f->rescan = false;
		list_for_each(it, items, list) {
			if (it->state != TASK_DEAD && !ret)
				ret = children_find(f, it);
			if (&it->list == last)
				break;
		}
		if (!ret)
			ret = freeze_from(f, last);
		/* A zombie that is not new has nobody left to hand on. */
		if (items->prev == last)
			break;
	}
	return ret;
}

/**
 * dump_freeze - stop the whole tree, and make its items
 * @ctx: the dump
 *
 * With opts->attached everything stands still already and is only enumerated.
 * What cannot be dumped is recorded and does not end the walk.
 *
 * Return: 0, or -errno recorded. dump_thaw() lets go what has been stopped.
 */
int dump_freeze(struct dump_ctx *ctx)
{
	struct freeze f = { .ctx = ctx, .options = PTRACE_O_SUSPEND_SECCOMP };
	struct pstree_item *root;
	int ret;

	ctx->seize_ns = backoff_now();
	ctx->seccomp_suspended = true;
	ret = task_add(&f, NULL, ctx->opts->pid, &root);
	if (ret == FREEZE_GONE)
		ret = fail(ctx->report, "no-process", ESRCH, "there is no process %d",
			   ctx->opts->pid);
	if (!ret) {
		ctx->tree->root = root;
		ret = freeze_check_target(ctx);
	}
	if (!ret)
		ret = freeze_tree(&f);
	ctx->seccomp_suspended = f.options & PTRACE_O_SUSPEND_SECCOMP;
	ctx->stop_ns = backoff_now();
	if (!ret)
		ret = freeze_checks(ctx);
	idmap_free(&f.tids);
	free(f.list);
	return ret;
}

/**
 * dump_close - give back the descriptors that stand for the tasks
 * @ctx: the dump; nothing is traced any more, or never was
 */
void dump_close(struct dump_ctx *ctx)
{
	struct pstree_item *it;

	list_for_each(it, &ctx->tree->items, list)
		task_close(it->dump);
	files_threads_close(ctx);
}
