/*
 * remote_fixture - what the tests of remote system calls share: targets of one
 * and of many threads that notice any harm, and sessions with them.
 */
#ifndef TEST_REMOTE_FIXTURE_H
#define TEST_REMOTE_FIXTURE_H

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
	atomic_int stay; /* in the handler */
	char what[256];
	long value[8];
	unsigned long abort_ip;
};

static struct board *board;

static inline void wrong(const char *what)
{
	if (!atomic_fetch_add(&board->errors, 1))
		snprintf(board->what, sizeof(board->what), "%s (errno %d)", what, errno);
}

static inline uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000u + (uint64_t)ts.tv_nsec / 1000;
}

static inline void nap(long us)
{
	struct timespec ts = { us / 1000000, us % 1000000 * 1000 };

	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

/* The vdso of the target as it was before anything was done to it. */
static unsigned char vdso[16384];

static inline void read_vdso(pid_t pid, unsigned char *buf);

static inline pid_t target_start(void (*fn)(void))
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

static inline void target_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
	ck_assert_msg(!board->errors, "target: %s", board->what);
}

static inline int freeze(pid_t tid, struct ptrace_stop *stop)
{
	int ret = ptrace_seize(tid, PTRACE_O_SUSPEND_SECCOMP);

	return ret ? ret : ptrace_interrupt_wait(tid, 2000, stop);
}

static inline void must_freeze(pid_t tid)
{
	struct ptrace_stop stop;

	ck_assert_int_eq(freeze(tid, &stop), 0);
}

static inline int state_of(pid_t tid)
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
static inline void check_stopped(pid_t tid)
{
	for (int i = 0; i < 2000 && state_of(tid) != 'T'; i++)
		nap(1000);
	nap(1000);
	ck_assert_int_eq(state_of(tid), 'T');
}

static inline size_t read_maps(pid_t pid, char *buf, size_t len)
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

static inline void find_vdso(pid_t pid, unsigned long *start, unsigned long *end)
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

static inline int open_mem(pid_t pid)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/mem", pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(fd, 0);
	return fd;
}

/* Leaves only @room zero bytes at the end of the vdso. */
static inline void shrink_cave(pid_t pid, unsigned long room)
{
	unsigned long start, end;
	int fd = open_mem(pid);

	find_vdso(pid, &start, &end);
	ck_assert_int_eq(pwrite(fd, "\1", 1, (off_t)(end - room - 1)), 1);
	close(fd);
}

static inline void read_vdso(pid_t pid, unsigned char *buf)
{
	unsigned long start, end;
	int fd = open_mem(pid);

	find_vdso(pid, &start, &end);
	ck_assert_uint_le(end - start, sizeof(vdso));
	ck_assert_int_eq(pread(fd, buf, end - start, (off_t)start), end - start);
	close(fd);
}

static inline void check_clean(pid_t pid)
{
	unsigned char now[sizeof(vdso)] = { 0 };

	read_vdso(pid, now);
	ck_assert_msg(!memcmp(now, vdso, sizeof(vdso)), "vdso differs");
}

/* ---- sessions with one target of one thread ---- */

static inline struct remote_call call_getpid(void)
{
	return (struct remote_call){ .nr = SYS_getpid };
}

/* What every session test does: open, some batches, close, let go. */
static inline void session(pid_t pid)
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

static inline void whole_session(pid_t pid)
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
static inline void check_self(uint64_t want, const sigset_t *mask, const stack_t *alt)
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

static inline void on_queued(int sig)
{
	(void)sig;
	atomic_fetch_add(&board->handled, 1);
	/* Long enough to be found in here by a rescue. */
	compute(100000);
	while (board->stay)
		compute(100);
}

static inline void worker(int idx, int kind)
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

static inline void busy_target(void)
{
	if (pipe2(feed, O_CLOEXEC | O_NONBLOCK))
		wrong("pipe");
	board->ready = 1;
	worker(0, 0);
}
static int n_threads;

static inline void *thread_main(void *arg)
{
	worker((int)(long)arg, (int)(long)arg % 5);
	return NULL;
}

static inline void threads_target(void)
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
static inline int threads_session(pid_t pid, int batches, const struct remote_where *where)
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

static inline int threads_freeze(void)
{
	struct ptrace_stop stop;
	int ret = 0;

	for (int i = 0; !ret && i < n_threads; i++)
		ret = freeze(board->tids[i], &stop);
	return ret;
}

static inline int threads_thaw(void)
{
	int ret = 0;

	for (int i = 0; !ret && i < n_threads; i++)
		ret = ptrace_detach(board->tids[i], 0);
	return ret;
}
#endif
