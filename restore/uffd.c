/*
 * uffd - large anonymous mappings filled by UFFDIO_COPY: the kernel takes new
 * pages and copies into them, where a write would make it clear them first
 * (half the time of a restore of much memory, see docs/ARCHITECTURE.md). See
 * ioctl_userfaultfd(2). Where it is not to be had, fill.c writes.
 *
 * A mapping is registered whole or not at all: a write by other means to a page
 * that is missing in a registered mapping would wait for ever.
 */
#include "restore/uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "restore/cow.h"

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

/* Mappings with less content than this are as fast by writing, in bytes. */
#define WORTH_IT ((uint64_t)4 << 20)

static uint64_t content_of(const struct pstree_item *it, const VmaEntry *e)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < it->nr_runs; i++)
		if (it->runs[i].vaddr >= e->start && it->runs[i].vaddr < e->end)
			sum += it->runs[i].pages * 4096;
	return sum;
}

static bool wanted(const struct pstree_item *it, size_t i)
{
	const VmaEntry *e = it->vmas[i].e;

	if (!(e->status & VMA_ANON_PRIVATE) || e->status & (VMA_AREA_VDSO | VMA_AREA_VVAR) ||
	    e->flags & MAP_HUGETLB || e->end - e->start < WORTH_IT)
		return false;
	if (cow_kept(it, i).start < cow_kept(it, i).end)
		return false;
	/* Huge pages come by writing only. */
	if (e->has_madv && e->madv & (1ull << MADV_HUGEPAGE))
		return false;
	return content_of(it, e) >= WORTH_IT;
}

static int register_all(struct pstree_item *it, int fd)
{
	struct uffdio_api api = { .api = UFFD_API };

	if (ioctl(fd, UFFDIO_API, &api) < 0)
		return -errno;
	for (size_t i = 0; i < it->nr_vmas; i++) {
		const VmaEntry *e = it->vmas[i].e;
		struct uffdio_register reg = { .range = { e->start, e->end - e->start },
					       .mode = UFFDIO_REGISTER_MODE_MISSING };

		if (!wanted(it, i))
			continue;
		if (ioctl(fd, UFFDIO_REGISTER, &reg) < 0)
			return -errno;
		arena_push(it->restore->arena, it->restore->uffd_vmas, it->restore->nr_uffd_vmas) =
			&it->vmas[i];
	}
	return 0;
}

/**
 * uffd_open - let the large mappings of a task be filled by uffd_copy()
 * @ctx: the run
 * @it: the task; its mappings stand and are empty
 *
 * If that is not possible here, uffd_has() is false for all of them.
 */
void uffd_open(struct restore_ctx *ctx, struct pstree_item *it)
{
	struct restore_task *rt = it->restore;
	cleanup_close int pidfd = -1;
	bool any = false;

	rt->uffd = rt->uffd_remote = -1;
	rt->arena = ctx->arena;
	for (size_t i = 0; i < it->nr_vmas && !any; i++)
		any = wanted(it, i);
	if (!any)
		return;
	rt->uffd_remote = (int)remote_call1(rt->remote, it->pid, SYS_userfaultfd,
					    O_CLOEXEC | UFFD_USER_MODE_ONLY, 0, 0, 0, 0, 0);
	pidfd = pidfd_open(it->pid, 0);
	if (rt->uffd_remote < 0 || pidfd < 0)
		return;
	rt->uffd = pidfd_getfd(pidfd, rt->uffd_remote, 0);
	if (rt->uffd >= 0 && register_all(it, rt->uffd) == 0)
		return;
	log_debug(ctx->report, "pid %d: userfaultfd is not to be had, pages are written", it->pid);
	uffd_close(ctx, it);
}

/**
 * uffd_has - is this mapping filled by uffd_copy()?
 * @it: the task
 * @v: one of its mappings
 */
bool uffd_has(const struct pstree_item *it, const struct vma *v)
{
	for (size_t i = 0; i < it->restore->nr_uffd_vmas; i++)
		if (it->restore->uffd_vmas[i] == v)
			return true;
	return false;
}

/**
 * uffd_copy - fill missing pages
 * @fd: the task's userfaultfd
 * @to: address there, page aligned
 * @from: content, page aligned
 * @len: bytes, whole pages
 *
 * Return: 0 or -errno of UFFDIO_COPY.
 */
int uffd_copy(int fd, uint64_t to, const void *from, size_t len)
{
	struct uffdio_copy c = { .dst = to, .src = (uint64_t)(uintptr_t)from, .len = len };

	while (ioctl(fd, UFFDIO_COPY, &c) < 0) {
		if (errno != EAGAIN)
			return -errno;
		/* The map changed under way: what is done is done. */
		if (c.copy > 0) {
			c.dst += (uint64_t)c.copy;
			c.src += (uint64_t)c.copy;
			c.len -= (uint64_t)c.copy;
		}
		c.copy = 0;
	}
	return 0;
}

/**
 * uffd_close - the mappings are ordinary again
 * @ctx: the run
 * @it: the task
 */
void uffd_close(struct restore_ctx *ctx, struct pstree_item *it)
{
	struct restore_task *rt = it->restore;

	if (rt->uffd >= 0)
		close(rt->uffd);
	if (rt->uffd_remote >= 0)
		remote_call1(rt->remote, it->pid, SYS_close, (unsigned long)rt->uffd_remote, 0, 0,
			     0, 0, 0);
	rt->uffd = rt->uffd_remote = -1;
	rt->nr_uffd_vmas = 0;
}
