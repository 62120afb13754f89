/*
 * remote - see remote.h; how things lie is told in remote-internal.h. This file
 * opens and closes a session, and adopts a child's own area.
 */
#include "kernel/remote-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "kernel/ptrace.h"

/* Divides the area; @head bytes of it are taken at its beginning. */
static int area_divide(struct remote *r, size_t head, size_t slot_size, size_t threads)
{
	r->scratch = r->area + head;
	r->slots = r->scratch + REMOTE_SCRATCH;
	r->slot_size = slot_size;
	r->n_slots = threads;
	r->threads = calloc(threads, sizeof(*r->threads));
	return r->threads ? 0 : -ENOMEM;
}

/* Makes the host map the area, then moves its frame there. */
static int area_map(struct remote *r, struct remote_thread *t)
{
	unsigned long args[6] = { r->area,
				  r->area_len,
				  PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
				  -1ul,
				  0 };
	struct area_head head = { REMOTE_MAGIC, r->area_len };
	long at;
	int ret = remote_once(r, t, SYS_mmap, args, true, &at);

	if (ret < 0)
		return ret;
	if (at < 0 && at >= -4095)
		return (int)at;
	/* Kernels before 4.17 take the address for a hint. */
	if ((unsigned long)at != r->area)
		return -EEXIST;
	r->mapped = true;
	ret = remote_write(r, r->area, &head, sizeof(head));
	ret = ret ?: remote_thread_seat(r, t);
	return ret ?: remote_host_remove(r);
}

static int remote_choose(struct remote *r, const struct remote_where *where)
{
	unsigned long start = where->start, end = where->end, area = where->area;
	size_t threads = where->threads ? where->threads : 1, slot, xlen = ARCH_XSTATE_MAX;
	struct remote_gap gap = { 0 };
	unsigned char *xstate;
	int ret = 0;

	if (!end || !area)
		ret = remote_scan_maps(r->tid, &gap);
	if (ret < 0)
		return ret;
	xstate = malloc(xlen);
	ret = xstate ? ptrace_get_xstate(r->tid, xstate, &xlen) : -ENOMEM;
	free(xstate);
	if (ret < 0)
		return ret;
	slot = remote_round_up(sizeof(struct slot) + arch_frame_size(xlen, false), REMOTE_PAGE);
	r->area = area ? area : gap.free;
	r->area_len = REMOTE_PAGE + REMOTE_SCRATCH + threads * slot;
	ret = area_divide(r, REMOTE_PAGE, slot, threads);
	if (ret < 0)
		return ret;
	if (!end && !gap.vdso_end)
		return remote_cave_elsewhere(r);
	return remote_cave_find(r, end ? start : gap.vdso_start, end ? end : gap.vdso_end);
}

/**
 * remote_open - begin a session with an address space all of whose threads are
 * stopped by us.
 * @out: the session
 * @tid: one of them, in event-stop or group-stop; becomes attached
 * @where: hints, or NULL
 *
 * Returns 0, -EBUSY if a dead tool has left something (remote_rescue() removes
 * it), -ENOSPC if there is no room for the stub, -EOPNOTSUPP for 32-bit
 * code or a shadow stack, or another -errno; after an error the thread is as it was found.
 */
int remote_open(struct remote **out, pid_t tid, const struct remote_where *where)
{
	static const struct remote_where anywhere;
	struct user_regs_struct regs;
	struct remote_thread *t;
	struct remote *r;
	int ret = remote_new(&r, tid), undo;

	if (ret < 0)
		return ret;
	where = where ? where : &anywhere;
	r->stub_flags = where->seccomp ? ARCH_STUB_NO_CALLS : 0;
	ret = remote_choose(r, where);
	ret = ret ?: remote_thread_capture(r, &r->threads[0], tid);
	if (ret < 0) {
		remote_free(r);
		return ret;
	}
	t = &r->threads[0];
	ret = remote_cave_plant(r) ?: remote_host_place(r, t);
	ret = ret ?: area_map(r, t);
	if (!ret) {
		*out = r;
		return 0;
	}
	if (r->mapped && !remote_settle(r, t, &regs))
		remote_area_unmap(r, t);
	undo = remote_thread_restore(r, t);
	if (!undo)
		remote_cave_clear(r);
	remote_free(r);
	return ret;
}

/**
 * remote_close - end a session.
 *
 * Every thread gets its registers and mask back and stays stopped, as it was
 * found; the area is unmapped and the vdso restored. An adopted area is only
 * forgotten: see remote_forget(). Frees @r in any case. Returns 0 or the first
 * error; -ESRCH if the task is dead.
 */
int remote_close(struct remote *r)
{
	struct user_regs_struct regs;
	struct remote_thread *host;
	int ret = 0, err;

	for (size_t i = 0; i < r->n_slots; i++) {
		struct remote_thread *t = &r->threads[i];

		if (!t->tid || (!r->adopted && t->tid == r->tid))
			continue;
		err = remote_thread_restore(r, t);
		ret = ret ?: err;
	}
	host = r->adopted ? NULL : remote_thread_find(r, r->tid);
	if (host) {
		err = remote_settle(r, host, &regs);
		/* It has gone home: borrow it once more. */
		if (err == -ESTALE)
			err = remote_thread_capture(r, host, r->tid);
		err = err ?: remote_area_unmap(r, host);
		ret = ret ?: err;
		err = remote_thread_restore(r, host);
		if (!err)
			err = remote_cave_clear(r);
		ret = ret ?: err;
	}
	remote_free(r);
	return ret;
}

/** remote_forget - end an adopted session and touch nothing: threads stay as they are. */
void remote_forget(struct remote *r)
{
	remote_free(r);
}

/** remote_code - what an area to be adopted has in its first page. */
const void *remote_code(void)
{
	return arch_stub();
}

/** remote_code_size - length of remote_code(), less than a page. */
size_t remote_code_size(void)
{
	return arch_stub_size();
}

#define ADOPTED_SLOT remote_round_up(sizeof(struct slot), REMOTE_PAGE)

/** remote_area_size - how large an area for @threads threads to be adopted must be. */
size_t remote_area_size(size_t threads)
{
	return REMOTE_PAGE + REMOTE_SCRATCH + (threads ? threads : 1) * ADOPTED_SLOT;
}

/**
 * remote_adopt - begin a session with a child of ours that has mapped an area.
 * @out: the session
 * @tid: a stopped thread of it; becomes attached
 * @area: its address: one page with remote_code(), readable and executable, then
 *	readable and writable memory
 * @area_size: its length, by remote_area_size()
 *
 * There is no way home in the thread: PTRACE_O_EXITKILL must be set. Threads get
 * their slots by remote_attach_thread(), -ENOSPC when there are none left.
 */
int remote_adopt(struct remote **out, pid_t tid, unsigned long area, size_t area_size)
{
	struct remote *r;
	int ret;

	if (area_size < remote_area_size(1) || area % REMOTE_PAGE)
		return -EINVAL;
	ret = remote_new(&r, tid);
	if (ret < 0)
		return ret;
	r->adopted = true;
	r->stub_flags = ARCH_STUB_FOR_EVER;
	r->area = r->code = area;
	r->area_len = area_size;
	ret = area_divide(r, REMOTE_PAGE, ADOPTED_SLOT,
			  (area_size - REMOTE_PAGE - REMOTE_SCRATCH) / ADOPTED_SLOT);
	ret = ret ?: remote_attach_thread(r, tid);
	if (ret < 0) {
		remote_free(r);
		return ret;
	}
	*out = r;
	return 0;
}
