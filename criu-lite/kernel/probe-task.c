/*
 * probe-task - probes of what concerns tasks: tracing, pids, identity.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/kcmp.h"
#include "kernel/pidfd.h"
#include "kernel/probe-internal.h"

/* Younger than the oldest headers that this is built with. */
#ifndef PTRACE_GET_RSEQ_CONFIGURATION
#define PTRACE_GET_RSEQ_CONFIGURATION 0x420f
#endif
#define CL_F_DUPFD_QUERY (1024 + 3)       /* Linux 6.10 */
#define CL_PR_TIMER_CREATE_RESTORE_IDS 77 /* Linux 6.15 */
#define CL_PR_TIMER_CREATE_RESTORE_IDS_GET 2
#define CL_MEMBARRIER_CMD_GET_REGISTRATIONS (1 << 9) /* Linux 6.3 */
#define CL_ARCH_MAP_VDSO_32 0x2002

static int stopped(pid_t pid)
{
	return 0;
}

/* PTRACE_SEIZE and PTRACE_INTERRUPT. */
int probe_ptrace_seize(void)
{
	return probe_traced(0, NULL, stopped);
}

static int peek_siginfo(pid_t pid)
{
	struct __ptrace_peeksiginfo_args args = { .nr = 1 };
	siginfo_t info;
	uint64_t mask;

	if (ptrace(PTRACE_PEEKSIGINFO, pid, &args, &info) < 0 ||
	    ptrace(PTRACE_GETSIGMASK, pid, sizeof(mask), &mask) < 0)
		return -errno;
	return 0;
}

/* PTRACE_PEEKSIGINFO and PTRACE_GETSIGMASK. */
int probe_peeksiginfo(void)
{
	return probe_traced(0, NULL, peek_siginfo);
}

/* PTRACE_O_SUSPEND_SECCOMP: CONFIG_CHECKPOINT_RESTORE, and CAP_SYS_ADMIN. */
int probe_seccomp_suspend(void)
{
	return probe_traced(PTRACE_O_SUSPEND_SECCOMP, NULL, stopped);
}

static int set_filter(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog prog = { .len = 1, .filter = &allow };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) < 0)
		return -errno;
	return 0;
}

static int get_filter(pid_t pid)
{
	struct sock_filter got;
	long n = ptrace(PTRACE_SECCOMP_GET_FILTER, pid, 0, &got);

	return n < 0 ? -errno : n == 1 ? 0 : -EPROTO;
}

/* PTRACE_SECCOMP_GET_FILTER, on a child that has a filter. */
int probe_seccomp_filters(void)
{
	return probe_traced(0, set_filter, get_filter);
}

static int rseq_conf(pid_t pid)
{
	uint64_t conf[8] = { 0 };

	return ptrace(PTRACE_GET_RSEQ_CONFIGURATION, pid, 24, conf) < 0 ? -errno : 0;
}

/* PTRACE_GET_RSEQ_CONFIGURATION (Linux 5.13). */
int probe_rseq_conf(void)
{
	return probe_traced(0, NULL, rseq_conf);
}

static int poke_breakpoint(pid_t pid)
{
	size_t debugreg = offsetof(struct user, u_debugreg);

	if (ptrace(PTRACE_POKEUSER, pid, debugreg, (void *)poke_breakpoint) < 0 ||
	    ptrace(PTRACE_POKEUSER, pid, debugreg + 7 * sizeof(long), (void *)1) < 0)
		return -errno;
	return 0;
}

/* A hardware breakpoint, set from outside. */
int probe_breakpoints(void)
{
	return probe_traced(0, NULL, poke_breakpoint);
}

static pid_t clone_at(pid_t pid)
{
	struct clone_args args = {
		.exit_signal = SIGCHLD,
		.set_tid = (uint64_t)(uintptr_t)&pid,
		.set_tid_size = 1,
	};
	long got = syscall(SYS_clone3, &args, sizeof(args));

	if (got == 0)
		_exit(0);
	return got < 0 ? -errno : (pid_t)got;
}

/* clone3() with set_tid: a pid that was just given back is taken again. */
int probe_set_tid(void)
{
	int ret = -EEXIST;

	for (int i = 0; i < 5 && ret == -EEXIST; i++) {
		pid_t pid = fork(), got;

		if (pid < 0)
			return -errno;
		if (pid == 0)
			_exit(0);
		waitpid(pid, NULL, 0);
		got = clone_at(pid);
		if (got > 0)
			waitpid(got, NULL, 0);
		ret = got == pid ? 0 : got < 0 ? got : -EPROTO;
	}
	return ret;
}

static int map_vdso_32(void)
{
#ifdef __x86_64__
	/* EEXIST: it would, were there not a vdso already. */
	if (syscall(SYS_arch_prctl, CL_ARCH_MAP_VDSO_32, 0) < 0 && errno != EEXIST)
		return -errno;
	return 0;
#else
	return -EOPNOTSUPP;
#endif
}

/* 32-bit tasks. */
int probe_compat(void)
{
	return probe_in_child(map_vdso_32);
}

static int fetch_fd(pid_t pid)
{
	cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, pid, 0), fd = -1;

	if (pidfd < 0)
		return -errno;
	fd = (int)syscall(SYS_pidfd_getfd, pidfd, STDERR_FILENO, 0);
	return fd < 0 ? -errno : 0;
}

/* pidfd_open() and pidfd_getfd() on a child. */
int probe_pidfd(void)
{
	return probe_traced(0, NULL, fetch_fd);
}

/* PIDFD_THREAD, Linux 6.9. */
int probe_pidfd_thread(void)
{
	cleanup_close int fd = pidfd_of_thread((pid_t)syscall(SYS_gettid));

	return fd < 0 ? -errno : 0;
}

/* F_DUPFD_QUERY (Linux 6.10) or kcmp(KCMP_FILE). */
int probe_kcmp_file(void)
{
	cleanup_close int fd = open("/dev/null", O_RDONLY | O_CLOEXEC), same = -1;
	int ret;

	same = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (same < 0)
		return -errno;
	if (fcntl(fd, CL_F_DUPFD_QUERY, same) == 1)
		return 0;
	ret = kcmp(getpid(), getpid(), CL_KCMP_FILE, (unsigned long)fd, (unsigned long)same);
	return ret > 0 ? -EPROTO : ret;
}

/* kcmp(KCMP_EPOLL_TFD): which file an epoll entry is for. */
int probe_kcmp_epoll(void)
{
	cleanup_close int ep = epoll_create1(EPOLL_CLOEXEC), p0 = -1;
	struct epoll_event ev = { .events = EPOLLIN };
	struct kcmp_epoll_slot slot = { 0 };
	int p[2], ret;

	if (ep < 0 || pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	p0 = p[0];
	close(p[1]);
	if (epoll_ctl(ep, EPOLL_CTL_ADD, p0, &ev) < 0)
		return -errno;
	slot.efd = (uint32_t)ep;
	slot.tfd = (uint32_t)p0;
	ret = kcmp(getpid(), getpid(), CL_KCMP_EPOLL_TFD, (unsigned long)p0,
		   (unsigned long)(uintptr_t)&slot);
	return ret > 0 ? -EPROTO : ret;
}

/* NSpid in /proc/PID/status. */
int probe_nspid(void)
{
	return probe_line("/proc/self/status", "NSpid:");
}

static int write_loginuid(void)
{
	static const char unset[] = "4294967295";
	cleanup_close int fd = open("/proc/self/loginuid", O_RDWR | O_CLOEXEC);

	return fd < 0 ? -errno : write_all(fd, unset, sizeof(unset) - 1);
}

/* The login uid can be written. */
int probe_loginuid(void)
{
	return probe_in_child(write_loginuid);
}

/* MEMBARRIER_CMD_GET_REGISTRATIONS. */
int probe_membarrier(void)
{
	return syscall(SYS_membarrier, CL_MEMBARRIER_CMD_GET_REGISTRATIONS, 0, 0) < 0 ? -errno : 0;
}

/* PR_TIMER_CREATE_RESTORE_IDS. */
int probe_timer_ids(void)
{
	int ret =
		prctl(CL_PR_TIMER_CREATE_RESTORE_IDS, CL_PR_TIMER_CREATE_RESTORE_IDS_GET, 0, 0, 0);

	return ret < 0 ? -errno : 0;
}

/* AppArmor that can stack profiles. */
int probe_apparmor(void)
{
	return probe_line("/sys/kernel/security/apparmor/features/domain/stack", "yes");
}
