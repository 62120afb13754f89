/*
 * memhash - see the header for what is counted and how.
 */
#include "model/memhash.h"

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#define PAGE_BYTES 4096
/* The part of the area of rseq(2) that kernels write to; a larger one is registered for alignment.
 */
#define RSEQ_KERNEL_BYTES 32

struct sum {
	uint64_t hash, pages;
};

static const unsigned char zeros[PAGE_BYTES];

/* The finaliser of splitmix64. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

static void sum_page(struct sum *s, uint64_t number, const void *page, bool zeros_count)
{
	uint64_t h = XXH3_64bits(page, PAGE_BYTES);

	if (!zeros_count && !memcmp(page, zeros, 16) && !memcmp(page, zeros, PAGE_BYTES))
		return;
	s->hash += mix(h + mix(number + UINT64_C(0x9e3779b97f4a7c15)));
	s->pages++;
}

static int hole_compare(const void *a, const void *b)
{
	const struct memhash_hole *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/**
 * memhash_task_init - find the bytes of a task that do not count
 * @mt: filled; valid as long as @a
 * @it: the task; its threads' messages have rseq_entry, or do not need it
 * @a: where the holes are kept
 */
void memhash_task_init(struct memhash_task *mt, const struct pstree_item *it, struct arena *a)
{
	*mt = (struct memhash_task){ 0 };
	for (size_t i = 0; i < it->nr_threads; i++) {
		const CoreEntry *core = it->threads[i].core;
		const RseqEntry *e =
			core && core->thread_core ? core->thread_core->rseq_entry : NULL;
		uint64_t len, end;

		if (!e || !e->rseq_abi_pointer)
			continue;
		len = e->rseq_abi_size < RSEQ_KERNEL_BYTES ? e->rseq_abi_size : RSEQ_KERNEL_BYTES;
		if (!__builtin_add_overflow(e->rseq_abi_pointer, len, &end))
			arena_push(a, mt->holes, mt->n) =
				(struct memhash_hole){ e->rseq_abi_pointer, end };
	}
	if (mt->n)
		qsort(mt->holes, mt->n, sizeof(*mt->holes), hole_compare);
}

/* The first hole that ends after @addr. */
static size_t hole_after(const struct memhash_task *mt, uint64_t addr)
{
	size_t lo = 0, hi = mt->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (mt->holes[mid].end > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* The page with its holes zeroed: itself, or @copy. */
static const unsigned char *without_holes(const struct memhash_task *mt, size_t *i, uint64_t vaddr,
					  const unsigned char *page, unsigned char *copy)
{
	const unsigned char *out = page;

	while (*i < mt->n && mt->holes[*i].end <= vaddr)
		(*i)++;
	for (size_t j = *i; j < mt->n && mt->holes[j].start < vaddr + PAGE_BYTES; j++) {
		uint64_t from = mt->holes[j].start > vaddr ? mt->holes[j].start - vaddr : 0;
		uint64_t to = mt->holes[j].end - vaddr;

		if (out == page)
			out = memcpy(copy, page, PAGE_BYTES);
		memset(copy + from, 0, (to < PAGE_BYTES ? to : PAGE_BYTES) - from);
	}
	return out;
}

/**
 * memhash_vma - count private pages of a mapping
 * @v: the mapping; its hash and hashed_pages are added to
 * @mt: the task's holes; may be NULL
 * @vaddr: address of the first page
 * @buf: the pages, each with content of its own in the task
 * @pages: how many
 *
 * May be called from several threads, each page once.
 */
void memhash_vma(struct vma *v, const struct memhash_task *mt, uint64_t vaddr, const void *buf,
		 size_t pages)
{
	size_t hole = mt ? hole_after(mt, vaddr) : 0;
	unsigned char copy[PAGE_BYTES];
	const unsigned char *page = buf;
	struct sum s = { 0 };

	for (size_t i = 0; i < pages; i++, page += PAGE_BYTES, vaddr += PAGE_BYTES) {
		const unsigned char *p = mt ? without_holes(mt, &hole, vaddr, page, copy) : page;

		sum_page(&s, vaddr / PAGE_BYTES, p, v->e->status & VMA_FILE_PRIVATE);
	}
	__atomic_fetch_add(&v->hash, s.hash, __ATOMIC_RELAXED);
	__atomic_fetch_add(&v->hashed_pages, s.pages, __ATOMIC_RELAXED);
}

/**
 * memhash_shmem - count pages of a shared object
 * @o: the object; its hash and hashed_pages are added to
 * @offset: of the first page in it, in bytes
 * @buf: the pages
 * @pages: how many
 *
 * May be called from several threads, each page once.
 */
void memhash_shmem(struct shmem *o, uint64_t offset, const void *buf, size_t pages)
{
	const unsigned char *page = buf;
	struct sum s = { 0 };

	for (size_t i = 0; i < pages; i++, page += PAGE_BYTES, offset += PAGE_BYTES)
		sum_page(&s, offset / PAGE_BYTES, page, false);
	__atomic_fetch_add(&o->hash, s.hash, __ATOMIC_RELAXED);
	__atomic_fetch_add(&o->hashed_pages, s.pages, __ATOMIC_RELAXED);
}
