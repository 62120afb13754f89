/*
 * probe - the table of probes, and how a probe runs in a child.
 */
#include "kernel/probe.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/probe-internal.h"

static int wait_child(pid_t pid, int *status)
{
	while (waitpid(pid, status, __WALL) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

/**
 * probe_in_child - run a probe where it may change what it wants
 * @fn: returns 0 or -errno
 *
 * Return: what @fn returned, -EFAULT when it died, -errno of fork(2).
 */
int probe_in_child(int (*fn)(void))
{
	pid_t pid = fork();
	int status, ret;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		signal(SIGALRM, SIG_DFL);
		alarm(PROBE_LIMIT_S);
		_exit(-fn() & 0xff);
	}
	ret = wait_child(pid, &status);
	if (ret < 0)
		return ret;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EFAULT;
}

static void traced_child(int (*setup)(void), int ready)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGALRM, SIG_DFL);
	alarm(PROBE_LIMIT_S);
	if (setup && setup() < 0)
		_exit(1);
	if (write(ready, "", 1) != 1)
		_exit(1);
	for (;;)
		pause();
}

/**
 * probe_traced - run a probe on a traced, stopped child
 * @options: of PTRACE_SEIZE
 * @setup: what the child does first, or NULL
 * @fn: returns 0 or -errno
 *
 * Return: what @fn returned, or -errno of tracing; -EFAULT when the set-up
 * failed.
 */
int probe_traced(unsigned long options, int (*setup)(void), int (*fn)(pid_t pid))
{
	int ready[2], status, ret;
	char byte;
	pid_t pid;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid == 0)
		traced_child(setup, ready[1]);
	close(ready[1]);
	ret = pid < 0 ? -errno : read(ready[0], &byte, 1) == 1 ? 0 : -EFAULT;
	close(ready[0]);
	if (pid < 0)
		return ret;
	if (!ret && ptrace(PTRACE_SEIZE, pid, 0, options) < 0)
		ret = -errno;
	if (!ret && ptrace(PTRACE_INTERRUPT, pid, 0, 0) < 0)
		ret = -errno;
	if (!ret)
		ret = wait_child(pid, &status);
	if (!ret)
		ret = WIFSTOPPED(status) ? fn(pid) : -EFAULT;
	kill(pid, SIGKILL);
	do
		if (wait_child(pid, &status) < 0)
			break;
	while (WIFSTOPPED(status));
	return ret;
}

/**
 * probe_line - look for a line in a file of the kernel
 * @path: the file
 * @word: how the line starts
 *
 * Return: 0, -ENOENT when there is no such line, or -errno of open(2).
 */
int probe_line(const char *path, const char *word)
{
	FILE *f = fopen(path, "re");
	char line[512];
	int ret = -ENOENT;

	if (!f)
		return -errno;
	while (ret && fgets(line, sizeof(line), f))
		if (!strncmp(line, word, strlen(word)))
			ret = 0;
	fclose(f);
	return ret;
}

/**
 * probe_private_tmp - an empty file system on /tmp, for this process alone
 *
 * Return: 0 or -errno.
 */
int probe_private_tmp(void)
{
	if (unshare(CLONE_NEWNS) < 0 || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("probe", "/tmp", "tmpfs", 0, NULL) < 0)
		return -errno;
	return 0;
}

/**
 * probe_private_net - a network of this process's own, if it may
 */
void probe_private_net(void)
{
	struct ifreq req = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int sk;

	if (unshare(CLONE_NEWNET) < 0)
		return;
	sk = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sk >= 0) {
		ioctl(sk, SIOCSIFFLAGS, &req);
		close(sk);
	}
}

#define NEED(n, f, c, w)                                                      \
	{                                                                     \
		.name = n, .class = PROBE_NEED, .run = f, .cap = c, .what = w \
	}
#define EXTRA(n, f, c, w)                                                      \
	{                                                                      \
		.name = n, .class = PROBE_EXTRA, .run = f, .cap = c, .what = w \
	}
#define FEATURE(n, f, c, w)                                                      \
	{                                                                        \
		.name = n, .class = PROBE_FEATURE, .run = f, .cap = c, .what = w \
	}
#define ADMIN "CAP_SYS_ADMIN"

const struct probe probes[] = {
	/* clang-format off */
	NEED("ptrace_seize", probe_ptrace_seize, "CAP_SYS_PTRACE", "stopping tasks (PTRACE_SEIZE)"),
	NEED("ptrace_peeksiginfo", probe_peeksiginfo, "CAP_SYS_PTRACE", "pending signals and signal masks"),
	NEED("get_rseq_conf", probe_rseq_conf, "CAP_SYS_PTRACE", "restartable sequences (PTRACE_GET_RSEQ_CONFIGURATION)"),
	NEED("process_vm_readv", probe_vm_readv, "CAP_SYS_PTRACE", "reading the memory of tasks"),
	NEED("pidfd_store", probe_pidfd, "CAP_SYS_PTRACE", "fetching descriptors from tasks (pidfd_open, pidfd_getfd)"),
	NEED("kcmp", probe_kcmp_file, "CAP_SYS_PTRACE", "which descriptors are the same open file (F_DUPFD_QUERY or kcmp)"),
	NEED("mnt_id", probe_fdinfo_mnt_id, NULL, "which mount an open file is on"),
	NEED("clone3_set_tid", probe_set_tid, "CAP_CHECKPOINT_RESTORE", "restoring tasks at their pids"),
	NEED("prctl_mm_map", probe_mm_map, NULL, "restoring the memory layout (PR_SET_MM_MAP)"),
	NEED("can_map_vdso", probe_map_vdso, NULL, "restoring the vdso (ARCH_MAP_VDSO_64)"),
	NEED("sock_diag", probe_sock_diag, NULL, "sockets and their peers (NETLINK_SOCK_DIAG)"),

	EXTRA("pagemap_scan", probe_pagemap_scan, NULL, "finding memory with content quickly"),
	EXTRA("pagemap_scan_guard_pages", probe_guard_pages, NULL, "guard pages"),
	EXTRA("uffd", probe_uffd, "CAP_SYS_PTRACE", "filling memory quickly (userfaultfd)"),
	EXTRA("map_files", probe_map_files, "CAP_CHECKPOINT_RESTORE", "mapped files that have been unlinked or replaced"),
	EXTRA("seccomp_suspend", probe_seccomp_suspend, ADMIN, "tasks with seccomp filters (PTRACE_O_SUSPEND_SECCOMP)"),
	EXTRA("seccomp_filters", probe_seccomp_filters, ADMIN, "dumping seccomp filters (PTRACE_SECCOMP_GET_FILTER)"),
	EXTRA("pidfd_thread", probe_pidfd_thread, NULL, "threads with tables of descriptors of their own (PIDFD_THREAD)"),
	EXTRA("kcmp_epoll", probe_kcmp_epoll, "CAP_SYS_PTRACE", "epoll on descriptors that have been closed or moved"),
	EXTRA("timerfd", probe_timerfd, NULL, "timerfd"),
	EXTRA("timer_cr_ids", probe_timer_ids, NULL, "POSIX timers with gaps in their numbers"),
	EXTRA("fdinfo_lock", probe_fdinfo_lock, NULL, "file locks"),
	EXTRA("sk_unix_file", probe_sk_unix_file, "CAP_NET_ADMIN", "Unix sockets whose path is hidden"),
	EXTRA("tcp_half_closed", probe_half_closed, "CAP_NET_ADMIN", "TCP connections that one side has closed"),
	EXTRA("sockopt_buf_lock", probe_buf_lock, NULL, "sockets with fixed buffer sizes"),
	EXTRA("aio_remap", probe_aio_remap, NULL, "asynchronous input and output"),
	EXTRA("loginuid", probe_loginuid, "CAP_AUDIT_CONTROL", "login uids"),

	FEATURE("mem_dirty_track", probe_dirty_track, NULL, "incremental dumps by soft-dirty bits"),
	FEATURE("tun", probe_tun, NULL, "tun devices"),
	FEATURE("tun_ns", probe_tun_ns, "CAP_NET_ADMIN", "the network namespace of a tun device"),
	FEATURE("userns", probe_userns, ADMIN, "user namespaces"),
	FEATURE("cgroupns", probe_cgroupns, ADMIN, "control group namespaces"),
	FEATURE("timens", probe_timens, ADMIN, "time namespaces"),
	FEATURE("autofs", probe_autofs, ADMIN, "automounter mounts"),
	FEATURE("compat_cr", probe_compat, NULL, "32-bit tasks (ARCH_MAP_VDSO_32)"),
	FEATURE("uffd-noncoop", probe_uffd_events, "CAP_SYS_PTRACE", "memory on demand for tasks that fork"),
	FEATURE("sk_ns", probe_sk_ns, "CAP_NET_ADMIN", "the network namespace of a socket"),
	FEATURE("net_diag_raw", probe_diag_raw, NULL, "raw sockets (sock_diag)"),
	FEATURE("nsid", probe_nsid, NULL, "ids of network namespaces"),
	FEATURE("link_nsid", probe_link_nsid, "CAP_NET_ADMIN", "network devices by namespace id"),
	FEATURE("newifindex", probe_newifindex, "CAP_NET_ADMIN", "moving network devices with their index"),
	FEATURE("nftables", probe_nftables, "CAP_NET_ADMIN", "nftables"),
	FEATURE("network_lock_nftables", probe_nftables, "CAP_NET_ADMIN", "locking connections by nftables"),
	FEATURE("has_ipt_legacy", probe_iptables, "CAP_NET_ADMIN", "iptables in the kernel"),
	FEATURE("ns_pid", probe_nspid, NULL, "pids in each namespace (NSpid)"),
	FEATURE("apparmor_stacking", probe_apparmor, NULL, "stacked AppArmor profiles"),
	FEATURE("memfd_hugetlb", probe_memfd_hugetlb, NULL, "memfds of huge pages"),
	FEATURE("move_mount_set_group", probe_set_group, ADMIN, "sharing groups of mounts"),
	FEATURE("fanotify_pre_access", probe_pre_access, ADMIN, "guarding files (criu-lite guard)"),
	FEATURE("openat2", probe_openat2, NULL, "openat2()"),
	FEATURE("ipv6_freebind", probe_ipv6_freebind, NULL, "IPV6_FREEBIND"),
	FEATURE("membarrier_get_registrations", probe_membarrier, NULL, "memory barrier registrations"),
	FEATURE("overlayfs_maps", probe_overlay_maps, ADMIN, "mapped files of an overlay"),
	FEATURE("breakpoints", probe_breakpoints, "CAP_SYS_PTRACE", "hardware breakpoints"),
	/* clang-format on */
};

const size_t probes_nr = sizeof(probes) / sizeof(probes[0]);

/**
 * probe_find - look up a probe by its name
 * @name: CRIU's name of a feature, or ours
 *
 * Return: the probe, or NULL.
 */
const struct probe *probe_find(const char *name)
{
	for (size_t i = 0; i < probes_nr; i++)
		if (!strcmp(probes[i].name, name))
			return &probes[i];
	return NULL;
}
