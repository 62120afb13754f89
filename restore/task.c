/*
 * task - what a restored task does for itself, in plain C, before its memory
 * is replaced: session and group, children, files, file system state, signal
 * actions, pending signals. It ends parked, asleep with every signal blocked,
 * for the tool to take over.
 */
#include "restore/ctx.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "restore/cow.h"
#include "restore/early.h"
#include "restore/engine.h"
#include "restore/fork.h"
#include "restore/locks.h"
#include "restore/task.h"

/* The kernel's struct sigaction, which glibc's differs from. */
struct kernel_sigaction {
	uint64_t handler, flags, restorer, mask;
};

static long set_action(int sig, const struct kernel_sigaction *sa)
{
	return syscall(SYS_rt_sigaction, sig, sa, NULL, sizeof(sa->mask));
}

static void quiet_signals(void)
{
	static const struct kernel_sigaction dfl;
	uint64_t all = ~0ull;

	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof(all));
	for (int sig = 1; sig <= 64; sig++)
		if (sig != SIGKILL && sig != SIGSTOP)
			set_action(sig, &dfl);
}

static int join_group(struct restore_ctx *ctx, struct pstree_item *me)
{
	struct pstree_item *leader = pstree_find(ctx->tree, me->pgid);
	int ret;

	if (me->sid == me->pid || getpgrp() == me->pgid)
		return 0;
	if (leader && leader != me) {
		ret = restore_wait_phase(ctx, leader, RST_FORKED);
		if (ret < 0)
			return ret;
	}
	if (setpgid(0, me->pgid) < 0)
		return fail(ctx->report, "group", errno, "pid %d: join process group %d", me->pid,
			    me->pgid);
	return 0;
}

static int be_born(struct restore_ctx *ctx, struct pstree_item *me)
{
	int ret;

	if (me->restore->subreaper && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		return fail(ctx->report, "subreaper", errno, "pid %d: become a subreaper", me->pid);
	ret = early_threads(ctx, me);
	if (ret >= 0)
		ret = restore_fork_children(ctx, me, BIRTH_BEFORE);
	if (ret < 0)
		return ret;
	if (me->sid == me->pid && setsid() < 0)
		return fail(ctx->report, "session", errno, "pid %d: setsid()", me->pid);
	ret = tty_take_session(ctx, me);
	if (ret < 0)
		return ret;
	/* A leader of a group only: before FORKED, since members wait for that. */
	if (me->sid != me->pid && me->pgid == me->pid && setpgid(0, 0) < 0)
		return fail(ctx->report, "group", errno, "pid %d: lead a process group", me->pid);
	ret = restore_fork_children(ctx, me, BIRTH_AFTER);
	if (ret >= 0)
		ret = restore_fork_children(ctx, me, BIRTH_ADOPT);
	if (ret < 0)
		return ret;
	restore_set_phase(ctx, me, RST_FORKED);
	ret = join_group(ctx, me);
	if (ret >= 0)
		restore_set_phase(ctx, me, RST_GROUP);
	return ret;
}

/* Whoever joins a group or session of ours must have done so before we go. */
static int wait_members(struct restore_ctx *ctx, struct pstree_item *me)
{
	struct pstree_item *it;
	int ret;

	list_for_each(it, &ctx->tree->items, list) {
		if (it == me || (it->pgid != me->pid && it->sid != me->pid))
			continue;
		ret = restore_wait_phase(ctx, it, RST_GROUP);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* A helper leaves no zombie; whoever ends the restore must know that its pid is free. */
static void reap_helper(struct restore_ctx *ctx, struct pstree_item *it)
{
	siginfo_t si;

	restore_set_phase(ctx, it, RST_REAPED);
	while (waitid(P_PID, (id_t)it->pid, &si, WEXITED) < 0 && errno == EINTR)
		;
}

/* Children that are dead or stopped have become so, and helpers are gone, before SIGCHLD counts. */
static int settle_children(struct restore_ctx *ctx, struct pstree_item *me)
{
	struct pstree_item *it;

	list_for_each(it, &me->children, sibling) {
		int how = (it->state == TASK_STOPPED ? WSTOPPED : WEXITED) | WNOWAIT;
		siginfo_t si;

		if (it->state == TASK_ALIVE)
			continue;
		while (waitid(P_PID, (id_t)it->pid, &si, how) < 0) {
			if (atomic_load(&ctx->shared->abort))
				return -ECANCELED;
			if (errno != EINTR && errno != ECHILD)
				return fail(ctx->report, "child", errno,
					    "pid %d: wait for child %d", me->pid, it->pid);
			/* An adopted child may still be on its way to us. */
			usleep(1000);
		}
		if (it->state == TASK_HELPER)
			reap_helper(ctx, it);
	}
	return 0;
}

static void die_as_saved(struct restore_ctx *ctx, struct pstree_item *me) __attribute__((noreturn));
static void die_as_saved(struct restore_ctx *ctx, struct pstree_item *me)
{
	uint32_t code = me->state == TASK_DEAD || me->state == TASK_ZOMBIE
				? item_core(me)->tc->exit_code
				: 0;
	int sig = (int)(code & 0x7f);

	if (wait_members(ctx, me) < 0 || settle_children(ctx, me) < 0)
		_exit(1);
	if (me->nr_threads && item_core(me)->tc->comm)
		prctl(PR_SET_NAME, item_core(me)->tc->comm);
	if (sig) {
		struct rlimit none = { 0, 0 };
		uint64_t mask = ~(1ull << (sig - 1));

		setrlimit(RLIMIT_CORE, &none);
		kill((pid_t)syscall(SYS_getpid), sig);
		syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
	}
	_exit((int)(code >> 8) & 0xff);
}

/* A descriptor out of the way of the task's own. */
static int move_up(const struct restore_task *rt, int fd)
{
	int up;

	if (fd < 0 || fd >= rt->service_fd_base)
		return fd;
	up = engine_aside(rt->item, fd);
	close(fd);
	return up;
}

/* @vma says how a mapped file is to be opened; NULL: as its description says. */
static int open_up(struct restore_ctx *ctx, struct pstree_item *me, struct file_desc *d,
		   const VmaEntry *vma, const char *what)
{
	int fd = vma && vma->has_fdflags ? file_open_mapped(ctx, d, vma->fdflags)
					 : engine_open_now(ctx, d);

	if (fd >= 0)
		fd = move_up(me->restore, fd);
	if (fd < 0 && !report_count(ctx->report))
		return fail(ctx->report, "file-open", -fd, "pid %d: open its %s (file id %u)",
			    me->pid, what, d->id);
	return fd;
}

static int open_mapped(struct restore_ctx *ctx, struct pstree_item *me)
{
	struct file_desc *exe = file_desc_find(ctx->tree, me->mm->exe_file_id);

	for (size_t i = 0; i < me->nr_vmas; i++) {
		int *fd = &me->restore->fds[i];

		*fd = -1;
		if (me->vmas[i].shmem && !me->vmas[i].shmem->sysv &&
		    (*fd = engine_aside(me, me->vmas[i].shmem->fd)) < 0)
			return fail(ctx->report, "fd-limit", -*fd,
				    "pid %d: a descriptor of shared memory", me->pid);
		if (!me->vmas[i].file)
			continue;
		for (size_t k = i; k-- > 0 && *fd < 0;)
			if (me->vmas[k].file == me->vmas[i].file &&
			    me->vmas[k].e->fdflags == me->vmas[i].e->fdflags)
				*fd = me->restore->fds[k];
		if (*fd < 0)
			*fd = open_up(ctx, me, me->vmas[i].file, me->vmas[i].e, "mapped file");
		if (*fd < 0)
			return *fd;
	}
	if (!exe)
		return fail(ctx->report, "image-exe", 0,
			    "pid %d: its executable, file id %u, is "
			    "not in the image",
			    me->pid, me->mm->exe_file_id);
	me->restore->fds[me->nr_vmas] = open_up(ctx, me, exe, NULL, "executable");
	return me->restore->fds[me->nr_vmas] < 0 ? me->restore->fds[me->nr_vmas] : 0;
}

static int queue_signals(struct restore_ctx *ctx, pid_t pid, const SignalQueueEntry *q, bool shared)
{
	for (size_t i = 0; q && i < q->n_signals; i++) {
		siginfo_t si;
		long ret;

		if (q->signals[i]->siginfo.len != sizeof(si))
			return fail(ctx->report, "image-siginfo", 0,
				    "pid %d: a pending signal has %zu bytes instead of %zu", pid,
				    q->signals[i]->siginfo.len, sizeof(si));
		memcpy(&si, q->signals[i]->siginfo.data, sizeof(si));
		/* This one acts at once: it is sent when the task is let go. */
		if (si.si_signo == SIGSTOP)
			continue;
		if (shared)
			ret = syscall(SYS_rt_sigqueueinfo, pid, si.si_signo, &si);
		else
			ret = syscall(SYS_rt_tgsigqueueinfo, pid, pid, si.si_signo, &si);
		if (ret < 0)
			return fail(ctx->report, "pending-signal", errno, "pid %d: queue signal %d",
				    pid, si.si_signo);
	}
	return 0;
}

static int restore_signals(struct restore_ctx *ctx, struct pstree_item *me)
{
	const CoreEntry *core = item_core(me);
	const TaskCoreEntry *tc = core->tc;
	static const struct kernel_sigaction dfl;
	size_t k = 0;
	int ret;

	/* Drops what the births of this restore have queued. */
	set_action(SIGCHLD, &dfl);
	for (int sig = 1; sig <= 64 && k < tc->n_sigactions; sig++) {
		const SaEntry *e;
		struct kernel_sigaction sa;

		if (sig == SIGKILL || sig == SIGSTOP)
			continue;
		e = tc->sigactions[k++];
		sa = (struct kernel_sigaction){ e->sigaction, e->flags, e->restorer, e->mask };
		if ((sa.handler || sa.flags || sa.mask) && set_action(sig, &sa) < 0)
			return fail(ctx->report, "sigaction", errno, "pid %d: action of signal %d",
				    me->pid, sig);
	}
	ret = queue_signals(ctx, me->pid, tc->signals_s, true);
	return ret < 0 ? ret : queue_signals(ctx, me->pid, core->thread_core->signals_p, false);
}

/* Nothing of our own C library may be touched by the kernel once the memory has changed. */
static void leave_libc(void)
{
	syscall(SYS_set_tid_address, NULL);
	syscall(SYS_set_robust_list, NULL, sizeof(struct { void *p[3]; }));
}

static int map_area(struct restore_ctx *ctx, struct pstree_item *me)
{
	size_t size = remote_area_size(me->nr_threads);
	void *at = mmap((void *)me->restore->area, size, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	size_t code = (remote_code_size() + 4095) & ~(size_t)4095;

	if (at != (void *)me->restore->area)
		return fail(ctx->report, "no-room", errno, "pid %d: map %zu bytes at %#lx", me->pid,
			    size, me->restore->area);
	memcpy(at, remote_code(), remote_code_size());
	if (mprotect(at, code, PROT_READ | PROT_EXEC) < 0)
		return fail(ctx->report, "no-room", errno, "pid %d: executable page at %#lx",
			    me->pid, me->restore->area);
	return 0;
}

/* Of all who share a table: numbers that stay open until the memory map is made. */
static int close_rest(struct restore_ctx *ctx, struct pstree_item *me)
{
	struct pstree_item *it;
	int *keep = NULL, ret;
	size_t n = 0;

	list_for_each(it, &ctx->tree->items, list) {
		if (it->fdt != me->fdt || !item_alive(it))
			continue;
		ret = it == me ? 0 : restore_wait_phase(ctx, it, RST_MAPPED);
		if (ret < 0)
			return ret;
		for (size_t i = 0; i <= it->nr_vmas; i++)
			arena_push(ctx->arena, keep, n) = it->restore->fds[i];
	}
	ret = locks_in_flight(ctx, me);
	if (ret < 0)
		return ret;
	engine_finish(ctx, me);
	return engine_close_rest(ctx, me, keep, n);
}

/*
 * Descriptors as planned, and ours above them. The owner of a shared table
 * closes what is left of the tool when all have opened what they map, and the
 * others go on when that is done.
 */
static int restore_files(struct restore_ctx *ctx, struct pstree_item *me)
{
	struct pstree_item *owner = me->fdt->owner;
	int ret = tty_set_group(ctx, me);

	if (ret >= 0)
		ret = engine_run(ctx, me);
	if (ret >= 0)
		ret = open_mapped(ctx, me);
	if (ret >= 0)
		ret = task_fs(ctx, me);
	if (ret < 0)
		return ret;
	restore_set_phase(ctx, me, RST_MAPPED);
	ret = owner == me ? close_rest(ctx, me) : restore_wait_phase(ctx, owner, RST_FILES);
	restore_set_phase(ctx, me, RST_FILES);
	if (ret >= 0)
		locks_take(ctx, me);
	return ret;
}

/* For threads that have a table without a process. */
static int restore_for_threads(struct restore_ctx *ctx, struct pstree_item *me)
{
	int ret = engine_run(ctx, me);

	if (ret < 0)
		return ret;
	restore_set_phase(ctx, me, RST_MAPPED);
	ret = close_rest(ctx, me);
	restore_set_phase(ctx, me, RST_FILES);
	return ret;
}

static int restore_alive(struct restore_ctx *ctx, struct pstree_item *me)
{
	/* While /proc is still where we know it. */
	int ret = task_misc(ctx, me);

	if (ret < 0 || (ret = restore_files(ctx, me)) < 0 || (ret = settle_children(ctx, me)) < 0 ||
	    (ret = restore_signals(ctx, me)) < 0)
		return ret;
	return map_area(ctx, me);
}

/*
 * By the same signal, which whoever waits for the task is told. One that is
 * caught, or that the kernel ignores for want of a job control shell, is
 * replaced by SIGSTOP. Once stopped the task does not come back here.
 */
static void stop_as_saved(struct restore_ctx *ctx, struct pstree_item *me)
{
	const struct pstree_item *leader = pstree_find(ctx->tree, me->pgid);
	const TaskCoreEntry *tc = item_core(me)->tc;
	int sig = tc->has_stop_signo ? (int)tc->stop_signo : SIGSTOP;

	/*
	 * A group that loses its last link to its session while a member is
	 * stopped gets SIGHUP and SIGCONT: whoever is to die dies before.
	 */
	while (leader && !item_alive(leader) && restore_get_phase(ctx, leader) != RST_REAPED &&
	       !restore_task_ended(leader->pid) && !atomic_load(&ctx->shared->abort))
		usleep(1000);
	if (sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU) {
		struct kernel_sigaction sa;
		uint64_t mask = ~(1ull << (sig - 1));

		if (syscall(SYS_rt_sigaction, sig, NULL, &sa, sizeof(sa.mask)) == 0 &&
		    !sa.handler) {
			syscall(SYS_kill, me->pid, sig);
			syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof(mask));
		}
	}
	syscall(SYS_kill, me->pid, SIGSTOP);
}

/**
 * restore_task_run - the life of a restored task until it is parked
 * @ctx: the run, as it was when the task was forked
 * @me: the calling task
 */
void restore_task_run(struct restore_ctx *ctx, struct pstree_item *me)
{
	int ret;

	quiet_signals();
	ret = cow_born(ctx, me);
	if (ret >= 0)
		ret = be_born(ctx, me);
	if (ret >= 0 && !item_alive(me) && me->fdt)
		ret = restore_for_threads(ctx, me);
	if (ret >= 0 && !item_alive(me))
		die_as_saved(ctx, me);
	if (ret >= 0)
		ret = restore_alive(ctx, me);
	if (ret < 0) {
		if (ret != -ECANCELED && !report_count(ctx->report))
			fail(ctx->report, "internal", -ret, "pid %d: restore it", me->pid);
		restore_abort(ctx);
		_exit(1);
	}
	leave_libc();
	restore_set_phase(ctx, me, RST_PARKED);
	if (me->state == TASK_STOPPED)
		stop_as_saved(ctx, me);
	for (;;)
		syscall(SYS_pause);
}
