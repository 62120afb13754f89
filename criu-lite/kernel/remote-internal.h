/*
 * remote-internal - what the files of remote share. Nothing outside kernel/
 * includes it.
 *
 * The cave: a run of zero bytes at the end of an executable mapping, the vdso
 * or, in a task that has unmapped it, the first file's with room, which for
 * the time of a session holds
 *
 *	[frame of the host thread, if it fits] [stub] [struct cave_head]
 *
 * The area, one private anonymous mapping: a page with struct area_head, the
 * scratch space of remote_alloc(), then one slot per thread:
 *
 *	[struct slot] [signal frame]
 *
 * An adopted area has the stub in its first page in place of the head.
 *
 * The host is the thread that remote_open() was given. While the area does not
 * exist (it is mapped first and unmapped last) the host's frame is in the cave
 * or, where that is too small for it, on its stack below the red zone.
 */
#ifndef CL_KERNEL_REMOTE_INTERNAL_H
#define CL_KERNEL_REMOTE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include "kernel/arch.h"
#include "kernel/remote.h"

#define REMOTE_MAGIC 0x31656d657465726cul
#define REMOTE_PAGE 4096ul
#define REMOTE_SCRATCH (32 * REMOTE_PAGE)
#define REMOTE_RECORDS 96 /* calls in a slot */
#define CAVE_MARGIN 64    /* zero bytes wanted before the cave too */

struct cave_head {
	uint64_t magic;
	uint64_t area;
	uint64_t area_len; /* of the first mapping; it may have grown */
	uint64_t start;    /* first byte of the cave */
};

struct area_head {
	uint64_t magic;
	uint64_t area_len;
};

struct slot {
	uint32_t done;
	uint32_t pad[15];
	struct arch_record records[REMOTE_RECORDS];
	/* the frame follows */
};

struct remote_thread {
	pid_t tid; /* 0: the slot is free */
	bool running;
	bool stale;     /* has gone home by itself: its state is its own again */
	bool asked;     /* to stop, at the end of its batch */
	size_t started; /* calls in the slot */
	unsigned long frame;
	unsigned long sp; /* stack pointer in the stub */
	struct user_regs_struct saved;
	uint64_t mask;
};

/* Where the host's frame is while there is no area, and what was there before. */
struct remote_host_frame {
	unsigned long addr;
	size_t len; /* 0: none */
	bool on_stack;
	unsigned char *before;
};

struct remote {
	pid_t tid; /* any thread of the address space: the host */
	int mem;   /* /proc/TID/mem */
	bool adopted;
	bool mapped; /* the area exists */
	unsigned int stub_flags;
	unsigned int limit_ms;

	unsigned long cave;      /* struct cave_head; 0 if adopted */
	unsigned long cave_room; /* first byte that may be used */
	unsigned long code;
	struct remote_host_frame host;

	unsigned long area;
	size_t area_len;
	unsigned long scratch;
	size_t scratch_used;

	unsigned long slots;
	size_t slot_size;
	size_t n_slots;
	size_t found;                  /* where the last look for a thread ended */
	struct remote_thread *threads; /* one per slot */
};

static inline size_t remote_round_up(size_t n, size_t to)
{
	return (n + to - 1) & ~(to - 1);
}

/* remote-cave.c */
int remote_new(struct remote **out, pid_t tid);
void remote_free(struct remote *r);
void remote_cave_locate(struct remote *r, unsigned long end);
int remote_cave_used(struct remote *r, struct cave_head *head);
int remote_cave_find(struct remote *r, unsigned long start, unsigned long end);
int remote_cave_elsewhere(struct remote *r);
int remote_cave_plant(struct remote *r);
int remote_cave_clear(struct remote *r);
int remote_cave_same(struct remote *r);
int remote_cave_wipe(struct remote *r);
int remote_area_unmap(struct remote *r, struct remote_thread *t);

/* remote-mem.c: where things are and may be */
struct remote_gap {
	unsigned long vdso_start, vdso_end, free;
};
int remote_scan_maps(pid_t tid, struct remote_gap *gap);
int remote_code_at(pid_t tid, unsigned long *start, unsigned long *end);
int remote_mapped_at(pid_t tid, unsigned long start, unsigned long *end);
int remote_force(struct remote *r, unsigned long raddr, const void *buf, size_t len);
bool remote_readable(const struct remote *r, unsigned long raddr);

/* remote-run.c */
struct arch_job remote_job(const struct remote *r, const struct remote_thread *t);
int remote_park(const struct remote *r, const struct remote_thread *t);
int remote_settle(struct remote *r, struct remote_thread *t, struct user_regs_struct *regs);
int remote_batch_load(struct remote *r, struct remote_thread *t, const struct remote_call *calls,
		      size_t n, unsigned int flags);
int remote_batch_go(struct remote_thread *t, size_t n);
int remote_once(struct remote *r, struct remote_thread *t, long nr, const unsigned long args[6],
		bool appears, long *result);

/* remote-thread.c */
unsigned long remote_slot_addr(const struct remote *r, const struct remote_thread *t);
struct remote_thread *remote_thread_find(struct remote *r, pid_t tid);
int remote_thread_capture(struct remote *r, struct remote_thread *t, pid_t tid);
int remote_thread_seat(struct remote *r, struct remote_thread *t);
int remote_thread_restore(struct remote *r, struct remote_thread *t);
int remote_host_place(struct remote *r, struct remote_thread *t);
int remote_host_remove(struct remote *r);

#endif
