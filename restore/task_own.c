/*
 * task_own - directories, umask, personality, marks in /proc and groups, which
 * a task sets for itself in plain C. Part of task.c's work.
 */
#include "restore/task.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "restore/creds.h"
#include "restore/engine.h"
#include "restore/files.h"

/* A directory that may be entered need not be readable. */
static int open_dir(struct restore_ctx *ctx, const struct pstree_item *me, struct file_desc *d,
		    const char *what)
{
	int fd = d->kind == FILE_KIND_reg ? reg_open_path(d, O_PATH | O_DIRECTORY) : -EBADMSG;

	if (fd < 0)
		return fail(ctx->report, "cwd", -fd, "pid %d: open its %s directory (file id %#x)",
			    me->pid, what, d->id);
	return fd;
}

/**
 * task_fs - root directory, working directory and umask
 * @ctx: the run
 * @me: the calling task
 *
 * Return: 0 or -errno, recorded.
 */
int task_fs(struct restore_ctx *ctx, struct pstree_item *me)
{
	struct file_desc *root = file_desc_find(ctx->tree, me->fs->root_id);
	struct file_desc *cwd = file_desc_find(ctx->tree, me->fs->cwd_id);
	cleanup_close int root_fd = -1, cwd_fd = -1;
	struct stat a, b;

	if (!root || !cwd)
		return fail(ctx->report, "image-fs", 0,
			    "pid %d: its working or root directory is not in the image", me->pid);
	root_fd = open_dir(ctx, me, root, "root");
	cwd_fd = root_fd < 0 ? -1 : open_dir(ctx, me, cwd, "working");
	if (root_fd < 0 || cwd_fd < 0)
		return -EIO;
	if (fstat(root_fd, &a) < 0 || stat("/", &b) < 0)
		return fail(ctx->report, "root-dir", errno, "pid %d: look at its root", me->pid);
	if ((a.st_dev != b.st_dev || a.st_ino != b.st_ino) &&
	    (fchdir(root_fd) < 0 || chroot(".") < 0))
		return fail(ctx->report, "root-dir", errno, "pid %d: change its root", me->pid);
	if (fchdir(cwd_fd) < 0)
		return fail(ctx->report, "cwd", errno, "pid %d: change its directory", me->pid);
	if (me->fs->has_umask)
		umask(me->fs->umask);
	return 0;
}

static int write_proc(const char *path, long value)
{
	cleanup_close int fd = open(path, O_RDWR | O_CLOEXEC);
	char have[24] = "", want[24];
	int n = snprintf(want, sizeof(want), "%ld", value);

	if (fd < 0)
		return -errno;
	if (read(fd, have, sizeof(have) - 1) > 0 && strtol(have, NULL, 10) == value)
		return 0;
	return pwrite(fd, want, (size_t)n, 0) == n ? 0 : -errno;
}

/* Those of all threads, as a rule: they are made later, and inherit them. */
static int restore_groups(struct restore_ctx *ctx, const struct pstree_item *me)
{
	const CredsEntry *c = item_core(me)->thread_core->creds;

	if (creds_same_groups(c) || setgroups(c->n_groups, c->groups) == 0)
		return 0;
	return fail(ctx->report, "creds", errno, "pid %d: set its %zu supplementary groups",
		    me->pid, c->n_groups);
}

/* Children that come to us as a subreaper must have come before we cease to be one. */
static int restore_subreaper(struct restore_ctx *ctx, struct pstree_item *me)
{
	const TaskCoreEntry *tc = item_core(me)->tc;
	struct pstree_item *it;

	list_for_each(it, &me->children, sibling) {
		int ret = it->restore->birth == BIRTH_ADOPT
				  ? restore_wait_phase(ctx, it, RST_FORKED)
				  : 0;

		if (ret < 0)
			return ret;
	}
	if (prctl(PR_SET_CHILD_SUBREAPER, tc->has_child_subreaper && tc->child_subreaper) < 0)
		return fail(ctx->report, "subreaper", errno, "pid %d: subreaper flag", me->pid);
	return 0;
}

/**
 * task_misc - what else a task can set of itself as long as it has our privileges
 * @ctx: the run
 * @me: the calling task
 *
 * Return: 0 or -errno, recorded.
 */
int task_misc(struct restore_ctx *ctx, struct pstree_item *me)
{
	const TaskCoreEntry *tc = item_core(me)->tc;
	int ret;

	if (personality(0xffffffff) != (int)tc->personality && personality(tc->personality) < 0)
		return fail(ctx->report, "personality", errno, "pid %d: personality %#x", me->pid,
			    tc->personality);
	ret = restore_subreaper(ctx, me);
	if (ret < 0)
		return ret;
	if (tc->has_oom_score_adj &&
	    (ret = write_proc("/proc/self/oom_score_adj", tc->oom_score_adj)) < 0)
		return fail(ctx->report, "oom-score", -ret,
			    "pid %d: oom_score_adj %d (lowering it needs CAP_SYS_RESOURCE)",
			    me->pid, tc->oom_score_adj);
	if (tc->has_loginuid && (ret = write_proc("/proc/self/loginuid", tc->loginuid)) < 0)
		log_warn(ctx->report, "pid %d: loginuid %u not set: %s", me->pid, tc->loginuid,
			 strerror(-ret));
	if (me->mm->has_thp_disabled && me->mm->thp_disabled &&
	    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) < 0)
		return fail(ctx->report, "thp", errno, "pid %d: PR_SET_THP_DISABLE", me->pid);
	return restore_groups(ctx, me);
}
