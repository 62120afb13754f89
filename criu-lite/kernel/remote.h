/*
 * remote - run system calls inside ptrace-stopped tasks, from outside.
 *
 * A struct remote stands for one address space whose threads are all stopped by us (PTRACE_SEIZE,
 * event-stop or group-stop). On the dump side, whatever is put into a thread is arranged so that it
 * returns to its own registers and signal mask by itself should the tool die at any instant.
 *
 * While threads are attached their ptrace registers and mask are ours: use remote_saved() for the
 * real ones. Pending signals, xstate and everything else are untouched. Calls that block need care:
 * a batch that outlasts the time limit ends in -ETIMEDOUT.
 *
 * Functions return 0 or -errno. -ESRCH: the task is dead. -ESTALE: the tool was late by more than
 * REMOTE_PATIENCE_MS and the thread has gone back to its own code.
 */
#ifndef CL_KERNEL_REMOTE_H
#define CL_KERNEL_REMOTE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

/* How long a thread that has finished a batch waits for the tool before it goes its own way. */
#define REMOTE_PATIENCE_MS 2000

/* Flag of a batch: do not run the calls after the first one that fails. */
#define REMOTE_STOP_ON_ERROR 1u

struct remote_call {
	long nr;
	unsigned long args[6];
	long ret; /* result or -errno of the call; -ECANCELED: it was not run */
};

/* Hints for remote_open(); a zero field is found out by it. */
struct remote_where {
	/* An executable mapping with room for the stub in zero bytes at its end: the vdso. */
	unsigned long start;
	unsigned long end;
	/* A free address for the work area with plenty of free space above it. */
	unsigned long area;
	/* How many threads will be attached. More still work, at the price of another mmap. */
	size_t threads;
	/*
	 * The task has a seccomp filter: wait without system calls, since
	 * PTRACE_O_SUSPEND_SECCOMP ends with the tool. The patience is then some tenths of a
	 * second, and calls of a batch that is under way when the tool dies meet the filter.
	 */
	unsigned int seccomp : 1;
};

/*
 * What a caller knows already of a thread that has been stopped all the time since: its
 * registers, with ptrace_rseq_fixup() done, its mask and its xstate. No shadow stack.
 */
struct remote_state {
	struct user_regs_struct regs;
	uint64_t mask;
	const void *xstate; /* as from ptrace_get_xstate() */
	size_t xlen;
};

/* A batch under way in one thread. */
struct remote_batch {
	pid_t tid;
	struct remote_call *calls;
	size_t n;
};

struct remote;

int remote_open(struct remote **out, pid_t tid, const struct remote_where *where);
int remote_close(struct remote *r);

const void *remote_code(void);
size_t remote_code_size(void);
size_t remote_area_size(size_t threads);
int remote_adopt(struct remote **out, pid_t tid, unsigned long area, size_t area_size);
void remote_forget(struct remote *r);

int remote_attach_thread(struct remote *r, pid_t tid);
int remote_attach_start(struct remote *r, pid_t tid, const struct remote_state *known,
			const struct remote_call *calls, size_t n);
int remote_detach_thread(struct remote *r, pid_t tid);
int remote_saved(struct remote *r, pid_t tid, struct user_regs_struct *regs, uint64_t *mask);
void remote_area(const struct remote *r, unsigned long *start, unsigned long *end);
void remote_set_limit(struct remote *r, unsigned int limit_ms);

unsigned long remote_alloc(struct remote *r, size_t size, size_t align);
size_t remote_left(const struct remote *r);
void remote_reset(struct remote *r);
int remote_write(struct remote *r, unsigned long raddr, const void *buf, size_t len);
int remote_read(struct remote *r, unsigned long raddr, void *buf, size_t len);

int remote_start(struct remote *r, pid_t tid, const struct remote_call *calls, size_t n,
		 unsigned int flags);
int remote_finish(struct remote *r, pid_t tid, struct remote_call *calls, size_t n,
		  unsigned int flags);
int remote_hold(struct remote *r, pid_t tid);
int remote_finish_home(struct remote *r, const struct remote_batch *batches, size_t n,
		       pid_t *failed);
int remote_run(struct remote *r, pid_t tid, struct remote_call *calls, size_t n,
	       unsigned int flags);
long remote_call1(struct remote *r, pid_t tid, long nr, unsigned long a0, unsigned long a1,
		  unsigned long a2, unsigned long a3, unsigned long a4, unsigned long a5);

int remote_rescue(pid_t pid);

#endif
