/*
 * probe-file - probes of what concerns files, mounts and namespaces.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/openat2.h>
#include <linux/sockios.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/probe-internal.h"

#define CL_MOVE_MOUNT_SET_GROUP 0x100 /* Linux 5.15 */
#define CL_FAN_PRE_ACCESS 0x00100000
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static int fdinfo_has(int fd, const char *word)
{
	char path[64];

	if (fd < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return probe_line(path, word);
}

/* mnt_id in fdinfo. */
int probe_fdinfo_mnt_id(void)
{
	cleanup_close int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	return fdinfo_has(fd, "mnt_id:");
}

/* Locks in fdinfo. */
int probe_fdinfo_lock(void)
{
	cleanup_close int fd = memfd_create("probe", MFD_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return fdinfo_has(fd, "lock:");
}

/* FAN_PRE_ACCESS, Linux 6.14: known, though never on a memfd. */
int probe_pre_access(void)
{
	cleanup_close int fd = memfd_create("probe", MFD_CLOEXEC), fan = -1;
	char path[32];

	fan = fanotify_init(FAN_CLASS_PRE_CONTENT | FAN_CLOEXEC, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fan < 0)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fanotify_mark(fan, FAN_MARK_ADD, CL_FAN_PRE_ACCESS, AT_FDCWD, path) == 0)
		return 0;
	return errno == EOPNOTSUPP ? 0 : -errno;
}

/* The clock of a timerfd in fdinfo. */
int probe_timerfd(void)
{
	cleanup_close int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);

	return fdinfo_has(fd, "clockid:");
}

/* /dev/net/tun works. */
int probe_tun(void)
{
	cleanup_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	unsigned features;

	return fd < 0 || ioctl(fd, TUNGETFEATURES, &features) < 0 ? -errno : 0;
}

/* The network namespace of a tun file. */
int probe_tun_ns(void)
{
	cleanup_close int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), ns = -1;

	ns = fd < 0 ? -1 : ioctl(fd, SIOCGSKNS);
	return ns < 0 ? -errno : 0;
}

static int mount_autofs(void)
{
	char opts[96];
	int p[2], ret = probe_private_tmp();
	FILE *f;
	char line[1024];

	if (ret < 0)
		return ret;
	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	snprintf(opts, sizeof(opts), "fd=%d,pgrp=%d,minproto=5,maxproto=5,direct", p[1], getpgrp());
	if (mkdir("/tmp/a", 0700) < 0 || mount("probe", "/tmp/a", "autofs", 0, opts) < 0)
		return -errno;
	f = fopen("/proc/self/mountinfo", "re");
	if (!f)
		return -errno;
	ret = -ENOENT;
	while (ret && fgets(line, sizeof(line), f))
		if (strstr(line, " - autofs ") && strstr(line, "pipe_ino="))
			ret = 0;
	fclose(f);
	return ret;
}

/* An automounter mount tells the inode of its pipe. */
int probe_autofs(void)
{
	return probe_in_child(mount_autofs);
}

/* openat2(). */
int probe_openat2(void)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };
	cleanup_close int fd = (int)syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how));

	return fd < 0 ? -errno : 0;
}

static int set_group(void)
{
	int ret = probe_private_tmp();

	if (ret < 0)
		return ret;
	if (mkdir("/tmp/a", 0700) < 0 || mkdir("/tmp/b", 0700) < 0 ||
	    mount("probe", "/tmp/a", "tmpfs", 0, NULL) < 0 ||
	    mount(NULL, "/tmp/a", NULL, MS_SHARED, NULL) < 0 ||
	    mount("/tmp/a", "/tmp/b", NULL, MS_BIND, NULL) < 0 ||
	    mount(NULL, "/tmp/b", NULL, MS_PRIVATE, NULL) < 0)
		return -errno;
	if (syscall(SYS_move_mount, AT_FDCWD, "/tmp/a", AT_FDCWD, "/tmp/b",
		    CL_MOVE_MOUNT_SET_GROUP))
		return -errno;
	return 0;
}

/* move_mount(MOVE_MOUNT_SET_GROUP). */
int probe_set_group(void)
{
	return probe_in_child(set_group);
}

static int new_user_ns(void)
{
	return unshare(CLONE_NEWUSER) < 0 ? -errno : 0;
}

/* User namespaces can be made. */
int probe_userns(void)
{
	return probe_in_child(new_user_ns);
}

static int new_cgroup_ns(void)
{
	return unshare(CLONE_NEWCGROUP) < 0 ? -errno : 0;
}

/* Control group namespaces can be made. */
int probe_cgroupns(void)
{
	return probe_in_child(new_cgroup_ns);
}

static int new_time_ns(void)
{
	return unshare(CLONE_NEWTIME) < 0 ? -errno : 0;
}

/* Time namespaces can be made. */
int probe_timens(void)
{
	return probe_in_child(new_time_ns);
}
