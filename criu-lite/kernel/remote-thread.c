/*
 * remote-thread - one thread of a remote: its own state is kept, its way home
 * laid, and only then its registers and mask are borrowed.
 *
 * The order is what keeps a thread from harm: whenever its mask is not its own,
 * its registers lead to the stub and from there through the frame to its own
 * registers and mask.
 */
#include "kernel/remote-internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "kernel/ptrace.h"

#define ALL_SIGNALS UINT64_MAX

/*
 * The slot of a thread of the remote, or NULL; of tid 0, a free one. Threads are
 * mostly asked for in the order of their slots.
 */
struct remote_thread *remote_thread_find(struct remote *r, pid_t tid)
{
	for (size_t i = 0, at = r->found; i < r->n_slots; i++, at++) {
		if (at == r->n_slots)
			at = 0;
		if (r->threads[at].tid == tid) {
			r->found = at;
			return &r->threads[at];
		}
	}
	return NULL;
}

/* Remote address of a thread's slot. */
unsigned long remote_slot_addr(const struct remote *r, const struct remote_thread *t)
{
	return r->slots + (unsigned long)(t - r->threads) * r->slot_size;
}

/* Fills @t with the state of a stopped thread. */
int remote_thread_capture(struct remote *r, struct remote_thread *t, pid_t tid)
{
	struct remote_thread got = { .tid = tid };
	int ret = ptrace_get_regs(tid, &got.saved);

	if (ret < 0)
		return ret;
	if (!arch_supported(&got.saved) || (!r->adopted && ptrace_has_shadow_stack(tid)))
		return -EOPNOTSUPP;
	/* A thread cloned by a batch is born in the stub. */
	if (!r->adopted && arch_where(&got.saved, r->code) != ARCH_OUTSIDE)
		return -EBUSY;
	ret = r->adopted ? 0 : ptrace_rseq_fixup(tid, &got.saved);
	if (ret < 0)
		return ret;
	got.sp = got.saved.rsp;
	ret = ptrace_get_sigmask(tid, &got.mask);
	if (ret < 0)
		return ret;
	*t = got;
	return 0;
}

static int get_xstate(pid_t tid, unsigned char **xstate, size_t *xlen)
{
	unsigned char *buf = malloc(ARCH_XSTATE_MAX);
	int ret;

	*xlen = ARCH_XSTATE_MAX;
	if (!buf)
		return -ENOMEM;
	ret = ptrace_get_xstate(tid, buf, xlen);
	if (ret < 0) {
		free(buf);
		return ret;
	}
	*xstate = buf;
	return 0;
}

/* Builds the frame of @t for @raddr and writes it there. */
static int frame_write(struct remote *r, struct remote_thread *t, unsigned long raddr,
		       const unsigned char *xstate, size_t xlen, bool small)
{
	size_t len = arch_frame_size(xlen, small);
	unsigned char *buf = malloc(len);
	unsigned long frame;
	int ret;

	if (!buf)
		return -ENOMEM;
	frame = arch_frame_build(buf, raddr, &t->saved, t->mask, xstate, xlen, small);
	ret = remote_force(r, raddr, buf, len);
	free(buf);
	if (ret < 0)
		return ret;
	t->frame = frame;
	/* A handler that runs before signals are blocked must not run over the frame. */
	t->sp = r->host.on_stack && raddr == r->host.addr ? raddr : t->saved.rsp;
	return 0;
}

/* Registers to the stub, then the mask. The frame must stand. */
static int thread_borrow(struct remote *r, struct remote_thread *t)
{
	return remote_park(r, t) ?: ptrace_set_sigmask(t->tid, ALL_SIGNALS);
}

/* Lays the way home of @t into its slot. */
static int slot_frame(struct remote *r, struct remote_thread *t, const void *xstate, size_t xlen)
{
	unsigned long at = remote_slot_addr(r, t) + sizeof(struct slot);

	if (arch_frame_size(xlen, false) > r->slot_size - sizeof(struct slot))
		return -E2BIG;
	return frame_write(r, t, at, xstate, xlen, false);
}

/* Lays the way home of @t into its slot and borrows the thread. */
int remote_thread_seat(struct remote *r, struct remote_thread *t)
{
	unsigned char *xstate;
	size_t xlen;
	int ret;

	if (r->adopted)
		return thread_borrow(r, t);
	ret = get_xstate(t->tid, &xstate, &xlen);
	if (ret < 0)
		return ret;
	ret = slot_frame(r, t, xstate, xlen);
	free(xstate);
	return ret ?: thread_borrow(r, t);
}

/* Gives a thread its own state back; it stays stopped. Frees its slot. */
int remote_thread_restore(struct remote *r, struct remote_thread *t)
{
	struct user_regs_struct regs;
	int ret = remote_settle(r, t, &regs);

	/* A thread that has gone home by itself has nothing to get back. */
	if (ret != -ESTALE) {
		ret = ret ?: ptrace_set_sigmask(t->tid, t->mask);
		ret = ret ?: ptrace_set_regs(t->tid, &t->saved);
	}
	t->tid = 0;
	return ret;
}

/* Below the red zone of the thread's stack, keeping what is there. */
static int host_on_stack(struct remote *r, struct remote_thread *t, size_t len)
{
	unsigned long addr = (t->saved.rsp - ARCH_RED_ZONE - len) & ~63ul;
	unsigned char *before = malloc(len);
	int ret;

	if (!before)
		return -ENOMEM;
	ret = remote_read(r, addr, before, len);
	if (ret < 0) {
		free(before);
		return ret;
	}
	r->host = (struct remote_host_frame){ addr, len, true, before };
	return 0;
}

/*
 * Lays a way home for the host that does not need the area: into the cave, or
 * onto its stack if the cave is too small.
 */
int remote_host_place(struct remote *r, struct remote_thread *t)
{
	size_t room = r->code - r->cave_room, xlen;
	unsigned char *xstate;
	bool small = false;
	int ret = get_xstate(t->tid, &xstate, &xlen);

	if (ret < 0)
		return ret;
	if (arch_frame_size(xlen, false) > room)
		small = arch_frame_size(xlen, true) <= room &&
			arch_frame_may_be_small(xstate, xlen);
	if (arch_frame_size(xlen, small) <= room)
		r->host = (struct remote_host_frame){ r->cave_room, arch_frame_size(xlen, small),
						      false, NULL };
	else
		ret = host_on_stack(r, t, arch_frame_size(xlen, false));
	ret = ret ?: frame_write(r, t, r->host.addr, xstate, xlen, small);
	free(xstate);
	return ret ?: thread_borrow(r, t);
}

/* Undoes remote_host_place(), once the thread no longer depends on it. */
int remote_host_remove(struct remote *r)
{
	unsigned char *zero = NULL;
	int ret = 0;

	if (r->host.len && r->host.on_stack) {
		ret = remote_force(r, r->host.addr, r->host.before, r->host.len);
	} else if (r->host.len) {
		zero = calloc(1, r->host.len);
		ret = zero ? remote_force(r, r->host.addr, zero, r->host.len) : -ENOMEM;
	}
	free(zero);
	free(r->host.before);
	r->host = (struct remote_host_frame){ 0 };
	return ret;
}

/* Doubles the slots: the area grows into the hole it was put in. */
static int slots_grow(struct remote *r)
{
	size_t n = r->n_slots * 2, more = r->n_slots * r->slot_size;
	struct remote_thread *threads;
	long at;

	if (r->adopted || !n)
		return -ENOSPC;
	at = remote_call1(r, r->tid, SYS_mmap, r->area + r->area_len, more, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1ul,
			  0);
	if (at < 0 && at >= -4095)
		return (int)at;
	if ((unsigned long)at != r->area + r->area_len)
		return -ENOSPC;
	r->area_len += more;
	threads = realloc(r->threads, n * sizeof(*threads));
	if (!threads)
		return -ENOMEM;
	memset(threads + r->n_slots, 0, r->n_slots * sizeof(*threads));
	r->threads = threads;
	r->n_slots = n;
	return 0;
}

static int slot_take(struct remote *r, pid_t tid, struct remote_thread **out)
{
	struct remote_thread *free_slot = NULL;
	int ret = 0;

	if (tid <= 0)
		return -EINVAL;
	for (size_t i = 0; i < r->n_slots; i++) {
		if (r->threads[i].tid == tid)
			return -EBUSY;
		if (!free_slot && !r->threads[i].tid)
			free_slot = &r->threads[i];
	}
	if (!free_slot) {
		ret = slots_grow(r);
		free_slot = ret < 0 ? NULL : remote_thread_find(r, 0);
	}
	*out = free_slot;
	return ret;
}

/**
 * remote_attach_thread - take another stopped thread of the address space.
 * @tid: a thread in event-stop or group-stop; remote_open() has attached its own
 *
 * Until remote_detach_thread() or remote_close() all its signals are blocked.
 * Returns 0, -EBUSY if it is attached or in a stub, -EOPNOTSUPP if it runs
 * 32-bit code or has a shadow stack, or another -errno; then it is as it was.
 */
int remote_attach_thread(struct remote *r, pid_t tid)
{
	struct remote_thread *t;
	int ret = slot_take(r, tid, &t);

	if (ret < 0)
		return ret;
	ret = remote_thread_capture(r, t, tid);
	if (ret < 0)
		return ret;
	ret = remote_thread_seat(r, t);
	if (ret < 0)
		remote_thread_restore(r, t);
	return ret;
}

/**
 * remote_attach_start - remote_attach_thread() and remote_start() without flags in fewer steps.
 * @known: the state of the thread
 * @calls: what to run, a slot full at most
 *
 * remote_finish_home() is to follow. Returns as the two do.
 */
int remote_attach_start(struct remote *r, pid_t tid, const struct remote_state *known,
			const struct remote_call *calls, size_t n)
{
	struct remote_thread *t;
	int ret;

	if (r->adopted || n > REMOTE_RECORDS)
		return -EINVAL;
	if (!arch_supported(&known->regs))
		return -EOPNOTSUPP;
	if (arch_where(&known->regs, r->code) != ARCH_OUTSIDE)
		return -EBUSY;
	ret = slot_take(r, tid, &t);
	if (ret < 0)
		return ret;
	*t = (struct remote_thread){
		.tid = tid, .saved = known->regs, .sp = known->regs.rsp, .mask = known->mask
	};
	ret = slot_frame(r, t, known->xstate, known->xlen);
	if (ret < 0) {
		t->tid = 0;
		return ret;
	}
	/* Registers to the stub, then the mask, as in thread_borrow(). */
	ret = remote_batch_load(r, t, calls, n, 0) ?: ptrace_set_sigmask(tid, ALL_SIGNALS);
	ret = ret ?: remote_batch_go(t, n);
	if (ret < 0)
		remote_thread_restore(r, t);
	return ret;
}

/**
 * remote_detach_thread - give one thread back; it stays stopped, as it was found.
 *
 * The thread of remote_open() stays until remote_close(): -EBUSY.
 */
int remote_detach_thread(struct remote *r, pid_t tid)
{
	struct remote_thread *t = remote_thread_find(r, tid);

	if (!t || tid <= 0)
		return -ENOENT;
	if (!r->adopted && tid == r->tid)
		return -EBUSY;
	return remote_thread_restore(r, t);
}

/**
 * remote_saved - the state of an attached thread as it was found.
 * @regs: its registers; may be NULL
 * @mask: its signal mask; may be NULL
 *
 * Returns 0 or -ENOENT.
 */
int remote_saved(struct remote *r, pid_t tid, struct user_regs_struct *regs, uint64_t *mask)
{
	const struct remote_thread *t = remote_thread_find(r, tid);

	if (!t || tid <= 0)
		return -ENOENT;
	if (regs)
		*regs = t->saved;
	if (mask)
		*mask = t->mask;
	return 0;
}
