/*
 * arch-x86_64 - registers and extended state of a thread from its image. The
 * XSAVE area that ptrace(2) takes is in the standard format: 512 bytes of
 * FXSAVE, a header of 64, then each component at the offset that CPUID leaf
 * 0xd tells (Intel SDM volume 1, chapter 13).
 */
#include "restore/arch.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "kernel/arch.h"
#include "kernel/ptrace.h"
#include "kernel/remote.h"

#define XSAVE_MAX 16384
#define XSAVE_HEADER 512
#define XSAVE_FP_SSE 3u /* components that the FXSAVE part holds */

/**
 * arch_regs_from_image - general registers
 * @e: the image's; a system call has been rewound in it
 * @restart: why it had been left (thread_core_entry.restart), or 0
 * @r: where to. With @restart the call is left as the kernel had left it, for
 *     it to decide in an event-stop: a handler, then EINTR, or the call again
 */
void arch_regs_from_image(const UserX86RegsEntry *e, uint32_t restart, struct user_regs_struct *r)
{
	*r = (struct user_regs_struct){
		.r15 = e->r15,
		.r14 = e->r14,
		.r13 = e->r13,
		.r12 = e->r12,
		.rbp = e->bp,
		.rbx = e->bx,
		.r11 = e->r11,
		.r10 = e->r10,
		.r9 = e->r9,
		.r8 = e->r8,
		.rax = e->ax,
		.rcx = e->cx,
		.rdx = e->dx,
		.rsi = e->si,
		.rdi = e->di,
		.rip = e->ip,
		.cs = e->cs,
		.eflags = e->flags,
		.rsp = e->sp,
		.ss = e->ss,
		.fs_base = e->fs_base,
		.gs_base = e->gs_base,
		.ds = e->ds,
		.es = e->es,
		.fs = e->fs,
		.gs = e->gs,
		.orig_rax = (unsigned long long)-1,
	};
	if (restart) {
		r->orig_rax = e->ax;
		r->rax = -(unsigned long long)restart;
		r->rip += 2; /* the length of the syscall instruction */
	}
}

static void put_fxsave(unsigned char *x, const UserX86FpregsEntry *e)
{
	uint16_t words[4] = { (uint16_t)e->cwd, (uint16_t)e->swd, (uint16_t)e->twd,
			      (uint16_t)e->fop };
	uint32_t mxcsr[2] = { e->mxcsr, e->mxcsr_mask };

	memcpy(x, words, sizeof(words));
	memcpy(x + 8, &e->rip, 8);
	memcpy(x + 16, &e->rdp, 8);
	memcpy(x + 24, mxcsr, sizeof(mxcsr));
	memcpy(x + 32, e->st_space, e->n_st_space * 4 < 128 ? e->n_st_space * 4 : 128);
	memcpy(x + 160, e->xmm_space, e->n_xmm_space * 4 < 256 ? e->n_xmm_space * 4 : 256);
}

/* One component of the image to its place; -EOPNOTSUPP if this machine has no such place. */
static int put_component(unsigned char *x, size_t len, unsigned bit, const void *data, size_t size)
{
	struct arch_xsave_part p;

	if (!size)
		return 0;
	p = arch_xsave_part(bit);
	if (p.size < size || p.at < XSAVE_HEADER + 64 || p.at + size > len)
		return -EOPNOTSUPP;
	memcpy(x + p.at, data, size);
	return 0;
}

static int put_xsave(unsigned char *x, size_t len, const UserX86XsaveEntry *e)
{
	const struct {
		unsigned bit;
		const void *data;
		size_t size;
	} parts[] = {
		{ 2, e->ymmh_space, e->n_ymmh_space * 4 },
		{ 3, e->bndreg_state, e->n_bndreg_state * 8 },
		{ 4, e->bndcsr_state, e->n_bndcsr_state * 8 },
		{ 5, e->opmask_reg, e->n_opmask_reg * 8 },
		{ 6, e->zmm_upper, e->n_zmm_upper * 8 },
		{ 7, e->hi16_zmm, e->n_hi16_zmm * 8 },
		{ 9, e->pkru, e->n_pkru * 4 },
	};

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		int ret;

		if (!(e->xstate_bv & (1ull << parts[i].bit)))
			continue;
		ret = put_component(x, len, parts[i].bit, parts[i].data, parts[i].size);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/**
 * arch_set_xstate - floating point and vector state of a stopped thread
 * @report: the run's
 * @tid: the thread
 * @e: the image's
 *
 * Return: 0 or -errno, recorded.
 */
int arch_set_xstate(struct report *report, pid_t tid, const UserX86FpregsEntry *e)
{
	_Alignas(64) unsigned char x[XSAVE_MAX];
	uint64_t have = arch_xsave_mask();
	uint64_t want = e->xsave ? e->xsave->xstate_bv : XSAVE_FP_SSE;
	size_t len = sizeof(x);
	int ret = ptrace_get_xstate(tid, x, &len);

	if (ret < 0)
		return fail(report, "registers", -ret, "thread %d: size of its extended state",
			    tid);
	if (want & ~have)
		return fail(report, "cpu-features", 0,
			    "thread %d uses processor state %#llx that this processor lacks", tid,
			    (unsigned long long)(want & ~have));
	memset(x + XSAVE_HEADER, 0, len - XSAVE_HEADER);
	put_fxsave(x, e);
	memcpy(x + XSAVE_HEADER, &want, sizeof(want));
	ret = e->xsave ? put_xsave(x, len, e->xsave) : 0;
	if (ret == -EOPNOTSUPP)
		return fail(report, "cpu-features", 0,
			    "thread %d: its processor state does not fit this processor", tid);
	ret = ptrace_set_xstate(tid, x, len);
	return ret < 0 ? fail(report, "registers", -ret, "thread %d: extended state", tid) : 0;
}

/* To the next entry into or exit from a system call. */
static int step_syscall(pid_t tid)
{
	int st;

	if (ptrace(PTRACE_SYSCALL, tid, NULL, NULL) < 0)
		return -errno;
	while (waitpid(tid, &st, __WALL) < 0)
		if (errno != EINTR)
			return -errno;
	if (!WIFSTOPPED(st))
		return -ESRCH;
	return WSTOPSIG(st) == (SIGTRAP | 0x80) ? 0 : -EAGAIN;
}

/**
 * arch_unmap_code - unmap the page that the code itself is in
 * @tid: a stopped thread, traced with PTRACE_O_TRACESYSGOOD; signals blocked
 * @start: where remote_code() is mapped
 * @end: end of what is to be unmapped
 *
 * The thread is stopped on its way out of munmap(2), before it can fetch the
 * next instruction; it needs new registers then.
 *
 * Return: 0 or -errno.
 */
int arch_unmap_code(pid_t tid, unsigned long start, unsigned long end)
{
	static const unsigned char insn[2] = { 0x0f, 0x05 }; /* syscall */
	const unsigned char *code = remote_code();
	const unsigned char *at = memmem(code, remote_code_size(), insn, sizeof(insn));
	struct user_regs_struct regs;
	int ret = at ? ptrace_get_regs(tid, &regs) : -ENOEXEC;

	if (ret < 0)
		return ret;
	regs.rip = start + (unsigned long)(at - code);
	regs.rax = SYS_munmap;
	regs.rdi = start;
	regs.rsi = end - start;
	regs.orig_rax = (unsigned long long)-1;
	ret = ptrace_set_regs(tid, &regs);
	/* A trap that was pending comes first. */
	for (int stops = 0, tries = 0; ret >= 0 && stops < 2; tries++) {
		ret = step_syscall(tid);
		if (ret == 0)
			stops++;
		else if (ret == -EAGAIN && tries < 16)
			ret = 0;
	}
	if (ret < 0)
		return ret;
	ret = ptrace_get_regs(tid, &regs);
	return ret < 0 ? ret : (int)(long)regs.rax;
}

/**
 * arch_clone_thread - clone3(2) of a thread that runs a function on its own stack
 * @args: with CLONE_VM, stack and stack_size
 * @fn: the function; never returns
 * @arg: its argument
 *
 * Return: its id, or -errno.
 */
pid_t arch_clone_thread(const struct clone_args *args, void (*fn)(void *arg), void *arg)
{
	long ret;

	/* The child has all registers but rax and rsp; rcx and r11 are the kernel's. */
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "mov %[arg], %%rdi\n\t"
			 "mov %[fn], %%rax\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "call *%%rax\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(ret)
			 : "0"((long)SYS_clone3), "D"(args),
			   "S"(sizeof(*args)), [fn] "r"(fn), [arg] "r"(arg)
			 : "rcx", "r11", "memory");
	return (pid_t)ret;
}
