/*
 * pagemap - private pages of another process, by PAGEMAP_SCAN (Linux 6.7) or
 * by reading /proc/PID/pagemap.
 */
#include "kernel/pagemap.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"

#define PAGE 4096ull

/* As in <linux/fs.h> of Linux 6.7 and, for guard regions, 6.15. */
#define CAT_FILE (1ull << 2)
#define CAT_PRESENT (1ull << 3)
#define CAT_SWAPPED (1ull << 4)
#define CAT_PFNZERO (1ull << 5)
#define CAT_GUARD (1ull << 8)

struct page_region {
	uint64_t start, end, categories;
};

struct pm_scan_arg {
	uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
	uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};

#define PAGEMAP_SCAN _IOWR('f', 16, struct pm_scan_arg)

/* Entries of the plain file. */
#define PM_GUARD (1ull << 58)
#define PM_FILE (1ull << 61)
#define PM_SWAPPED (1ull << 62)
#define PM_PRESENT (1ull << 63)

/**
 * pagemap_open - the pagemap of a process
 * @proc_fd: its /proc/PID
 *
 * Return: a descriptor, or -errno.
 */
int pagemap_open(int proc_fd)
{
	int fd = openat(proc_fd, "pagemap", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int scan_file(int fd, uint64_t start, uint64_t end, pagemap_fn *fn, void *arg)
{
	struct pagemap_range run = { 0 };
	uint64_t buf[1024];

	while (start < end) {
		size_t n = (end - start) / PAGE;
		int ret;

		if (n > sizeof(buf) / sizeof(*buf))
			n = sizeof(buf) / sizeof(*buf);
		ret = pread_all(fd, buf, n * sizeof(*buf), (off_t)(start / PAGE * sizeof(*buf)));
		if (ret < 0)
			return ret;
		for (size_t i = 0; i < n; i++, start += PAGE) {
			if (!(buf[i] & (PM_PRESENT | PM_SWAPPED)) || buf[i] & PM_FILE)
				continue;
			if (run.end == start && run.guard == (buf[i] & PM_GUARD)) {
				run.end += PAGE;
				continue;
			}
			ret = run.end ? fn(arg, &run) : 0;
			if (ret)
				return ret;
			run = (struct pagemap_range){ start, start + PAGE, buf[i] & PM_GUARD };
		}
	}
	return run.end ? fn(arg, &run) : 0;
}

/**
 * pagemap_scan - the private pages in a part of an address space
 * @pagemap_fd: from pagemap_open()
 * @start: first byte, page aligned
 * @end: past the last byte, page aligned
 * @fn: called for each range of pages that are in memory or in swap, and are
 *      neither the page cache's nor the zero page
 * @arg: for @fn
 *
 * A range can reach over the border of two mappings.
 *
 * Return: 0, what @fn returned, or -errno.
 */
int pagemap_scan(int pagemap_fd, uint64_t start, uint64_t end, pagemap_fn *fn, void *arg)
{
	struct page_region vec[512];
	struct pm_scan_arg a = {
		.size = sizeof(a),
		.start = start,
		.end = end,
		.vec = (uintptr_t)vec,
		.vec_len = sizeof(vec) / sizeof(*vec),
		.category_inverted = CAT_FILE | CAT_PFNZERO,
		.category_mask = CAT_FILE | CAT_PFNZERO,
		.category_anyof_mask = CAT_PRESENT | CAT_SWAPPED,
		.return_mask = CAT_GUARD,
	};
	struct pagemap_range run = { 0 };

	while (a.start < end) {
		int n = ioctl(pagemap_fd, PAGEMAP_SCAN, &a), ret;

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EINVAL && a.return_mask == CAT_GUARD) {
			/* Before 6.15 there are no guard regions. */
			a.return_mask = CAT_PRESENT | CAT_SWAPPED;
			continue;
		}
		if (n < 0 && (errno == ENOTTY || errno == EINVAL))
			return scan_file(pagemap_fd, start, end, fn, arg);
		if (n < 0)
			return -errno;
		for (int i = 0; i < n; i++) {
			uint64_t guard = vec[i].categories & CAT_GUARD;

			if (run.end == vec[i].start && run.guard == guard) {
				run.end = vec[i].end;
				continue;
			}
			ret = run.end ? fn(arg, &run) : 0;
			if (ret)
				return ret;
			run = (struct pagemap_range){ vec[i].start, vec[i].end, guard };
		}
		a.start = a.walk_end;
	}
	return run.end ? fn(arg, &run) : 0;
}
