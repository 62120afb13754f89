/*
 * cow - pages that a parent and a child have shared since fork(2) are shared
 * again, and take memory and time once.
 *
 * The tool looks for pages that are the same in the images of a task and of
 * its midwife, in mappings that are alike (cow_plan.c). Before a task forks, it
 * makes those of its mappings that have such pages, at their own places, and
 * puts only these pages there; the child is born with them and drops what it
 * does not have. When the memory map is replaced, what is kept stays where it
 * is: see memory.c. All other pages come as ever: see fill.c.
 *
 * A place that this program itself uses is not free in a task; then nothing of
 * that mapping is shared, and all is as it would be without this file.
 */
#include "restore/cow_priv.h"

#include <sys/mman.h>

#include "base/fd.h"
#include "image/image.h"

#define PAGE ((uint64_t)4096)

#define OWN_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_NORESERVE)

/**
 * cow_kept - does a mapping stand already?
 * @it: the task
 * @vma: its number
 *
 * Return: the part that does.
 */
struct cow_range cow_kept(const struct pstree_item *it, size_t vma)
{
	const struct cow_task *c = cow_of(it);
	uint64_t start = it->vmas[vma].e->start;

	return c && c->kept ? c->kept[vma] : (struct cow_range){ start, start };
}

/**
 * cow_part - in a mapping that stands already, are its pages there?
 * @it: the task
 * @at: an address in it
 * @stop: its end, or an address before
 * @there: set
 *
 * Return: the end of the part for which the answer holds.
 */
uint64_t cow_part(const struct pstree_item *it, uint64_t at, uint64_t stop, bool *there)
{
	const struct cow_task *c = cow_of(it);
	size_t lo = 0, hi = c->nr_runs;
	uint64_t end;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (c->runs[mid].end <= at)
			lo = mid + 1;
		else
			hi = mid;
	}
	*there = lo < c->nr_runs && c->runs[lo].start <= at;
	end = lo == c->nr_runs ? stop : *there ? c->runs[lo].end : c->runs[lo].start;
	return end < stop ? end : stop;
}

/* What the midwife has put there and this task does not have. */
static void drop_pages(const struct pstree_item *me, const struct pstree_item *mid,
		       struct cow_range in)
{
	const struct cow_task *m = cow_of(mid);

	for (size_t i = 0; i < m->nr_runs; i++) {
		uint64_t at = m->runs[i].start > in.start ? m->runs[i].start : in.start;
		uint64_t to = m->runs[i].end < in.end ? m->runs[i].end : in.end, next;

		for (; at < to; at = next) {
			bool there;

			next = cow_part(me, at, to, &there);
			if (there) {
				size_t k = 0;

				while (cow_of(me)->runs[k].end <= at)
					k++;
				there = cow_of(me)->runs[k].born;
			}
			if (!there)
				madvise((void *)at, next - at, MADV_DONTNEED);
		}
	}
}

static void unmap(uint64_t start, uint64_t end)
{
	if (start < end)
		munmap((void *)start, end - start);
}

/* Takes over what is alike from the midwife, and unmaps the rest of what it had made. */
static void inherit(struct pstree_item *me, const struct pstree_item *mid)
{
	const struct cow_task *m = cow_of(mid);
	struct cow_task *c = cow_of(me);

	for (size_t j = 0, i = 0; j < mid->nr_vmas; j++) {
		struct cow_range left = m->kept[j];

		while (i < me->nr_vmas && me->vmas[i].e->end <= left.start)
			i++;
		for (size_t k = i; c && k < me->nr_vmas && me->vmas[k].e->start < left.end; k++) {
			struct cow_range r = cow_common(&me->vmas[k], &mid->vmas[j]);

			r.start = r.start > left.start ? r.start : left.start;
			r.end = r.end < left.end ? r.end : left.end;
			if (c->from[k] != &mid->vmas[j] || r.start >= r.end)
				continue;
			c->kept[k] = r;
			drop_pages(me, mid, r);
			unmap(left.start, r.start);
			left.start = r.end;
		}
		unmap(left.start, left.end);
	}
}

/* A mapping that children want, at its place if that is free. */
static void make(struct restore_ctx *ctx, struct pstree_item *me, size_t i)
{
	const struct vma *v = &me->vmas[i];
	const VmaEntry *e = v->e;
	int prot = (int)e->prot | (e->prot & PROT_WRITE ? 0 : PROT_READ | PROT_WRITE);
	cleanup_close int fd = v->file ? file_open_mapped(ctx, v->file, e->fdflags) : -1;
	int flags = (int)(e->flags & OWN_FLAGS) | MAP_FIXED_NOREPLACE;
	void *at;

	if (v->file && fd < 0)
		return;
	at = mmap((void *)e->start, e->end - e->start, prot, flags, fd, (off_t)e->pgoff);
	if (at == (void *)e->start)
		cow_of(me)->kept[i].end = e->end;
	else if (at != MAP_FAILED)
		munmap(at, e->end - e->start);
}

static int put_pages(const struct pstree_item *me, int fd, uint64_t at, uint64_t end, size_t *run)
{
	while (at < end) {
		const struct page_run *r = &me->runs[*run];
		uint64_t r_end = r->vaddr + r->pages * PAGE, n = (r_end < end ? r_end : end) - at;
		int ret;

		if (r_end <= at) {
			++*run;
			continue;
		}
		ret = pread_all(fd, (void *)at, n, (off_t)(r->offset + (at - r->vaddr)));
		if (ret < 0)
			return ret;
		at += n;
	}
	return 0;
}

/* The pages for the children, unless they are there by birth. */
static int give(struct restore_ctx *ctx, const struct pstree_item *me, const bool *made)
{
	const struct cow_task *c = cow_of(me);
	cleanup_close int fd = -1;
	size_t v = 0, run = 0;
	int ret = 0;

	for (size_t i = 0; i < c->nr_runs && ret >= 0; i++) {
		struct cow_run r = c->runs[i];
		uint64_t size;

		while (me->vmas[v].e->end <= r.start)
			v++;
		r.start = r.start > c->kept[v].start ? r.start : c->kept[v].start;
		r.end = r.end < c->kept[v].end ? r.end : c->kept[v].end;
		if (r.start >= r.end || (r.born && !made[v]))
			continue;
		if (fd < 0)
			ret = image_pages_open(ctx->images, me->pages_id, &fd, &size);
		if (ret >= 0)
			ret = put_pages(me, fd, r.start, r.end, &run);
	}
	return ret;
}

/**
 * cow_born - in a task, before it forks: have the pages that are shared
 * @ctx: the run
 * @me: the calling task
 *
 * Return: 0 or -errno of reading the image.
 */
int cow_born(struct restore_ctx *ctx, struct pstree_item *me)
{
	const struct pstree_item *mid = me->restore->midwife;
	struct cow_task *c = cow_of(me);
	bool *made, any = false;

	if (cow_of(mid))
		inherit(me, mid);
	if (!c)
		return 0;
	made = arena_array(ctx->arena, bool, me->nr_vmas);
	for (size_t i = 0; i < me->nr_vmas; i++) {
		any |= c->wanted[i];
		if (!c->wanted[i] || c->kept[i].start < c->kept[i].end)
			continue;
		make(ctx, me, i);
		made[i] = true;
	}
	return any ? give(ctx, me, made) : 0;
}
