/*
 * test_remote - remote system calls leave no trace: not after a session, and not
 * after a tool that was killed at a random instant of one.
 *
 * REMOTE_ROUNDS sets how many tools are killed per target (default 60).
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <immintrin.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "kernel/ptrace.h"
#include "kernel/remote.h"

#define MAX_THREADS 160

/* Shared with the target. */
struct board {
	atomic_ulong progress[MAX_THREADS];
	atomic_int tids[MAX_THREADS];
	atomic_int ready;
	atomic_int quit;
	atomic_int errors;
	atomic_int handled;
	char what[256];
	long value[8];
	unsigned long abort_ip;
};

static struct board *board;

static void wrong(const char *what)
{
	if (!atomic_fetch_add(&board->errors, 1))
		snprintf(board->what, sizeof(board->what), "%s (errno %d)", what, errno);
}

static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000;
}

static void nap(long us)
{
	struct timespec ts = { us / 1000000, us % 1000000 * 1000 };

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

/* The vdso of the target as it was before anything was done to it. */
static unsigned char vdso[16384];

static void read_vdso(pid_t pid, unsigned char *buf);

static pid_t target_start(void (*fn)(void))
{
	pid_t pid;

	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	ck_assert(board != MAP_FAILED);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		prctl(PR_SET_NAME, "remote target");
		fn();
		_exit(0);
	}
	for (int i = 0; i < 5000 && !board->ready; i++)
		nap(1000);
	ck_assert_int_eq(board->ready, 1);
	nap(20000);
	read_vdso(pid, vdso);
	return pid;
}

static void target_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_msg(!board->errors, "target: %s", board->what);
}

static int freeze(pid_t tid, struct ptrace_stop *stop)
{
	int ret = ptrace_seize(tid, PTRACE_O_SUSPEND_SECCOMP);

	return ret ? ret : ptrace_interrupt_wait(tid, 2000, stop);
}

static void must_freeze(pid_t tid)
{
	struct ptrace_stop stop;

	ck_assert_int_eq(freeze(tid, &stop), 0);
}

static int state_of(pid_t tid)
{
	char path[64], buf[512] = "", *p;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 'X';
	if (read(fd, buf, sizeof(buf) - 1) < 0)
		buf[0] = 0;
	close(fd);
	p = strrchr(buf, ')');
	return p ? p[2] : 'X';
}

/* In job control stop, where a detached thread comes to by itself, and stays. */
static void check_stopped(pid_t tid)
{
	for (int i = 0; i < 2000 && state_of(tid) != 'T'; i++)
		nap(1000);
	nap(1000);
	ck_assert_int_eq(state_of(tid), 'T');
}

static size_t read_maps(pid_t pid, char *buf, size_t len)
{
	size_t at = 0;
	char path[64];
	ssize_t got;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/maps", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	while (at < len - 1 && (got = read(fd, buf + at, len - 1 - at)) > 0)
		at += (size_t)got;
	close(fd);
	buf[at] = 0;
	return at;
}

static void find_vdso(pid_t pid, unsigned long *start, unsigned long *end)
{
	static char maps[65536];
	char *p;

	read_maps(pid, maps, sizeof(maps));
	p = strstr(maps, "[vdso]");
	ck_assert_ptr_nonnull(p);
	while (p > maps && p[-1] != '\n')
		p--;
	ck_assert_int_eq(sscanf(p, "%lx-%lx", start, end), 2);
}

static int open_mem(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	return fd;
}

/* Leaves only @room zero bytes at the end of the vdso. */
static void shrink_cave(pid_t pid, unsigned long room)
{
	unsigned long start, end;
	int fd = open_mem(pid);

	find_vdso(pid, &start, &end);
	ck_assert_int_eq(pwrite(fd, "\1", 1, (off_t)(end - room - 1)), 1);
	close(fd);
}

static void read_vdso(pid_t pid, unsigned char *buf)
{
	unsigned long start, end;
	int fd = open_mem(pid);

	find_vdso(pid, &start, &end);
	ck_assert_uint_le(end - start, sizeof(vdso));
	ck_assert_int_eq(pread(fd, buf, end - start, (off_t)start), end - start);
	close(fd);
}

static void check_clean(pid_t pid)
{
	unsigned char now[sizeof(vdso)] = { 0 };

	read_vdso(pid, now);
	ck_assert_msg(!memcmp(now, vdso, sizeof(vdso)), "vdso differs");
}

/* ---- sessions with one target of one thread ---- */

static struct remote_call call_getpid(void)
{
	return (struct remote_call){ .nr = SYS_getpid };
}

/* What every session test does: open, some batches, close, let go. */
static void session(pid_t pid)
{
	struct user_regs_struct before, after;
	struct remote_call calls[200];
	uint64_t mask[2];
	unsigned long mem;
	struct remote *r;
	char text[16];

	ck_assert_int_eq(ptrace_get_regs(pid, &before), 0);
	ck_assert_int_eq(ptrace_get_sigmask(pid, &mask[0]), 0);
	ck_assert_int_eq(remote_open(&r, pid, NULL), 0);
	for (int i = 0; i < 200; i++)
		calls[i] = call_getpid();
	ck_assert_int_eq(remote_run(r, pid, calls, 200, 0), 0);
	for (int i = 0; i < 200; i++)
		ck_assert_int_eq(calls[i].ret, pid);
	for (int i = 0; i < 200; i++)
		calls[i] = call_getpid();
	calls[70].nr = SYS_close;
	calls[70].args[0] = -1ul;
	ck_assert_int_eq(remote_run(r, pid, calls, 200, REMOTE_STOP_ON_ERROR), 0);
	ck_assert_int_eq(calls[69].ret, pid);
	ck_assert_int_eq(calls[70].ret, -EBADF);
	for (int i = 71; i < 200; i++)
		ck_assert_int_eq(calls[i].ret, -ECANCELED);
	mem = remote_alloc(r, 16, 8);
	ck_assert_uint_ne(mem, 0);
	ck_assert_int_eq(remote_write(r, mem, "nowhere", 8), 0);
	ck_assert_int_eq(remote_call1(r, pid, SYS_access, mem, 0, 0, 0, 0, 0), -ENOENT);
	ck_assert_int_eq(remote_call1(r, pid, SYS_prctl, PR_GET_NAME, mem, 0, 0, 0, 0), 0);
	ck_assert_int_eq(remote_read(r, mem, text, sizeof(text)), 0);
	ck_assert_str_eq(text, "remote target");
	ck_assert_int_eq(remote_close(r), 0);
	ck_assert_int_eq(ptrace_get_regs(pid, &after), 0);
	ck_assert_int_eq(ptrace_get_sigmask(pid, &mask[1]), 0);
	ck_assert(!memcmp(&before, &after, sizeof(before)));
	ck_assert_uint_eq(mask[0], mask[1]);
	check_clean(pid);
}

static void whole_session(pid_t pid)
{
	must_freeze(pid);
	session(pid);
	ck_assert_int_eq(ptrace_detach(pid, 0), 0);
}

__attribute__((target("avx2"))) static uint64_t compute(unsigned int rounds)
{
	__m256i v = _mm256_set_epi64x(1, 2, 3, 4), k = _mm256_set1_epi64x(0x9e3779b97f4a7c15);
	uint64_t out[4], a = 1, b = 2, c = 3, d = 4, e = 5, f = 6;
	double x = 1.0;

	for (unsigned int i = 0; i < rounds; i++) {
		v = _mm256_add_epi64(_mm256_xor_si256(v, _mm256_srli_epi64(v, 7)), k);
		a = a * 6364136223846793005u + b;
		b ^= a >> 13;
		c += b * 3;
		d = (d << 9 | d >> 55) + c;
		e ^= d;
		f = f * 31 + e;
		x = x * 1.0000001 + 0.5;
	}
	_mm256_storeu_si256((__m256i *)out, v);
	return a ^ b ^ c ^ d ^ e ^ f ^ out[0] ^ out[1] ^ out[2] ^ out[3] ^ (uint64_t)x;
}

/* What a harmed thread would get wrong. */
static void check_self(uint64_t want, const sigset_t *mask, const stack_t *alt)
{
	sigset_t mask_now;
	stack_t alt_now;

	if (compute(3000) != want)
		wrong("registers");
	memset(&mask_now, 0, sizeof(mask_now));
	if (pthread_sigmask(SIG_BLOCK, NULL, &mask_now) || memcmp(&mask_now, mask, 8))
		wrong("signal mask");
	if (sigaltstack(NULL, &alt_now) || alt_now.ss_sp != alt->ss_sp ||
	    alt_now.ss_size != alt->ss_size || alt_now.ss_flags != alt->ss_flags)
		wrong("alternate stack");
}

static int feed[2];

static void on_queued(int sig)
{
	(void)sig;
	atomic_fetch_add(&board->handled, 1);
	/* Long enough to be found in here by a rescue. */
	compute(100000);
}

static void worker(int idx, int kind)
{
	char space[16384];
	stack_t alt = { .ss_sp = space, .ss_size = sizeof(space) };
	uint64_t want = compute(3000);
	sigset_t mask;

	memset(&mask, 0, sizeof(mask));
	sigaddset(&mask, SIGUSR2);
	sigaddset(&mask, SIGRTMIN + 3 + idx % 10);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	if (sigaltstack(&alt, NULL))
		wrong("sigaltstack");
	board->tids[idx] = (int)syscall(SYS_gettid);
	while (!board->quit) {
		check_self(want, &mask, &alt);
		board->progress[idx]++;
		if (kind == 1) {
			struct timespec ts = { 0, 200000 };

			if (nanosleep(&ts, NULL) < 0 && errno != EINTR)
				wrong("nanosleep");
		} else if (kind == 2) {
			int word = 0;
			struct timespec ts = { 0, 300000 };
			long ret = syscall(SYS_futex, &word, FUTEX_WAIT, 0, &ts, NULL, 0);

			if (ret < 0 && errno != ETIMEDOUT && errno != EINTR)
				wrong("futex");
		} else if (kind == 3) {
			if (poll(NULL, 0, 1) < 0 && errno != EINTR)
				wrong("poll");
		} else if (kind == 4) {
			char c;

			/* Restarted whatever happens: no handler is without SA_RESTART. */
			if (read(feed[0], &c, 1) != 1)
				wrong("read");
		} else if (board->progress[idx] % 16 == 0 && write(feed[1], "x", 1) < 0 &&
			   errno != EAGAIN) {
			wrong("write");
		}
	}
}

static void busy_target(void)
{
	if (pipe2(feed, O_CLOEXEC | O_NONBLOCK))
		wrong("pipe");
	board->ready = 1;
	worker(0, 0);
}

START_TEST(busy)
{
	pid_t pid = target_start(busy_target);

	for (int i = 0; i < 30; i++)
		whole_session(pid);
	nap(50000);
	target_kill(pid);
}
END_TEST

/* ---- sleeps keep their time ---- */

#define SLEEP_US 1200000

static int sleep_kind;

static void sleep_target(void)
{
	struct timespec ts = { SLEEP_US / 1000000, SLEEP_US % 1000000 * 1000 };
	uint64_t start, gone;
	int word = 0, fds[2];
	long ret = 0;
	char c;

	if (pipe(fds))
		wrong("pipe");
	board->value[0] = fds[1];
	board->ready = 1;
	start = now_us();
	switch (sleep_kind) {
	case 0:
		ret = nanosleep(&ts, NULL);
		break;
	case 1:
		ret = poll(NULL, 0, SLEEP_US / 1000);
		break;
	case 2:
		ret = syscall(SYS_futex, &word, FUTEX_WAIT, 0, &ts, NULL, 0);
		ret = ret < 0 && errno == ETIMEDOUT ? 0 : -1;
		break;
	case 3:
		ret = ppoll(NULL, 0, &ts, NULL);
		break;
	case 4:
		ret = read(fds[0], &c, 1) == 1 ? 0 : -1;
		break;
	case 5:
		ret = clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
		break;
	}
	gone = now_us() - start;
	if (ret)
		wrong("sleep failed");
	if (gone < SLEEP_US - 1000 && sleep_kind != 4)
		wrong("sleep too short");
	if (gone > SLEEP_US + 150000)
		wrong("sleep too long");
	board->value[1] = (long)gone;
	board->quit = 1;
	for (;;)
		pause();
}

START_TEST(sleeping)
{
	pid_t pid;

	sleep_kind = _i;
	pid = target_start(sleep_target);
	for (int i = 0; i < 5; i++) {
		nap(100000);
		whole_session(pid);
	}
	if (sleep_kind == 4) {
		char path[64];
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/fd/%ld", pid, board->value[0]);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		ck_assert_int_eq(write(fd, "x", 1), 1);
		close(fd);
	}
	for (int i = 0; i < 3000 && !board->quit; i++)
		nap(1000);
	ck_assert_int_eq(board->quit, 1);
	target_kill(pid);
}
END_TEST

/* ---- signals ---- */

static char alt_space[65536];

static void on_alt(int sig)
{
	char here;
	uint64_t want = compute(3000);

	(void)sig;
	board->ready = 1;
	while (!board->quit) {
		if (compute(3000) != want)
			wrong("registers in handler");
		if (&here < alt_space || &here > alt_space + sizeof(alt_space))
			wrong("not on the alternate stack");
	}
}

static void alt_target(void)
{
	stack_t alt = { .ss_sp = alt_space, .ss_size = sizeof(alt_space) }, now;
	struct sigaction sa = { .sa_handler = on_alt, .sa_flags = SA_ONSTACK };

	sigaltstack(&alt, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	if (sigaltstack(NULL, &now) || now.ss_sp != alt_space || now.ss_flags)
		wrong("alternate stack lost");
	board->progress[0] = 1;
	for (;;)
		pause();
}

START_TEST(on_altstack)
{
	pid_t pid = target_start(alt_target);

	for (int i = 0; i < 10; i++)
		whole_session(pid);
	board->quit = 1;
	for (int i = 0; i < 3000 && !board->progress[0]; i++)
		nap(1000);
	ck_assert_int_eq(board->progress[0], 1);
	target_kill(pid);
}
END_TEST

static void blocked_target(void)
{
	sigset_t all, now;

	sigfillset(&all);
	signal(SIGTRAP, SIG_IGN);
	sigprocmask(SIG_SETMASK, &all, &now);
	sigprocmask(SIG_BLOCK, NULL, &all);
	board->ready = 1;
	while (!board->quit) {
		sigprocmask(SIG_BLOCK, NULL, &now);
		if (memcmp(&now, &all, 8))
			wrong("mask");
	}
	sigpending(&now);
	if (!sigismember(&now, SIGUSR1) || !sigismember(&now, SIGTERM))
		wrong("pending signals lost");
	if (signal(SIGTRAP, SIG_DFL) != SIG_IGN)
		wrong("SIGTRAP no longer ignored");
	board->progress[0] = 1;
	for (;;)
		pause();
}

START_TEST(all_blocked)
{
	pid_t pid = target_start(blocked_target);

	kill(pid, SIGUSR1);
	kill(pid, SIGTERM);
	for (int i = 0; i < 10; i++)
		whole_session(pid);
	board->quit = 1;
	for (int i = 0; i < 3000 && !board->progress[0]; i++)
		nap(1000);
	ck_assert_int_eq(board->progress[0], 1);
	target_kill(pid);
}
END_TEST

static void on_count(int sig)
{
	(void)sig;
	board->progress[1]++;
}

static void counting_target(void)
{
	signal(SIGUSR1, on_count);
	busy_target();
}

/* A signal that comes during a session is delivered once, after it. */
START_TEST(signal_meanwhile)
{
	pid_t pid = target_start(counting_target);
	struct remote *r;

	for (unsigned int i = 1; i <= 10; i++) {
		must_freeze(pid);
		ck_assert_int_eq(remote_open(&r, pid, NULL), 0);
		kill(pid, SIGUSR1);
		ck_assert_int_eq(remote_call1(r, pid, SYS_getpid, 0, 0, 0, 0, 0, 0), pid);
		ck_assert_uint_eq(board->progress[1], i - 1);
		ck_assert_int_eq(remote_close(r), 0);
		ck_assert_int_eq(ptrace_detach(pid, 0), 0);
		for (int k = 0; k < 1000 && board->progress[1] < i; k++)
			nap(1000);
		ck_assert_uint_eq(board->progress[1], i);
	}
	target_kill(pid);
}
END_TEST

/* SIGSTOP cannot be blocked: the task is in job control stop afterwards. */
START_TEST(stop_meanwhile)
{
	pid_t pid = target_start(busy_target);
	siginfo_t info = { 0 };
	struct remote *r;

	must_freeze(pid);
	ck_assert_int_eq(remote_open(&r, pid, NULL), 0);
	kill(pid, SIGSTOP);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(remote_call1(r, pid, SYS_getpid, 0, 0, 0, 0, 0, 0), pid);
	ck_assert_int_eq(remote_close(r), 0);
	ck_assert_int_eq(ptrace_detach(pid, 0), 0);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WSTOPPED), 0);
	ck_assert_int_eq(info.si_code, CLD_STOPPED);
	check_stopped(pid);
	kill(pid, SIGCONT);
	nap(20000);
	ck_assert_int_ne(state_of(pid), 'T');
	target_kill(pid);
}
END_TEST

START_TEST(group_stopped)
{
	pid_t pid = target_start(busy_target);
	struct ptrace_stop stop;
	siginfo_t info = { 0 };
	unsigned long before;

	kill(pid, SIGSTOP);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WSTOPPED), 0);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(freeze(pid, &stop), 0);
		ck_assert_int_eq(stop.kind, PTRACE_STOP_GROUP);
		session(pid);
		ck_assert_int_eq(ptrace_detach(pid, 0), 0);
		check_stopped(pid);
	}
	before = board->progress[0];
	nap(20000);
	ck_assert_uint_eq(before, board->progress[0]);
	kill(pid, SIGCONT);
	nap(50000);
	ck_assert_uint_gt(board->progress[0], before);
	target_kill(pid);
}
END_TEST

/* ---- seccomp ---- */

static void strict_target(void)
{
	board->ready = 1;
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
	for (;;)
		board->progress[0]++;
}

static void filter_target(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = { 4, f };

	board->ready = 1;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
	for (;;)
		board->progress[0]++;
}

START_TEST(seccomp)
{
	const struct remote_where where = { .seccomp = 1 };
	pid_t pid = target_start(_i ? filter_target : strict_target);
	unsigned long before;
	struct remote *r;

	for (int i = 0; i < 10; i++) {
		must_freeze(pid);
		ck_assert_int_eq(remote_open(&r, pid, &where), 0);
		ck_assert_int_eq(remote_call1(r, pid, SYS_getpid, 0, 0, 0, 0, 0, 0), pid);
		ck_assert_int_eq(remote_close(r), 0);
		ck_assert_int_eq(ptrace_detach(pid, 0), 0);
	}
	before = board->progress[0];
	nap(20000);
	ck_assert_uint_gt(board->progress[0], before);
	target_kill(pid);
}
END_TEST

/* ---- restartable sequences ---- */

static void rseq_target(void)
{
	struct rseq *rs = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
	struct rseq_cs cs __attribute__((aligned(32))) = { 0 };
	unsigned long start, end, abort_at;

	if (!__rseq_size)
		return;
	board->ready = 1;
	__asm__ volatile("	lea 1f(%%rip), %0\n"
			 "	lea 2f(%%rip), %1\n"
			 "	lea 3f(%%rip), %2\n"
			 "	movq %0, 8(%3)\n"
			 "	sub %0, %1\n"
			 "	movq %1, 16(%3)\n"
			 "	movq %2, 24(%3)\n"
			 "	movq %2, %5\n"
			 "	jmp 4f\n"
			 "	.byte 0x0f, 0xb9, 0x3d\n"
			 "	.long 0x53053053\n" /* the signature before the abort handler */
			 "3:	lock incq %6\n"
			 "4:	movq %3, 8(%4)\n"
			 "1:	nop\n"
			 "	jmp 1b\n"
			 "2:\n"
			 : "=&r"(start), "=&r"(end), "=&r"(abort_at)
			 : "r"(&cs), "r"(rs), "m"(board->abort_ip), "m"(board->progress[0])
			 : "memory");
}

START_TEST(rseq)
{
	pid_t pid = target_start(rseq_target);
	struct user_regs_struct regs;
	int inside = 0;

	for (int i = 0; i < 20; i++) {
		struct remote *r;

		must_freeze(pid);
		ck_assert_int_eq(ptrace_get_regs(pid, &regs), 0);
		inside += regs.rip != board->abort_ip;
		ck_assert_int_eq(remote_open(&r, pid, NULL), 0);
		ck_assert_int_eq(remote_call1(r, pid, SYS_getpid, 0, 0, 0, 0, 0, 0), pid);
		ck_assert_int_eq(remote_close(r), 0);
		ck_assert_int_eq(ptrace_get_regs(pid, &regs), 0);
		ck_assert_uint_eq(regs.rip, board->abort_ip);
		ck_assert_int_eq(ptrace_detach(pid, 0), 0);
		nap(3000);
	}
	ck_assert_int_gt(inside, 0);
	ck_assert_uint_gt(board->progress[0], 0);
	target_kill(pid);
}
END_TEST

/* ---- threads ---- */

static int n_threads;

static void *thread_main(void *arg)
{
	worker((int)(long)arg, (int)(long)arg % 5);
	return NULL;
}

static void threads_target(void)
{
	struct sigaction sa = { .sa_handler = on_queued, .sa_flags = SA_RESTART };
	pthread_attr_t attr;
	pthread_t id;

	sigaction(SIGRTMIN, &sa, NULL);
	if (pipe2(feed, O_CLOEXEC))
		wrong("pipe");
	fcntl(feed[1], F_SETFL, O_NONBLOCK);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 * 1024);
	for (long i = 1; i < n_threads; i++)
		if (pthread_create(&id, &attr, thread_main, (void *)i))
			wrong("pthread_create");
	for (int i = 1; i < n_threads; i++)
		while (!board->tids[i])
			nap(100);
	board->ready = 1;
	worker(0, 0);
}

/* A session with all threads; errors are returned, since a tool may be killed in it. */
static int threads_session(pid_t pid, int batches, const struct remote_where *where)
{
	struct remote_call calls[MAX_THREADS][8];
	struct remote *r;
	int ret = remote_open(&r, pid, where), err;

	for (int i = 0; !ret && i < n_threads; i++)
		if (board->tids[i] != pid)
			ret = remote_attach_thread(r, board->tids[i]);
	if (ret)
		return ret;
	for (int k = 0; !ret && k < batches; k++) {
		for (int i = 0; !ret && i < n_threads; i++) {
			for (int c = 0; c < 8; c++)
				calls[i][c] = (struct remote_call){ .nr = SYS_gettid };
			ret = remote_start(r, board->tids[i], calls[i], 8, 0);
		}
		for (int i = 0; !ret && i < n_threads; i++) {
			ret = remote_finish(r, board->tids[i], calls[i], 8, 0);
			for (int c = 0; !ret && c < 8; c++)
				if (calls[i][c].ret != board->tids[i])
					ret = -EINVAL;
		}
	}
	err = remote_close(r);
	return ret ? ret : err;
}

static int threads_freeze(void)
{
	struct ptrace_stop stop;
	int ret = 0;

	for (int i = 0; !ret && i < n_threads; i++)
		ret = freeze(board->tids[i], &stop);
	return ret;
}

static int threads_thaw(void)
{
	int ret = 0;

	for (int i = 0; !ret && i < n_threads; i++)
		ret = ptrace_detach(board->tids[i], 0);
	return ret;
}

static const int thread_counts[] = { 1, 8, 150 };

START_TEST(threads)
{
	pid_t pid;

	n_threads = thread_counts[_i];
	pid = target_start(threads_target);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(threads_freeze(), 0);
		ck_assert_int_eq(threads_session(pid, 3, NULL), 0);
		check_clean(pid);
		ck_assert_int_eq(threads_thaw(), 0);
	}
	nap(50000);
	target_kill(pid);
}
END_TEST

/* ---- the tool dies ---- */

static const struct remote_where *tool_where;

static void tool_main(pid_t pid)
{
	for (;;) {
		int ret = threads_freeze();

		if (!ret)
			ret = threads_session(pid, 2, tool_where);
		if (!ret)
			ret = threads_thaw();
		if (ret) {
			errno = -ret;
			wrong("tool");
			_exit(1);
		}
	}
}

/* Does every thread go on, within the stub's patience and some more? */
static void check_goes_on(pid_t pid)
{
	unsigned long before[MAX_THREADS];
	siginfo_t info = { 0 };

	for (int i = 0; i < n_threads; i++)
		before[i] = board->progress[i];
	for (int i = 0; i < n_threads; i++) {
		uint64_t start = now_us();

		while (board->progress[i] < before[i] + 2) {
			ck_assert_msg(now_us() - start < 6000000, "thread %d stands, state %c", i,
				      state_of(board->tids[i]));
			nap(100);
		}
	}
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WCONTINUED | WEXITED | WNOHANG),
			 0);
	ck_assert_int_eq(info.si_pid, 0);
	ck_assert_msg(!board->errors, "target: %s", board->what);
}

static void kill_tool_after(pid_t pid, long us)
{
	pid_t tool = fork();
	int status;

	ck_assert_int_ge(tool, 0);
	if (!tool) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		tool_main(pid);
	}
	nap(us / 2);
	sigqueue(pid, SIGRTMIN, (union sigval){ .sival_int = 1 });
	nap(us - us / 2);
	kill(tool, SIGKILL);
	ck_assert_int_eq(waitpid(tool, &status, 0), tool);
	ck_assert_msg(WIFSIGNALED(status), "the tool failed: %s", board->what);
}

static void kill_round(pid_t pid, long us, bool rescue_first)
{
	static char before[65536], after[65536];

	kill_tool_after(pid, us);
	if (!rescue_first)
		check_goes_on(pid);
	ck_assert_int_eq(remote_rescue(pid), 0);
	check_goes_on(pid);
	check_clean(pid);
	read_maps(pid, after, sizeof(after));
	if (before[0])
		ck_assert_str_eq(before, after);
	memcpy(before, after, sizeof(after));
}

static int kill_rounds(void)
{
	const char *env = getenv("REMOTE_ROUNDS");

	return env ? atoi(env) : 60;
}

/*
 * The way home of the host is in the cave, in the cave without the vector state,
 * on its stack; and a stub that makes no calls while it waits.
 */
static const struct {
	int threads;
	unsigned long cave;
	struct remote_where where;
} kill_cases[] = {
	{ .threads = 1 },
	{ .threads = 5 },
	{ .threads = 1, .cave = 1250 },
	{ .threads = 1, .cave = 360 },
	{ .threads = 5, .cave = 360 },
	{ .threads = 2, .where = { .threads = 2, .seccomp = 1 } },
};

START_TEST(tool_killed)
{
	unsigned int seed = (unsigned int)(getpid() ^ now_us());
	int rounds = kill_rounds();
	pid_t pid;

	n_threads = kill_cases[_i].threads;
	tool_where = &kill_cases[_i].where;
	pid = target_start(threads_target);
	if (kill_cases[_i].cave)
		shrink_cave(pid, kill_cases[_i].cave);
	read_vdso(pid, vdso);
	for (int i = 0; i < rounds; i++)
		kill_round(pid, 100 + rand_r(&seed) % 3000, i % 6);
	ck_assert_int_eq(board->handled, rounds);
	target_kill(pid);
}
END_TEST

/* A task in job control stop stays in it, and then goes on, when the tool dies. */
START_TEST(tool_killed_stopped)
{
	unsigned int seed = (unsigned int)(getpid() ^ now_us());
	int rounds = kill_rounds() / 3;
	siginfo_t info = { 0 };
	pid_t pid;

	n_threads = 5;
	pid = target_start(threads_target);
	for (int i = 0; i < rounds; i++) {
		kill(pid, SIGSTOP);
		ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WSTOPPED), 0);
		kill_tool_after(pid, 100 + rand_r(&seed) % 3000);
		if (i % 2)
			ck_assert_int_eq(remote_rescue(pid), 0);
		for (int k = 0; k < n_threads; k++)
			check_stopped(board->tids[k]);
		kill(pid, SIGCONT);
		ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WCONTINUED), 0);
		check_goes_on(pid);
		ck_assert_int_eq(remote_rescue(pid), 0);
		check_clean(pid);
	}
	ck_assert_int_eq(board->handled, rounds);
	target_kill(pid);
}
END_TEST

/* Kills a tool at its @n'th stop before or after a system call. Returns 1, or 0 if it ended first.
 */
static int kill_tool_at(pid_t pid, int n)
{
	pid_t tool = fork();
	int status, i = 0;

	ck_assert_int_ge(tool, 0);
	if (!tool) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		raise(SIGSTOP);
		/* A signal is pending all the time, to be delivered wherever it can be. */
		_exit(threads_freeze() ||
		      sigqueue(pid, SIGRTMIN, (union sigval){ .sival_int = 1 }) ||
		      threads_session(pid, 1, NULL) || threads_thaw());
	}
	ck_assert_int_eq(waitpid(tool, &status, WUNTRACED), tool);
	ck_assert_int_eq(ptrace(PTRACE_SEIZE, tool, NULL, PTRACE_O_TRACESYSGOOD), 0);
	kill(tool, SIGCONT);
	while (waitpid(tool, &status, __WALL) == tool && WIFSTOPPED(status)) {
		int sig = WSTOPSIG(status);

		if (sig == (SIGTRAP | 0x80) && ++i == n)
			kill(tool, SIGKILL);
		ptrace(PTRACE_SYSCALL, tool, NULL,
		       (status >> 16 || sig == SIGTRAP || (sig & 0x80)) ? 0 : sig);
	}
	ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

/* The tool dies at each system call it makes, before and after it. */
START_TEST(tool_killed_each_step)
{
	pid_t pid;
	int n = 1;

	n_threads = 2;
	pid = target_start(threads_target);
	if (_i)
		shrink_cave(pid, 360);
	read_vdso(pid, vdso);
	for (; kill_tool_at(pid, n); n++) {
		if (n % 6)
			ck_assert_int_eq(remote_rescue(pid), 0);
		check_goes_on(pid);
		ck_assert_int_eq(remote_rescue(pid), 0);
		check_clean(pid);
	}
	ck_assert_int_gt(n, 100);
	target_kill(pid);
}
END_TEST

/* SIGKILL to the target is seen as -ESRCH, wherever it comes. */
START_TEST(target_killed)
{
	unsigned int seed = (unsigned int)getpid();

	n_threads = 1;
	for (int i = 0; i < 60; i++) {
		pid_t pid = target_start(threads_target), killer;
		int ret;

		must_freeze(pid);
		killer = fork();
		if (!killer) {
			nap(rand_r(&seed) % 2000);
			kill(pid, SIGKILL);
			_exit(0);
		}
		do {
			ret = threads_session(pid, 1, NULL);
		} while (!ret);
		ck_assert_int_eq(ret, -ESRCH);
		waitpid(killer, NULL, 0);
		waitpid(pid, NULL, __WALL | WNOHANG);
	}
}
END_TEST

/* ---- the restore side ---- */

static void adopt_target(void)
{
	size_t size = remote_area_size(4);
	char *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memcpy(area, remote_code(), remote_code_size());
	mprotect(area, 4096, PROT_READ | PROT_EXEC);
	board->value[0] = (long)area;
	board->ready = 1;
	for (;;)
		pause();
}

START_TEST(adopt)
{
	pid_t pid = target_start(adopt_target);
	struct remote_call calls[3];
	struct remote *r;
	unsigned long area = (unsigned long)board->value[0];

	must_freeze(pid);
	ck_assert_int_eq(remote_adopt(&r, pid, area, remote_area_size(4)), 0);
	for (int i = 0; i < 3; i++)
		calls[i] = call_getpid();
	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(remote_run(r, pid, calls, 3, 0), 0);
		ck_assert_int_eq(calls[2].ret, pid);
	}
	/* A task that stands for longer than the patience of the dump side is still ours. */
	ck_assert_int_eq(remote_start(r, pid, calls, 3, 0), 0);
	nap(2500000);
	ck_assert_int_eq(remote_finish(r, pid, calls, 3, 0), 0);
	remote_forget(r);
	target_kill(pid);
}
END_TEST

/* ---- what may go wrong ---- */

static const unsigned long cave_sizes[] = { 1250, 360, 200 };

START_TEST(small_cave)
{
	pid_t pid = target_start(_i % 2 ? busy_target : counting_target);
	struct remote *r;

	shrink_cave(pid, cave_sizes[_i]);
	read_vdso(pid, vdso);
	if (cave_sizes[_i] > 300) {
		for (int i = 0; i < 10; i++)
			whole_session(pid);
	} else {
		must_freeze(pid);
		ck_assert_int_eq(remote_open(&r, pid, NULL), -ENOSPC);
		ck_assert_int_eq(ptrace_detach(pid, 0), 0);
	}
	check_clean(pid);
	nap(20000);
	target_kill(pid);
}
END_TEST

/* The target may map nothing more: refused, and no trace. */
START_TEST(no_memory)
{
	struct rlimit low = { 1 << 20, 1 << 20 };
	pid_t pid = target_start(busy_target);
	unsigned long before;
	struct remote *r;

	ck_assert_int_eq(prlimit(pid, RLIMIT_AS, &low, NULL), 0);
	for (int i = 0; i < 5; i++) {
		must_freeze(pid);
		ck_assert_int_eq(remote_open(&r, pid, NULL), -ENOMEM);
		check_clean(pid);
		ck_assert_int_eq(ptrace_detach(pid, 0), 0);
	}
	before = board->progress[0];
	nap(20000);
	ck_assert_uint_gt(board->progress[0], before);
	target_kill(pid);
}
END_TEST

/* A tool that is late finds the thread gone home, and can still clean up. */
START_TEST(tool_late)
{
	struct remote_call call = call_getpid();
	pid_t pid = target_start(busy_target);
	unsigned long before;
	struct remote *r;

	must_freeze(pid);
	ck_assert_int_eq(remote_open(&r, pid, NULL), 0);
	before = board->progress[0];
	ck_assert_int_eq(remote_start(r, pid, &call, 1, 0), 0);
	nap((REMOTE_PATIENCE_MS + 300) * 1000);
	ck_assert_uint_gt(board->progress[0], before);
	ck_assert_int_eq(remote_finish(r, pid, &call, 1, 0), -ESTALE);
	ck_assert_int_eq(remote_start(r, pid, &call, 1, 0), -ESTALE);
	ck_assert_int_eq(remote_close(r), 0);
	check_clean(pid);
	ck_assert_int_eq(ptrace_detach(pid, 0), 0);
	nap(20000);
	target_kill(pid);
}
END_TEST

/* A call that blocks ends with the time limit, and closing ends the call. */
START_TEST(call_blocks)
{
	pid_t pid = target_start(busy_target);
	struct remote *r;

	must_freeze(pid);
	ck_assert_int_eq(remote_open(&r, pid, NULL), 0);
	remote_set_limit(r, 100);
	ck_assert_int_eq(remote_call1(r, pid, SYS_pause, 0, 0, 0, 0, 0, 0), -ETIMEDOUT);
	ck_assert_int_eq(remote_close(r), 0);
	check_clean(pid);
	ck_assert_int_eq(ptrace_detach(pid, 0), 0);
	nap(20000);
	target_kill(pid);
}
END_TEST

static Suite *remote_suite(void)
{
	Suite *s = suite_create("remote");
	TCase *t = tcase_create("session");

	tcase_set_timeout(t, 30);
	tcase_add_test(t, busy);
	tcase_add_loop_test(t, sleeping, 0, 6);
	tcase_add_test(t, on_altstack);
	tcase_add_test(t, all_blocked);
	tcase_add_test(t, signal_meanwhile);
	tcase_add_test(t, stop_meanwhile);
	tcase_add_test(t, group_stopped);
	tcase_add_loop_test(t, seccomp, 0, 2);
	tcase_add_test(t, rseq);
	tcase_add_loop_test(t, threads, 0, 3);
	tcase_add_test(t, adopt);
	tcase_add_loop_test(t, small_cave, 0, 3);
	tcase_add_test(t, no_memory);
	tcase_add_test(t, tool_late);
	tcase_add_test(t, call_blocks);
	suite_add_tcase(s, t);
	t = tcase_create("death");
	tcase_set_timeout(t, 0);
	tcase_add_loop_test(t, tool_killed, 0, 6);
	tcase_add_loop_test(t, tool_killed_each_step, 0, 2);
	tcase_add_test(t, tool_killed_stopped);
	tcase_add_test(t, target_killed);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(remote_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
