/*
 * copy - pages out of other address spaces. Each worker has one small buffer
 * that stays in the cache: filled by process_vm_readv(2), hashed, written at
 * its offset. Peak memory does not grow with the tree.
 */
#include "dump/copy.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/fd.h"
#include "image/image.h"

#define PAGE_BYTES 4096u
#define BUF_BYTES (256u << 10)
#define JOB_BYTES (4u << 20)
#define MAX_IOV (BUF_BYTES / PAGE_BYTES)
#define MAX_WORKERS 16
#define WORKER_WORTH (2u << 20) /* bytes that are worth another thread */

/* One copying, shared by its workers. */
struct copy {
	struct dump_ctx *ctx;
	struct copy_job *jobs;
	size_t nr_jobs;
	atomic_size_t next;
	atomic_uint_fast64_t done; /* bytes */
	uint64_t total;
	atomic_int err; /* the first -errno */
};

static int copy_fail(struct copy *c, const struct copy_src *s, int err, const char *what,
		     uint64_t at)
{
	int none = 0;

	if (!atomic_compare_exchange_strong(&c->err, &none, err))
		return err;
	if (err == -ESRCH || err == 0)
		return fail(c->ctx->report, "task-gone", ESRCH,
			    "pid %d has died meanwhile (memory)", s->it ? s->it->pid : 0);
	if (s->it)
		return fail(c->ctx->report, "memory-copy", -err, "pid %d: %s, address %#llx",
			    s->it->pid, what, (unsigned long long)at);
	return fail(c->ctx->report, "memory-copy", -err, "shared memory %llu: %s, offset %#llx",
		    (unsigned long long)s->shm->shmid, what, (unsigned long long)at);
}

/* By /proc/PID/mem, which overrides protection. */
static int read_forced(const struct copy_src *s, char *buf, uint64_t vaddr, size_t len)
{
	cleanup_close int fd = openat(s->it->dump->proc_fd, "mem", O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = pread_all(fd, buf, len, (off_t)vaddr);
	/* The address space of a dead task is empty. */
	return ret == -ENODATA ? -ESRCH : ret;
}

/* Fills @buf from pieces of an address space. */
static int read_task(struct copy *c, const struct copy_src *s, char *buf, struct iovec *from,
		     size_t n)
{
	while (n) {
		size_t len = 0;
		ssize_t got;
		struct iovec to;
		int ret;

		for (size_t i = 0; i < n; i++)
			len += from[i].iov_len;
		to = (struct iovec){ buf, len };
		/* It pins pages, for which the kernel (since 5.19) first ends sharing by copying.
		 */
		got = s->forked ? 0 : process_vm_readv(s->it->pid, &to, 1, from, n, 0);
		if (got < 0 && errno != EFAULT && errno != EPERM)
			return copy_fail(c, s, -errno, "process_vm_readv()",
					 (uintptr_t)from->iov_base);
		if (got == (ssize_t)len)
			return 0;
		if (got < 0)
			got = 0;
		buf += got;
		for (; n && (size_t)got >= from->iov_len; n--, from++)
			got -= (ssize_t)from->iov_len;
		if (!n)
			return 0;
		from->iov_base = (char *)from->iov_base + got;
		from->iov_len -= (size_t)got;
		ret = read_forced(s, buf, (uintptr_t)from->iov_base, from->iov_len);
		if (ret)
			return copy_fail(c, s, ret, "read /proc/PID/mem",
					 (uintptr_t)from->iov_base);
		buf += from->iov_len;
		from++;
		n--;
	}
	return 0;
}

/* A piece of an object by way of a task that has it mapped. */
static int read_mapped(const struct dump_shmem *m, char *buf, uint64_t offset, size_t len)
{
	struct iovec to = { buf, len };
	struct iovec from = { (void *)(uintptr_t)(m->start + offset - m->pgoff), len };
	ssize_t got = process_vm_readv(m->it->pid, &to, 1, &from, 1, 0);

	if (got == (ssize_t)len)
		return 0;
	return got < 0 ? -errno : -EFAULT;
}

static int read_shmem(struct copy *c, const struct copy_src *s, char *buf, const struct iovec *from,
		      size_t n)
{
	for (; n; n--, from++) {
		uint64_t at = (uintptr_t)from->iov_base, rest = s->shm->size - at;
		size_t have = rest < from->iov_len ? (size_t)rest : from->iov_len;
		int ret = s->via ? read_mapped(s->via, buf, at, have)
				 : pread_all(s->shm->fd, buf, have, (off_t)at);

		if (ret)
			return copy_fail(c, s, ret, "read", at);
		/* The last page of a memfd goes on after its end. */
		memset(buf + have, 0, from->iov_len - have);
		buf += from->iov_len;
	}
	return 0;
}

/* The mapping that has @vaddr. */
static struct vma *vma_of(const struct pstree_item *it, uint64_t vaddr)
{
	size_t lo = 0, hi = it->nr_vmas;

	while (hi - lo > 1) {
		size_t mid = (lo + hi) / 2;

		if (it->vmas[mid].e->start <= vaddr)
			lo = mid;
		else
			hi = mid;
	}
	return &it->vmas[lo];
}

static void hash_pieces(const struct copy_src *s, const char *buf, const struct iovec *from,
			size_t n)
{
	for (; n; n--, from++) {
		uint64_t at = (uintptr_t)from->iov_base;
		size_t pages = from->iov_len / PAGE_BYTES;

		if (s->it)
			memhash_vma(vma_of(s->it, at), &s->holes, at, buf, pages);
		else
			memhash_shmem(s->shm, at, buf, pages);
		buf += from->iov_len;
	}
}

/* The next pieces of a job, a buffer full at most. */
static size_t job_pieces(const struct copy_src *s, size_t *run, uint64_t *skip, uint64_t left,
			 struct iovec from[MAX_IOV], size_t *bytes)
{
	size_t n = 0;

	if (left > BUF_BYTES)
		left = BUF_BYTES;
	*bytes = (size_t)left;
	while (left) {
		const struct page_run *r = &s->runs[*run];
		uint64_t len = r->pages * PAGE_BYTES - *skip;

		if (len > left)
			len = left;
		from[n++] = (struct iovec){ (void *)(uintptr_t)(r->vaddr + *skip), len };
		left -= len;
		*skip += len;
		if (*skip == r->pages * PAGE_BYTES) {
			*skip = 0;
			++*run;
		}
	}
	return n;
}

static int job_run(struct copy *c, struct copy_job *j, char *buf, XXH3_state_t *h)
{
	const struct copy_src *s = j->src;
	struct iovec from[MAX_IOV], copy[MAX_IOV];
	uint64_t skip = j->skip, done = 0;
	size_t run = j->run, bytes, n;
	int ret = 0;

	XXH3_64bits_reset(h);
	for (; done < j->len && !ret; done += bytes) {
		n = job_pieces(s, &run, &skip, j->len - done, from, &bytes);
		memcpy(copy, from, n * sizeof(*from));
		ret = s->it ? read_task(c, s, buf, copy, n) : read_shmem(c, s, buf, copy, n);
		if (ret)
			break;
		if (s->out < 0) {
			hash_pieces(s, buf, from, n);
			continue;
		}
		XXH3_64bits_update(h, buf, bytes);
		ret = pwrite_all(s->out, buf, bytes, (off_t)(j->offset + done));
		if (ret)
			copy_fail(c, s, ret, "write the pages image", (uintptr_t)from->iov_base);
	}
	j->hash = XXH3_64bits_digest(h);
	atomic_fetch_add(&c->done, j->len);
	return ret;
}

static void work(struct copy *c, bool first)
{
	void *buf = aligned_alloc(PAGE_BYTES, BUF_BYTES);
	XXH3_state_t *h = XXH3_createState();
	size_t i;

	if (!buf || !h)
		abort();
	while (!atomic_load(&c->err) && (i = atomic_fetch_add(&c->next, 1)) < c->nr_jobs) {
		if (job_run(c, &c->jobs[i], buf, h) < 0)
			break;
		if (first && c->ctx->opts->progress)
			c->ctx->opts->progress(c->ctx->opts->arg, atomic_load(&c->done), c->total);
	}
	XXH3_freeState(h);
	free(buf);
}

static void *worker(void *arg)
{
	work(arg, false);
	return NULL;
}

static size_t workers_wanted(uint64_t bytes)
{
	cpu_set_t set;
	size_t n = bytes / WORKER_WORTH + 1, cpus = 1;

	if (sched_getaffinity(0, sizeof(set), &set) == 0)
		cpus = (size_t)CPU_COUNT(&set);
	if (n > cpus)
		n = cpus;
	return n < MAX_WORKERS ? n : MAX_WORKERS;
}

static void jobs_run(struct copy *c)
{
	pthread_t threads[MAX_WORKERS];
	size_t n = workers_wanted(c->total), started = 0;

	/* This thread is one of them; one that cannot be made is done without. */
	while (started + 1 < n && !pthread_create(&threads[started], NULL, worker, c))
		started++;
	work(c, true);
	while (started)
		pthread_join(threads[--started], NULL);
}

static size_t jobs_of(struct copy_src *s, struct copy_job *out)
{
	uint64_t offset = 0, skip = 0;
	size_t n = 0, run = 0;

	while (offset < s->size) {
		uint64_t len = s->size - offset < JOB_BYTES ? s->size - offset : JOB_BYTES;
		uint64_t left = len;

		if (out)
			out[n] = (struct copy_job){ s, run, skip, offset, len, 0 };
		n++;
		offset += len;
		while (left) {
			uint64_t here = s->runs[run].pages * PAGE_BYTES - skip;

			if (here > left) {
				skip += left;
				break;
			}
			left -= here;
			skip = 0;
			run++;
		}
	}
	return n;
}

/* Each pages file's checksums for the manifest. */
static int jobs_record(struct copy *c, struct copy_src *s, const struct copy_job *jobs, size_t n)
{
	uint64_t *len, *hash;
	int ret;

	if (s->out < 0)
		return 0;
	len = calloc(n + 1, sizeof(*len));
	hash = calloc(n + 1, sizeof(*hash));
	if (!len || !hash)
		abort();
	for (size_t i = 0; i < n; i++) {
		len[i] = jobs[i].len;
		hash[i] = jobs[i].hash;
	}
	ret = image_pages_done(c->ctx->images, s->pages_id, s->size, len, hash, n);
	free(len);
	free(hash);
	return ret;
}

/**
 * copy_run - copy or hash all pages of some sources
 * @ctx: the dump
 * @srcs: the sources; a pages file that is open is written, recorded and stays open
 * @n: how many
 *
 * Return: 0 or -errno recorded.
 */
int copy_run(struct dump_ctx *ctx, struct copy_src *srcs, size_t n)
{
	struct copy c = { .ctx = ctx };
	size_t at = 0;
	int ret;

	for (size_t i = 0; i < n; i++) {
		c.nr_jobs += jobs_of(&srcs[i], NULL);
		c.total += srcs[i].size;
	}
	c.jobs = calloc(c.nr_jobs + 1, sizeof(*c.jobs));
	if (!c.jobs)
		abort();
	for (size_t i = 0; i < n; i++)
		at += jobs_of(&srcs[i], &c.jobs[at]);
	jobs_run(&c);
	ret = atomic_load(&c.err);
	at = 0;
	for (size_t i = 0; i < n && !ret; i++) {
		size_t k = jobs_of(&srcs[i], NULL);

		ret = jobs_record(&c, &srcs[i], &c.jobs[at], k);
		at += k;
	}
	free(c.jobs);
	return ret;
}
