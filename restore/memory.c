/*
 * memory - the memory map of each task is replaced by the one of the image,
 * by remote calls, and filled from outside by one worker per CPU.
 */
#include "restore/ctx.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <linux/rseq.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/ptrace.h"
#include "restore/aio.h"
#include "restore/batch.h"
#include "restore/cow.h"
#include "restore/fill.h"
#include "restore/sysv.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08 /* a type of its own, in place of MAP_PRIVATE */
#endif

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

/* Flags of the image that mmap(2) gets; locking is done after the fill. */
#define MAP_KEPT                                                                                  \
	(MAP_SHARED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_NORESERVE | MAP_HUGETLB | \
	 ((uint32_t)MAP_HUGE_MASK << MAP_HUGE_SHIFT))
#define MAP_HUGE_MASK 0x3f

static bool by_kernel(const VmaEntry *e)
{
	return e->status & (VMA_AREA_VDSO | VMA_AREA_VVAR | VMA_AREA_VSYSCALL);
}

/* Private content that cannot be written through the protection in the image. */
static bool needs_write(const VmaEntry *e, bool has_pages)
{
	return has_pages && !(e->prot & PROT_WRITE) && (e->flags & MAP_PRIVATE);
}

/* Does a run of private pages touch this mapping? *i walks the ascending runs. */
static bool has_pages(const struct pstree_item *it, const VmaEntry *e, size_t *i)
{
	while (*i < it->nr_runs && it->runs[*i].vaddr + it->runs[*i].pages * 4096 <= e->start)
		(*i)++;
	return *i < it->nr_runs && it->runs[*i].vaddr < e->end;
}

static void add_advice(struct batch *b, const VmaEntry *e)
{
	for (int advice = 0; e->has_madv && advice < 64; advice++)
		if (e->madv & (1ull << advice))
			batch_add(b, "madvise", SYS_madvise, e->start, e->end - e->start,
				  (unsigned long)advice, 0, 0, 0);
}

static void add_vma(struct batch *b, const struct pstree_item *it, size_t i, bool filled)
{
	const VmaEntry *e = it->vmas[i].e;
	struct cow_range kept = cow_kept(it, i);
	int prot = (int)e->prot | (needs_write(e, filled) ? PROT_WRITE | PROT_READ : 0);
	int fd = it->vmas[i].file || it->vmas[i].shmem ? it->restore->fds[i] : -1;
	int flags = (int)(e->flags & MAP_KEPT) | MAP_FIXED;

	if (fd >= 0)
		flags &= ~MAP_ANONYMOUS;
	/* Nothing else may take the place of a ring until aio_restore() makes it. */
	if (e->status & VMA_AREA_AIORING) {
		prot = PROT_NONE;
		flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED;
	}
	if (e->extra & VMA_EXTRA_DROPPABLE)
		flags = (flags & ~(MAP_PRIVATE | MAP_SHARED)) | MAP_DROPPABLE;
	/* Of what is not anonymous all is kept or nothing. */
	if (e->start < kept.start)
		batch_add(b, "mmap", SYS_mmap, e->start, kept.start - e->start, (unsigned long)prot,
			  (unsigned long)flags, (unsigned long)fd, 0);
	if (kept.end < e->end)
		batch_add(b, "mmap", SYS_mmap, kept.end, e->end - kept.end, (unsigned long)prot,
			  (unsigned long)flags, (unsigned long)fd, e->pgoff);
	add_advice(b, e);
}

static int add_mm_map(struct restore_ctx *ctx, struct batch *b, const struct pstree_item *it)
{
	const MmEntry *mm = it->mm;
	struct remote *r = it->restore->remote;
	size_t auxv_size = mm->n_mm_saved_auxv * sizeof(*mm->mm_saved_auxv);
	unsigned long auxv = batch_data(r, mm->mm_saved_auxv, auxv_size), at;
	struct prctl_mm_map map = {
		.start_code = mm->mm_start_code,
		.end_code = mm->mm_end_code,
		.start_data = mm->mm_start_data,
		.end_data = mm->mm_end_data,
		.start_brk = mm->mm_start_brk,
		.brk = mm->mm_brk,
		.start_stack = mm->mm_start_stack,
		.arg_start = mm->mm_arg_start,
		.arg_end = mm->mm_arg_end,
		.env_start = mm->mm_env_start,
		.env_end = mm->mm_env_end,
		.auxv = auxv_size ? (void *)auxv : NULL,
		.auxv_size = (uint32_t)auxv_size,
		.exe_fd = (uint32_t)it->restore->fds[it->nr_vmas],
	};

	at = batch_data(r, &map, sizeof(map));
	if (!auxv || !at)
		return fail(ctx->report, "remote-call", ENOMEM, "pid %d: work area", it->pid);
	batch_add(b, "PR_SET_MM_MAP", SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, at, sizeof(map), 0, 0);
	return 0;
}

static void add_unmap(struct batch *b, unsigned long start, unsigned long end)
{
	if (start < end)
		batch_add(b, "munmap", SYS_munmap, start, end - start, 0, 0, 0, 0);
}

/* All goes but the work area and what a task was born with. */
static void add_leave_own(struct batch *b, const struct pstree_item *it)
{
	unsigned long start, end, at = 0;
	struct ptrace_rseq rseq;

	if (ptrace_get_rseq(it->pid, &rseq) == 0 && rseq.address)
		batch_add(b, "unregister rseq", SYS_rseq, rseq.address, rseq.size,
			  RSEQ_FLAG_UNREGISTER, rseq.signature, 0, 0);
	remote_area(it->restore->remote, &start, &end);
	for (size_t i = 0; i < it->nr_vmas; i++) {
		struct cow_range kept = cow_kept(it, i);

		if (kept.start == kept.end)
			continue;
		if (at <= start && start < kept.start) {
			add_unmap(b, at, start);
			at = end;
		}
		add_unmap(b, at, kept.start);
		at = kept.end;
	}
	if (at <= start) {
		add_unmap(b, at, start);
		at = end;
	}
	add_unmap(b, at, 0x7ffffffff000UL);
}

static int map_task(struct restore_ctx *ctx, struct pstree_item *it)
{
	struct batch b = { .arena = ctx->arena };
	size_t run = 0;
	int ret;

	remote_reset(it->restore->remote);
	add_leave_own(&b, it);
	vdso_map(&b, it);
	/* What reaches beyond its mapping is unmapped before others come there. */
	sysv_attach(&b, it);
	for (size_t i = 0; i < it->nr_vmas; i++)
		if (it->vmas[i].e->status & VMA_AREA_SYSVIPC)
			add_advice(&b, it->vmas[i].e);
		else if (!by_kernel(it->vmas[i].e))
			add_vma(&b, it, i, has_pages(it, it->vmas[i].e, &run));
	ret = add_mm_map(ctx, &b, it);
	return ret < 0 ? ret : batch_run(ctx, it->restore->remote, it->pid, &b);
}

/* Kernels without names for anonymous memory do without: they tell nothing apart. */
static int add_name(struct restore_ctx *ctx, struct batch *b, const struct pstree_item *it,
		    const VmaEntry *e)
{
	struct remote *r = it->restore->remote;
	size_t size = e->name ? strlen(e->name) + 1 : 0;
	int ret;

	if (!size || prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, 0, 0, NULL) < 0)
		return 0;
	ret = batch_room(ctx, r, it->pid, b, size);
	if (ret >= 0)
		batch_add(b, "name memory", SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME, e->start,
			  e->end - e->start, batch_data(r, e->name, size), 0);
	return ret;
}

static int add_finish(struct restore_ctx *ctx, struct batch *b, const struct pstree_item *it,
		      const VmaEntry *e, bool filled)
{
	size_t len = e->end - e->start;
	int ret;

	if (needs_write(e, filled))
		batch_add(b, "mprotect", SYS_mprotect, e->start, len, e->prot, 0, 0, 0);
	if (e->flags & MAP_LOCKED)
		batch_add(b, "mlock", SYS_mlock2, e->start, len,
			  e->extra & VMA_EXTRA_ONFAULT ? MLOCK_ONFAULT : 0, 0, 0, 0);
	ret = add_name(ctx, b, it, e);
	/* Nothing of a sealed mapping can be changed. */
	if (e->extra & VMA_EXTRA_SEALED)
		batch_add(b, "seal memory", SYS_mseal, e->start, len, 0, 0, 0, 0);
	return ret;
}

/* Our descriptors: above the task's own, but for those that had no place there. */
static void add_closes(struct batch *b, const struct pstree_item *it)
{
	const struct restore_task *rt = it->restore;

	for (size_t i = 0; i <= it->nr_vmas; i++) {
		size_t k = 0;

		if (rt->fds[i] < 0 || rt->fds[i] >= rt->service_fd_base)
			continue;
		while (rt->fds[k] != rt->fds[i])
			k++;
		if (k == i)
			batch_add(b, "close", SYS_close, (unsigned long)rt->fds[i], 0, 0, 0, 0, 0);
	}
	batch_add(b, "close_range", SYS_close_range, (unsigned long)rt->service_fd_base, ~0U, 0, 0,
		  0, 0);
}

/*
 * What must wait until the pages are in: guards, protection, locks, names,
 * seals. Then our descriptors go.
 */
static int seal_task(struct restore_ctx *ctx, struct pstree_item *it)
{
	struct batch b = { .arena = ctx->arena };
	size_t run = 0;
	int ret;

	remote_reset(it->restore->remote);
	for (size_t i = 0; i < it->mm->n_guards; i++)
		batch_add(&b, "guard pages", SYS_madvise, it->mm->guards[i]->start,
			  it->mm->guards[i]->end - it->mm->guards[i]->start, MADV_GUARD_INSTALL, 0,
			  0, 0);
	for (size_t i = 0; i < it->nr_vmas; i++) {
		const VmaEntry *e = it->vmas[i].e;

		if (by_kernel(e))
			continue;
		ret = add_finish(ctx, &b, it, e, has_pages(it, e, &run));
		if (ret < 0)
			return ret;
	}
	add_closes(&b, it);
	return batch_run(ctx, it->restore->remote, it->pid, &b);
}

/**
 * restore_memory - the memory of every task as in the image
 * @ctx: the run; tasks are seized
 *
 * Return: 0 or -errno, recorded.
 */
int restore_memory(struct restore_ctx *ctx)
{
	struct pstree_item *it;
	int ret;

	list_for_each(it, &ctx->tree->items, list) {
		if (!item_alive(it))
			continue;
		ret = map_task(ctx, it);
		if (ret >= 0)
			ret = aio_restore(ctx, it);
		if (ret < 0)
			return ret;
	}
	ret = fill_tree(ctx);
	if (ret < 0)
		return ret;
	list_for_each(it, &ctx->tree->items, list)
		if (item_alive(it) && (ret = seal_task(ctx, it)) < 0)
			return ret;
	return sysv_settle(ctx);
}
