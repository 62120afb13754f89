/*
 * checks - trees that cannot be dumped, found as soon as all stands still.
 * Every reason is recorded, not only the first.
 */
#include "dump/freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/kcmp.h"

/**
 * dump_descends - is a process another one, or has that one, its parent or so on made it?
 * @ctx: the dump
 * @pid: the process
 * @from: the other one
 * @born: when that began, in ticks since the boot; 0: not known
 *
 * That is told by way of /proc, up to the first one that is older: a process is born of an older
 * one, and goes to another ancestor, or to init, when that has died.
 *
 * Return: true then.
 */
bool dump_descends(struct dump_ctx *ctx, pid_t pid, pid_t from, uint64_t born)
{
	struct proc_stat st = { .ppid = pid };
	char name[32];

	do {
		if (st.ppid == from)
			return true;
		snprintf(name, sizeof(name), "/proc/%d/stat", st.ppid);
	} while (st.ppid > 1 && !proc_read(AT_FDCWD, name, &ctx->text) &&
		 !proc_parse_stat(ctx->text.p, &st) && st.start_time >= born);
	return false;
}

/**
 * freeze_check_target - is this a process to stop at all?
 * @ctx: the dump; the root has its item, nothing has been stopped
 *
 * Return: 0 or -errno recorded.
 */
int freeze_check_target(struct dump_ctx *ctx)
{
	struct pstree_item *root = ctx->tree->root;
	int ret;

	if (ctx->opts->own_ns)
		ctx->own_ns = *ctx->opts->own_ns;
	else
		proc_namespaces_own(&ctx->own_ns);
	ctx->cpus = sysconf(_SC_NPROCESSORS_ONLN);
	if (root->pid == 1)
		return fail(ctx->report, "target-init", EOPNOTSUPP,
			    "pid 1 is the init process of this pid namespace");
	ret = freeze_note(ctx, root);
	if (ret == FREEZE_GONE)
		return fail(ctx->report, "no-process", ESRCH, "there is no process %d", root->pid);
	if (ret)
		return ret;
	if (root->pid == getpid() ||
	    dump_descends(ctx, getppid(), root->pid, root->dump->stat.start_time))
		return fail(ctx->report, "target-self", EOPNOTSUPP,
			    "pid %d is an ancestor of this program or the program itself; start it "
			    "from outside of the tree",
			    root->pid);
	if (root->dump->stat.flags & PROC_STAT_KTHREAD)
		return fail(ctx->report, "kernel-thread", EOPNOTSUPP,
			    "pid %d (%s) is a thread of the kernel", root->pid,
			    root->dump->stat.comm);
	if (root->dump->stat.state == 'Z' && root->dump->stat.threads <= 1)
		return fail(ctx->report, "target-dead", ESRCH,
			    "pid %d (%s) has ended and waits for its parent %d to take note",
			    root->pid, root->dump->stat.comm, root->dump->stat.ppid);
	return 0;
}

static void check_namespaces(struct dump_ctx *ctx, struct pstree_item *it)
{
	struct proc_namespaces its;
	char which[64];

	proc_namespaces(it->dump->proc_fd, NS_ALL, &its);
	if (proc_namespaces_differ(&its, &ctx->own_ns, which, sizeof(which)))
		fail(ctx->report, "task-namespace", EOPNOTSUPP,
		     "pid %d (%s): in another namespace (%s) than this program", it->pid,
		     it->dump->stat.comm, which);
}

static void check_session(struct dump_ctx *ctx, struct pstree_item *it)
{
	const struct pstree_item *root = ctx->tree->root;

	if (pstree_find(ctx->tree, it->sid))
		return;
	if (it == root && !ctx->opts->shell_job)
		fail(ctx->report, "shell-job", EINVAL,
		     "pid %d (%s): the leader of its session, %d, is outside of the tree; use "
		     "--shell-job",
		     it->pid, it->dump->stat.comm, it->sid);
}

static void shared_vm(struct dump_ctx *ctx, struct pstree_item *it, const struct pstree_item *with)
{
	it->dump->refused = true;
	fail(ctx->report, "shared-memory-map", EOPNOTSUPP,
	     "pid %d (%s) shares its memory map with pid %d (CLONE_VM)", it->pid,
	     it->dump->stat.comm, with->pid);
}

/* One address space in two processes: vfork(), or clone() with CLONE_VM. */
static void check_shared_vm(struct dump_ctx *ctx)
{
	struct pstree_item **order, *it;
	size_t n = 0;

	order = arena_array(ctx->arena, struct pstree_item *, ctx->tree->nr_items + 1);
	list_for_each(it, &ctx->tree->items, list) {
		size_t lo = 0, hi = n;
		int c = 1;

		if (it->state == TASK_DEAD || it->dump->refused)
			continue;
		while (lo < hi && c) {
			size_t mid = (lo + hi) / 2;

			c = kcmp(it->pid, order[mid]->pid, CL_KCMP_VM, 0, 0);
			if (c < 0)
				return;
			if (c == 1)
				hi = mid;
			else if (c)
				lo = mid + 1;
			else
				shared_vm(ctx, it, order[mid]);
		}
		if (!c)
			continue;
		for (size_t i = n++; i > lo; i--)
			order[i] = order[i - 1];
		order[lo] = it;
	}
}

/**
 * freeze_checks - is there anything in the tree that cannot be dumped?
 * @ctx: the dump; all stands still
 *
 * Return: 0 or -errno recorded: the tree cannot even be looked at. Blockers are
 * recorded and are no error here.
 */
int freeze_checks(struct dump_ctx *ctx)
{
	struct pstree_item *it;

	list_for_each(it, &ctx->tree->items, list) {
		if (it == ctx->tree->root && it->state == TASK_DEAD)
			return fail(ctx->report, "target-dead", ESRCH, "pid %d has ended meanwhile",
				    it->pid);
		check_session(ctx, it);
		if (it->state == TASK_DEAD)
			continue;
		check_namespaces(ctx, it);
		ctx->stats->threads += it->dump->nr_threads;
		ctx->stats->tasks++;
	}
	check_shared_vm(ctx);
	return 0;
}
