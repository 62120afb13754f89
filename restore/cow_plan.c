/*
 * cow_plan - in the tool, before the first fork: which pages of the images of a
 * task and of its midwife are the same, in mappings that are alike. See cow.c
 * for what becomes of them.
 */
#include "restore/cow_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "image/image.h"

#define PAGE ((uint64_t)4096)
#define CHUNK ((size_t)64 << 10) /* compared at a time */

static bool is_shareable(const struct vma *v)
{
	const VmaEntry *e = v->e;
	const uint32_t not = VMA_AREA_VDSO | VMA_AREA_VVAR | VMA_AREA_VSYSCALL | VMA_AREA_AIORING;

	if (!(e->status & (VMA_ANON_PRIVATE | VMA_FILE_PRIVATE)) || e->status & not || v->shmem ||
	    e->flags & MAP_HUGETLB || e->extra & VMA_EXTRA_DROPPABLE)
		return false;
	/* Huge pages come only if the advice is given first. */
	if (e->has_madv && e->madv & 1ull << MADV_HUGEPAGE)
		return false;
	return !v->file || v->file->kind == FILE_KIND_reg;
}

static bool is_alike(const struct vma *a, const struct vma *b)
{
	const VmaEntry *x = a->e, *y = b->e;
	bool plain = !a->file && !(x->flags & MAP_GROWSDOWN);

	return is_shareable(a) && is_shareable(b) && x->prot == y->prot && x->flags == y->flags &&
	       a->file == b->file && x->fdflags == y->fdflags &&
	       (plain || (x->start == y->start && x->end == y->end && x->pgoff == y->pgoff));
}

/* The midwife's mapping that has most in common with @v, or its nr_vmas. *j walks them. */
static size_t find_alike(const struct pstree_item *mid, const struct vma *v, size_t *j)
{
	size_t best = mid->nr_vmas;
	uint64_t most = 0;

	while (*j < mid->nr_vmas && mid->vmas[*j].e->end <= v->e->start)
		++*j;
	for (size_t k = *j; k < mid->nr_vmas && mid->vmas[k].e->start < v->e->end; k++) {
		struct cow_range c = cow_common(v, &mid->vmas[k]);

		if (c.end - c.start > most && is_alike(v, &mid->vmas[k])) {
			most = c.end - c.start;
			best = k;
		}
	}
	return best;
}

/* A walk over the pages of two tasks. */
struct pair {
	struct restore_ctx *ctx;
	struct pstree_item *it, *mid;
	int fd, mid_fd;
	char *buf, *mid_buf;
	struct cow_run *same;
	size_t nr_same;
	size_t before; /* of other mappings; no run is in two */
};

static void same_add(struct pair *p, uint64_t start, uint64_t end)
{
	if (p->nr_same > p->before && p->same[p->nr_same - 1].end == start) {
		p->same[p->nr_same - 1].end = end;
		return;
	}
	arena_push(p->ctx->arena, p->same, p->nr_same) =
		(struct cow_run){ .start = start, .end = end, .born = true };
}

static int compare(struct pair *p, uint64_t at, uint64_t end, uint64_t offset, uint64_t mid_offset)
{
	for (size_t n; at < end; at += n, offset += n, mid_offset += n) {
		int ret;

		n = end - at < CHUNK ? (size_t)(end - at) : CHUNK;
		ret = pread_all(p->fd, p->buf, n, (off_t)offset);
		ret = ret < 0 ? ret : pread_all(p->mid_fd, p->mid_buf, n, (off_t)mid_offset);
		if (ret < 0)
			return fail(p->ctx->report, "fill", -ret,
				    "pid %d: read pages at %llu of its image", p->it->pid,
				    (unsigned long long)offset);
		for (size_t i = 0; i < n; i += PAGE)
			if (!memcmp(p->buf + i, p->mid_buf + i, PAGE))
				same_add(p, at + i, at + i + PAGE);
	}
	return 0;
}

/* Pages of both tasks in one range. *a and *b walk the ascending runs. */
static int compare_range(struct pair *p, uint64_t start, uint64_t end, size_t *a, size_t *b)
{
	while (*a < p->it->nr_runs && *b < p->mid->nr_runs) {
		const struct page_run *x = &p->it->runs[*a], *y = &p->mid->runs[*b];
		uint64_t x_end = x->vaddr + x->pages * PAGE, y_end = y->vaddr + y->pages * PAGE;
		uint64_t from = x->vaddr > y->vaddr ? x->vaddr : y->vaddr;
		uint64_t to = x_end < y_end ? x_end : y_end;
		int ret;

		from = from > start ? from : start;
		to = to < end ? to : end;
		ret = from < to ? compare(p, from, to, x->offset + (from - x->vaddr),
					  y->offset + (from - y->vaddr))
				: 0;
		if (ret < 0)
			return ret;
		if (x_end > end && y_end > end)
			return 0;
		if (x_end < y_end)
			++*a;
		else
			++*b;
	}
	return 0;
}

static struct cow_task *cow_new(struct restore_ctx *ctx, struct pstree_item *it)
{
	struct cow_task *c = it->restore->cow;

	if (c)
		return c;
	c = arena_new_of(ctx->arena, struct cow_task);
	c->from = arena_array(ctx->arena, const struct vma *, it->nr_vmas);
	c->wanted = arena_array(ctx->arena, bool, it->nr_vmas);
	it->restore->cow = c;
	return c;
}

static void runs_add(struct arena *a, struct cow_task *c, struct cow_run r)
{
	arena_push(a, c->runs, c->nr_runs) = r;
}

/* Mappings that are alike, and their pages that are the same. */
static int pair_walk(struct pair *p)
{
	size_t j = 0, a = 0, b = 0;

	for (size_t i = 0; i < p->it->nr_vmas; i++) {
		const struct vma *v = &p->it->vmas[i];
		size_t k = is_shareable(v) ? find_alike(p->mid, v, &j) : p->mid->nr_vmas;
		struct cow_range c;
		int ret;

		if (k == p->mid->nr_vmas)
			continue;
		c = cow_common(v, &p->mid->vmas[k]);
		p->before = p->nr_same;
		ret = compare_range(p, c.start, c.end, &a, &b);
		if (ret < 0)
			return ret;
		if (p->nr_same == p->before)
			continue;
		cow_new(p->ctx, p->it)->from[i] = &p->mid->vmas[k];
		cow_new(p->ctx, p->mid)->wanted[k] = true;
	}
	for (size_t k = 0; k < p->nr_same; k++) {
		struct cow_run r = p->same[k];

		runs_add(p->ctx->arena, p->it->restore->cow, r);
		r.born = false;
		runs_add(p->ctx->arena, p->mid->restore->cow, r);
	}
	return 0;
}

static int pair_compare(struct restore_ctx *ctx, struct pstree_item *it, char *bufs)
{
	struct pair p = { .ctx = ctx, .it = it, .mid = it->restore->midwife };
	cleanup_close int fd = -1, mid_fd = -1;
	uint64_t size;
	int ret;

	p.buf = bufs;
	p.mid_buf = bufs + CHUNK;
	ret = image_pages_open(ctx->images, it->pages_id, &fd, &size);
	if (ret >= 0)
		ret = image_pages_open(ctx->images, p.mid->pages_id, &mid_fd, &size);
	p.fd = fd;
	p.mid_fd = mid_fd;
	return ret < 0 ? ret : pair_walk(&p);
}

static int run_order(const void *a, const void *b)
{
	const struct cow_run *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->end < y->end ? -1 : x->end > y->end;
}

/* What a task is born with and what several children want overlap: cut into runs that do not. */
static void runs_settle(struct restore_ctx *ctx, struct cow_task *c)
{
	struct cow_run *in = c->runs, *born;
	size_t n = c->nr_runs, nr_born = 0, b = 0;
	uint64_t done = 0;

	/* These are in order already, and win. */
	born = arena_array(ctx->arena, struct cow_run, n + 1);
	for (size_t i = 0; i < n; i++)
		if (in[i].born)
			born[nr_born++] = in[i];
	qsort(in, n, sizeof(*in), run_order);
	c->runs = NULL;
	c->nr_runs = 0;
	for (size_t i = 0; i < n; i++) {
		uint64_t at = in[i].start > done ? in[i].start : done;

		while (at < in[i].end) {
			struct cow_run r = { .start = at, .end = in[i].end };

			while (b < nr_born && born[b].end <= at)
				b++;
			if (b < nr_born && born[b].start <= at) {
				r.born = true;
				if (born[b].end < r.end)
					r.end = born[b].end;
			} else if (b < nr_born && born[b].start < r.end) {
				r.end = born[b].start;
			}
			runs_add(ctx->arena, c, r);
			at = done = r.end;
		}
	}
}

/* Where tasks say what they have kept. */
static int kept_new(struct restore_ctx *ctx)
{
	struct pstree_item *it;
	struct cow_range *at;
	size_t n = 0;

	list_for_each(it, &ctx->tree->items, list)
		n += cow_of(it) ? it->nr_vmas : 0;
	if (!n)
		return 0;
	at = mmap(NULL, n * sizeof(*at), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (at == MAP_FAILED)
		return fail(ctx->report, "no-memory", errno, "memory shared by all tasks");
	ctx->kept = at;
	ctx->nr_kept = n;
	list_for_each(it, &ctx->tree->items, list) {
		if (!cow_of(it))
			continue;
		runs_settle(ctx, cow_of(it));
		cow_of(it)->kept = at;
		for (size_t i = 0; i < it->nr_vmas; i++, at++)
			at->start = at->end = it->vmas[i].e->start;
	}
	return 0;
}

/**
 * cow_plan - find out which pages are shared, before the first fork
 * @ctx: the run; planned
 *
 * Return: 0 or -errno, recorded.
 */
int cow_plan(struct restore_ctx *ctx)
{
	struct pstree_item *it, *mid;
	char *bufs = NULL;
	int ret = 0;

	list_for_each(it, &ctx->tree->items, list) {
		mid = it->restore->midwife;
		if (!mid || !item_alive(it) || !item_alive(mid) || !it->nr_runs || !mid->nr_runs)
			continue;
		/* After execve(2) the stack is elsewhere, and nothing is shared. */
		if (it->mm->mm_start_stack != mid->mm->mm_start_stack)
			continue;
		/* One that has not its descriptors to itself cannot open its image. */
		if (!mid->fdt || mid->fdt->owner != mid)
			continue;
		bufs = bufs ?: aligned_alloc(PAGE, 2 * CHUNK);
		if (!bufs)
			abort();
		ret = pair_compare(ctx, it, bufs);
		if (ret < 0)
			break;
	}
	free(bufs);
	return ret < 0 ? ret : kept_new(ctx);
}

/**
 * cow_free - undo cow_plan()
 * @ctx: the run
 */
void cow_free(struct restore_ctx *ctx)
{
	if (ctx->kept)
		munmap(ctx->kept, ctx->nr_kept * sizeof(*ctx->kept));
	ctx->kept = NULL;
}
