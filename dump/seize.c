/*
 * seize - every thread of one process traced and stopped.
 *
 * PTRACE_SEIZE sends nothing to the task. A signal on its way is delivered as
 * if we were not there: its handler's frame then stands and no instruction of
 * it has run, or it kills or stops the task as it would have done anyway.
 */
#include "dump/freeze.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "dump/guardian.h"
#include "kernel/backoff.h"
#include "kernel/kcmp.h"
#include "kernel/ptrace.h"

#define GUARDIAN_NAP_US 2000
#define SLICE_MS 200 /* how long before a look at why a thread does not stop */

static struct dump_thread *thread_add(struct freeze *f, struct dump_task *t, pid_t tid)
{
	struct dump_thread *th = &arena_push(f->ctx->arena, t->threads, t->nr_threads);

	*th = (struct dump_thread){ .tid = tid };
	idmap_put(&f->tids, (uint64_t)tid, t);
	return th;
}

/* Who traces a thread, 0 if nobody does, and the tracer's name. */
static pid_t tracer_of(struct freeze *f, struct pstree_item *it, pid_t tid,
		       char comm[static PROC_COMM_LEN])
{
	struct proc_text *t = &f->ctx->text;
	struct proc_status st = { 0 };
	char name[40];

	snprintf(name, sizeof(name), "task/%d/status", tid);
	if (proc_read(it->dump->proc_fd, name, t) || proc_parse_status(t->p, &st))
		return 0;
	proc_status_free(&st);
	snprintf(name, sizeof(name), "/proc/%d/comm", st.tracer);
	snprintf(comm, PROC_COMM_LEN, "?");
	if (st.tracer && !proc_read(AT_FDCWD, name, t))
		snprintf(comm, PROC_COMM_LEN, "%.*s", (int)strcspn(t->p, "\n"), t->p);
	return st.tracer;
}

/* Records why a thread may not be traced, once for each process; FREEZE_GONE: it is dead. */
static int seize_refused(struct freeze *f, struct pstree_item *it, pid_t tid, int err)
{
	struct dump_ctx *ctx = f->ctx;
	char name[40], comm[PROC_COMM_LEN];
	struct proc_stat stat;
	pid_t tracer;

	snprintf(name, sizeof(name), "task/%d/stat", tid);
	if (proc_read(it->dump->proc_fd, name, &ctx->text) || proc_parse_stat(ctx->text.p, &stat) ||
	    stat.state == 'X' || (stat.state == 'Z' && tid != it->pid))
		return FREEZE_GONE;
	if (stat.state == 'Z' && stat.threads <= 1) {
		it->state = TASK_DEAD;
		return 0;
	}
	if (it->dump->refused)
		return -EPERM;
	it->dump->refused = true;
	if (stat.state == 'Z')
		return fail(ctx->report, "leader-exited", EOPNOTSUPP,
			    "pid %d (%s): its first thread has ended and others go on", it->pid,
			    stat.comm);
	if (stat.flags & PROC_STAT_KTHREAD)
		return fail(ctx->report, "kernel-thread", EOPNOTSUPP,
			    "pid %d (%s) is a thread of the kernel", it->pid, stat.comm);
	tracer = tracer_of(f, it, tid, comm);
	if (tracer)
		return fail(
			ctx->report, "task-traced", EBUSY,
			"pid %d (%s): thread %d is traced by process %d (%s); detach that first",
			it->pid, stat.comm, tid, tracer, comm);
	return fail(
		ctx->report, "ptrace-denied", err,
		"pid %d (%s): PTRACE_SEIZE of thread %d; it takes the same user or CAP_SYS_PTRACE",
		it->pid, stat.comm, tid);
}

/* PTRACE_O_SUSPEND_SECCOMP takes CAP_SYS_ADMIN, and is done without where that is missing. */
static int seize_once(struct freeze *f, pid_t tid)
{
	int ret = ptrace_seize(tid, f->options);

	if (ret != -EPERM || !(f->options & PTRACE_O_SUSPEND_SECCOMP))
		return ret;
	ret = ptrace_seize(tid, f->options & ~PTRACE_O_SUSPEND_SECCOMP);
	if (!ret)
		f->options &= ~(unsigned long)PTRACE_O_SUSPEND_SECCOMP;
	return ret;
}

/* Seizes, as soon as the guardian of a tool that died has done its work there. */
static int seize_patiently(struct freeze *f, struct pstree_item *it, pid_t tid)
{
	char comm[PROC_COMM_LEN];
	int ret = seize_once(f, tid);

	while (ret == -EPERM && backoff_now() < f->ctx->deadline_ns &&
	       tracer_of(f, it, tid, comm) && !strcmp(comm, GUARDIAN_NAME)) {
		usleep(GUARDIAN_NAP_US);
		ret = seize_once(f, tid);
	}
	return ret;
}

static int thread_seize(struct freeze *f, struct pstree_item *it, pid_t tid)
{
	struct ptrace_stop stop;
	struct dump_thread *th;
	int ret;

	if (f->ctx->opts->attached) {
		ret = freeze_note(f->ctx, it);
		if (!ret && tid == it->pid && it->dump->stat.state == 'Z')
			it->state = TASK_DEAD;
		else if (!ret)
			thread_add(f, it->dump, tid);
		return ret;
	}
	ret = seize_patiently(f, it, tid);
	if (ret == -ESRCH)
		return FREEZE_GONE;
	if (ret) {
		ret = seize_refused(f, it, tid, -ret);
		idmap_put(&f->tids, (uint64_t)tid, it->dump);
		return ret < 0 ? 0 : ret;
	}
	th = thread_add(f, it->dump, tid);
	th->attached = true;
	/* A thread in group-stop is caught at once; one more request would make it stop twice. */
	ret = ptrace_wait_stop(tid, 0, &stop);
	if (!ret && stop.kind == PTRACE_STOP_GROUP) {
		it->dump->stopped = true;
		it->dump->stop_sig = stop.sig;
		th->still = true;
		return 0;
	}
	if (!ret)
		ret = ptrace_interrupt(tid)
			      ?: ptrace_resume(tid, stop.kind == PTRACE_STOP_SIGNAL ? stop.sig : 0);
	else if (ret == -ETIMEDOUT)
		ret = ptrace_interrupt(tid);
	return ret == -ESRCH ? 0 : ret;
}

/* A thread does not stop: 0 to wait on, FREEZE_GONE, or -errno recorded. */
static int thread_late(struct freeze *f, struct pstree_item *it, pid_t tid)
{
	struct dump_ctx *ctx = f->ctx;
	char name[40], state = '?';
	struct proc_stat stat;
	pid_t *kids = NULL;
	bool vfork = false;
	size_t n = 0;

	snprintf(name, sizeof(name), "task/%d/stat", tid);
	if (!proc_read(it->dump->proc_fd, name, &ctx->text) && !proc_parse_stat(ctx->text.p, &stat))
		state = stat.state;
	snprintf(name, sizeof(name), "task/%d/children", tid);
	if (state == 'D' && !proc_read(it->dump->proc_fd, name, &ctx->text))
		proc_parse_pids(ctx->text.p, &kids, &n);
	for (size_t i = 0; i < n && !vfork; i++)
		vfork = kcmp(it->pid, kids[i], CL_KCMP_VM, 0, 0) == 0;
	n = vfork ? (size_t)kids[0] : 0;
	free(kids);
	if (vfork)
		return fail(ctx->report, "task-vfork", EBUSY,
			    "pid %d: thread %d waits in vfork() for a child that has not called "
			    "execve() yet; try again later",
			    it->pid, tid);
	/* A dead leader shows only when all its threads have been taken note of. */
	if (state == 'Z' || state == 'X')
		return FREEZE_GONE;
	if (backoff_now() < ctx->deadline_ns)
		return 0;
	return fail(ctx->report, "task-stuck", ETIMEDOUT,
		    "pid %d: thread %d does not stop (state %c%s); a larger --timeout may help",
		    it->pid, tid, state, state == 'D' ? ", waiting in the kernel" : "");
}

/* Waits until a thread stands still: 0, FREEZE_GONE or -errno recorded. */
static int thread_wait(struct freeze *f, struct pstree_item *it, struct dump_thread *th)
{
	struct ptrace_stop stop;
	int ret;

	for (;;) {
		ret = ptrace_wait_stop(th->tid, SLICE_MS, &stop);
		if (ret == -ETIMEDOUT) {
			ret = thread_late(f, it, th->tid);
			if (ret)
				return ret;
			continue;
		}
		if (ret)
			break;
		if (stop.kind == PTRACE_STOP_GROUP) {
			it->dump->stopped = true;
			it->dump->stop_sig = stop.sig;
		}
		if (stop.kind == PTRACE_STOP_GROUP || stop.kind == PTRACE_STOP_EVENT) {
			th->still = true;
			return 0;
		}
		/* Any stop uses up a pending interrupt: ask again before the signal goes on. */
		ret = ptrace_interrupt(th->tid)
			      ?: ptrace_resume(th->tid,
					       stop.kind == PTRACE_STOP_SIGNAL ? stop.sig : 0);
		if (ret)
			break;
	}
	if (ret == -ESRCH)
		return FREEZE_GONE;
	return fail(f->ctx->report, "ptrace", -ret, "pid %d: wait for thread %d to stop", it->pid,
		    th->tid);
}

static int threads_seize_new(struct freeze *f, struct pstree_item *it, int dir, size_t *fresh)
{
	size_t n;
	int ret = proc_list_tasks(dir, &f->list, &n, &f->room);

	*fresh = 0;
	if (ret == -ENOENT || ret == -ESRCH)
		return FREEZE_GONE;
	if (ret)
		return fail(f->ctx->report, "process-read", -ret, "pid %d: /proc/%d/task", it->pid,
			    it->pid);
	for (size_t i = 0; i < n; i++) {
		if (idmap_get(&f->tids, (uint64_t)f->list[i]))
			continue;
		ret = thread_seize(f, it, f->list[i]);
		if (ret < 0)
			return fail(f->ctx->report, "ptrace", -ret, "pid %d: stop thread %d",
				    it->pid, f->list[i]);
		if (!ret)
			++*fresh;
	}
	return 0;
}

/* Threads that ended before they stopped leave the list. */
static int threads_wait(struct freeze *f, struct pstree_item *it)
{
	struct dump_task *t = it->dump;
	size_t kept = 0, i;
	int ret = 0;

	for (i = 0; i < t->nr_threads && ret >= 0; i++) {
		ret = t->threads[i].still ? 0 : thread_wait(f, it, &t->threads[i]);
		if (ret != FREEZE_GONE)
			t->threads[kept++] = t->threads[i];
		else
			f->rescan = true;
	}
	for (; i < t->nr_threads; i++)
		t->threads[kept++] = t->threads[i];
	t->nr_threads = kept;
	return ret < 0 ? ret : 0;
}

/**
 * freeze_threads - trace and stop every thread of a process
 * @f: the freezing
 * @it: the process; becomes TASK_DEAD or TASK_STOPPED if that is what it is
 *
 * Return: 0, FREEZE_GONE, or -errno recorded. Blockers are recorded and are no error.
 */
int freeze_threads(struct freeze *f, struct pstree_item *it)
{
	cleanup_close int dir =
		openat(it->dump->proc_fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t fresh;
	int ret;

	if (dir < 0)
		return FREEZE_GONE;
	do {
		ret = threads_seize_new(f, it, dir, &fresh);
		if (!ret && !f->ctx->opts->attached)
			ret = threads_wait(f, it);
		if (ret)
			return ret;
	} while (fresh && it->state != TASK_DEAD);
	if (it->state == TASK_DEAD)
		return 0;
	if (!it->dump->nr_threads || it->dump->threads[0].tid != it->pid) {
		/* The leader has gone since: dead, or a blocker that is on record. */
		if (!it->dump->refused && !it->dump->nr_threads) {
			ret = freeze_note(f->ctx, it);
			if (ret)
				return ret;
			if (it->dump->stat.state == 'Z')
				it->state = TASK_DEAD;
			return it->state == TASK_DEAD ? 0 : FREEZE_GONE;
		}
		if (!it->dump->refused)
			seize_refused(f, it, it->pid, EPERM);
		return 0;
	}
	if (it->dump->stopped)
		it->state = TASK_STOPPED;
	return 0;
}
