/*
 * check - what would make a restore fail, found before the first process is
 * made. All of it is reported, not the first one only.
 */
#include "restore/ctx.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/arch.h"

/* How long a zombie may hold a pid that we need, in milliseconds. */
#define ZOMBIE_WAIT 2000

/* 0: free, 'Z': a zombie has it, else the state letter of whoever lives there; @comm is its name.
 */
static char pid_state(pid_t pid, char comm[32])
{
	char path[32], buf[512], *open_par, *p;
	cleanup_close int fd = -1;
	ssize_t n;

	comm[0] = 0;
	if (kill(pid, 0) < 0 && errno == ESRCH)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (n = read(fd, buf, sizeof(buf) - 1)) <= 0)
		return kill(pid, 0) < 0 && errno == ESRCH ? 0 : '?';
	buf[n] = 0;
	open_par = strchr(buf, '(');
	p = strrchr(buf, ')');
	if (!open_par || !p)
		return '?';
	snprintf(comm, 32, "%.*s", (int)(p - open_par - 1), open_par + 1);
	return p[2];
}

static long pid_max(void)
{
	cleanup_close int fd = open("/proc/sys/kernel/pid_max", O_RDONLY | O_CLOEXEC);
	char buf[24] = "";

	return fd >= 0 && read(fd, buf, sizeof(buf) - 1) > 0 ? strtol(buf, NULL, 10) : LONG_MAX;
}

static void check_pid(struct restore_ctx *ctx, pid_t pid, uint64_t until, long max)
{
	char comm[32], state;

	if (pid >= max)
		fail(ctx->report, "pid-in-use", EINVAL,
		     "pid %d is beyond what this system gives: raise /proc/sys/kernel/pid_max, "
		     "which is %ld",
		     pid, max);
	while ((state = pid_state(pid, comm)) == 'Z' && restore_now() < until)
		usleep(2000);
	if (state == 'Z')
		fail(ctx->report, "pid-in-use", EEXIST,
		     "pid %d is still held by the zombie '%s', which its parent has not reaped",
		     pid, comm);
	else if (state)
		fail(ctx->report, "pid-in-use", EEXIST,
		     "pid %d is in use by '%s': end it, or restore in a new pid namespace", pid,
		     comm);
}

static void check_pids(struct restore_ctx *ctx)
{
	uint64_t until = restore_now() + ZOMBIE_WAIT * 1000000ull;
	struct pstree_item *it;
	long max = pid_max();

	list_for_each(it, &ctx->tree->items, list) {
		check_pid(ctx, it->pid, until, max);
		for (size_t i = 1; i < it->nr_threads; i++)
			check_pid(ctx, it->threads[i].tid, until, max);
	}
}

static bool have_cap(int cap)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	return syscall(SYS_capget, &h, d) == 0 && (d[cap / 32].effective & (1u << cap % 32));
}

static void check_privileges(struct restore_ctx *ctx)
{
	struct pstree_item *it;
	bool other_user = false;

	if (!have_cap(CAP_SYS_ADMIN) && !have_cap(CAP_CHECKPOINT_RESTORE))
		fail(ctx->report, "capability", EPERM,
		     "choosing pids needs CAP_CHECKPOINT_RESTORE (or CAP_SYS_ADMIN)");
	list_for_each(it, &ctx->tree->items, list)
		for (size_t i = 0; item_alive(it) && i < it->nr_threads; i++) {
			const CredsEntry *c = it->threads[i].core->thread_core->creds;

			other_user |= c && (c->uid != getuid() || c->gid != getgid());
		}
	if (other_user && !(have_cap(CAP_SETUID) && have_cap(CAP_SETGID)))
		fail(ctx->report, "capability", EPERM,
		     "tasks of another user or group need CAP_SETUID and CAP_SETGID");
}

static void check_limits(struct restore_ctx *ctx, const struct pstree_item *it)
{
	const TaskRlimitsEntry *e = item_core(it)->tc->rlimits;

	for (size_t i = 0; e && i < e->n_rlimits && i < RLIM_NLIMITS; i++) {
		struct rlimit own;

		if (getrlimit((int)i, &own) == 0 && e->rlimits[i]->max > own.rlim_max &&
		    !have_cap(CAP_SYS_RESOURCE))
			fail(ctx->report, "limit", EPERM,
			     "pid %d has hard limit %llu for resource %zu, ours is %llu, and "
			     "raising "
			     "it needs CAP_SYS_RESOURCE",
			     it->pid, (unsigned long long)e->rlimits[i]->max, i,
			     (unsigned long long)own.rlim_max);
	}
}

static void check_cpu(struct restore_ctx *ctx, const struct pstree_item *it)
{
	uint64_t have = arch_xsave_mask();

	for (size_t i = 0; i < it->nr_threads; i++) {
		const ThreadInfoX86 *ti = it->threads[i].core->thread_info;

		if (ti->fpregs->xsave && (ti->fpregs->xsave->xstate_bv & ~have))
			fail(ctx->report, "cpu-features", 0,
			     "thread %d uses processor state %#llx that this processor lacks",
			     it->threads[i].tid,
			     (unsigned long long)(ti->fpregs->xsave->xstate_bv & ~have));
	}
}

/* Threads of the image get privileges from us, and cannot get rid of what we cannot. */
static void check_own_bounds(struct restore_ctx *ctx)
{
	bool bound = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1;
	struct pstree_item *it;

	if (prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == 2)
		log_warn(ctx->report, "this program runs under a seccomp filter, which every "
				      "restored task inherits");
	list_for_each(it, &ctx->tree->items, list)
		for (size_t i = 0; bound && item_alive(it) && i < it->nr_threads; i++) {
			const CredsEntry *c = it->threads[i].core->thread_core->creds;

			if (c->has_no_new_privs && c->no_new_privs)
				continue;
			fail(ctx->report, "capability", EPERM,
			     "this program has no_new_privs set, which restored tasks would "
			     "inherit "
			     "and pid %d does not have",
			     it->pid);
			return;
		}
}

/* Entries of a saved auxiliary vector; kernels have room for some 50. */
#define AUXV_MAX 1024

/* Parts of an address space that only CRIU's images can have. */
static void check_memory(struct restore_ctx *ctx, const struct pstree_item *it)
{
	const uint32_t kinds = VMA_AREA_SHSTK | VMA_AREA_UPROBES;

	if (it->mm->n_mm_saved_auxv > AUXV_MAX)
		fail(ctx->report, "image-vma", E2BIG, "pid %d: an auxiliary vector of %zu words",
		     it->pid, it->mm->n_mm_saved_auxv);
	for (size_t i = 0; i < it->nr_vmas; i++) {
		const VmaEntry *e = it->vmas[i].e;

		if (e->status & kinds)
			fail(ctx->report, "image-vma", EOPNOTSUPP,
			     "pid %d: the mapping at %#llx is of a kind (status %#x) that is not "
			     "supported",
			     it->pid, (unsigned long long)e->start, e->status & kinds);
	}
}

/**
 * restore_check - everything that can be known to fail
 * @ctx: the run; the tree is loaded and planned
 *
 * Return: 0, or -EINVAL with every obstacle recorded.
 */
int restore_check(struct restore_ctx *ctx)
{
	size_t before = report_count(ctx->report);
	struct pstree_item *it;

	check_pids(ctx);
	check_privileges(ctx);
	check_own_bounds(ctx);
	list_for_each(it, &ctx->tree->items, list) {
		if (!item_alive(it))
			continue;
		check_limits(ctx, it);
		check_cpu(ctx, it);
		check_memory(ctx, it);
	}
	vdso_check(ctx);
	return report_count(ctx->report) > before ? -EINVAL : 0;
}
