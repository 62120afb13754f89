/*
 * arch-x86_64 - the stub, its registers and its signal frame on x86_64.
 *
 * While a thread is in the stub:
 *   rbx  next record, or the result of a single call
 *   rbp  how often to spin
 *   r12  end of the records
 *   r13  the word that says a batch is finished
 *   r14  struct ucontext of the frame that leads home
 *   r15  ARCH_STUB_* flags
 *   rsp  the thread's own (below the frame, if that is on the same stack), until
 *        the last moment: a handler may run on it while signals are not blocked
 *
 * The stub touches neither vector registers nor the restart block, which one
 * interrupted sleep of the thread's own may still need: ppoll(2) ends in
 * -ERESTARTNOHAND or -EINTR. Its time limit is that of REMOTE_PATIENCE_MS.
 */
#include "kernel/arch.h"

#include <cpuid.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "kernel/remote.h"

/* clang-format off */
__asm__(
"	.pushsection .rodata\n"
"	.balign 16\n"
"arch_stub_start:\n"
/* One call; arguments are in their registers. */
"arch_stub_once:\n"
"	syscall\n"
"arch_stub_once_done:\n"
"	mov %rax, %rbx\n"
"	jmp arch_stub_wait\n"
/* A batch. */
"arch_stub_run:\n"
"1:	cmp %r12, %rbx\n"
"	jae 2f\n"
"	mov (%rbx), %rax\n"
"	mov 8(%rbx), %rdi\n"
"	mov 16(%rbx), %rsi\n"
"	mov 24(%rbx), %rdx\n"
"	mov 32(%rbx), %r10\n"
"	mov 40(%rbx), %r8\n"
"	mov 48(%rbx), %r9\n"
"	syscall\n"
"	mov %rax, 56(%rbx)\n"
"	add $64, %rbx\n"
"	test $1, %r15b\n"
"	jz 1b\n"
"	cmp $-4095, %rax\n"
"	jb 1b\n"
"2:	movl $1, (%r13)\n"
/* The tool will interrupt this; if it does not, it is dead. */
"arch_stub_wait:\n"
"	pause\n"
"	dec %rbp\n"
"	jnz arch_stub_wait\n"
"	test $2, %r15b\n"
"	jnz arch_stub_home\n"
"3:	mov $271, %eax\n"			/* ppoll(NULL, 0, &patience, NULL, 8) */
"	xor %edi, %edi\n"
"	xor %esi, %esi\n"
"	lea arch_stub_patience(%rip), %rdx\n"
"	xor %r10d, %r10d\n"
"	mov $8, %r8d\n"
"	syscall\n"
"	test $4, %r15b\n"
"	jnz 3b\n"
/* Signals may still be those of the thread here, and rsp must be until they are blocked. */
"arch_stub_park:\n"
"	test $2, %r15b\n"
"	jnz arch_stub_home\n"
"	mov $14, %eax\n"			/* rt_sigprocmask(SIG_BLOCK, &all, NULL, 8) */
"	xor %edi, %edi\n"
"	lea arch_stub_all(%rip), %rsi\n"
"	xor %edx, %edx\n"
"	mov $8, %r10d\n"
"	syscall\n"
"arch_stub_home:\n"
"	mov %r14, %rsp\n"			/* rt_sigreturn() */
"	mov $15, %eax\n"
"	syscall\n"
"arch_stub_end:\n"
"	ud2\n"
"	.balign 8\n"
"arch_stub_patience:\n"
"	.quad 2, 0\n"
"arch_stub_all:\n"
"	.quad -1\n"
"arch_stub_limit:\n"
"	.popsection\n");
/* clang-format on */

extern const char arch_stub_start[], arch_stub_once_done[], arch_stub_run[], arch_stub_wait[],
	arch_stub_park[], arch_stub_end[], arch_stub_limit[];

_Static_assert(REMOTE_PATIENCE_MS == 2000, "arch_stub_patience says the same in assembly");
_Static_assert(sizeof(struct arch_record) == 64, "the stub steps by 64");

/* struct sigcontext, stack_t and struct ucontext as the kernel has them. */
struct frame_context {
	uint64_t r8, r9, r10, r11, r12, r13, r14, r15;
	uint64_t rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, eflags;
	uint16_t cs, gs, fs, ss;
	uint64_t err, trapno, oldmask, cr2, fpstate, reserved[8];
};

struct frame_uc {
	uint64_t flags, link;
	uint64_t stack_sp;
	uint32_t stack_flags, stack_pad;
	uint64_t stack_size;
	struct frame_context ctx;
	uint64_t mask;
};

/* struct _fpx_sw_bytes, at byte 464 of the legacy area. */
struct frame_sw {
	uint32_t magic1, extended_size;
	uint64_t xfeatures;
	uint32_t xstate_size, pad[7];
};

#define LEGACY_SIZE 512u
#define SW_OFFSET 464u
#define XSAVE_MAGIC1 0x46505853u
#define XSAVE_MAGIC2 0x46505845u
#define UC_FLAGS 7u /* UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS */
#define XFEATURE_SSE_ALL 3ull
#define XFEATURE_PKRU (1ull << 9)
#define XFEATURE_DYNAMIC (3ull << 17) /* AMX: a task has to ask for its space */
#define PKRU_INIT 0x55555554u
#define STACK_FLAGS_WRONG 0xbadu /* refused by the kernel: leaves the alternate stack alone */

#define USER_CS_64 0x33

/*
 * Spinning before the sleep makes a batch slower, not faster. With
 * ARCH_STUB_NO_CALLS it is all there is, and burns the processor: some tenths of a second.
 */
#define SPIN_NOT 1ul
#define SPIN_ALWAYS 6000000ul

/* Distance of a label from the beginning of the stub. */
static unsigned long offset(const char *label)
{
	return (unsigned long)label - (unsigned long)arch_stub_start;
}

/** arch_stub - the stub: position-independent code. */
const void *arch_stub(void)
{
	return arch_stub_start;
}

/** arch_stub_size - its length in bytes. */
size_t arch_stub_size(void)
{
	return offset(arch_stub_limit);
}

/** arch_supported - can a thread with these registers run the stub (64-bit code)? */
bool arch_supported(const struct user_regs_struct *regs)
{
	return regs->cs == USER_CS_64;
}

static void regs_common(struct user_regs_struct *regs, const struct arch_job *job, const char *at)
{
	regs->rip = job->code + offset(at);
	regs->rsp = job->sp;
	regs->r14 = job->frame;
	regs->r15 = job->flags;
	regs->rbp = job->flags & ARCH_STUB_NO_CALLS ? SPIN_ALWAYS : SPIN_NOT;
	/* Not in a system call: nothing to restart. No direction, no trap flag. */
	regs->orig_rax = -1ul;
	regs->eflags &= ~0x500ul;
}

/**
 * arch_regs_park - registers of a thread that has nothing to do: let go, it
 * returns to its own state.
 * @regs: any registers of the thread's, such as its own
 */
void arch_regs_park(struct user_regs_struct *regs, const struct arch_job *job)
{
	regs_common(regs, job, arch_stub_park);
}

/**
 * arch_regs_sleep - as arch_regs_park(), but let go it sleeps for REMOTE_PATIENCE_MS first
 * (ARCH_STUB_NO_CALLS: spins, for some tenths of a second).
 */
void arch_regs_sleep(struct user_regs_struct *regs, const struct arch_job *job)
{
	regs_common(regs, job, arch_stub_wait);
}

/**
 * arch_regs_run - registers that run a batch.
 * @records: remote address of @n struct arch_record
 * @done: remote address of an uint32_t that becomes 1 at the end
 */
void arch_regs_run(struct user_regs_struct *regs, const struct arch_job *job, unsigned long records,
		   size_t n, unsigned long done)
{
	regs_common(regs, job, arch_stub_run);
	regs->rbx = records;
	regs->r12 = records + n * sizeof(struct arch_record);
	regs->r13 = done;
}

/** arch_regs_once - registers that run one call without any memory. */
void arch_regs_once(struct user_regs_struct *regs, const struct arch_job *job, long nr,
		    const unsigned long args[6])
{
	regs_common(regs, job, arch_stub_start);
	regs->rax = (unsigned long)nr;
	regs->rdi = args[0];
	regs->rsi = args[1];
	regs->rdx = args[2];
	regs->r10 = args[3];
	regs->r8 = args[4];
	regs->r9 = args[5];
}

/** arch_where - how far a stopped thread has come in the stub at @code. */
enum arch_where arch_where(const struct user_regs_struct *regs, unsigned long code)
{
	unsigned long off = regs->rip - code;

	/* Behind the last instruction only the frame's registers are found. */
	if (off >= offset(arch_stub_end))
		return ARCH_OUTSIDE;
	if (off >= offset(arch_stub_wait))
		return ARCH_WAITING;
	if (off >= offset(arch_stub_once_done) && off < offset(arch_stub_run))
		return ARCH_WAITING;
	return ARCH_RUNNING;
}

/** arch_sp - the stack pointer. */
unsigned long arch_sp(const struct user_regs_struct *regs)
{
	return regs->rsp;
}

/** arch_regs_job - how a thread that is in the stub at @code was made to run. */
struct arch_job arch_regs_job(const struct user_regs_struct *regs, unsigned long code)
{
	return (struct arch_job){ code, regs->r14, regs->rsp, (unsigned int)regs->r15 };
}

/** arch_once_result - result of arch_regs_once()'s call once arch_where() is ARCH_WAITING. */
long arch_once_result(const struct user_regs_struct *regs, unsigned long code)
{
	if (regs->rip - code == offset(arch_stub_once_done))
		return (long)regs->rax;
	return (long)regs->rbx;
}

static uint64_t xstate_mask(const void *xstate)
{
	uint64_t mask;

	memcpy(&mask, (const char *)xstate + SW_OFFSET, sizeof(mask));
	return mask;
}

static uint64_t xstate_used(const void *xstate)
{
	uint64_t used;

	memcpy(&used, (const char *)xstate + LEGACY_SIZE, sizeof(used));
	return used;
}

/**
 * arch_xsave_part - where a component of the XSAVE area lies, in the standard format
 * @bit: its number, 2 to 62 (Intel SDM volume 1, chapter 13: CPUID leaf 13)
 *
 * The processor is asked once: in a virtual machine CPUID takes microseconds.
 *
 * Return: its size is 0 if this processor does not have it.
 */
struct arch_xsave_part arch_xsave_part(unsigned int bit)
{
	static _Atomic uint64_t known[64];
	struct arch_xsave_part p;
	unsigned int c, d;
	uint64_t v = known[bit];

	if (!v) {
		__cpuid_count(13, bit, p.size, p.at, c, d);
		known[bit] = v = (uint64_t)p.size << 32 | p.at;
	}
	return (struct arch_xsave_part){ .size = (uint32_t)(v >> 32), .at = (uint32_t)v };
}

/**
 * arch_xsave_mask - the components that this processor has
 */
uint64_t arch_xsave_mask(void)
{
	static _Atomic uint64_t known;
	unsigned int lo, b, c, hi;

	if (!known) {
		__cpuid_count(13, 0, lo, b, c, hi);
		known = lo | (uint64_t)hi << 32;
	}
	return known;
}

/* End of the components in @mask. */
static size_t xstate_end(uint64_t mask)
{
	size_t end = LEGACY_SIZE + 64;

	for (unsigned int i = 2; i < 63; i++) {
		struct arch_xsave_part p = { 0 };

		if (mask >> i & 1)
			p = arch_xsave_part(i);
		if (p.at + p.size > end)
			end = p.at + p.size;
	}
	return end;
}

static size_t fp_size(size_t xlen, bool small)
{
	return small ? LEGACY_SIZE : (xlen + sizeof(uint32_t) + 7) & ~(size_t)7;
}

/**
 * arch_frame_size - how much space a frame needs.
 * @xlen: length of the xstate
 * @small: only what FXSAVE covers, see arch_frame_may_be_small()
 */
size_t arch_frame_size(size_t xlen, bool small)
{
	return fp_size(xlen, small) + sizeof(struct frame_uc);
}

/**
 * arch_frame_may_be_small - are all parts of the xstate beyond x87 and SSE in
 * their initial state, which a frame without them restores?
 */
bool arch_frame_may_be_small(const void *xstate, size_t xlen)
{
	uint64_t more = xstate_used(xstate) & ~XFEATURE_SSE_ALL;
	uint32_t pkru;

	if (more & XFEATURE_PKRU) {
		struct arch_xsave_part p = arch_xsave_part(9);

		if (!p.size || p.at + sizeof(pkru) > xlen)
			return false;
		memcpy(&pkru, (const char *)xstate + p.at, sizeof(pkru));
		if (pkru == PKRU_INIT)
			more &= ~XFEATURE_PKRU;
	}
	return !more;
}

static void frame_fp(char *fp, const void *xstate, size_t xlen, bool small)
{
	uint64_t mask = xstate_mask(xstate);
	size_t usual = xlen;
	uint32_t magic2 = XSAVE_MAGIC2;
	struct frame_sw sw = { 0 };

	memcpy(fp, xstate, small ? LEGACY_SIZE : xlen);
	if (!small) {
		/*
		 * The kernel looks for the second magic where the space of this task ends (since
		 * 6.8) or at xstate_size (before): with the dynamic components if the task has
		 * asked for them, else without. Nothing lives in the gap between.
		 */
		if ((mask & XFEATURE_DYNAMIC) && !(xstate_used(xstate) & XFEATURE_DYNAMIC)) {
			mask &= ~XFEATURE_DYNAMIC;
			usual = xstate_end(mask);
			usual = usual < xlen ? usual : xlen;
		}
		memcpy(fp + usual, &magic2, sizeof(magic2));
		memcpy(fp + xlen, &magic2, sizeof(magic2));
		sw.magic1 = XSAVE_MAGIC1;
		sw.extended_size = (uint32_t)(usual + sizeof(magic2));
		sw.xfeatures = mask;
		sw.xstate_size = (uint32_t)usual;
	}
	memcpy(fp + SW_OFFSET, &sw, sizeof(sw));
}

/* As the kernel does before a handler or a restart, for the return through rt_sigreturn. */
static void frame_restart(struct frame_context *ctx, long orig_rax)
{
	if (orig_rax < 0)
		return;
	switch ((long)ctx->rax) {
	case -512: /* ERESTARTSYS */
	case -513: /* ERESTARTNOINTR */
	case -514: /* ERESTARTNOHAND */
		ctx->rax = (uint64_t)orig_rax;
		ctx->rip -= 2;
		break;
	case -516: /* ERESTART_RESTARTBLOCK: rt_sigreturn forgets the block */
		ctx->rax = (uint64_t)-EINTR;
		break;
	}
}

/**
 * arch_frame_build - a signal frame that leads to a thread's own state.
 * @buf: arch_frame_size() bytes
 * @raddr: where @buf will be in the thread's memory, a multiple of 64
 * @regs: general registers, as ptrace shows them in an event-stop
 * @mask: signal mask
 * @xstate: as from ptrace_get_xstate()
 *
 * The alternate signal stack stays what it is. An interrupted call is restarted
 * as the kernel would, but for those with a restart block, which see -EINTR.
 * Returns the frame's remote address for struct arch_job.
 */
unsigned long arch_frame_build(void *buf, unsigned long raddr, const struct user_regs_struct *regs,
			       uint64_t mask, const void *xstate, size_t xlen, bool small)
{
	size_t at = fp_size(xlen, small);
	struct frame_uc uc = {
		.flags = UC_FLAGS,
		.stack_flags = STACK_FLAGS_WRONG,
		.mask = mask,
		.ctx = {
			.r8 = regs->r8, .r9 = regs->r9, .r10 = regs->r10, .r11 = regs->r11,
			.r12 = regs->r12, .r13 = regs->r13, .r14 = regs->r14, .r15 = regs->r15,
			.rdi = regs->rdi, .rsi = regs->rsi, .rbp = regs->rbp, .rbx = regs->rbx,
			.rdx = regs->rdx, .rax = regs->rax, .rcx = regs->rcx, .rsp = regs->rsp,
			.rip = regs->rip, .eflags = regs->eflags,
			.cs = (uint16_t)regs->cs, .ss = (uint16_t)regs->ss,
			.fpstate = raddr,
		},
	};

	memset(buf, 0, arch_frame_size(xlen, small));
	frame_fp(buf, xstate, xlen, small);
	frame_restart(&uc.ctx, (long)regs->orig_rax);
	memcpy((char *)buf + at, &uc, sizeof(uc));
	return raddr + at;
}

/**
 * arch_uc_returns - is this the context of a handler that will return into the stub?
 * @uc: ARCH_UC_SIZE bytes
 * @addr: where they are in the thread's memory
 */
bool arch_uc_returns(const void *uc, unsigned long addr, unsigned long code)
{
	struct frame_uc f;

	_Static_assert(sizeof(f) == ARCH_UC_SIZE, "as in arch.h");
	_Static_assert(offsetof(struct frame_uc, ctx.rip) == ARCH_UC_IP, "as in arch.h");
	memcpy(&f, uc, sizeof(f));
	return f.ctx.rip - code < offset(arch_stub_end) && f.flags && !(f.flags & ~15ul) &&
	       !f.link && f.ctx.cs == USER_CS_64 && f.ctx.fpstate % 64 == 0 &&
	       f.ctx.fpstate - addr < 2UL * ARCH_XSTATE_MAX;
}

/** arch_uc_home - where arch_frame_build() has put the way home, for arch_uc_returns() */
unsigned long arch_uc_home(const void *uc)
{
	struct frame_uc f;

	memcpy(&f, uc, sizeof(f));
	return f.ctx.r14;
}

/**
 * arch_uc_redirect - make a handler return to a thread's own state, instead of into the stub
 * @uc: the handler's context, see arch_uc_returns(); changed
 * @home: the ARCH_UC_SIZE bytes at arch_uc_home()
 *
 * The stub leaves the extended state as it was, so that stays.
 *
 * Return: false if @home is no context of arch_frame_build().
 */
bool arch_uc_redirect(void *uc, const void *home)
{
	struct frame_uc f, h;

	memcpy(&f, uc, sizeof(f));
	memcpy(&h, home, sizeof(h));
	if (h.flags != UC_FLAGS || h.link || h.stack_flags != STACK_FLAGS_WRONG ||
	    h.ctx.cs != USER_CS_64)
		return false;
	h.ctx.fpstate = f.ctx.fpstate;
	f.ctx = h.ctx;
	f.mask = h.mask;
	memcpy(uc, &f, sizeof(f));
	return true;
}
