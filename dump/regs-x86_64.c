/*
 * regs - registers of an x86-64 thread as the image has them.
 *
 * General registers are those to load so that the thread goes on in user mode:
 * a system call that was interrupted is wound back to be made again, one that
 * only the kernel could go on with returns EINTR. The vector state comes from
 * the uncompacted XSAVE area; its message has a field per component.
 */
#include "dump/tasks.h"

#include <asm/ldt.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/ptrace.h>

#include "kernel/arch.h"
#include "kernel/ptrace.h"

#define CS_64BIT 0x33
#define TLS_FIRST 12u

/* What the kernel leaves in rax of a call that is to be restarted. */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514
#define ERESTART_RESTARTBLOCK 516

/*
 * Is it poll(2)? What a thread has called that was interrupted before, and
 * went on by restart_syscall(2), is told by the number before the instruction.
 */
static bool is_poll(pid_t tid, const struct user_regs_struct *r)
{
	static const uint8_t code[7] = { 0xb8, SYS_poll, 0, 0, 0, 0x0f, 0x05 };
	uint8_t have[sizeof(code)];
	struct iovec to = { have, sizeof(have) };
	struct iovec from = { (void *)(r->rip - sizeof(have)), sizeof(have) };

	if (r->orig_rax != SYS_restart_syscall)
		return r->orig_rax == SYS_poll;
	return process_vm_readv(tid, &to, 1, &from, 1, 0) == (ssize_t)sizeof(have) &&
	       !memcmp(have, code, sizeof(code));
}

/* Returns what the kernel left in rax, for it to decide once more at restore, or 0. */
static uint32_t wind_back(pid_t tid, struct user_regs_struct *r)
{
	long why = -(long)r->rax;

	if ((long)r->orig_rax < 0)
		return 0;
	switch (why) {
	case ERESTARTSYS:
	case ERESTARTNOINTR:
	case ERESTARTNOHAND:
		r->rax = r->orig_rax;
		r->rip -= 2; /* the length of the syscall instruction */
		return (uint32_t)why;
	case ERESTART_RESTARTBLOCK:
		/* Without a signal nobody expects poll(2) to be interrupted: it waits anew. */
		if (is_poll(tid, r)) {
			r->rax = SYS_poll;
			r->rip -= 2;
			return ERESTARTNOHAND;
		}
		r->rax = (unsigned long)-EINTR;
		r->orig_rax = -1ul;
		return 0;
	default:
		return 0;
	}
}

static UserX86RegsEntry *gpregs(struct arena *a, struct user_regs_struct r)
{
	UserX86RegsEntry *e = arena_new_of(a, UserX86RegsEntry);

	user_x86_regs_entry__init(e);
	e->r15 = r.r15;
	e->r14 = r.r14;
	e->r13 = r.r13;
	e->r12 = r.r12;
	e->bp = r.rbp;
	e->bx = r.rbx;
	e->r11 = r.r11;
	e->r10 = r.r10;
	e->r9 = r.r9;
	e->r8 = r.r8;
	e->ax = r.rax;
	e->cx = r.rcx;
	e->dx = r.rdx;
	e->si = r.rsi;
	e->di = r.rdi;
	e->orig_ax = r.orig_rax;
	e->ip = r.rip;
	e->cs = r.cs;
	e->flags = r.eflags;
	e->sp = r.rsp;
	e->ss = r.ss;
	e->fs_base = r.fs_base;
	e->gs_base = r.gs_base;
	e->ds = r.ds;
	e->es = r.es;
	e->fs = r.fs;
	e->gs = r.gs;
	e->has_mode = 1;
	e->mode = USER_X86_REGS_MODE__NATIVE;
	return e;
}

/* The components of XSAVE with a field of their own. */
static const struct component {
	unsigned int bit;
	bool words; /* elements of 32 bits, else of 64 */
	size_t n, count_at, list_at;
} components[] = {
#define C(bit, words, n, field)                                        \
	{                                                              \
		bit, words, n, offsetof(UserX86XsaveEntry, n_##field), \
			offsetof(UserX86XsaveEntry, field)             \
	}
	C(2, true, 64, ymmh_space), C(3, false, 8, bndreg_state), C(4, false, 8, bndcsr_state),
	C(5, false, 8, opmask_reg), C(6, false, 64, zmm_upper),   C(7, false, 128, hi16_zmm),
	C(9, true, 2, pkru),
#undef C
};
#define XSAVE_FIELDS 0x2ffull /* x87 and SSE, and those above */
#define XSAVE_HEADER 512
#define XSAVE_MASK_AT 464 /* the features this kernel gives to user mode */

static uint64_t xsave_load(const unsigned char *x, size_t at)
{
	uint64_t v;

	memcpy(&v, x + at, sizeof(v));
	return v;
}

static UserX86XsaveEntry *xsave_entry(struct arena *a, const unsigned char *x, size_t len)
{
	UserX86XsaveEntry *e = arena_new_of(a, UserX86XsaveEntry);
	uint64_t mask = xsave_load(x, XSAVE_MASK_AT);

	user_x86_xsave_entry__init(e);
	e->xstate_bv = xsave_load(x, XSAVE_HEADER);
	for (size_t i = 0; i < sizeof(components) / sizeof(*components); i++) {
		const struct component *c = &components[i];
		size_t bytes = c->n * (c->words ? 4 : 8);
		struct arch_xsave_part p;
		void *copy;

		if (!(mask & (1ull << c->bit)))
			continue;
		p = arch_xsave_part(c->bit);
		if (p.size < bytes)
			bytes = p.size;
		if (p.at > len || bytes > len - p.at)
			continue;
		copy = arena_memdup(a, x + p.at, bytes);
		memcpy((char *)e + c->list_at, &copy, sizeof(copy));
		*(size_t *)((char *)e + c->count_at) = bytes / (c->words ? 4 : 8);
	}
	e->cet = arena_new_of(a, UserX86CetEntry);
	user_x86_cet_entry__init(e->cet);
	return e;
}

/* The 512 bytes of FXSAVE. */
static UserX86FpregsEntry *fpregs(struct arena *a, const unsigned char *x, size_t len)
{
	UserX86FpregsEntry *e = arena_new_of(a, UserX86FpregsEntry);
	uint16_t w[4];

	user_x86_fpregs_entry__init(e);
	memcpy(w, x, sizeof(w));
	e->cwd = w[0];
	e->swd = w[1];
	e->twd = w[2];
	e->fop = w[3];
	e->rip = xsave_load(x, 8);
	e->rdp = xsave_load(x, 16);
	memcpy(&e->mxcsr, x + 24, 4);
	memcpy(&e->mxcsr_mask, x + 28, 4);
	e->n_st_space = 32;
	e->st_space = arena_memdup(a, x + 32, 128);
	e->n_xmm_space = 64;
	e->xmm_space = arena_memdup(a, x + 160, 256);
	if (len > XSAVE_HEADER + 64)
		e->xsave = xsave_entry(a, x, len);
	return e;
}

static void tls_ask(pid_t tid, unsigned int n, struct user_desc *d)
{
	ptrace(PTRACE_GET_THREAD_AREA, tid, (void *)(TLS_FIRST + (unsigned long)n), d);
}

/*
 * The three segments that set_thread_area(2) can change. 64-bit code can do so by system calls of
 * 32-bit code only, and is given the first one first: if that is not there and no segment is
 * loaded there are none.
 */
static void tls(struct arena *a, pid_t tid, const struct user_regs_struct *r, ThreadInfoX86 *info)
{
	bool more = r->fs || r->gs || r->ds || r->es;

	info->tls = arena_array(a, UserDescT *, 3);
	info->n_tls = 3;
	for (unsigned int i = 0; i < 3; i++) {
		struct user_desc d = { .entry_number = TLS_FIRST + i,
				       .read_exec_only = 1,
				       .seg_not_present = 1 };
		UserDescT *e = info->tls[i] = arena_new_of(a, UserDescT);

		if (!i || more)
			tls_ask(tid, i, &d);
		more = more || !d.seg_not_present || d.base_addr || d.limit;
		user_desc_t__init(e);
		e->entry_number = TLS_FIRST + i;
		e->base_addr = d.base_addr;
		e->limit = d.limit;
		e->seg_32bit = d.seg_32bit;
		e->contents_h = (d.contents & 2) != 0;
		e->contents_l = d.contents & 1;
		e->read_exec_only = d.read_exec_only;
		e->limit_in_pages = d.limit_in_pages;
		e->seg_not_present = d.seg_not_present;
		e->usable = d.useable;
	}
}

/**
 * regs_info - the registers of a thread
 * @ctx: the dump
 * @th: the thread, stopped, with its general registers; gets its vector registers
 * @out: the message, without clear_tid_addr
 *
 * Return: 0 or -errno recorded.
 */
int regs_info(struct dump_ctx *ctx, struct dump_thread *th, CoreEntry *core)
{
	struct user_regs_struct regs = th->regs;
	_Alignas(64) unsigned char x[ARCH_XSTATE_MAX];
	size_t len = sizeof(x);
	ThreadInfoX86 *info = arena_new_of(ctx->arena, ThreadInfoX86);
	const pid_t tid = th->tid;
	int ret = ptrace_get_xstate(tid, x, &len);
	uint64_t more;

	if (ret)
		return task_fail(ctx, tid, ret, "vector registers");
	if (len < XSAVE_HEADER)
		return task_fail(ctx, tid, -EIO, "vector registers");
	more = len > XSAVE_HEADER + 64 ? xsave_load(x, XSAVE_HEADER) & ~XSAVE_FIELDS : 0;
	if (more)
		fail(ctx->report, "task-xstate", EOPNOTSUPP,
		     "thread %d uses processor state that images have no place for (XSAVE "
		     "components %#llx)",
		     tid, (unsigned long long)more);
	thread_info_x86__init(info);
	core->thread_core->restart = wind_back(tid, &regs);
	core->thread_core->has_restart = core->thread_core->restart != 0;
	info->gpregs = gpregs(ctx->arena, regs);
	info->fpregs = fpregs(ctx->arena, x, len);
	tls(ctx->arena, tid, &th->regs, info);
	th->xstate = arena_memdup(ctx->arena, x, len);
	th->xlen = len;
	core->thread_info = info;
	return 0;
}

/**
 * regs_check - can this thread be dumped at all?
 * @ctx: the dump
 * @it: its process
 * @th: the thread, with its registers
 *
 * Return: 0, or 1 with a blocker recorded.
 */
int regs_check(struct dump_ctx *ctx, const struct pstree_item *it, const struct dump_thread *th)
{
	if (th->regs.cs == CS_64BIT)
		return 0;
	fail(ctx->report, "task-32bit", EOPNOTSUPP,
	     "pid %d (%s): thread %d runs 32-bit code (cs %#llx)", it->pid, it->dump->stat.comm,
	     th->tid, (unsigned long long)th->regs.cs);
	return 1;
}
