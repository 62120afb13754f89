/*
 * restore - the stages of a restore, each with what undoes it. A stage that
 * fails has recorded why; the stages before it are undone in reverse order and
 * nothing is left behind.
 */
#include "restore/restore.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/image.h"
#include "restore/attrs.h"
#include "restore/ctx.h"
#include "restore/cow.h"
#include "restore/engine.h"
#include "restore/network.h"
#include "restore/seccomp.h"
#include "restore/sysv.h"

#define DEFAULT_TIMEOUT 10 /* seconds, as the option's */

/**
 * restore_load - the images, if they are what was written, to the model
 * @ctx: the run
 *
 * Return: 0 or -errno, recorded.
 */
int restore_load(struct restore_ctx *ctx)
{
	int ret = image_verify(ctx->images);

	if (ret >= 0)
		ret = image_load_tree(ctx->images, ctx->report, &ctx->tree);
	if (ret < 0)
		return ret;
	ctx->arena = ctx->tree->arena;
	engine_bind_types(ctx->tree);
	return 0;
}

static int stage_load(struct restore_ctx *ctx)
{
	int ret = restore_load(ctx);

	return ret ? ret : seccomp_load(ctx);
}

/* Obstacles of both kinds are listed before the first process is made. */
static int stage_check(struct restore_ctx *ctx)
{
	const struct restore_opts *o = ctx->opts;
	int planned, ret = o->admit ? o->admit(o->arg, ctx->tree) : 0;

	if (ret < 0)
		return ret;
	/* Helpers of the plan need their pids too. */
	planned = restore_plan(ctx);
	ret = restore_check(ctx);

	return planned < 0 ? planned : ret;
}

static void undo_check(struct restore_ctx *ctx)
{
	engine_free(ctx);
}

static void undo_load(struct restore_ctx *ctx)
{
	restore_files_free(ctx);
	pstree_free(ctx->tree);
	ctx->tree = NULL;
}

/* Orphans of the tree come to us while it is being made. */
static int stage_prepare(struct restore_ctx *ctx)
{
	unsigned limit = ctx->opts->timeout ? ctx->opts->timeout : DEFAULT_TIMEOUT;

	ctx->deadline_ns = restore_now() + limit * UINT64_C(1000000000);
	if (prctl(PR_GET_CHILD_SUBREAPER, &ctx->was_subreaper) < 0 ||
	    prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return fail(ctx->report, "subreaper", errno, "become a subreaper");
	return restore_shared_new(ctx);
}

static void undo_prepare(struct restore_ctx *ctx)
{
	restore_shared_free(ctx);
	prctl(PR_SET_CHILD_SUBREAPER, ctx->was_subreaper);
}

static int stage_shmem(struct restore_ctx *ctx)
{
	struct shmem *s;
	int ret = restore_shmem(ctx);

	list_for_each(s, &ctx->tree->shmems, list)
		if (s->fd >= 0)
			engine_service(ctx, &s->fd);
	return ret < 0 ? ret : engine_services_up(ctx);
}

static void undo_shmem(struct restore_ctx *ctx)
{
	struct shmem *s;

	if (!atomic_load(&ctx->shared->committed))
		sysv_undo(ctx);

	list_for_each(s, &ctx->tree->shmems, list) {
		if (s->fd >= 0)
			close(s->fd);
		s->fd = -1;
	}
}

static int stage_verify(struct restore_ctx *ctx)
{
	if (!ctx->opts->verify)
		return 0;
	return ctx->opts->verify(ctx->opts->arg, ctx->tree) ? -EUCLEAN : 0;
}

static int action(struct restore_ctx *ctx, const char *name, pid_t root)
{
	int ret;

	if (!ctx->opts->action)
		return 0;
	ret = ctx->opts->action(ctx->opts->arg, name, root);
	/* Whoever runs the scripts has recorded why. */
	return ret ? -ECANCELED : 0;
}

static int stage_pre_restore(struct restore_ctx *ctx)
{
	return action(ctx, "pre-restore", 0);
}

static int stage_post_restore(struct restore_ctx *ctx)
{
	pid_t root = ctx->tree->root->pid;
	int ret = action(ctx, "post-restore", root);

	return ret < 0 ? ret : action(ctx, "pre-resume", root);
}

/* Too late for a veto: the tree runs. */
static int stage_post_resume(struct restore_ctx *ctx)
{
	if (action(ctx, "post-resume", ctx->tree->root->pid) < 0)
		log_warn(ctx->report, "the post-resume script failed; the tree runs all the same");
	return 0;
}

/* ORDER matters: a stage builds on those above it. */
static const struct {
	const char *name;
	int (*run)(struct restore_ctx *ctx);
	void (*undo)(struct restore_ctx *ctx);
} stages[] = {
	{ "load", stage_load, undo_load },
	{ "check", stage_check, undo_check },
	{ "pre-restore script", stage_pre_restore, NULL },
	{ "prepare", stage_prepare, undo_prepare },
	{ "connections", network_plan, NULL },
	{ "guardian", restore_guardian_start, restore_guardian_stop },
	{ "doors", doors_make, doors_undo },
	{ "shared memory", stage_shmem, undo_shmem },
	{ "shared pages", cow_plan, cow_free },
	{ "network lock", network_lock, network_unlock },
	{ "processors", attrs_begin, attrs_end },
	{ "fork", restore_fork, restore_kill },
	{ "gone processes", file_gone_end, NULL },
	{ "seize", restore_seize, NULL },
	{ "memory", restore_memory, NULL },
	{ "locks", restore_locks, NULL },
	{ "leases", restore_leases, NULL },
	{ "threads", restore_threads, NULL },
	{ "owners of signals", restore_owners, NULL },
	{ "disarm", restore_disarm, NULL },
	{ "options of connections", network_settle, NULL },
	{ "verify", stage_verify, NULL },
	{ "scripts", stage_post_restore, NULL },
	{ "event queues", file_queues_empty, NULL },
	{ "references of doors", doors_look, NULL },
	{ "release", restore_release, NULL },
	{ "link names", file_links_remove, NULL },
	{ "post-resume script", stage_post_resume, NULL },
};

static void count(const struct pstree *t, struct restore_stats *s)
{
	struct pstree_item *it;
	struct file *f;

	list_for_each(it, &t->items, list) {
		s->tasks += it->state != TASK_HELPER;
		s->threads += item_alive(it) ? it->nr_threads : 0;
	}
	/* Descriptors have matured in the tasks, not here. */
	list_for_each(f, &t->files.files, f_list)
		s->files++;
	list_for_each(f, &t->files.larval, f_list)
		s->files++;
}

/* A restore that succeeded keeps its processes; everything else goes. */
static void finish(struct restore_ctx *ctx)
{
	for (size_t i = sizeof(stages) / sizeof(*stages); i-- > 0;)
		if (stages[i].undo && stages[i].undo != restore_kill)
			stages[i].undo(ctx);
}

/**
 * restore_tree - bring a dumped tree back
 * @o: the request
 * @r: where causes and the log go
 * @root: gets the pid of the root
 * @stats: gets the figures
 *
 * Return: 0, or -errno with the causes recorded and nothing left behind.
 */
int restore_tree(const struct restore_opts *o, struct report *r, pid_t *root,
		 struct restore_stats *stats)
{
	struct restore_ctx ctx = {
		.opts = o,
		.report = r,
		.stats = stats,
		.tool = getpid(),
	};
	struct arena *dir_arena = arena_new();
	uint64_t start = restore_now();
	size_t i, n = sizeof(stages) / sizeof(*stages);
	int ret;

	memset(stats, 0, sizeof(*stats));
	ret = image_dir_open(&ctx.images, o->images_fd, r, dir_arena);
	for (i = 0; ret >= 0 && i < n; i++) {
		uint64_t t = restore_now();

		ret = stages[i].run(&ctx);
		if (stages[i].run == restore_fork)
			stats->forking_us = (restore_now() - t) / 1000;
		if (stages[i].run == restore_release)
			stats->restore_us = (restore_now() - start) / 1000;
		log_info(r, "stage %s: %s, %llu us", stages[i].name, ret < 0 ? "failed" : "done",
			 (unsigned long long)(restore_now() - t) / 1000);
		if (ret < 0 && !report_count(r))
			fail(r, "internal", -ret, "stage %s", stages[i].name);
	}
	if (ret < 0) {
		while (i-- > 0)
			if (stages[i].undo)
				stages[i].undo(&ctx);
	} else {
		*root = ctx.tree->root->pid;
		count(ctx.tree, stats);
		stats->total_us = (restore_now() - start) / 1000;
		finish(&ctx);
	}
	image_dir_close(ctx.images);
	arena_free(dir_arena);
	return ret < 0 ? ret : 0;
}
