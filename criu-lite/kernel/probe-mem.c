/*
 * probe-mem - probes of what concerns memory.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/prctl.h>
#include <linux/userfaultfd.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/probe-internal.h"

/* Younger than the oldest headers that this is built with: Linux 6.7, 6.13. */
struct scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
struct scan_region {
	uint64_t start, end, categories;
};
#define CL_PAGEMAP_SCAN _IOWR('f', 16, struct scan_arg)
#define CL_PAGE_IS_PRESENT (1 << 3)
#define CL_PAGE_IS_GUARD (1 << 8)
#define CL_MADV_GUARD_INSTALL 102
#define CL_ARCH_MAP_VDSO_64 0x2003
#define SOFT_DIRTY (1ull << 55)

static int read_child(pid_t pid)
{
	static int word = 42;
	int got = 0;
	struct iovec here = { &got, sizeof(got) }, there = { &word, sizeof(word) };

	if (process_vm_readv(pid, &here, 1, &there, 1, 0) != sizeof(got))
		return -errno;
	return got == word ? 0 : -EPROTO;
}

/* process_vm_readv() from a child. */
int probe_vm_readv(void)
{
	return probe_traced(0, NULL, read_child);
}

/* PR_SET_MM_MAP: the kernel tells the size of its struct. */
int probe_mm_map(void)
{
	unsigned size = 0;

	if (prctl(PR_SET_MM, PR_SET_MM_MAP_SIZE, &size, 0, 0) < 0)
		return -errno;
	return size == sizeof(struct prctl_mm_map) ? 0 : -EPROTO;
}

static int scan_one(char *page, uint64_t category)
{
	cleanup_close int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	struct scan_region region = { 0 };
	struct scan_arg arg = {
		.size = sizeof(arg),
		.start = (uintptr_t)page,
		.end = (uintptr_t)page + 4096,
		.vec = (uintptr_t)&region,
		.vec_len = 1,
		.category_mask = category,
		.return_mask = category,
	};
	int n = fd < 0 ? -1 : ioctl(fd, CL_PAGEMAP_SCAN, &arg);

	if (n < 0)
		return -errno;
	return n == 1 && (region.categories & category) ? 0 : -ENOENT;
}

static int with_page(int (*fn)(char *page))
{
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ret;

	if (page == MAP_FAILED)
		return -errno;
	ret = fn(page);
	munmap(page, 4096);
	return ret;
}

static int find_present(char *page)
{
	*page = 1;
	return scan_one(page, CL_PAGE_IS_PRESENT);
}

/* PAGEMAP_SCAN finds a page. */
int probe_pagemap_scan(void)
{
	return with_page(find_present);
}

static int find_guard(char *page)
{
	if (madvise(page, 4096, CL_MADV_GUARD_INSTALL) < 0)
		return -errno;
	return scan_one(page, CL_PAGE_IS_GUARD);
}

/* PAGEMAP_SCAN finds a guard page. */
int probe_guard_pages(void)
{
	return with_page(find_guard);
}

static int find_dirty(char *page)
{
	cleanup_close int clear = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
	cleanup_close int map = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	off_t at = (off_t)((uintptr_t)page / 4096 * 8);
	uint64_t before, after;
	int ret;

	if (clear < 0 || map < 0)
		return -errno;
	*(volatile char *)page = 1;
	ret = write_all(clear, "4", 1);
	ret = ret < 0 ? ret : pread_all(map, &before, sizeof(before), at);
	*(volatile char *)page = 2;
	ret = ret < 0 ? ret : pread_all(map, &after, sizeof(after), at);
	if (ret < 0)
		return ret;
	return !(before & SOFT_DIRTY) && (after & SOFT_DIRTY) ? 0 : -EOPNOTSUPP;
}

static int dirty_in_child(void)
{
	return with_page(find_dirty);
}

/* Soft-dirty bits are kept. */
int probe_dirty_track(void)
{
	return probe_in_child(dirty_in_child);
}

/* /proc/PID/map_files can be followed. */
int probe_map_files(void)
{
	cleanup_close int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), got = -1;
	char *p = self < 0 ? MAP_FAILED : mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, self, 0);
	char path[96];
	int ret = 0;

	if (p == MAP_FAILED)
		return -errno;
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)p,
		 (unsigned long)p + 4096);
	got = open(path, O_RDONLY | O_CLOEXEC);
	if (got < 0)
		ret = -errno;
	munmap(p, 4096);
	return ret;
}

static int uffd_with(uint64_t features)
{
	cleanup_close int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = { .api = UFFD_API, .features = features };

	if (fd < 0 && errno == EPERM && !features)
		fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
	return fd < 0 || ioctl(fd, UFFDIO_API, &api) < 0 ? -errno : 0;
}

/* userfaultfd(). */
int probe_uffd(void)
{
	return uffd_with(0);
}

/* userfaultfd() that tells of fork, mremap and unmapping. */
int probe_uffd_events(void)
{
	return uffd_with(UFFD_FEATURE_EVENT_FORK | UFFD_FEATURE_EVENT_REMAP |
			 UFFD_FEATURE_EVENT_REMOVE | UFFD_FEATURE_EVENT_UNMAP);
}

static int map_vdso(void)
{
#ifdef __x86_64__
	/* EEXIST: it would, were there not a vdso already. */
	if (syscall(SYS_arch_prctl, CL_ARCH_MAP_VDSO_64, 0) < 0 && errno != EEXIST)
		return -errno;
	return 0;
#else
	return -EOPNOTSUPP;
#endif
}

/* ARCH_MAP_VDSO_64. */
int probe_map_vdso(void)
{
	return probe_in_child(map_vdso);
}

static int remap_ring(void)
{
	aio_context_t ctx = 0;
	struct io_event ev;
	struct timespec none = { 0 };
	uint32_t *ring;
	char *to;
	size_t len = 4096;

	if (syscall(SYS_io_setup, 1, &ctx) < 0)
		return -errno;
	ring = (uint32_t *)ctx;
	to = mmap(NULL, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (to == MAP_FAILED || mremap(ring, len, len, MREMAP_MAYMOVE | MREMAP_FIXED, to) != to)
		return -errno;
	return syscall(SYS_io_getevents, to, 0, 1, &ev, &none) < 0 ? -errno : 0;
}

/* A ring of asynchronous input and output that is found where it was moved to. */
int probe_aio_remap(void)
{
	return probe_in_child(remap_ring);
}

/* memfd_create(MFD_HUGETLB). */
int probe_memfd_hugetlb(void)
{
	cleanup_close int fd = memfd_create("probe", MFD_CLOEXEC | MFD_HUGETLB);

	return fd < 0 ? -errno : 0;
}

/* Is what /proc/self/maps says of a mapping at @p what fstat() says of the file? */
static int same_in_maps(const void *p, const struct stat *st)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start, ino;
	unsigned ma, mi;
	char line[512];
	int ret = -ENOENT;

	if (!f)
		return -errno;
	while (ret == -ENOENT && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%*x %*s %*x %x:%x %lu", &start, &ma, &mi, &ino) == 4 &&
		    start == (unsigned long)p)
			ret = ino == st->st_ino && makedev(ma, mi) == st->st_dev ? 0 : -EPROTO;
	fclose(f);
	return ret;
}

static int map_overlay(void)
{
	cleanup_close int fd = -1;
	struct stat st;
	void *p;
	int ret = probe_private_tmp();

	if (ret < 0)
		return ret;
	if (mkdir("/tmp/l", 0700) < 0 || mkdir("/tmp/u", 0700) < 0 || mkdir("/tmp/w", 0700) < 0 ||
	    mkdir("/tmp/m", 0700) < 0 ||
	    mount("none", "/tmp/m", "overlay", 0, "lowerdir=/tmp/l,upperdir=/tmp/u,workdir=/tmp/w"))
		return -errno;
	fd = open("/tmp/m/f", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, 4096) < 0 || fstat(fd, &st) < 0)
		return -errno;
	p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	return p == MAP_FAILED ? -errno : same_in_maps(p, &st);
}

/* /proc/PID/maps names the overlay's own inodes. */
int probe_overlay_maps(void)
{
	return probe_in_child(map_overlay);
}
