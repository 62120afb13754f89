/*
 * door_range - memory that the program says is there. Nothing tells beforehand
 * whether it is, and for which access, at a price that a call could pay; so it
 * is used, and SIGSEGV or SIGBUS at that place is what EFAULT is made of. Other
 * faults are passed on to whoever had the signal before. A program that takes
 * these signals after its first call of the library has its own way with them.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#define FIRST_PAGES 65536ul /* below vm.mmap_min_addr nothing is mapped */
#define PAGE 4096

/* Where a fault of this thread continues, or NULL. Not allocated within a handler. */
static __thread sigjmp_buf *volatile back __attribute__((tls_model("initial-exec")));

static struct sigaction before_segv, before_bus;
static pthread_once_t handler_once = PTHREAD_ONCE_INIT;

static void pass_on(int sig, siginfo_t *info, void *context)
{
	struct sigaction *old = sig == SIGBUS ? &before_bus : &before_segv;

	if (old->sa_flags & SA_SIGINFO) {
		old->sa_sigaction(sig, info, context);
	} else if (old->sa_handler == SIG_DFL || old->sa_handler == SIG_IGN) {
		/* The instruction is run again; what somebody has sent is sent again. */
		sigaction(sig, old, NULL);
		if (info->si_code <= 0)
			raise(sig);
	} else {
		old->sa_handler(sig);
	}
}

static void fault(int sig, siginfo_t *info, void *context)
{
	sigjmp_buf *to = back;

	if (!to || info->si_code <= 0) {
		pass_on(sig, info, context);
		return;
	}
	back = NULL;
	/* Whoever calls this for the kernel may have blocked others. */
	pthread_sigmask(SIG_SETMASK, &((const ucontext_t *)context)->uc_sigmask, NULL);
	siglongjmp(*to, 1);
}

static void install(void)
{
	struct sigaction a = { .sa_sigaction = fault,
			       .sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK };

	sigemptyset(&a.sa_mask);
	sigaction(SIGSEGV, &a, &before_segv);
	sigaction(SIGBUS, &a, &before_bus);
}

/**
 * door_copy - memcpy() to or from memory that may not be there
 * @to: where
 * @from: what
 * @len: bytes; nothing is looked at for 0
 *
 * Return: 0; -EFAULT, and part of it may have been copied.
 */
int door_copy(void *to, const void *from, size_t len)
{
	sigjmp_buf env;

	if (!len)
		return 0;
	pthread_once(&handler_once, install);
	if (sigsetjmp(env, 0))
		return -EFAULT;
	back = &env;
	atomic_signal_fence(memory_order_seq_cst);
	memcpy(to, from, len);
	atomic_signal_fence(memory_order_seq_cst);
	back = NULL;
	return 0;
}

/**
 * door_check_range - can it be that there is memory?
 * @p: its address
 * @len: its bytes
 *
 * Return: 0; -EFAULT for what is never right: door_copy() sees the rest.
 */
int door_check_range(const void *p, size_t len)
{
	const uintptr_t first = (uintptr_t)p, last = first + len - 1;

	return len && (first < FIRST_PAGES || last < first) ? -EFAULT : 0;
}

/**
 * door_check_read - is there memory that can be read?
 * @p: its address
 * @len: its bytes
 *
 * Return: 0 or -EFAULT.
 */
int door_check_read(const void *p, size_t len)
{
	const char *at = p;
	int ret = door_check_range(p, len);
	char c;

	for (size_t i = 0; !ret && i < len; i += PAGE)
		ret = door_copy(&c, at + i, 1);
	return !ret && len ? door_copy(&c, at + len - 1, 1) : ret;
}
