/*
 * files_thread - a thread with a table of descriptors of its own, since it
 * called unshare(CLONE_FILES) or was born without CLONE_FILES. What takes the
 * descriptors of a task takes those of a thread in the same way: from a
 * directory in /proc, from a pidfd, and by an id that kcmp(2) understands. So
 * such a thread gets an item of its own, which is in no list of the tree.
 */
#include "dump/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/pidfd.h"

/**
 * files_thread - an item that stands for a thread where its descriptors are read
 * @ctx: the dump
 * @it: the process
 * @tid: the thread
 * @out: gets the item; files_threads_close() gives back what it has open
 *
 * Return: 0 or -errno, recorded.
 */
int files_thread(struct dump_ctx *ctx, struct pstree_item *it, pid_t tid, struct pstree_item **out)
{
	struct pstree_item *user = arena_new_of(ctx->arena, struct pstree_item);
	struct dump_task *t = arena_new_of(ctx->arena, struct dump_task);
	char name[32];

	*user = (struct pstree_item){
		.parent = it,
		.pid = tid,
		.pgid = it->pgid,
		.sid = it->sid,
		.state = it->state,
		.ids = it->ids,
		.dump = t,
	};
	t->item = user;
	snprintf(name, sizeof(name), "task/%d", tid);
	t->proc_fd = openat(it->dump->proc_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
	t->pidfd = pidfd_of_thread(tid);
	arena_push(ctx->arena, ctx->file_threads, ctx->nr_file_threads) = t;
	if (t->proc_fd < 0)
		return fail(ctx->report, "thread-files", errno, "pid %d: open /proc/%d/%s", it->pid,
			    it->pid, name);
	/* EINVAL: the flag is not known. */
	if (t->pidfd < 0)
		return fail(ctx->report, "thread-files", errno == EINVAL ? EOPNOTSUPP : errno,
			    "pid %d: thread %d has a table of descriptors of its own, which takes "
			    "PIDFD_THREAD (Linux 6.9) to read",
			    it->pid, tid);
	*out = user;
	return 0;
}

/**
 * files_thread_borrow - let the thread tell itself which numbers it has, by remote calls
 * @it: the process
 * @user: what stands for the thread; if it cannot be asked /proc is
 */
void files_thread_borrow(struct pstree_item *it, struct pstree_item *user)
{
	struct remote *r = it->dump->remote;

	if (r && remote_attach_thread(r, user->pid) == 0)
		user->dump->remote = r;
}

/**
 * files_thread_return - the thread is as it was found
 * @user: what stands for it
 */
void files_thread_return(struct pstree_item *user)
{
	if (user->dump->remote)
		remote_detach_thread(user->dump->remote, user->pid);
	user->dump->remote = NULL;
}

/**
 * files_thread_find - what stands for a thread
 * @ctx: the dump
 * @tid: the thread
 *
 * Return: it, or NULL if files_thread() was not called for that thread.
 */
const struct dump_task *files_thread_find(const struct dump_ctx *ctx, pid_t tid)
{
	for (size_t i = 0; i < ctx->nr_file_threads; i++)
		if (ctx->file_threads[i]->item->pid == tid)
			return ctx->file_threads[i];
	return NULL;
}

/**
 * files_threads_close - give back the descriptors that stand for threads
 * @ctx: the dump; a second call does nothing
 */
void files_threads_close(struct dump_ctx *ctx)
{
	for (size_t i = 0; i < ctx->nr_file_threads; i++) {
		close_owned(&ctx->file_threads[i]->proc_fd);
		close_owned(&ctx->file_threads[i]->pidfd);
	}
	ctx->nr_file_threads = 0;
}
