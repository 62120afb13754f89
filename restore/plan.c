/*
 * plan - who forks whom, and in which session. A session is inherited by
 * birth and left only by setsid(2), so the order of births rebuilds it:
 *
 *   - a leader calls setsid(2) itself; children whose session is the one it
 *     was born in are forked before that (BIRTH_BEFORE), others after it;
 *   - a task whose session is led by somebody who is not its parent was
 *     orphaned once: a member of the session forks it and its parent takes it
 *     over as a subreaper (BIRTH_ADOPT);
 *   - a session or group whose leader is dead gets a helper, which leads it
 *     while members are born and then exits.
 *
 * The sid and pgid of the root that lie outside the tree (--shell-job) become
 * those of the tool.
 */
#include "restore/ctx.h"

#include <errno.h>
#include <unistd.h>

#include "restore/early.h"
#include "restore/engine.h"

static void plan_item(struct restore_ctx *ctx, struct pstree_item *it)
{
	it->restore = arena_new_of(ctx->arena, struct restore_task);
	it->restore->item = it;
	it->restore->uffd = it->restore->uffd_remote = -1;
	it->restore->midwife = it->parent;
	it->restore->birth = BIRTH_AFTER;
}

/* Leads group @pid, and session @pid if that is @sid. NULL: not a number to be had; recorded. */
static struct pstree_item *add_helper(struct restore_ctx *ctx, struct pstree_item *parent,
				      pid_t pid, pid_t sid)
{
	struct pstree_item *it;

	if (pid <= 0 || sid <= 0) {
		fail(ctx->report, "session-outside", 0,
		     "a child of pid %d is in group %d of session %d, which were led from outside "
		     "its pid namespace",
		     parent->pid, pid, sid);
		return NULL;
	}
	it = pstree_add(ctx->tree, parent, pid);
	it->state = TASK_HELPER;
	it->pgid = pid;
	it->sid = sid;
	plan_item(ctx, it);
	return it;
}

/* The root's session and group from outside the tree become ours. */
static void adopt_outside_ids(struct restore_ctx *ctx)
{
	struct pstree_item *it, *root = ctx->tree->root;
	pid_t sid = root->sid, pgid = root->pgid;

	list_for_each(it, &ctx->tree->items, list) {
		if (sid != root->pid && it->sid == sid && !pstree_find(ctx->tree, sid))
			it->sid = getsid(0);
		if (pgid != root->pid && it->pgid == pgid && !pstree_find(ctx->tree, pgid))
			it->pgid = getpgrp();
	}
}

static bool outside(const struct restore_ctx *ctx, pid_t sid)
{
	return ctx->opts->shell_job && sid == getsid(0);
}

static bool leads_session(const struct pstree_item *it)
{
	return it->pid == it->sid;
}

/* Can @it be arranged to be born into session @sid? Leaders may choose, and their ancestors too. */
static bool arrange_birth(struct pstree_item *it, pid_t sid)
{
	struct pstree_item *p = it->parent;

	if (!p)
		return sid == getsid(0);
	if (p->sid == sid) {
		it->restore->birth = BIRTH_AFTER;
		return true;
	}
	if (leads_session(p) && arrange_birth(p, sid)) {
		it->restore->birth = BIRTH_BEFORE;
		return true;
	}
	return false;
}

static int adopt_birth(struct restore_ctx *ctx, struct pstree_item *it)
{
	struct pstree_item *leader = pstree_find(ctx->tree, it->sid);

	if (!leader)
		leader = add_helper(ctx, it->parent, it->sid, it->sid);
	if (!leader)
		return -EIO;
	for (struct pstree_item *p = leader->parent; p; p = p->parent) {
		if (p == it->parent) {
			it->restore->birth = BIRTH_ADOPT;
			it->restore->midwife = leader;
			it->parent->restore->subreaper = true;
			return 0;
		}
	}
	return fail(ctx->report, "session-unreachable", 0,
		    "pid %d is in session %d, whose leader is not below its parent %d: "
		    "such a session cannot be rebuilt",
		    it->pid, it->sid, it->parent->pid);
}

static int plan_births(struct restore_ctx *ctx)
{
	struct pstree_item *it;
	int ret = 0;

	/* Helpers that this loop adds come last and lead their sessions. */
	list_for_each(it, &ctx->tree->items, list) {
		if (leads_session(it))
			continue;
		if (!arrange_birth(it, it->sid)) {
			if (!it->parent)
				ret = fail(
					ctx->report, "session-outside", 0,
					"the root, pid %d, is in session %d, which is not in the "
					"image: restore it with --shell-job",
					it->pid, it->sid);
			else
				ret = adopt_birth(ctx, it) ?: ret;
		}
	}
	return ret;
}

/*
 * Who forks the helper for @it's group: somebody in the session, so that the
 * helper is born there. One that leads the session itself is forked from
 * outside, for it is the one that forks those who lost their way in: adopt_birth().
 */
static struct pstree_item *helper_parent(struct pstree_item *it)
{
	bool session = it->pgid == it->sid;

	while (session && it->parent && it->parent->sid == it->sid)
		it = it->parent;
	return it->parent && (session || it->sid == it->parent->sid) ? it->parent : it;
}

/* Every group has a leader, alive, dead or a helper, in the session of its members. */
static int plan_groups(struct restore_ctx *ctx)
{
	struct pstree_item *it;
	int ret = 0;

	list_for_each(it, &ctx->tree->items, list) {
		struct pstree_item *leader = pstree_find(ctx->tree, it->pgid);

		if (it->pgid == it->pid || (outside(ctx, it->sid) && it->pgid == getpgrp()))
			continue;
		if (!leader && !add_helper(ctx, helper_parent(it), it->pgid, it->sid))
			ret = -EIO;
		else if (leader && leader->sid != it->sid)
			ret = fail(ctx->report, "group-session", 0,
				   "pid %d is in group %d, which belongs to session %d and not "
				   "to its session %d",
				   it->pid, it->pgid, leader->sid, it->sid);
	}
	return ret;
}

/* A place for the remote code that is free in the image; the task maps it if it is free there too.
 */
static int plan_area(struct restore_ctx *ctx, struct pstree_item *it)
{
	size_t size = remote_area_size(it->nr_threads) + 0x10000;
	unsigned long at = 0x10000000;

	for (size_t i = 0; i < it->nr_vmas; i++) {
		const VmaEntry *e = it->vmas[i].e;
		uint64_t start = e->start, end = e->end;

		/* A segment is attached as a whole for the moment. */
		if (e->status & VMA_AREA_SYSVIPC) {
			start -= e->pgoff;
			end = start + it->vmas[i].shmem->size;
		}
		if (start >= at + size)
			break;
		if (end > at)
			at = (end + 0xffff) & ~0xffffUL;
	}
	if (at + size > 0x7ffffffff000UL)
		return fail(ctx->report, "no-room", ENOMEM,
			    "pid %d leaves no %zu free bytes in its address space", it->pid, size);
	it->restore->area = at;
	return 0;
}

/**
 * restore_plan - births, helpers and files, before any process is made
 * @ctx: the run; the tree is loaded
 *
 * Return: 0 or -errno, recorded.
 */
int restore_plan(struct restore_ctx *ctx)
{
	struct pstree_item *it;
	size_t n = 0;
	int ret;

	ret = early_plan(ctx);
	list_for_each(it, &ctx->tree->items, list)
		plan_item(ctx, it);
	if (ctx->opts->shell_job)
		adopt_outside_ids(ctx);
	/* All obstacles, not the first one. */
	ret = plan_groups(ctx) ?: ret;
	ret = plan_births(ctx) ?: ret;
	ret = early_births(ctx) ?: ret;
	list_for_each(it, &ctx->tree->items, list) {
		it->restore->index = n++;
		if (item_alive(it))
			ret = plan_area(ctx, it) ?: ret;
	}
	return engine_plan(ctx) ?: ret;
}
