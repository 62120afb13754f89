/*
 * fill_huge - the content of files of hugetlbfs, which cannot be written with
 * write(2). Huge pages are few: a page of zeros, which nothing tells from a
 * hole, is not taken.
 */
#include "restore/fill.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fd.h"
#include "restore/ctx.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

static bool all_zeros(const char *buf, size_t len)
{
	return !len || (!*buf && !memcmp(buf, buf + 1, len - 1));
}

static int no_pages(struct restore_ctx *ctx, const struct shmem *s, int err)
{
	return fail(ctx->report, "memory-hugetlb", err,
		    "shared memory %llu: %llu bytes in huge pages of %llu bytes",
		    (unsigned long long)s->shmid, (unsigned long long)s->size,
		    (unsigned long long)s->huge);
}

/* One piece, inside one huge page. A page that is not to be had is no signal that way. */
static int put_piece(struct restore_ctx *ctx, const struct shmem *s, char *at, uint64_t offset,
		     const char *buf, size_t len)
{
	char *page = at + offset / s->huge * s->huge;

	if (all_zeros(buf, len))
		return 0;
	if (madvise(page, s->huge, MADV_POPULATE_WRITE) < 0)
		return no_pages(ctx, s, errno);
	memcpy(at + offset, buf, len);
	return 0;
}

static int put_run(struct restore_ctx *ctx, const struct shmem *s, char *at, int from,
		   const struct page_run *r, char *buf, size_t room)
{
	uint64_t len = r->pages * 4096, n;

	if (r->vaddr >= s->size)
		return 0;
	if (len > s->size - r->vaddr)
		len = s->size - r->vaddr;
	for (uint64_t done = 0; done < len; done += n) {
		uint64_t offset = r->vaddr + done, left = s->huge - offset % s->huge;
		int ret;

		n = len - done < room ? len - done : room;
		n = n < left ? n : left;
		ret = pread_all(from, buf, n, (off_t)(r->offset + done));
		if (ret < 0)
			return fail(ctx->report, "fill", -ret, "shared memory %llu: read its pages",
				    (unsigned long long)s->shmid);
		ret = put_piece(ctx, s, at, offset, buf, n);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/**
 * fill_huge - fill an object made of huge pages
 * @ctx: the run
 * @s: the object, open, with huge set
 * @from: its pages file
 *
 * Return: 0 or -errno, recorded.
 */
int fill_huge(struct restore_ctx *ctx, const struct shmem *s, int from)
{
	const size_t room = (size_t)1 << 18;
	uint64_t size = (s->size + s->huge - 1) / s->huge * s->huge;
	char *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, s->fd, 0);
	char *buf;
	int ret = 0;

	if (at == MAP_FAILED)
		return no_pages(ctx, s, errno);
	buf = malloc(room);
	if (!buf)
		abort();
	for (size_t i = 0; i < s->nr_runs && !ret; i++)
		ret = put_run(ctx, s, at, from, &s->runs[i], buf, room);
	free(buf);
	munmap(at, size);
	return ret;
}
