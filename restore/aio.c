/*
 * aio - the rings of io_setup(2). The kernel alone makes them and says where,
 * so each is made by a remote call and moved to its place, which has been kept
 * free. It alone moves the tail, too: requests that read nothing bring the
 * tail, and the count of events not yet fetched, to where they were. Then the
 * events themselves are written.
 */
#include "restore/aio.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "image/image.h"

#define RING_MAX ((uint64_t)1 << 30)
#define REQUESTS 32 /* given to the kernel at a time */

/* The head of a ring, aio_ring in the kernel's fs/aio.c; events of 32 bytes follow. */
struct ring_head {
	uint32_t id, nr, head, tail;
	uint32_t magic, compat, incompat, size;
};

/* One ring being made. */
struct ring {
	struct restore_ctx *ctx;
	struct pstree_item *it;
	const VmaEntry *e;
	unsigned long iocb, list; /* in the task */
};

static int ring_fail(const struct ring *g, long err, const char *what)
{
	return fail(g->ctx->report, "memory-aio", (int)(err < 0 ? -err : err),
		    "pid %d: ring of io_setup() at %#llx: %s", g->it->pid,
		    (unsigned long long)g->e->start, what);
}

/* What the image has of the ring; whole, or refused. */
static int ring_load(const struct ring *g, char *buf, size_t len)
{
	cleanup_close int fd = -1;
	const struct pstree_item *it = g->it;
	const struct page_run *r = it->runs;
	uint64_t size;
	int ret;

	while (r < it->runs + it->nr_runs && r->vaddr + r->pages * 4096 <= g->e->start)
		r++;
	if (r == it->runs + it->nr_runs || r->vaddr > g->e->start ||
	    r->vaddr + r->pages * 4096 < g->e->end)
		return ring_fail(g, EBADMSG, "its content is not in the image");
	ret = image_pages_open(g->ctx->images, it->pages_id, &fd, &size);
	if (ret < 0)
		return ret;
	ret = pread_all(fd, buf, len, (off_t)(r->offset + (g->e->start - r->vaddr)));
	return ret < 0 ? ring_fail(g, ret, "read its content") : 0;
}

static int ring_make(const struct ring *g)
{
	struct remote *r = g->it->restore->remote;
	const size_t len = g->e->end - g->e->start;
	aio_context_t at = 0;
	long ret = remote_write(r, g->list, &at, sizeof(at));

	if (!ret)
		ret = remote_call1(r, g->it->pid, SYS_io_setup, AIO_REQUESTS(len), g->list, 0, 0, 0,
				   0);
	if (!ret)
		ret = remote_read(r, g->list, &at, sizeof(at));
	if (ret < 0)
		return ring_fail(g, ret, "io_setup()");
	ret = remote_call1(r, g->it->pid, SYS_mremap, at, len, len, MREMAP_MAYMOVE | MREMAP_FIXED,
			   g->e->start, 0);
	return ret < 0 && ret > -4096 ? ring_fail(g, ret, "move it to its place") : 0;
}

static int ring_submit(const struct ring *g, uint32_t n)
{
	struct remote *r = g->it->restore->remote;

	while (n) {
		long ret = remote_call1(r, g->it->pid, SYS_io_submit, g->e->start,
					n < REQUESTS ? n : REQUESTS, g->list, 0, 0, 0);

		if (ret <= 0)
			return ring_fail(g, ret ?: -EAGAIN, "io_submit()");
		n -= (uint32_t)ret;
	}
	return 0;
}

static int ring_set_head(const struct ring *g, uint32_t head)
{
	int ret = remote_write(g->it->restore->remote,
			       g->e->start + offsetof(struct ring_head, head), &head, sizeof(head));

	return ret < 0 ? ring_fail(g, ret, "write its head") : 0;
}

/* A request that is done at once, so many times over. */
static int ring_requests(const struct ring *g)
{
	struct iocb cb = {
		.aio_lio_opcode = IOCB_CMD_PREAD,
		.aio_fildes = (uint32_t)g->it->restore->fds[g->it->nr_vmas],
		.aio_buf = g->list,
	};
	uint64_t list[REQUESTS];
	int ret;

	for (size_t i = 0; i < REQUESTS; i++)
		list[i] = g->iocb;
	ret = remote_write(g->it->restore->remote, g->iocb, &cb, sizeof(cb));
	ret = ret ?: remote_write(g->it->restore->remote, g->list, list, sizeof(list));
	return ret < 0 ? ring_fail(g, ret, "write requests") : 0;
}

/* Fetched events bring the tail to where the head is to be; those to come stay. */
static int ring_turn(const struct ring *g, const struct ring_head *was)
{
	uint32_t left = (was->tail + was->nr - was->head) % was->nr;
	int ret = was->head || left ? ring_requests(g) : 0;

	for (uint32_t at = 0, n; !ret && at < was->head; at += n) {
		n = was->head - at < REQUESTS ? was->head - at : REQUESTS;
		ret = ring_submit(g, n) ?: ring_set_head(g, at + n);
	}
	return ret ?: ring_submit(g, left);
}

static int ring_restore(const struct ring *g, char *buf, size_t len)
{
	struct remote *r = g->it->restore->remote;
	struct ring_head was, now;
	int ret = ring_load(g, buf, len) ?: ring_make(g);

	if (ret < 0)
		return ret;
	memcpy(&was, buf, sizeof(was));
	ret = remote_read(r, g->e->start, &now, sizeof(now));
	if (ret < 0)
		return ring_fail(g, ret, "read it");
	if (!was.nr || was.nr != now.nr || was.head >= was.nr || was.tail >= was.nr)
		return ring_fail(g, EBADMSG, "the image has another kind of ring");
	ret = ring_turn(g, &was);
	if (ret < 0)
		return ret;
	ret = remote_write(r, g->e->start + sizeof(was), buf + sizeof(was), len - sizeof(was));
	return ret < 0 ? ring_fail(g, ret, "write its events") : 0;
}

/**
 * aio_restore - make the rings of a task
 * @ctx: the run
 * @it: a task whose mappings stand, with room at the places of its rings
 *
 * Requests under way when the task was dumped have ended without an event.
 *
 * Return: 0 or -errno, recorded.
 */
int aio_restore(struct restore_ctx *ctx, struct pstree_item *it)
{
	struct ring g = { .ctx = ctx, .it = it };
	int ret = 0;

	for (size_t i = 0; i < it->nr_vmas && !ret; i++) {
		const VmaEntry *e = it->vmas[i].e;
		const size_t len = e->end - e->start;
		char *buf;

		if (!(e->status & VMA_AREA_AIORING))
			continue;
		g.e = e;
		remote_reset(it->restore->remote);
		g.iocb = remote_alloc(it->restore->remote, sizeof(struct iocb), 8);
		g.list = remote_alloc(it->restore->remote, REQUESTS * sizeof(uint64_t), 8);
		if (!g.list || len > RING_MAX)
			return ring_fail(&g, EBADMSG, "too large");
		buf = malloc(len);
		if (!buf)
			abort();
		ret = ring_restore(&g, buf, len);
		free(buf);
	}
	return ret;
}
