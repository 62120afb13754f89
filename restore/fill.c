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
#include "restore/ctx.h"

#define PIECE      ((size_t)4 << 20)
#define BUFFER     ((size_t)256 << 10)
#define PARALLEL   ((uint64_t)2 << 20) /* less than this is not worth a thread */
#define MAX_WORKER 16

/* A piece of a run; pid 0: into our own mapping at vaddr. */
struct piece {
	pid_t pid;
	int fd;
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

static int put(const struct piece *p, uint64_t at, char *buf, size_t len)
{
	struct iovec local = { buf, len }, remote = { (void *)at, len };

	if (process_vm_writev(p->pid, &local, 1, &remote, 1, 0) == (ssize_t)len)
		return 0;
	return put_slow(p, at, buf, len);
}

static int fill_piece(struct fill *f, const struct piece *p, char *buf)
{
	for (uint64_t done = 0; done < p->len;) {
		size_t n = p->len - done < BUFFER ? p->len - done : BUFFER;
		char *to = p->pid ? buf : (char *)(p->vaddr + done);
		int ret = pread_all(p->fd, to, n, (off_t)(p->offset + done));

		if (ret < 0)
			return fail(f->ctx->report, "image-pages", -ret,
				    "read %zu bytes of pages at %llu", n,
				    (unsigned long long)(p->offset + done));
		if (p->pid && (ret = put(p, p->vaddr + done, buf, n)) < 0)
			return fail(f->ctx->report, "fill", -ret, "pid %d: write %zu bytes at %#llx",
				    p->pid, n, (unsigned long long)(p->vaddr + done));
		done += n;
	}
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
	cpu_set_t cpus;
	int n = 0, want = 1;

	if (f->total >= PARALLEL && sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		want = CPU_COUNT(&cpus) < MAX_WORKER ? CPU_COUNT(&cpus) : MAX_WORKER;
	while (n < want - 1 && pthread_create(&workers[n], NULL, fill_worker, f) == 0)
		n++;
	fill_worker(f);
	while (n-- > 0)
		pthread_join(workers[n], NULL);
}

/* Pages that the kernel itself maps are compared, not written: see vdso_check(). */
static size_t skip_kernel_pages(struct restore_ctx *ctx, const struct pstree_item *it,
				struct page_run **out)
{
	struct page_run *runs = NULL;
	size_t n = 0, v = 0;

	for (size_t i = 0; i < it->nr_runs; i++) {
		const struct page_run *r = &it->runs[i];

		while (v < it->nr_vmas && it->vmas[v].e->end <= r->vaddr)
			v++;
		if (v == it->nr_vmas || !(it->vmas[v].e->status & (VMA_AREA_VDSO | VMA_AREA_VVAR)))
			arena_push(ctx->arena, runs, n) = *r;
	}
	*out = runs;
	return n;
}

static void add_runs(struct fill *f, pid_t pid, int fd, uint64_t base, const struct page_run *runs,
		     size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint64_t len = runs[i].pages * 4096;

		for (uint64_t off = 0; off < len; off += PIECE) {
			struct piece p = { pid, fd, base + runs[i].vaddr + off,
					   len - off < PIECE ? len - off : PIECE,
					   runs[i].offset + off };

			arena_push(f->ctx->arena, f->pieces, f->n) = p;
			f->total += p.len;
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

	list_for_each (it, &ctx->tree->items, list) {
		struct page_run *runs;
		uint64_t size;
		size_t nr;

		if (!item_alive(it) || !it->nr_runs)
			continue;
		ret = image_pages_open(ctx->images, it->pages_id, &fds[n], &size);
		if (ret < 0)
			break;
		nr = skip_kernel_pages(ctx, it, &runs);
		add_runs(&f, it->pid, fds[n++], 0, runs, nr);
	}
	if (ret >= 0) {
		fill_run(&f);
		ret = atomic_load(&f.failed) ? -EIO : 0;
	}
	while (n-- > 0)
		close(fds[n]);
	ctx->stats->pages_restored += f.total / 4096;
	return ret;
}

static int fill_shmem(struct restore_ctx *ctx, struct shmem *s)
{
	struct fill f = { .ctx = ctx };
	char path[64];
	uint64_t size;
	int fd, ret = 0;
	void *at;

	if (!s->size)
		return 0;
	/* A memfd is there already: its type has made it. */
	at = mmap(NULL, s->size, PROT_READ | PROT_WRITE,
		  MAP_SHARED | (s->fd < 0 ? MAP_ANONYMOUS : 0), s->fd, 0);
	if (at == MAP_FAILED)
		return fail(ctx->report, "no-memory", errno, "shared memory of %llu bytes",
			    (unsigned long long)s->size);
	if (s->nr_runs) {
		ret = image_pages_open(ctx->images, s->pages_id, &fd, &size);
		if (ret >= 0) {
			add_runs(&f, 0, fd, (uint64_t)(uintptr_t)at, s->runs, s->nr_runs);
			fill_run(&f);
			close(fd);
			ret = atomic_load(&f.failed) ? -EIO : 0;
		}
	}
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)at,
		 (unsigned long)at + ((s->size + 4095) & ~4095UL));
	if (ret >= 0 && s->fd < 0) {
		s->fd = open(path, O_RDWR | O_CLOEXEC);
		if (s->fd < 0)
			ret = fail(ctx->report, "shmem", errno,
				   "open shared memory through /proc/self/map_files (needs "
				   "CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN)");
	}
	munmap(at, s->size);
	return ret;
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

	list_for_each (s, &ctx->tree->shmems, list)
		if ((ret = fill_shmem(ctx, s)) < 0)
			return ret;
	return 0;
}
