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
#include "restore/early.h"
#include "restore/fork.h"

/* A zombie that holds the pid may still be on its way to its parent: up to 2 s. */
#define PID_TRIES 200

/* How long killed tasks may take to be gone. */
#define REAP_NS UINT64_C(2000000000)

static pid_t clone_at(const struct restore_ctx *ctx, pid_t pid, uint64_t flags)
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

		if (ret >= 0 || errno != EEXIST || i == PID_TRIES ||
		    atomic_load(&ctx->shared->abort))
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

/* Only now is the pid known to be ours; whoever ends the restore waits for this. */
static void born(struct restore_ctx *ctx, struct pstree_item *it)
{
	restore_set_phase(ctx, it, RST_BORN);
	if (atomic_load(&ctx->shared->abort))
		_exit(1);
}

/* Announces a birth. False: the restore has been ended, and nobody is to be born any more. */
static bool may_make(struct restore_ctx *ctx, const struct pstree_item *it)
{
	restore_set_phase(ctx, it, RST_MAKING);
	if (!atomic_load(&ctx->shared->abort))
		return true;
	restore_set_phase(ctx, it, RST_NONE);
	return false;
}

static int clone_failed(struct restore_ctx *ctx, const struct pstree_item *it)
{
	int err = errno;

	restore_set_phase(ctx, it, RST_NONE);
	if (atomic_load(&ctx->shared->abort))
		return -ECANCELED;
	return fail(ctx->report, err == EEXIST ? "pid-in-use" : "clone", err,
		    "make the process with pid %d%s", it->pid,
		    err == EPERM ? ": it needs CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN" : "");
}

/*
 * Forked by a transient child, which exits: the task then belongs to the
 * nearest subreaper above, its parent of the image.
 */
static void adopted_run(struct restore_ctx *ctx, struct pstree_item *it)
{
	born(ctx, it);
	/* The transient is not who this task has to die with. */
	while (syscall(SYS_getppid) != it->parent->pid) {
		if (atomic_load(&ctx->shared->abort))
			_exit(1);
		usleep(500);
	}
	die_with(it->parent->pid);
	restore_task_run(ctx, it);
}

static int fork_adopted(struct restore_ctx *ctx, struct pstree_item *it)
{
	pid_t me = (pid_t)syscall(SYS_getpid), mid;
	int st = 1;

	if (!may_make(ctx, it))
		return -ECANCELED;
	mid = clone_at(ctx, 0, 0);
	if (mid == 0) {
		pid_t pid;

		die_with(me);
		pid = clone_at(ctx, it->pid, 0);
		if (pid == 0)
			adopted_run(ctx, it);
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

static int fork_child(struct restore_ctx *ctx, struct pstree_item *me, void *arg)
{
	struct pstree_item *it = arg;
	uint64_t flags = it->restore->born_in ? CLONE_FILES : 0;
	pid_t pid;

	if (it->ids && me->ids && it->ids->fs_id == me->ids->fs_id)
		flags |= CLONE_FS;
	if (!may_make(ctx, it))
		return -ECANCELED;
	pid = clone_at(ctx, it->pid, flags);
	if (pid == 0) {
		born(ctx, it);
		die_with(me->pid);
		restore_task_run(ctx, it);
	}
	return pid < 0 ? clone_failed(ctx, it) : 0;
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

	list_for_each(it, &ctx->tree->items, list) {
		int ret;

		if (it->restore->midwife != me || it->restore->birth != birth)
			continue;
		ret = birth == BIRTH_ADOPT
			      ? fork_adopted(ctx, it)
			      : early_in(ctx, me, it->restore->born_in, fork_child, it);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* A stopped task has stopped itself before it counts as parked; see that it has. */
static int wait_stopped(struct restore_ctx *ctx, const struct pstree_item *it)
{
	siginfo_t si = { 0 };

	if (it->state != TASK_STOPPED || ctx->opts->sibling)
		return 0;
	for (;;) {
		int ret = waitid(P_PID, (id_t)it->pid, &si, WSTOPPED | WEXITED | WNOWAIT | WNOHANG);

		if (ret == 0 && si.si_pid == it->pid && si.si_code == CLD_STOPPED)
			return 0;
		if (ret < 0 && errno != EINTR)
			return fail(ctx->report, "stop", errno, "wait for pid %d to stop", it->pid);
		if (si.si_pid == it->pid || restore_now() > ctx->deadline_ns)
			return fail(ctx->report, "stop", ETIMEDOUT, "pid %d does not stop",
				    it->pid);
		usleep(500);
	}
}

/* The first task that fails tells why; one that dies without a word is found here. */
static int wait_parked(struct restore_ctx *ctx)
{
	struct pstree_item *it;

	list_for_each(it, &ctx->tree->items, list) {
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
	pid_t pid;
	int ret;

	restore_set_phase(ctx, root, RST_MAKING);
	pid = clone_at(ctx, root->pid, ctx->opts->sibling ? CLONE_PARENT : 0);
	if (pid == 0) {
		born(ctx, root);
		/* A sibling's parent is not the tool: there is only the guardian. */
		if (!ctx->opts->sibling)
			die_with(ctx->tool);
		restore_task_run(ctx, root);
	}
	if (pid < 0)
		return clone_failed(ctx, root);
	ret = wait_parked(ctx);
	return ret < 0 ? ret : wait_stopped(ctx, root);
}

/*
 * As tracer we are told of each thread's death; as subreaper we reap the
 * process. What is dead but not ours to reap (-S) has a parent that does.
 */
static void reap(pid_t tid, bool leader, uint64_t until)
{
	for (;;) {
		pid_t w = waitpid(tid, NULL, __WALL | WNOHANG);

		if (w < 0 && errno == ECHILD && (!leader || restore_task_ended(tid)))
			return;
		/* The death of a tracee is told to its tracer first, then to its parent. */
		if (w == tid && !leader)
			return;
		if (w == 0 || w < 0) {
			if (restore_now() > until)
				return;
			usleep(500);
		}
	}
}

/**
 * restore_kill - end every task of a restore that failed, and reap what is ours
 * @ctx: the run
 */
void restore_kill(struct restore_ctx *ctx)
{
	uint64_t until = restore_now() + REAP_NS;
	struct pstree_item *it;

	/* Orphans come to us: restore_tree() has made the tool a subreaper. */
	restore_end_tasks(ctx);
	list_for_each(it, &ctx->tree->items, list) {
		enum restore_phase phase = restore_get_phase(ctx, it);

		if (phase < RST_BORN || phase == RST_REAPED)
			continue;
		for (size_t i = it->nr_threads; i-- > 1;)
			reap(it->threads[i].tid, false, until);
		reap(it->pid, true, until);
	}
}
