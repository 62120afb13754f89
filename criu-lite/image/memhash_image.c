/*
 * memhash_image - checksums of the memory in an image, by the same rule as
 * those of a live tree (model/memhash.h). Pages are read piece by piece by one
 * worker per CPU; nothing is kept of them.
 */
#include "model/memhash.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/fd.h"
#include "image/image.h"
#include "model/state.h"

#define PAGE_BYTES 4096u
#define PIECE_BYTES ((uint64_t)1 << 20)
#define PARALLEL ((uint64_t)8 << 20) /* bytes; less is not worth a thread */
#define MAX_WORKERS 16

/* Pages that belong to one mapping or one shared object. */
struct piece {
	struct vma *v; /* or NULL */
	struct shmem *s;
	uint64_t at, len, offset; /* bytes: address or offset in the object, length, in the file */
};

/* The pieces of one pages file. */
struct hashing {
	struct memhash_task mt;
	struct arena *a;
	struct piece *pieces;
	size_t n;
	uint64_t total;
	int fd;
	atomic_size_t next;
	atomic_int err; /* the first errno */
};

static int hash_piece(const struct hashing *h, const struct piece *p, void *buf)
{
	int ret = pread_all(h->fd, buf, p->len, (off_t)p->offset);

	if (ret)
		return ret;
	if (p->v)
		memhash_vma(p->v, &h->mt, p->at, buf, p->len / PAGE_BYTES);
	else
		memhash_shmem(p->s, p->at, buf, p->len / PAGE_BYTES);
	return 0;
}

static void *hash_worker(void *arg)
{
	void *buf = malloc(PIECE_BYTES);
	struct hashing *h = arg;
	size_t i;

	if (!buf)
		abort();
	while (!atomic_load(&h->err) && (i = atomic_fetch_add(&h->next, 1)) < h->n) {
		int none = 0, ret = hash_piece(h, &h->pieces[i], buf);

		if (ret)
			atomic_compare_exchange_strong(&h->err, &none, -ret);
	}
	free(buf);
	return NULL;
}

static void hash_all(struct hashing *h)
{
	pthread_t workers[MAX_WORKERS];
	int n = 0, want = 1;
	cpu_set_t cpus;

	if (h->total >= PARALLEL && !sched_getaffinity(0, sizeof(cpus), &cpus))
		want = CPU_COUNT(&cpus) < MAX_WORKERS ? CPU_COUNT(&cpus) : MAX_WORKERS;
	while (n < want - 1 && !pthread_create(&workers[n], NULL, hash_worker, h))
		n++;
	hash_worker(h);
	while (n-- > 0)
		pthread_join(workers[n], NULL);
}

static void add_pieces(struct hashing *h, struct vma *v, struct shmem *s, uint64_t at, uint64_t len,
		       uint64_t offset)
{
	h->total += len;
	while (len) {
		uint64_t now = len < PIECE_BYTES ? len : PIECE_BYTES;

		arena_push(h->a, h->pieces, h->n) =
			(struct piece){ .v = v, .s = s, .at = at, .len = now, .offset = offset };
		at += now;
		offset += now;
		len -= now;
	}
}

/* Reads and counts what was added. */
static int hash_file(struct hashing *h, struct image_dir *d, struct report *r, uint32_t id)
{
	cleanup_close int fd = -1;
	uint64_t size;
	int ret;

	if (!h->n)
		return 0;
	ret = image_pages_open(d, id, &fd, &size);
	if (ret)
		return ret;
	h->fd = fd;
	hash_all(h);
	if (atomic_load(&h->err))
		return fail(r, "image-read", atomic_load(&h->err), "pages-%u.img: cannot be read",
			    id);
	return 0;
}

/* A run of pages may go over several mappings; both ascend. */
static void split_run(struct hashing *h, struct pstree_item *it, const struct page_run *run,
		      size_t *i)
{
	uint64_t at = run->vaddr, end = run->vaddr + run->pages * PAGE_BYTES;

	while (*i < it->nr_vmas && it->vmas[*i].e->end <= at)
		(*i)++;
	for (size_t j = *i; j < it->nr_vmas && it->vmas[j].e->start < end; j++) {
		struct vma *v = &it->vmas[j];
		uint64_t from = v->e->start > at ? v->e->start : at;
		uint64_t to = v->e->end < end ? v->e->end : end;

		/* The kernel's own pages are not content, though some tools save them. */
		if (from < to && !(v->e->status & (VMA_AREA_VDSO | VMA_AREA_VVAR)))
			add_pieces(h, v, NULL, from, to - from, run->offset + (from - run->vaddr));
	}
}

static int hash_item(struct image_dir *d, struct report *r, struct pstree_item *it)
{
	struct hashing h = { .a = arena_new() };
	size_t at = 0;
	int ret;

	for (size_t i = 0; i < it->nr_vmas; i++)
		it->vmas[i].hash = it->vmas[i].hashed_pages = 0;
	memhash_task_init(&h.mt, it, h.a);
	for (size_t i = 0; i < it->nr_runs; i++)
		split_run(&h, it, &it->runs[i], &at);
	ret = hash_file(&h, d, r, it->pages_id);
	arena_free(h.a);
	return ret;
}

static int hash_shmem(struct image_dir *d, struct report *r, struct shmem *s)
{
	struct hashing h = { .a = arena_new() };
	int ret;

	s->hash = s->hashed_pages = 0;
	for (size_t i = 0; i < s->nr_runs; i++)
		add_pieces(&h, NULL, s, s->runs[i].vaddr, s->runs[i].pages * PAGE_BYTES,
			   s->runs[i].offset);
	ret = hash_file(&h, d, r, s->pages_id);
	arena_free(h.a);
	return ret;
}

/**
 * state_hash_image - checksums of all memory of a tree that was loaded
 * @d: the directory with its pages
 * @t: the tree; hash and hashed_pages of its mappings and shared objects are set
 *
 * Return: 0 or -errno, recorded.
 */
int state_hash_image(struct image_dir *d, struct pstree *t)
{
	struct pstree_item *it;
	struct shmem *s;
	int ret = 0;

	list_for_each(it, &t->items, list)
		if (!ret && item_alive(it))
			ret = hash_item(d, t->report, it);
	list_for_each(s, &t->shmems, list)
		if (!ret)
			ret = hash_shmem(d, t->report, s);
	return ret;
}
