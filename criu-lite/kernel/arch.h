/*
 * arch - what remote system calls need to know of the processor: the stub that
 * runs them, the registers that start it, and the signal frame by which a
 * thread left alone returns to its own state. One arch-<machine>.c each.
 */
#ifndef CL_KERNEL_ARCH_H
#define CL_KERNEL_ARCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/user.h>

/* What the stub reads and writes; shared with its assembly. */
struct arch_record {
	uint64_t nr;
	uint64_t args[6];
	int64_t ret;
};

/* Flags of the stub. */
#define ARCH_STUB_STOP_ON_ERROR 1u
#define ARCH_STUB_NO_CALLS 2u /* spin; no system call of its own but rt_sigreturn */
#define ARCH_STUB_FOR_EVER 4u /* never leave by itself */

enum arch_where {
	ARCH_OUTSIDE, /* not in the stub */
	ARCH_RUNNING, /* in the stub, batch not finished */
	ARCH_WAITING, /* in the stub, batch finished */
};

#define ARCH_XSTATE_MAX 16384
#define ARCH_UC_SIZE 304 /* struct ucontext of a signal frame */
#define ARCH_UC_IP 168   /* the instruction pointer in it */
#define ARCH_RED_ZONE 128
#define ARCH_USER_END 0x7ffffffff000ul

const void *arch_stub(void);
size_t arch_stub_size(void);

/* How a thread is to run in the stub. Addresses are those of its address space. */
struct arch_job {
	unsigned long code;  /* where the stub is */
	unsigned long frame; /* what arch_frame_build() returned */
	unsigned long sp;    /* where handlers may run until signals are blocked */
	unsigned int flags;  /* ARCH_STUB_* */
};

bool arch_supported(const struct user_regs_struct *regs);
void arch_regs_park(struct user_regs_struct *regs, const struct arch_job *job);
void arch_regs_sleep(struct user_regs_struct *regs, const struct arch_job *job);
void arch_regs_run(struct user_regs_struct *regs, const struct arch_job *job, unsigned long records,
		   size_t n, unsigned long done);
void arch_regs_once(struct user_regs_struct *regs, const struct arch_job *job, long nr,
		    const unsigned long args[6]);
enum arch_where arch_where(const struct user_regs_struct *regs, unsigned long code);
unsigned long arch_sp(const struct user_regs_struct *regs);
struct arch_job arch_regs_job(const struct user_regs_struct *regs, unsigned long code);
long arch_once_result(const struct user_regs_struct *regs, unsigned long code);

/* A component of the XSAVE area, in bytes. */
struct arch_xsave_part {
	uint32_t size, at;
};

struct arch_xsave_part arch_xsave_part(unsigned int bit);
uint64_t arch_xsave_mask(void);

size_t arch_frame_size(size_t xlen, bool small);
bool arch_frame_may_be_small(const void *xstate, size_t xlen);
unsigned long arch_frame_build(void *buf, unsigned long raddr, const struct user_regs_struct *regs,
			       uint64_t mask, const void *xstate, size_t xlen, bool small);
bool arch_uc_returns(const void *uc, unsigned long addr, unsigned long code);
unsigned long arch_uc_home(const void *uc);
bool arch_uc_redirect(void *uc, const void *home);

#endif
