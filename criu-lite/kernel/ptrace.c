/*
 * ptrace - see ptrace.h. Semantics are those of ptrace(2); only PTRACE_SEIZE is
 * used, so a tracee is never sent a SIGSTOP and may be in group-stop.
 */
#include "kernel/ptrace.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/backoff.h"

#define GET_RSEQ_CONFIGURATION 0x420f /* Linux 5.13; not in every libc */
#define DEAD_NS 4000000               /* a wait this long asks whether the thread is alive at all */
#define SLEEP_NS 2000000
#define YIELD_NS 100000       /* then a wait sleeps */
#define NT_SHADOW_STACK 0x204 /* NT_X86_SHSTK, Linux 6.6 */

/* glibc declares ptrace() with an enum first; old headers lack some requests. */
static long request(int req, pid_t tid, unsigned long addr, unsigned long data)
{
	long ret;

	errno = 0;
	ret = ptrace((enum __ptrace_request)req, tid, (void *)addr, (void *)data);
	return ret == -1 && errno ? -errno : ret;
}

static int request0(int req, pid_t tid, unsigned long addr, unsigned long data)
{
	long ret = request(req, tid, addr, data);

	return ret < 0 ? (int)ret : 0;
}

/**
 * ptrace_seize - become the tracer of one thread, which goes on running.
 * @tid: the thread
 * @options: PTRACE_O_*
 *
 * Returns 0 or -errno; -EPERM if it is traced already or may not be.
 */
int ptrace_seize(pid_t tid, unsigned long options)
{
	return request0(PTRACE_SEIZE, tid, 0, options);
}

/** ptrace_interrupt - ask a seized thread to stop; does not wait for it. */
int ptrace_interrupt(pid_t tid)
{
	return request0(PTRACE_INTERRUPT, tid, 0, 0);
}

/** ptrace_resume - let a stopped thread run on, delivering @sig unless it is 0. */
int ptrace_resume(pid_t tid, int sig)
{
	return request0(PTRACE_CONT, tid, 0, (unsigned long)sig);
}

/** ptrace_detach - let a stopped thread go, delivering @sig unless it is 0. */
/**
 * ptrace_set_options - replace the options of a stopped tracee.
 * @tid: the thread
 * @options: PTRACE_O_*
 *
 * Returns 0 or -errno of PTRACE_SETOPTIONS.
 */
int ptrace_set_options(pid_t tid, unsigned long options)
{
	return request0(PTRACE_SETOPTIONS, tid, 0, options);
}

int ptrace_detach(pid_t tid, int sig)
{
	return request0(PTRACE_DETACH, tid, 0, (unsigned long)sig);
}

static struct ptrace_stop stop_classify(int status)
{
	struct ptrace_stop stop = {
		.kind = PTRACE_STOP_OTHER,
		.sig = WSTOPSIG(status) & 0x7f,
		.event = (int)((unsigned int)status >> 16),
	};

	if (stop.event == PTRACE_EVENT_STOP)
		stop.kind = stop.sig == SIGTRAP ? PTRACE_STOP_EVENT : PTRACE_STOP_GROUP;
	else if (!stop.event && !(WSTOPSIG(status) & 0x80))
		stop.kind = PTRACE_STOP_SIGNAL;
	return stop;
}

/* A dead leader is not reported before every other thread of its process has been waited for. */
static bool is_dead(pid_t tid)
{
	char buf[256], path[32];
	const char *p;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	buf[n > 0 ? n : 0] = '\0';
	p = strrchr(buf, ')');
	return p && p[1] == ' ' && (p[2] == 'Z' || p[2] == 'X');
}

/* 1: stopped, and how; 0: not yet; -errno. */
static int stop_look(pid_t tid, struct ptrace_stop *stop)
{
	int status;
	pid_t got = waitpid(tid, &status, __WALL | WNOHANG);

	if (got < 0)
		return errno == ECHILD ? -ESRCH : -errno;
	if (!got)
		return 0;
	if (!WIFSTOPPED(status))
		return -ESRCH;
	*stop = stop_classify(status);
	return 1;
}

/**
 * ptrace_wait_stop - wait until a thread stops.
 * @tid: a traced thread
 * @limit_ms: how long to wait; 0 looks once
 * @stop: what kind of stop it is
 *
 * Returns 0, -ETIMEDOUT, -ESRCH if the thread is gone (its exit status, if it
 * is a leader, has been consumed), or another -errno of waitpid(2).
 */
int ptrace_wait_stop(pid_t tid, unsigned int limit_ms, struct ptrace_stop *stop)
{
	uint64_t start = backoff_now(), now;
	int ret = stop_look(tid, stop);
	sigset_t chld, before;

	/* Most stops come within microseconds: sooner than a sleep has begun and ended. */
	while (!ret && limit_ms && backoff_now() - start < YIELD_NS) {
		sched_yield();
		ret = stop_look(tid, stop);
	}
	if (ret || !limit_ms)
		return ret < 0 ? ret : ret ? 0 : -ETIMEDOUT;
	/* A stop is told by SIGCHLD; blocked, it waits for us if it comes between look and sleep.
	 */
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &chld, &before);
	while (!(ret = stop_look(tid, stop))) {
		now = backoff_now();
		if (now - start > DEAD_NS && is_dead(tid))
			ret = -ESRCH;
		else if (now - start >= limit_ms * 1000000ull)
			ret = -ETIMEDOUT;
		if (ret)
			break;
		/* Another thread of this program may be told instead: look again after a while. */
		sigtimedwait(&chld, NULL, &(struct timespec){ .tv_nsec = SLEEP_NS });
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return ret < 0 ? ret : 0;
}

/**
 * ptrace_interrupt_wait - stop a seized thread.
 * @tid: a seized thread that runs
 * @limit_ms: how long to wait in all
 * @stop: PTRACE_STOP_EVENT or PTRACE_STOP_GROUP
 *
 * A signal on its way is delivered first, as without us: its handler's frame
 * then stands, but no instruction of it has run. Other events on the way are
 * passed over. Returns 0, -ETIMEDOUT (the request to stop remains), -ESRCH or
 * another -errno.
 */
int ptrace_interrupt_wait(pid_t tid, unsigned int limit_ms, struct ptrace_stop *stop)
{
	int ret = ptrace_interrupt(tid);
	struct ptrace_stop got = { 0 };

	while (!ret) {
		ret = ptrace_wait_stop(tid, limit_ms, &got);
		if (ret < 0)
			break;
		if (got.kind == PTRACE_STOP_EVENT || got.kind == PTRACE_STOP_GROUP) {
			*stop = got;
			return 0;
		}
		ret = ptrace_resume(tid, got.kind == PTRACE_STOP_SIGNAL ? got.sig : 0);
	}
	return ret;
}

static int regset(int req, pid_t tid, int type, void *buf, size_t *len)
{
	struct iovec iov = { buf, *len };
	int ret = request0(req, tid, (unsigned long)type, (unsigned long)&iov);

	if (!ret)
		*len = iov.iov_len;
	return ret;
}

/** ptrace_get_regs - the general registers of a stopped thread. */
int ptrace_get_regs(pid_t tid, struct user_regs_struct *regs)
{
	return request0(PTRACE_GETREGS, tid, 0, (unsigned long)regs);
}

/** ptrace_set_regs - set the general registers of a stopped thread. */
int ptrace_set_regs(pid_t tid, const struct user_regs_struct *regs)
{
	return request0(PTRACE_SETREGS, tid, 0, (unsigned long)regs);
}

/**
 * ptrace_get_xstate - floating point and vector state, in the uncompacted
 * layout of XSAVE with the mask of user features at byte 464.
 * @buf: where to
 * @len: its size, then how much was filled
 */
int ptrace_get_xstate(pid_t tid, void *buf, size_t *len)
{
	return regset(PTRACE_GETREGSET, tid, NT_X86_XSTATE, buf, len);
}

/** ptrace_set_xstate - the reverse of ptrace_get_xstate(). */
int ptrace_set_xstate(pid_t tid, const void *buf, size_t len)
{
	return regset(PTRACE_SETREGSET, tid, NT_X86_XSTATE, (void *)buf, &len);
}

/**
 * ptrace_has_shadow_stack - does a stopped thread run with a shadow stack? Then
 * rt_sigreturn(2) wants a token on it, which only the kernel puts there.
 */
bool ptrace_has_shadow_stack(pid_t tid)
{
	uint64_t ssp;
	size_t len = sizeof(ssp);

	return !regset(PTRACE_GETREGSET, tid, NT_SHADOW_STACK, &ssp, &len);
}

/**
 * ptrace_get_sigmask - the thread's own signal mask, also inside ppoll(2) and
 * its like, which borrow another one.
 */
int ptrace_get_sigmask(pid_t tid, uint64_t *mask)
{
	return request0(PTRACE_GETSIGMASK, tid, sizeof(*mask), (unsigned long)mask);
}

/** ptrace_set_sigmask - set the signal mask; SIGKILL and SIGSTOP are ignored. */
int ptrace_set_sigmask(pid_t tid, uint64_t mask)
{
	return request0(PTRACE_SETSIGMASK, tid, sizeof(mask), (unsigned long)&mask);
}

/**
 * ptrace_peek_siginfo - look at pending signals, which stay pending.
 * @shared: those of the process, not of the thread
 * @from: index of the first wanted
 *
 * Returns how many were copied (0: there are no more) or -errno.
 */
int ptrace_peek_siginfo(pid_t tid, bool shared, uint64_t from, siginfo_t *infos, size_t n)
{
	struct __ptrace_peeksiginfo_args args = {
		.off = from,
		.flags = shared ? PTRACE_PEEKSIGINFO_SHARED : 0,
		.nr = n > INT32_MAX ? INT32_MAX : (int32_t)n,
	};

	return (int)request(PTRACE_PEEKSIGINFO, tid, (unsigned long)&args, (unsigned long)infos);
}

/** ptrace_event_message - the datum of the last event, such as a new thread's id. */
int ptrace_event_message(pid_t tid, unsigned long *msg)
{
	return request0(PTRACE_GETEVENTMSG, tid, 0, (unsigned long)msg);
}

/**
 * ptrace_poke - write memory of a stopped thread whatever its protection.
 * @addr: a multiple of 8
 * @len: a multiple of 8
 *
 * Works where /proc/PID/mem refuses. On an error a part may have been written.
 */
int ptrace_poke(pid_t tid, unsigned long addr, const void *buf, size_t len)
{
	for (size_t i = 0; i + sizeof(unsigned long) <= len; i += sizeof(unsigned long)) {
		unsigned long word;
		int ret;

		memcpy(&word, (const char *)buf + i, sizeof(word));
		ret = request0(PTRACE_POKEDATA, tid, addr + i, word);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/**
 * ptrace_get_rseq - where a stopped thread has registered rseq(2).
 *
 * Returns 0, with address 0 if it has not, or -errno; -EIO before Linux 5.13.
 */
int ptrace_get_rseq(pid_t tid, struct ptrace_rseq *rseq)
{
	struct {
		uint64_t address;
		uint32_t size, signature, flags, pad;
	} conf = { 0 };
	int ret = request0(GET_RSEQ_CONFIGURATION, tid, sizeof(conf), (unsigned long)&conf);

	if (!ret)
		*rseq = (struct ptrace_rseq){ conf.address, conf.size, conf.signature, conf.flags };
	return ret;
}

static int peek(pid_t tid, unsigned long addr, void *buf, size_t len)
{
	struct iovec to = { buf, len }, from = { (void *)addr, len };
	ssize_t got = process_vm_readv(tid, &to, 1, &from, 1, 0);

	if (got < 0)
		return -errno;
	return (size_t)got == len ? 0 : -EFAULT;
}

/**
 * ptrace_rseq_fixup - abort the restartable sequence a stopped thread is in.
 * @regs: its registers; the instruction pointer is moved to the abort handler
 *
 * The kernel does so itself when a thread is scheduled, but only if it still
 * finds it inside the sequence: it must be done before the registers are
 * borrowed. Sets the registers of the thread too. Returns 0 (nothing to do),
 * 1 (aborted) or -errno. Layout: struct rseq and struct rseq_cs of linux/rseq.h.
 */
int ptrace_rseq_fixup(pid_t tid, struct user_regs_struct *regs)
{
	struct ptrace_rseq rseq = { 0 };
	int ret = ptrace_get_rseq(tid, &rseq);

	if (ret == -EIO)
		return 0;
	return ret < 0 ? ret : ptrace_rseq_abort(tid, regs, &rseq);
}

/**
 * ptrace_rseq_abort - ptrace_rseq_fixup() for who has asked where rseq(2) is registered.
 * @rseq: the answer of ptrace_get_rseq()
 */
int ptrace_rseq_abort(pid_t tid, struct user_regs_struct *regs, const struct ptrace_rseq *rseq)
{
	struct user_regs_struct moved = *regs;
	struct {
		uint32_t version, flags;
		uint64_t start, length, abort;
	} cs;
	unsigned long ptr;
	int ret;

	if (!rseq->address)
		return 0;
	/* What cannot be read is the business of the kernel, which kills for it. */
	if (peek(tid, rseq->address + 8, &ptr, sizeof(ptr)) < 0 || !ptr)
		return 0;
	if (peek(tid, ptr, &cs, sizeof(cs)) < 0 || regs->rip - cs.start >= cs.length)
		return 0;
	moved.rip = cs.abort;
	ret = ptrace_set_regs(tid, &moved);
	if (ret < 0)
		return ret;
	regs->rip = cs.abort;
	ptr = 0;
	ret = ptrace_poke(tid, rseq->address + 8, &ptr, sizeof(ptr));
	return ret < 0 ? ret : 1;
}
