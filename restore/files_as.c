/*
 * files_as - do something as somebody else. The kernel notes who connects,
 * listens or sends: the process, its effective user and group. If that process
 * is a task of the tree, it is the one to do it. If it has ended, a process
 * that has its pid for the moment stands in; it shares our descriptors.
 */
#include "restore/files_unix.h"

#include <errno.h>
#include <linux/sched.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Another stand-in may have the pid: so often it is looked again, every millisecond. */
#define TRIES 200

/**
 * run_as_task - the task that has a pid
 * @t: the tree
 * @who: whose pid, or NULL
 *
 * Return: the task, if it lives and has a table of descriptors; else NULL.
 */
struct pstree_item *run_as_task(const struct pstree *t, const SkCredEntry *who)
{
	struct pstree_item *it = who && who->has_pid ? pstree_find(t, (pid_t)who->pid) : NULL;

	return it && item_alive(it) && it->fdt && it->fdt->engine ? it : NULL;
}

/* Effective ids only; SECBIT_NO_SETUID_FIXUP keeps the capabilities. */
static int with_ids(const SkCredEntry *who, int (*fn)(void *arg), void *arg)
{
	uid_t uid = geteuid();
	gid_t gid = getegid();
	int bits, ret = 0;

	if (who->uid == uid && who->gid == gid)
		return fn(arg);
	bits = prctl(PR_GET_SECUREBITS);
	if (bits < 0 || prctl(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP) < 0)
		return -errno;
	if (syscall(SYS_setresgid, -1, who->gid, -1) < 0 ||
	    syscall(SYS_setresuid, -1, who->uid, -1) < 0)
		ret = -errno;
	if (!ret)
		ret = fn(arg);
	if (syscall(SYS_setresuid, -1, uid, -1) < 0 || syscall(SYS_setresgid, -1, gid, -1) < 0 ||
	    prctl(PR_SET_SECUREBITS, bits) < 0)
		ret = -errno;
	return ret;
}

/* In a process of that pid. -EEXIST: the pid is taken. */
static int stand_in(const SkCredEntry *who, int (*fn)(void *arg), void *arg)
{
	pid_t pid = (pid_t)who->pid, child;
	struct clone_args a = { .flags = CLONE_FILES,
				.exit_signal = SIGCHLD,
				.set_tid = (uint64_t)(uintptr_t)&pid,
				.set_tid_size = 1 };
	int status = 0;

	child = (pid_t)syscall(SYS_clone3, &a, sizeof(a));
	if (child < 0)
		return -errno;
	if (!child)
		_exit(-with_ids(who, fn, arg) & 0xff);
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

/**
 * run_as - call a function with the pid and the effective ids of somebody
 * @d: the file it is for
 * @who: whose; NULL: our own
 * @fn: the function, 0 or -errno; perhaps in another process: what it is to
 * leave behind must be descriptors and shared memory
 * @arg: its argument
 *
 * A pid that another process has is given up; the ids remain.
 *
 * Return: what @fn returned, or -errno. Nothing is recorded.
 */
int run_as(struct file_desc *d, const SkCredEntry *who, int (*fn)(void *arg), void *arg)
{
	static const struct timespec nap = { .tv_nsec = 1000000 };
	uint64_t taken;

	if (!who)
		return fn(arg);
	if (!who->has_pid || !who->pid || (pid_t)who->pid == getpid() ||
	    pstree_find(d->tree, (pid_t)who->pid))
		return with_ids(who, fn, arg);
	taken = who->pid | UINT64_C(1) << 61;
	for (int i = 0; i < TRIES && !rfile_seen(d->tree, FILE_KIND_unixsk, taken); i++) {
		int ret = stand_in(who, fn, arg);

		if (ret != -EEXIST)
			return ret;
		nanosleep(&nap, NULL);
	}
	rfile_see(d->tree, FILE_KIND_unixsk, taken, d);
	return with_ids(who, fn, arg);
}
