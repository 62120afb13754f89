/*
 * fork - the tree is born: every task at its pid, in its session and group.
 * Each is forked by its midwife of plan.c with clone3(2) and set_tid.
 */
#include "restore/ctx.h"

#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "restore/fork.h"

/* A zombie that holds the pid may still be on its way to its parent: up to 2 s. */
#define PID_TRIES 200

static pid_t clone_at(pid_t pid, uint64_t flags)
{
	struct clone_args args = { .flags = flags, .exit_signal = SIGCHLD };

	if (flags & CLONE_PARENT)
		args.exit_signal = 0;
	if (pid) {
		args.set_tid = (uint64_t)(uintptr_t)&pid;
		args.set_tid_size = 1;
	}
	for (int i = 0;; i++) {
		pid_t ret = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

		if (ret >= 0 || errno != EEXIST || i == PID_TRIES)
			return ret;
		usleep(10000);
	}
}

static void die_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (syscall(SYS_getppid) != parent)
		_exit(1);
}

static void born(struct restore_ctx *ctx, struct pstree_item *it, pid_t parent)
{
	if (parent)
		die_with(parent);
	restore_set_phase(ctx, it, RST_BORN);
	if (ctx->guardian_pipe >= 0)
		close(ctx->guardian_pipe);
	ctx->guardian_pipe = -1;
	restore_task_run(ctx, it);
}

static int clone_failed(struct restore_ctx *ctx, const struct pstree_item *it)
{
	int err = errno;

	return fail(ctx->report, err == EEXIST ? "pid-in-use" : "clone", err,
		    "make the process with pid %d%s", it->pid,
		    err == EPERM ? ": it needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN" : "");
}

/*
 * Forked by a transient child, which exits: the task then belongs to the
 * nearest subreaper above, its parent of the image.
 */
static int fork_adopted(struct restore_ctx *ctx, struct pstree_item *it)
{
	pid_t me = (pid_t)syscall(SYS_getpid), mid = clone_at(0, 0);
	int st;

	if (mid == 0) {
		pid_t pid;

		die_with(me);
		pid = clone_at(it->pid, 0);
		if (pid == 0) {
			/* The transient is not who this task has to die with. */
			while (syscall(SYS_getppid) != it->parent->pid &&
			       !atomic_load(&ctx->shared->abort))
				usleep(500);
			born(ctx, it, it->parent->pid);
		}
		if (pid < 0)
			clone_failed(ctx, it);
		_exit(pid < 0);
	}
	if (mid < 0)
		return clone_failed(ctx, it);
	while (waitpid(mid, &st, 0) < 0 && errno == EINTR)
		;
	return st ? -ECANCELED : 0;
}

/**
 * restore_fork_children - fork whom this task is the midwife of
 * @ctx: the run
 * @me: the calling task
 * @birth: only those born this way
 *
 * Return: 0 or -errno, recorded.
 */
int restore_fork_children(struct restore_ctx *ctx, struct pstree_item *me, enum birth birth)
{
	struct pstree_item *it;
	pid_t pid;

	list_for_each (it, &ctx->tree->items, list) {
		if (it->restore->midwife != me || it->restore->birth != birth)
			continue;
		if (birth == BIRTH_ADOPT) {
			int ret = fork_adopted(ctx, it);

			if (ret < 0)
				return ret;
			continue;
		}
		pid = clone_at(it->pid, it->fdt && it->fdt == me->fdt ? CLONE_FILES : 0);
		if (pid == 0)
			born(ctx, it, me->pid);
		if (pid < 0)
			return clone_failed(ctx, it);
	}
	return 0;
}

/* A stopped task has stopped itself before it counts as parked; see that it has. */
static int wait_stopped(struct restore_ctx *ctx, const struct pstree_item *it)
{
	siginfo_t si;

	if (it->state != TASK_STOPPED || ctx->opts->sibling)
		return 0;
	while (waitid(P_PID, (id_t)it->pid, &si, WSTOPPED | WNOWAIT) < 0)
		if (errno != EINTR)
			return fail(ctx->report, "stop", errno, "wait for pid %d to stop", it->pid);
	return 0;
}

/* The first task that fails tells why; one that dies without a word is found here. */
static int wait_parked(struct restore_ctx *ctx)
{
	struct pstree_item *it;

	list_for_each (it, &ctx->tree->items, list) {
		int ret;

		if (!item_alive(it))
			continue;
		ret = restore_wait_phase(ctx, it, RST_PARKED);
		if (ret == -ETIMEDOUT)
			return fail(ctx->report, "restore-timeout", ETIMEDOUT,
				    "pid %d is not ready within the time limit", it->pid);
		if (ret < 0 && !report_count(ctx->report))
			return fail(ctx->report, "task-lost", 0,
				    "pid %d ended while it was being restored", it->pid);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/**
 * restore_fork - make all tasks and wait until they are parked
 * @ctx: the run; planned
 *
 * Return: 0 or -errno, recorded; restore_kill() undoes it in both cases.
 */
int restore_fork(struct restore_ctx *ctx)
{
	struct pstree_item *root = ctx->tree->root;
	pid_t pid = clone_at(root->pid, ctx->opts->sibling ? CLONE_PARENT : 0);
	int ret;

	if (pid == 0)
		born(ctx, root, ctx->opts->sibling ? 0 : ctx->tool);
	if (pid < 0)
		return clone_failed(ctx, root);
	ret = wait_parked(ctx);
	return ret < 0 ? ret : wait_stopped(ctx, root);
}

/* As tracer we are told of each thread's death; as subreaper we reap the process. */
static void reap(pid_t tid)
{
	for (int n = 0; n < 2000; n++) {
		pid_t w = waitpid(tid, NULL, __WALL | WNOHANG);

		if (w == tid || (w < 0 && errno == ECHILD && kill(tid, 0) < 0))
			return;
		usleep(1000);
	}
}

/**
 * restore_kill - end every task of a restore that failed, and reap the root
 * @ctx: the run
 */
void restore_kill(struct restore_ctx *ctx)
{
	struct pstree_item *it;

	restore_abort(ctx);
	/* Orphans come to us: restore_tree() has made the tool a subreaper. */
	list_for_each (it, &ctx->tree->items, list)
		if (it->restore && restore_get_phase(ctx, it) >= RST_BORN)
			kill(it->pid, SIGKILL);
	list_for_each (it, &ctx->tree->items, list) {
		if (!it->restore || restore_get_phase(ctx, it) < RST_BORN)
			continue;
		for (size_t i = it->nr_threads; i-- > 0;)
			reap(it->threads[i].tid);
	}
}
