/*
 * dump - a process tree to a model, and to images: a table of stages, each
 * with what takes it back. Whatever fails, everything begun is undone in
 * reverse: the tree runs on, the directory has no inventory and is no image.
 */
#include "dump/dump.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "dump/files.h"
#include "dump/files_tcp.h"
#include "dump/guardian.h"
#include "dump/tasks.h"
#include "image/image.h"
#include "kernel/backoff.h"
#include "kernel/net_undo.h"

#define TIMEOUT_S 10

/* What a stage is for; the two requests run different ones. */
enum { FOR_STATE = 1, FOR_IMAGES = 2, FOR_BOTH = 3 };

struct stage {
	const char *name;
	int (*run)(struct dump_ctx *ctx);
	void (*undo)(struct dump_ctx *ctx); /* also at the end of a good run; may be NULL */
	int when;
};

static int stage_images(struct dump_ctx *ctx)
{
	return image_dir_open(&ctx->images, ctx->opts->images_fd, ctx->report, ctx->arena);
}

static void undo_images(struct dump_ctx *ctx)
{
	image_dir_close(ctx->images);
	ctx->images = NULL;
}

static void undo_room(struct dump_ctx *ctx)
{
	close_owned(&ctx->room);
	ctx->room = -1;
}

static int call_action(struct dump_ctx *ctx, const char *name)
{
	int ret = ctx->opts->action ? ctx->opts->action(ctx->opts->arg, name) : 0;

	/* Whoever runs the scripts has recorded why. */
	return ret ? -ECANCELED : 0;
}

static int stage_pre_dump(struct dump_ctx *ctx)
{
	return call_action(ctx, "pre-dump");
}

/* A tree that the caller traces does not outlive it. */
static int stage_guardian(struct dump_ctx *ctx)
{
	return ctx->opts->attached ? 0 : dump_guardian_start(ctx);
}

static void undo_freeze(struct dump_ctx *ctx)
{
	dump_thaw(ctx);
	dump_close(ctx);
}

/* If it has not come to the stage that does so. */
static void undo_files_begin(struct dump_ctx *ctx)
{
	dump_files_finish(ctx);
}

static void undo_files(struct dump_ctx *ctx)
{
	struct shmem *s;

	dump_files_finish(ctx);
	files_kept_close(ctx);
	if (!ctx->committed)
		dump_links_undo(ctx);
	list_for_each(s, &ctx->tree->shmems, list) {
		if (s->fd >= 0)
			close(s->fd);
		s->fd = -1;
	}
}

/* With a blocker on record the types only look; nothing more is written. */
static int stage_finish_files(struct dump_ctx *ctx)
{
	const bool write = ctx->write;
	int ret;

	ctx->write = write && report_count(ctx->report) == ctx->causes_before;
	ret = dump_files_finish(ctx);
	ctx->write = write;
	if (!ret && ctx->images)
		ret = tcp_rules_check(ctx);
	return ret;
}

/* A blocker ends the dump, but not before all of them are on record. */
static int stage_blockers(struct dump_ctx *ctx)
{
	return report_count(ctx->report) > ctx->causes_before ? -EOPNOTSUPP : 0;
}

/* Before memory is looked at, where the calls have left something. */
static int stage_calls_end(struct dump_ctx *ctx)
{
	struct pstree_item *it;

	list_for_each(it, &ctx->tree->items, list)
		dump_task_release(ctx, it);
	return 0;
}

static int stage_pages(struct dump_ctx *ctx)
{
	return ctx->opts->outline ? 0 : dump_pages(ctx);
}

static int stage_thaw(struct dump_ctx *ctx)
{
	if (ctx->opts->final != DUMP_KILL)
		tcp_let_go(ctx);
	if (ctx->opts->final == DUMP_LEAVE_RUNNING)
		dump_thaw(ctx);
	return 0;
}

static int stage_commit(struct dump_ctx *ctx)
{
	uint64_t start_ns = backoff_now();
	int ret;

	ids_inventory(ctx);
	if (ctx->opts->final == DUMP_KILL)
		dump_guardian_image(ctx);
	ret = image_commit(ctx->images, ctx->tree);
	ctx->stats->fsync_us = (backoff_now() - start_ns) / 1000;
	if (!ret)
		ret = call_action(ctx, "post-dump");
	/* A dump that fails leaves no image. */
	if (ret)
		unlinkat(ctx->opts->images_fd, "inventory.img", 0);
	ctx->committed = !ret;
	return ret;
}

static void fill_stats(struct dump_ctx *ctx)
{
	uint64_t end_ns = backoff_now();

	ctx->stats->total_us = (end_ns - ctx->start_ns) / 1000;
	ctx->stats->freezing_us = (ctx->stop_ns - ctx->seize_ns) / 1000;
	ctx->stats->frozen_us = ((ctx->thaw_ns ? ctx->thaw_ns : end_ns) - ctx->stop_ns) / 1000;
}

static int stage_end(struct dump_ctx *ctx)
{
	int ret = 0;

	switch (ctx->opts->final) {
	case DUMP_KILL:
		dump_guardian_kill(ctx);
		tcp_kept(ctx);
		ret = dump_kill(ctx);
		break;
	case DUMP_LEAVE_STOPPED:
		ret = dump_stop(ctx);
		break;
	default:
		break;
	}
	if (ret)
		return ret;
	fill_stats(ctx);
	if (ctx->opts->done)
		ctx->opts->done(ctx->opts->arg, ctx->stats);
	if (ctx->opts->final == DUMP_KILL)
		dump_gone(ctx);
	return 0;
}

static const struct stage stages[] = {
	{ "image directory", stage_images, undo_images, FOR_IMAGES },
	{ "pre-dump script", stage_pre_dump, NULL, FOR_IMAGES },
	{ "room for pages", dump_room, undo_room, FOR_IMAGES },
	{ "guardian", stage_guardian, dump_guardian_stop, FOR_BOTH },
	{ "files, ahead", dump_files_begin, undo_files_begin, FOR_BOTH },
	{ "freeze", dump_freeze, undo_freeze, FOR_BOTH },
	{ "memory maps", dump_vmas, NULL, FOR_BOTH },
	{ "tasks", dump_tasks, NULL, FOR_BOTH },
	{ "files", dump_files, undo_files, FOR_BOTH },
	{ "locks", dump_locks, NULL, FOR_BOTH },
	{ "mapped files", dump_vma_files, NULL, FOR_BOTH },
	{ "locks of mapped files", dump_mapped_locks, NULL, FOR_BOTH },
	{ "files, second look", stage_finish_files, NULL, FOR_BOTH },
	{ "blockers", stage_blockers, NULL, FOR_BOTH },
	{ "connections", tcp_hold, tcp_let_go, FOR_IMAGES },
	{ "end of remote calls", stage_calls_end, NULL, FOR_BOTH },
	{ "pages", stage_pages, NULL, FOR_BOTH },
	{ "thaw", stage_thaw, NULL, FOR_IMAGES },
	{ "images", dump_write, NULL, FOR_IMAGES },
	{ "commit", stage_commit, NULL, FOR_IMAGES },
	{ "end", stage_end, NULL, FOR_IMAGES },
};
#define NR_STAGES (sizeof(stages) / sizeof(*stages))

/* Stages that only collect go on when another one found blockers. */
static bool goes_on(struct dump_ctx *ctx, const struct stage *s, int ret)
{
	return ret && report_count(ctx->report) > ctx->causes_before &&
	       (s->run == dump_files || s->run == dump_locks || s->run == dump_vma_files ||
		s->run == dump_mapped_locks || s->run == stage_finish_files);
}

static int run_stages(struct dump_ctx *ctx)
{
	size_t i;
	int ret = 0;

	for (i = 0; i < NR_STAGES && !ret; i++) {
		if (!(stages[i].when & (ctx->write ? FOR_IMAGES : FOR_STATE)))
			continue;
		log_debug(ctx->report, "dump: %s", stages[i].name);
		ret = stages[i].run(ctx);
		if (goes_on(ctx, &stages[i], ret))
			ret = 0;
	}
	while (i--)
		if (stages[i].undo && stages[i].when & (ctx->write ? FOR_IMAGES : FOR_STATE))
			stages[i].undo(ctx);
	return ret;
}

/* One try; -EBUSY with ctx->nr_rescue: another one may do better. */
static int dump_once(struct dump_ctx *ctx)
{
	int ret, slack = prctl(PR_GET_TIMERSLACK);

	ctx->tree = pstree_new(ctx->report);
	ctx->arena = ctx->tree->arena;
	/* Naps while the tree stands still are to be no longer than they say; 0 is the default. */
	prctl(PR_SET_TIMERSLACK, 1ul);
	ret = run_stages(ctx);
	prctl(PR_SET_TIMERSLACK, slack > 0 ? (unsigned long)slack : 0ul);
	proc_text_free(&ctx->text);
	return ret;
}

static int dump_run(const struct dump_opts *o, struct report *r, struct dump_stats *stats,
		    bool write, struct pstree **out)
{
	uint64_t start_ns = backoff_now();
	struct net_undo_found undone;
	struct dump_ctx ctx;
	bool again;
	int ret;

	if (write)
		net_undo_all(&undone);
	for (int tries = 0;; tries++) {
		ctx = (struct dump_ctx){
			.opts = o, .report = r, .stats = stats, .write = write, .room = -1
		};
		ctx.causes_before = report_count(r);
		ctx.start_ns = start_ns;
		*stats = (struct dump_stats){ 0 };
		ctx.deadline_ns = start_ns + (o->timeout ? o->timeout : TIMEOUT_S) * 1000000000ull;
		ret = dump_once(&ctx);
		again = ret == -EBUSY && ctx.nr_rescue && report_count(r) == ctx.causes_before;
		if (!again || tries == 3)
			break;
		for (size_t i = 0; i < ctx.nr_rescue; i++)
			remote_rescue(ctx.rescue[i]);
		pstree_free(ctx.tree);
	}
	if (again)
		fail(r, "task-left", EBUSY, "pid %d: what a dump that died left in it stays",
		     ctx.rescue[0]);
	if (!ret && out)
		*out = ctx.tree;
	else
		pstree_free(ctx.tree);
	return ret;
}

/**
 * dump_tree - a process tree to images
 * @o: what to dump and what becomes of the tree
 * @r: gets every cause of a failure
 *
 * Return: 0 or -errno recorded: then the tree is as it was found.
 */
int dump_tree(const struct dump_opts *o, struct report *r)
{
	struct dump_stats stats;

	return dump_run(o, r, &stats, true, NULL);
}

/**
 * dump_state - a live process tree as a model, its memory as checksums
 * @o: which tree; with @o->attached the calling thread traces all of it
 * @r: gets every cause of a failure
 * @out: the tree, for pstree_free()
 *
 * Return: 0 or -errno recorded. The tree of processes is as it was found.
 */
int dump_state(const struct dump_opts *o, struct report *r, struct pstree **out)
{
	struct dump_stats stats;

	return dump_run(o, r, &stats, false, out);
}
