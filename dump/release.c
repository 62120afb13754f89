/*
 * release - the tree let go as it was found, or killed.
 */
#include "dump/freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "dump/files.h"
#include "dump/guardian.h"
#include "kernel/backoff.h"
#include "kernel/ptrace.h"

#define GONE_MS 2000 /* how long the dead may wait for their parents */

static int task_signal(const struct dump_task *t, int sig)
{
	return syscall(SYS_pidfd_send_signal, t->pidfd, sig, NULL, 0) < 0 ? -errno : 0;
}

/**
 * dump_thaw - let everything go as it was found
 * @ctx: the dump, at any stage; a second call does nothing
 *
 * Remote calls are ended, every thread has its own registers and mask, tasks
 * that were stopped stay stopped.
 */
void dump_thaw(struct dump_ctx *ctx)
{
	struct pstree_item *it;

	if (!ctx->tree)
		return;
	list_for_each(it, &ctx->tree->items, list) {
		struct dump_task *t = it->dump;

		dump_task_release(ctx, it);
		/* The leader last: if the process has been killed it waits for the others. */
		for (size_t i = t->nr_threads; i--;) {
			if (t->threads[i].attached && ptrace_detach(t->threads[i].tid, 0) == -ESRCH)
				waitpid(t->threads[i].tid, NULL, __WALL | WNOHANG);
			t->threads[i].attached = false;
		}
	}
	if (!ctx->thaw_ns && ctx->stop_ns)
		ctx->thaw_ns = backoff_now();
}

/**
 * dump_stop - leave the tree stopped as by SIGSTOP
 * @ctx: the dump; everything is still traced, dump_thaw() is to follow
 *
 * Return: 0 or -errno recorded.
 */
int dump_stop(struct dump_ctx *ctx)
{
	struct pstree_item *it;
	int ret;

	list_for_each(it, &ctx->tree->items, list) {
		if (it->state != TASK_ALIVE)
			continue;
		ret = task_signal(it->dump, SIGSTOP);
		if (ret < 0)
			return fail(ctx->report, "stop", -ret, "pid %d: SIGSTOP", it->pid);
	}
	return 0;
}

/* Takes the exit status of a dead thread that is only ours because we trace it. */
static int thread_reap(pid_t tid, uint64_t until_ns)
{
	struct backoff b;

	backoff_init(&b, GONE_MS);
	for (;;) {
		int status;
		pid_t got = waitpid(tid, &status, __WALL | WNOHANG);

		if (got < 0 && errno != EINTR)
			return 0;
		if (got == tid && !WIFSTOPPED(status))
			return 0;
		if (got == 0 && (backoff_now() > until_ns || backoff_pause(&b) < 0))
			return -ETIMEDOUT;
	}
}

static void task_reap(struct dump_task *t, uint64_t until_ns)
{
	/* The leader's death shows only when the others have gone. */
	for (size_t i = 1; i < t->nr_threads; i++)
		if (t->threads[i].attached)
			thread_reap(t->threads[i].tid, until_ns);
	if (t->nr_threads && t->threads[0].attached)
		thread_reap(t->threads[0].tid, until_ns);
	for (size_t i = 0; i < t->nr_threads; i++)
		t->threads[i].attached = false;
}

/*
 * Does it make sense to wait until the dead are taken note of? An ancestor of
 * ours other than init, or of who has asked, may be waiting for us to end first.
 */
static bool parent_will_reap(struct dump_ctx *ctx)
{
	pid_t parent = ctx->tree->root->dump->stat.ppid;

	return parent <= 1 || parent == getpid() ||
	       !(dump_descends(ctx, getppid(), parent, 0) ||
		 dump_descends(ctx, ctx->opts->waits, parent, 0));
}

static void wait_gone(struct dump_ctx *ctx, uint64_t until_ns)
{
	const struct dump_task *root = ctx->tree->root->dump;
	struct pstree_item *it;
	struct backoff b;
	size_t left;

	if (root->stat.ppid == getpid())
		waitpid(root->stat.pid, NULL, WNOHANG);
	backoff_init(&b, GONE_MS);
	do {
		left = 0;
		list_for_each(it, &ctx->tree->items, list)
			left += task_signal(it->dump, 0) != -ESRCH;
	} while (left && backoff_now() < until_ns && backoff_pause(&b) == 0);
	if (left)
		log_warn(ctx->report,
			 "%zu dead processes of the tree still hold their pids: their parent, "
			 "process %d or init, has not taken note",
			 left, root->stat.ppid);
}

/**
 * dump_kill - end the tree
 * @ctx: the dump; its images are complete and on disk
 *
 * From the first step on the death of this program kills the tree too, so that
 * it never is alive in part. dump_gone() waits until it has gone.
 *
 * Return: 0 or -errno recorded.
 */
int dump_kill(struct dump_ctx *ctx)
{
	struct pstree_item *it;
	int ret = 0;

	list_for_each(it, &ctx->tree->items, list)
		if (item_alive(it))
			ptrace(PTRACE_SETOPTIONS, it->pid, 0, PTRACE_O_EXITKILL);
	list_for_each(it, &ctx->tree->items, list) {
		int err = item_alive(it) ? task_signal(it->dump, SIGKILL) : 0;

		if (err < 0 && err != -ESRCH)
			ret = fail(ctx->report, "kill", -err, "pid %d: SIGKILL", it->pid);
	}
	ctx->thaw_ns = backoff_now();
	return ret;
}

/**
 * dump_gone - wait until the tree has ended
 * @ctx: the dump; dump_kill() has been called
 *
 * Returns when the dead have gone, or after 2 s.
 */
void dump_gone(struct dump_ctx *ctx)
{
	uint64_t until_ns = backoff_now() + GONE_MS * 1000000ull;
	bool reaped = parent_will_reap(ctx);
	struct pstree_item *it;

	list_for_each(it, &ctx->tree->items, list)
		task_reap(it->dump, until_ns);
	files_kept_close(ctx);
	if (reaped)
		wait_gone(ctx, until_ns);
}
