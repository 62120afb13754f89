/*
 * fill - pages from the images into memory. The runs of all tasks are cut
 * into pieces that one worker per CPU takes in turn; each has one buffer, so
 * the tool's own memory does not grow with the tree.
 */
#include "restore/fill.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/image.h"
#include "restore/cow.h"
#include "restore/ctx.h"
#include "restore/sysv.h"
#include "restore/uffd.h"

#define PIECE ((size_t)4 << 20)
#define BUFFER ((size_t)256 << 10)
#define PARALLEL ((uint64_t)2 << 20) /* less than this is not worth a thread */
#define MAX_WORKER 16

/* A piece of a run; pid 0: into a file of ours, vaddr is the position there. */
struct piece {
	pid_t pid;
	int to;   /* the file of ours, or the task's userfaultfd, or -1: written */
	int from; /* pages file */
	uint64_t vaddr, len, offset;
};

struct fill {
	struct restore_ctx *ctx;
	struct piece *pieces;
	size_t n;
	atomic_size_t next;
	atomic_int failed;
	atomic_ullong done;
	uint64_t total;
};

static int put_slow(const struct piece *p, uint64_t at, const char *buf, size_t len)
{
	char path[32];
	cleanup_close int fd = -1;

	snprintf(path, sizeof(path), "/proc/%d/mem", p->pid);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd < 0 ? -errno : pwrite_all(fd, buf, len, (off_t)at);
}

static int put(const struct piece *p, uint64_t at, const void *buf, size_t len)
{
	struct iovec local = { (void *)buf, len }, remote = { (void *)at, len };

	if (!p->pid)
		return pwrite_all(p->to, buf, len, (off_t)at);
	if (p->to >= 0)
		return uffd_copy(p->to, at, buf, len);
	if (process_vm_writev(p->pid, &local, 1, &remote, 1, 0) == (ssize_t)len)
		return 0;
	return put_slow(p, at, buf, len);
}

/*
 * Straight from the page cache: the kernel reads the mapping, so that a file
 * that gets shorter meanwhile gives -EFAULT here and no signal.
 */
static int put_mapped(const struct piece *p)
{
	void *at =
		mmap(NULL, p->len, PROT_READ, MAP_SHARED | MAP_POPULATE, p->from, (off_t)p->offset);
	int ret;

	if (at == MAP_FAILED)
		return -errno;
	ret = put(p, p->vaddr, at, p->len);
	munmap(at, p->len);
	return ret;
}

static int put_buffered(const struct piece *p, char *buf)
{
	for (uint64_t done = 0; done < p->len;) {
		size_t n = p->len - done < BUFFER ? p->len - done : BUFFER;
		int ret = pread_all(p->from, buf, n, (off_t)(p->offset + done));

		if (ret >= 0)
			ret = put(p, p->vaddr + done, buf, n);
		if (ret < 0)
			return ret;
		done += n;
	}
	return 0;
}

static int fill_piece(struct fill *f, const struct piece *p, char *buf)
{
	int ret = p->len > BUFFER ? put_mapped(p) : put_buffered(p, buf);

	if (ret < 0)
		return fail(f->ctx->report, "fill", -ret,
			    "pid %d: %llu bytes of pages at %llu to %#llx", p->pid,
			    (unsigned long long)p->len, (unsigned long long)p->offset,
			    (unsigned long long)p->vaddr);
	return 0;
}

static void *fill_worker(void *arg)
{
	struct fill *f = arg;
	char *buf = aligned_alloc(4096, BUFFER);
	size_t i;

	if (!buf)
		abort();
	while (!atomic_load(&f->failed) && (i = atomic_fetch_add(&f->next, 1)) < f->n) {
		if (fill_piece(f, &f->pieces[i], buf) < 0)
			atomic_store(&f->failed, 1);
		atomic_fetch_add(&f->done, f->pieces[i].len);
		if (f->ctx->opts->progress)
			f->ctx->opts->progress(f->ctx->opts->arg, atomic_load(&f->done), f->total);
	}
	free(buf);
	return NULL;
}

static void fill_run(struct fill *f)
{
	pthread_t workers[MAX_WORKER];
	uint64_t start = restore_now();
	cpu_set_t cpus;
	int n = 0, want = 1;

	if (f->total >= PARALLEL && sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		want = CPU_COUNT(&cpus) < MAX_WORKER ? CPU_COUNT(&cpus) : MAX_WORKER;
	while (n < want - 1 && pthread_create(&workers[n], NULL, fill_worker, f) == 0)
		n++;
	fill_worker(f);
	while (n-- > 0)
		pthread_join(workers[n], NULL);
	/* Moving bytes is work, not waiting: it does not count. */
	f->ctx->deadline_ns += restore_now() - start;
}

static void add_pieces(struct fill *f, struct piece whole)
{
	uint64_t end = whole.vaddr + whole.len;

	for (struct piece p = whole; p.vaddr < end; p.vaddr += p.len, p.offset += p.len) {
		p.len = end - p.vaddr < PIECE ? end - p.vaddr : PIECE;
		arena_push(f->ctx->arena, f->pieces, f->n) = p;
		f->total += p.len;
	}
}

/* Have the pages at @at come by birth? *@stop becomes the end of those alike. */
static bool cow_there(const struct pstree_item *it, size_t v, uint64_t at, uint64_t *stop)
{
	struct cow_range kept = cow_kept(it, v);
	bool there = false;
	uint64_t end = at < kept.start ? kept.start : at < kept.end ? kept.end : *stop;

	if (end < *stop)
		*stop = end;
	if (at >= kept.start && at < kept.end)
		*stop = cow_part(it, at, *stop, &there);
	return there;
}

/*
 * The runs of a task, cut where a mapping ends. Pages that the kernel itself
 * maps have been compared (see vdso_check()), or written by aio_restore().
 */
static void add_task(struct fill *f, const struct pstree_item *it, int from)
{
	size_t v = 0;

	for (size_t i = 0; i < it->nr_runs; i++) {
		const struct page_run *r = &it->runs[i];
		uint64_t at = r->vaddr, end = at + r->pages * 4096, stop;

		for (; at < end; at = stop) {
			const VmaEntry *e;

			while (v < it->nr_vmas && it->vmas[v].e->end <= at)
				v++;
			/* The loader has seen to it that pages lie in mappings. */
			if (v == it->nr_vmas)
				return;
			e = it->vmas[v].e;
			stop = e->end < end ? e->end : end;
			if (e->status & (VMA_AREA_VDSO | VMA_AREA_VVAR | VMA_AREA_AIORING))
				continue;
			if (cow_there(it, v, at, &stop))
				continue;
			add_pieces(f, (struct piece){
					      .pid = it->pid,
					      .to = uffd_has(it, &it->vmas[v]) ? it->restore->uffd
									       : -1,
					      .from = from,
					      .vaddr = at,
					      .len = stop - at,
					      .offset = r->offset + (at - r->vaddr),
				      });
		}
	}
}

/**
 * fill_tree - the private pages of every task
 * @ctx: the run; the memory maps stand
 *
 * Return: 0 or -errno, recorded.
 */
int fill_tree(struct restore_ctx *ctx)
{
	struct fill f = { .ctx = ctx };
	struct pstree_item *it;
	int *fds = arena_array(ctx->arena, int, ctx->tree->nr_items), n = 0, ret = 0;

	list_for_each(it, &ctx->tree->items, list) {
		uint64_t size;

		if (!item_alive(it) || !it->nr_runs)
			continue;
		ret = image_pages_open(ctx->images, it->pages_id, &fds[n], &size);
		if (ret < 0)
			break;
		uffd_open(ctx, it);
		add_task(&f, it, fds[n++]);
	}
	if (ret >= 0) {
		fill_run(&f);
		ret = atomic_load(&f.failed) ? -EIO : 0;
	}
	while (n-- > 0)
		close(fds[n]);
	list_for_each(it, &ctx->tree->items, list)
		if (item_alive(it) && it->restore->uffd >= 0)
			uffd_close(ctx, it);
	ctx->stats->pages_restored += f.total / 4096;
	return ret;
}

/* The object is made by a mapping, whose link in /proc is a descriptor of it. */
static int open_shmem(struct restore_ctx *ctx, struct shmem *s)
{
	uint64_t page = s->huge ?: 4096, size = (s->size + page - 1) & ~(page - 1);
	int huge = s->huge ? MAP_HUGETLB | __builtin_ctzll(page) << MAP_HUGE_SHIFT : 0;
	void *at =
		mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | huge, -1, 0);
	char path[64];

	if (at == MAP_FAILED)
		return fail(ctx->report, s->huge ? "memory-hugetlb" : "no-memory", errno,
			    "shared memory of %llu bytes", (unsigned long long)s->size);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)at,
		 (unsigned long)at + size);
	s->fd = open(path, O_RDWR | O_CLOEXEC);
	if (s->fd < 0)
		fail(ctx->report, "shmem", errno,
		     "open shared memory through /proc/self/map_files (needs "
		     "CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN)");
	munmap(at, size);
	return s->fd < 0 ? -EIO : 0;
}

static int fill_shmem(struct restore_ctx *ctx, struct shmem *s)
{
	struct fill f = { .ctx = ctx };
	cleanup_close int from = -1;
	uint64_t size;
	int ret = s->fd >= 0 ? 0 : s->sysv ? sysv_open(ctx, s) : open_shmem(ctx, s);

	/* A memfd has its own descriptor. */

	if (ret < 0 || !s->nr_runs)
		return ret;
	ret = image_pages_open(ctx->images, s->pages_id, &from, &size);
	if (ret < 0)
		return ret;
	if (s->huge)
		return fill_huge(ctx, s, from);
	for (size_t i = 0; i < s->nr_runs; i++) {
		const struct page_run *r = &s->runs[i];
		uint64_t len = r->pages * 4096;

		/* The last page of a memfd may be in it in part. */
		if (r->vaddr + len > s->size)
			len = s->size > r->vaddr ? s->size - r->vaddr : 0;
		add_pieces(&f, (struct piece){ .to = s->fd,
					       .from = from,
					       .vaddr = r->vaddr,
					       .len = len,
					       .offset = r->offset });
	}
	fill_run(&f);
	return atomic_load(&f.failed) ? -EIO : 0;
}

/**
 * restore_shmem - the shared anonymous memory of the tree, filled, in the tool
 * @ctx: the run; nothing is forked yet
 *
 * Return: 0 or -errno, recorded.
 */
int restore_shmem(struct restore_ctx *ctx)
{
	struct shmem *s;
	int ret;

	list_for_each(s, &ctx->tree->shmems, list)
		if ((ret = fill_shmem(ctx, s)) < 0)
			return ret;
	return 0;
}
