/*
 * mem - which pages have content, and what it is. Private pages by
 * PAGEMAP_SCAN, shared anonymous memory by its holes.
 */
#include "dump/vmas.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "dump/copy.h"
#include "image/image.h"
#include "kernel/backoff.h"
#include "kernel/pagemap.h"
#include "kernel/smaps.h"

#define PAGE_BYTES 4096u
#define USER_END 0x7ffffffff000ull
#define ROOM_ID 1u                      /* pages image of the root, the first task */
#define ROOM_WORTH ((uint64_t)32 << 20) /* bytes */
#define BATCH 64                        /* pages files open at a time */

/* One scan of an address space. */
struct scan {
	struct dump_ctx *ctx;
	struct pstree_item *it;
	size_t vma;      /* the first that the next range can be in */
	uint64_t offset; /* in the pages file */
};

static bool vma_has_pages(const struct vma *v)
{
	const uint32_t status = v->e->status;

	return status & VMA_AREA_REGULAR && status & (VMA_ANON_PRIVATE | VMA_FILE_PRIVATE) &&
	       !(status & (VMA_AREA_VVAR | VMA_AREA_VDSO));
}

static void run_add(struct scan *s, uint64_t start, uint64_t end)
{
	struct pstree_item *it = s->it;

	arena_push(s->ctx->arena, it->runs, it->nr_runs) = (struct page_run){
		.vaddr = start,
		.pages = (end - start) / PAGE_BYTES,
		.offset = s->offset,
		.flags = PE_PRESENT,
	};
	s->offset += end - start;
}

/* Guard pages of all mappings; neighbours are one. */
static void guard_add(struct scan *s, uint64_t start, uint64_t end)
{
	MmEntry *mm = s->it->mm;
	GuardEntry *g;

	if (mm->n_guards && mm->guards[mm->n_guards - 1]->end == start) {
		mm->guards[mm->n_guards - 1]->end = end;
		return;
	}
	g = arena_new_of(s->ctx->arena, GuardEntry);
	guard_entry__init(g);
	g->start = start;
	g->end = end;
	arena_push(s->ctx->arena, mm->guards, mm->n_guards) = g;
}

/* What is dumped whole: the vdso, for whoever restores it, and rings, whose pages are a file's. */
#define WHOLE (VMA_AREA_VDSO | VMA_AREA_AIORING)

/* Passes over mappings that end before @at. */
static void scan_pass(struct scan *s, uint64_t at)
{
	for (; s->vma < s->it->nr_vmas && s->it->vmas[s->vma].e->end <= at; s->vma++) {
		const VmaEntry *e = s->it->vmas[s->vma].e;

		if (e->status & WHOLE)
			run_add(s, e->start, e->end);
	}
}

static int scan_range(void *arg, const struct pagemap_range *r)
{
	struct scan *s = arg;
	uint64_t at = r->start;

	while (at < r->end) {
		const struct vma *v;
		uint64_t end;

		scan_pass(s, at);
		if (s->vma == s->it->nr_vmas || s->it->vmas[s->vma].e->start >= r->end)
			break;
		v = &s->it->vmas[s->vma];
		if (at < v->e->start)
			at = v->e->start;
		end = r->end < v->e->end ? r->end : v->e->end;
		if (vma_has_pages(v)) {
			/* The kernel may drop these at any time, and restore is one. */
			bool drop = v->vmflags & SMAPS_FLAG(dp);

			if (r->guard)
				guard_add(s, at, end);
			else if (!drop)
				run_add(s, at, end);
		}
		at = end;
	}
	return 0;
}

static int item_scan(struct dump_ctx *ctx, struct pstree_item *it)
{
	cleanup_close int fd = pagemap_open(it->dump->proc_fd);
	struct scan s = { .ctx = ctx, .it = it };
	int ret = fd < 0 ? fd : pagemap_scan(fd, 0, USER_END, scan_range, &s);

	if (ret)
		return fail(ctx->report, "process-read", -ret, "pid %d: scan /proc/%d/pagemap",
			    it->pid, it->pid);
	scan_pass(&s, UINT64_MAX);
	ctx->stats->pages_scanned += s.offset / PAGE_BYTES;
	return 0;
}

/* An object that we may not open: all that is mapped of it, as holes cannot be seen. */
static void shmem_whole(struct dump_ctx *ctx, struct shmem *s, const struct dump_shmem *m)
{
	arena_push(ctx->arena, s->runs, s->nr_runs) = (struct page_run){
		.vaddr = m->pgoff, .pages = m->len / PAGE_BYTES, .flags = PE_PRESENT
	};
	ctx->stats->shpages_scanned += m->len / PAGE_BYTES;
}

static int shmem_scan(struct dump_ctx *ctx, struct shmem *s)
{
	uint64_t size = (s->size + PAGE_BYTES - 1) & ~(uint64_t)(PAGE_BYTES - 1), offset = 0;
	off_t at = 0;

	while ((uint64_t)at < size) {
		off_t data = lseek(s->fd, at, SEEK_DATA), hole;

		if (data < 0 && errno == ENXIO)
			break;
		hole = data < 0 ? -1 : lseek(s->fd, data, SEEK_HOLE);
		if (hole < 0)
			return fail(ctx->report, "shared-memory", errno,
				    "shared memory %llu: look for holes",
				    (unsigned long long)s->shmid);
		data &= ~(off_t)(PAGE_BYTES - 1);
		if ((uint64_t)hole > size)
			hole = (off_t)size;
		hole = (hole + PAGE_BYTES - 1) & ~(off_t)(PAGE_BYTES - 1);
		arena_push(ctx->arena, s->runs, s->nr_runs) = (struct page_run){
			.vaddr = (uint64_t)data,
			.pages = (uint64_t)(hole - data) / PAGE_BYTES,
			.offset = offset,
			.flags = PE_PRESENT,
		};
		offset += (uint64_t)(hole - data);
		at = hole;
	}
	ctx->stats->shpages_scanned += size / PAGE_BYTES;
	return 0;
}

/* Sources that are waiting to be copied together. */
struct batch {
	struct dump_ctx *ctx;
	struct copy_src srcs[BATCH];
	size_t n;
	uint32_t last_id;
};

static int batch_flush(struct batch *b)
{
	int ret = b->n ? copy_run(b->ctx, b->srcs, b->n) : 0;

	for (size_t i = 0; i < b->n; i++)
		close_owned(&b->srcs[i].out);
	b->n = 0;
	return ret;
}

/* Of one address space by fork(2) alone: execve(2) puts the stack elsewhere. */
static bool is_fork_of(const struct pstree_item *a, const struct pstree_item *b)
{
	return a && b && a->mm && b->mm && a->mm->mm_start_stack == b->mm->mm_start_stack;
}

static bool is_forked(const struct pstree_item *it)
{
	const struct pstree_item *child;

	if (is_fork_of(it, it->parent))
		return true;
	list_for_each(child, &it->children, sibling)
		if (is_fork_of(it, child))
			return true;
	return false;
}

static int batch_add(struct batch *b, struct pstree_item *it, struct shmem *shm)
{
	struct dump_ctx *ctx = b->ctx;
	struct copy_src *s;
	int ret = b->n == BATCH ? batch_flush(b) : 0;

	if (ret)
		return ret;
	s = &b->srcs[b->n];
	*s = (struct copy_src){ .it = it, .shm = shm, .out = -1, .pages_id = ++b->last_id };
	s->via = shm && shm->fd < 0 ? shmem_mapped(ctx, shm) : NULL;
	s->forked = it && is_forked(it);
	s->runs = it ? it->runs : shm->runs;
	s->nr_runs = it ? it->nr_runs : shm->nr_runs;
	for (size_t i = 0; i < s->nr_runs; i++)
		s->size += s->runs[i].pages * PAGE_BYTES;
	if (it) {
		it->pages_id = s->pages_id;
		ctx->stats->pages_written += s->size / PAGE_BYTES;
	} else {
		shm->pages_id = s->pages_id;
		ctx->stats->shpages_written += s->size / PAGE_BYTES;
	}
	if (ctx->write && s->pages_id == ROOM_ID && ctx->room >= 0) {
		s->out = take_fd(&ctx->room);
		if (ftruncate(s->out, (off_t)s->size) < 0)
			ret = fail(ctx->report, "memory-copy", errno, "cut the first pages image");
	} else if (ctx->write)
		ret = image_pages_create(ctx->images, s->pages_id, &s->out);
	else if (it)
		memhash_task_init(&s->holes, it, ctx->arena);
	if (!ret)
		b->n++;
	return ret;
}

/* Anonymous memory of a process in bytes, or 0. */
static uint64_t anon_bytes(struct dump_ctx *ctx, pid_t pid)
{
	unsigned long long resident, shared;
	char name[32];

	snprintf(name, sizeof(name), "/proc/%d/statm", pid);
	if (proc_read(AT_FDCWD, name, &ctx->text) ||
	    sscanf(ctx->text.p, "%*u %llu %llu", &resident, &shared) != 2 || resident < shared)
		return 0;
	return (resident - shared) * PAGE_BYTES;
}

/**
 * dump_room - pages for the root's image, made while the tree still runs
 * @ctx: the dump; nothing is stopped yet
 *
 * On tmpfs, making the pages of a file is two thirds of writing it, and the
 * lock of the inode lets one worker do so at a time: 1 GiB is written in 0.2 s
 * instead of 0.5 s where they are there. How much it will be is a guess.
 *
 * Return: 0 or -errno recorded. ctx->room is the first pages image, or -1.
 */
int dump_room(struct dump_ctx *ctx)
{
	uint64_t bytes = anon_bytes(ctx, ctx->opts->pid);
	struct statfs fs;
	int ret;

	ctx->room = -1;
	if (bytes < ROOM_WORTH || fstatfs(ctx->opts->images_fd, &fs) < 0 ||
	    fs.f_type != TMPFS_MAGIC)
		return 0;
	ret = image_pages_create(ctx->images, ROOM_ID, &ctx->room);
	/* What is too much for the file system may not be too much when the guess was high. */
	if (!ret && fallocate(ctx->room, 0, 0, (off_t)bytes) < 0 && ftruncate(ctx->room, 0) < 0)
		ret = fail(ctx->report, "memory-copy", errno, "cut the first pages image");
	return ret;
}

/**
 * dump_pages - contents of all memory
 * @ctx: the dump; all tasks are stopped and no remote call is under way
 *
 * Written to pages files, or, without a writer, summed up as checksums.
 *
 * Return: 0 or -errno recorded.
 */
int dump_pages(struct dump_ctx *ctx)
{
	struct batch *b = arena_new_of(ctx->arena, struct batch);
	uint64_t start_ns = backoff_now();
	struct pstree_item *it;
	struct shmem *shm;
	int ret = 0, end;

	b->ctx = ctx;
	list_for_each(it, &ctx->tree->items, list) {
		if (ret || !item_alive(it))
			continue;
		ret = item_scan(ctx, it);
		if (!ret)
			ret = batch_add(b, it, NULL);
	}
	list_for_each(shm, &ctx->tree->shmems, list) {
		const struct dump_shmem *m = shm->fd < 0 ? shmem_mapped(ctx, shm) : NULL;

		if (ret || (shm->fd < 0 && !m))
			continue;
		if (m)
			shmem_whole(ctx, shm, m);
		else
			ret = shmem_scan(ctx, shm);
		if (!ret)
			ret = batch_add(b, NULL, shm);
	}
	end = batch_flush(b);
	ctx->stats->memdump_us = (backoff_now() - start_ns) / 1000;
	ctx->stats->memwrite_us = ctx->write ? ctx->stats->memdump_us : 0;
	return ret ? ret : end;
}
