/*
 * busy - a program that is never idle and checks itself all the time.
 *
 *   busy REPORT [THREADS [CHILDREN [FILE...]]]
 *
 * Eight threads compute (integers, SSE, AVX), take signals on an alternate
 * stack, measure their sleep, map and check memory, and send numbers through a
 * pipe. What they find goes into the shared mapping REPORT, whose layout
 * busylib.py knows too. The first three CHILDREN are a session of its own, a
 * zombie and a stopped process; further ones are plain. FILEs are kept open.
 */
#include <errno.h>
#include <fcntl.h>
#include <immintrin.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define MAGIC 0x79737562u
#define THREADS 8
#define PROCS 8

struct proc {
	uint32_t pid;
	uint32_t threads;
	uint64_t failures;
	uint64_t eintr;  /* calls that returned EINTR though no handler ran */
	uint64_t alarms; /* SIGALRM of the interval timer */
	uint64_t rounds[THREADS];
	char why[160]; /* the first failure */
};

struct report {
	uint32_t magic;
	uint32_t procs;
	struct proc proc[PROCS];
};

static struct proc *self;
static int pipe_fd[2];

#define CHECK(cond, ...)                            \
	do {                                        \
		if (!(cond))                        \
			failed(#cond, __VA_ARGS__); \
	} while (0)

__attribute__((format(printf, 2, 3))) static void failed(const char *what, const char *fmt, ...)
{
	char text[sizeof(self->why)];
	int n = snprintf(text, sizeof(text), "pid %d: %s: ", getpid(), what);
	va_list ap;

	va_start(ap, fmt);
	if (n > 0 && (size_t)n < sizeof(text))
		vsnprintf(text + n, sizeof(text) - (size_t)n, fmt, ap);
	va_end(ap);
	if (!__atomic_fetch_add(&self->failures, 1, __ATOMIC_RELAXED))
		memcpy(self->why, text, sizeof(text));
}

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void pause_us(unsigned int us)
{
	struct timespec t = { .tv_nsec = us * 1000L };

	while (nanosleep(&t, &t) < 0)
		;
}

/* Sleeps in three ways; none may be short, and EINTR is seen. */
static void work_naps(void)
{
	static unsigned int round;
	struct timespec t = { .tv_nsec = 3000000 }, rem = { 0 };
	uint64_t start = now_us(), took, left = 0;
	int ret = 0;

	switch (round++ % 3) {
	case 0:
		ret = nanosleep(&t, &rem) < 0 ? errno : 0;
		left = ret ? (uint64_t)rem.tv_nsec / 1000 : 0;
		break;
	case 1:
		ret = poll(NULL, 0, 3) < 0 ? errno : 0;
		left = ret ? 3000 : 0;
		break;
	default:
		clock_gettime(CLOCK_MONOTONIC, &t);
		t.tv_nsec += 3000000;
		if (t.tv_nsec >= 1000000000) {
			t.tv_sec++;
			t.tv_nsec -= 1000000000;
		}
		ret = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
		left = ret ? 3000 : 0;
	}
	took = now_us() - start;
	CHECK(!ret || ret == EINTR, "sleep %u says %d", (round - 1) % 3, ret);
	if (ret == EINTR)
		self->eintr++;
	/* The kernel counts the timer slack, 50 us, in what is left. */
	CHECK(rem.tv_sec == 0 && left <= 3100, "%llu us left of 3000", (unsigned long long)left);
	CHECK(took + left + 2 >= 3000, "slept %llu us, %llu left", (unsigned long long)took,
	      (unsigned long long)left);
}

static void work_integers(void)
{
	uint64_t x = 88172645463325252u, sum = 0;

	for (int i = 0; i < 200000; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		sum += x;
		__asm__ volatile("" : "+r"(x), "+r"(sum));
	}
	CHECK(sum == 0x4168694b6600d31bu, "%#llx", (unsigned long long)sum);
	pause_us(500);
}

static double series(void)
{
	double sum = 0;

	for (int i = 1; i < 40000; i++) {
		sum += 1.0 / ((double)i * i);
		__asm__ volatile("" : "+x"(sum));
	}
	return sum;
}

/* With a rounding mode of its own, which has to stay. */
static void work_sse(void)
{
	static double first;
	double got;

	_mm_setcsr((_mm_getcsr() & ~0x6000u) | 0x4000u);
	got = series();
	if (first == 0)
		first = got;
	CHECK(!memcmp(&got, &first, sizeof(got)), "%.17g is not %.17g", got, first);
	CHECK((_mm_getcsr() & 0x6000u) == 0x4000u, "mxcsr %#x", _mm_getcsr());
	pause_us(500);
}

#define ALL_XMM                                                                                  \
	"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", \
		"xmm11", "xmm12", "xmm13", "xmm14", "xmm15"
#define EACH(f) \
	f(0) f(1) f(2) f(3) f(4) f(5) f(6) f(7) f(8) f(9) f(10) f(11) f(12) f(13) f(14) f(15)
#define YMM_LOAD(n) "vmovups 32*" #n "(%1), %%ymm" #n "\n\t"
#define YMM_STORE(n) "vmovups %%ymm" #n ", 32*" #n "(%2)\n\t"
#define XMM_LOAD(n) "movups 32*" #n "(%1), %%xmm" #n "\n\t"
#define XMM_STORE(n) "movups %%xmm" #n ", 32*" #n "(%2)\n\t"
#define SPIN "1: dec %0\n\tjnz 1b\n\t"

/* All vector registers full for a while. */
static void work_avx(void)
{
	static unsigned char round;
	unsigned char in[512], out[512];
	unsigned long spins = 500000;

	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (unsigned char)(i * 7 + i / 32 + round);
	round++;
	memcpy(out, in, sizeof(out));
	if (__builtin_cpu_supports("avx"))
		__asm__ volatile(EACH(YMM_LOAD) SPIN EACH(YMM_STORE) "vzeroupper\n\t"
				 : "+r"(spins)
				 : "r"(in), "r"(out)
				 : "memory", "cc", ALL_XMM);
	else
		__asm__ volatile(EACH(XMM_LOAD) SPIN EACH(XMM_STORE)
				 : "+r"(spins)
				 : "r"(in), "r"(out)
				 : "memory", "cc", ALL_XMM);
	CHECK(!memcmp(in, out, sizeof(in)), "vector registers");
	pause_us(500);
}

static volatile sig_atomic_t handled, next_value, bad_stack, bad_order;
static char *alt_stack;
#define ALT_SIZE 65536

static void on_signal(int sig, siginfo_t *si, void *uc)
{
	char here;

	(void)uc;
	if (&here < alt_stack || &here >= alt_stack + ALT_SIZE)
		bad_stack++;
	if (sig == SIGALRM)
		self->alarms++;
	else if (sig == SIGUSR1)
		handled++;
	else if (si->si_code != SI_QUEUE || si->si_value.sival_int != next_value++)
		bad_order++;
	for (volatile int i = 0; i < 20000; i++)
		;
}

static void signals_start(void)
{
	struct itimerval every = { { 0, 7000 }, { 0, 7000 } };
	struct sigaction sa = { .sa_sigaction = on_signal,
				.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART };
	stack_t ss = { .ss_size = ALT_SIZE };

	alt_stack = ss.ss_sp =
		mmap(NULL, ALT_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigaltstack(&ss, NULL);
	sigaddset(&sa.sa_mask, SIGUSR2);
	sigaction(SIGUSR1, &sa, NULL);
	sigaction(SIGALRM, &sa, NULL);
	sigaction(SIGRTMIN, &sa, NULL);
	setitimer(ITIMER_REAL, &every, NULL);
}

static void signals_check(const sigset_t *want)
{
	struct sigaction sa;
	sigset_t mask;
	stack_t ss;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	CHECK(!memcmp(&mask, want, 8), "mask %#lx, not %#lx", *(unsigned long *)&mask,
	      *(const unsigned long *)want);
	sigaltstack(NULL, &ss);
	CHECK(ss.ss_sp == alt_stack && ss.ss_size == ALT_SIZE && !ss.ss_flags, "%p %zu %d",
	      ss.ss_sp, ss.ss_size, ss.ss_flags);
	sigaction(SIGUSR1, NULL, &sa);
	CHECK(sa.sa_sigaction == on_signal && sigismember(&sa.sa_mask, SIGUSR2), "flags %#x",
	      (unsigned)sa.sa_flags);
}

/* Signals for oneself arrive at once, queued ones in order, the timer for ever. */
static void work_signals(void)
{
	sigset_t want, rt;
	int was;

	if (!alt_stack)
		signals_start();
	sigfillset(&want);
	sigdelset(&want, SIGUSR1);
	sigdelset(&want, SIGALRM);
	pthread_sigmask(SIG_SETMASK, &want, NULL);
	pthread_sigmask(SIG_SETMASK, NULL, &want);
	was = handled;
	syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1);
	CHECK(handled == was + 1, "SIGUSR1 %d times", handled - was);

	next_value = 1;
	for (int i = 1; i <= 3; i++)
		sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = i });
	signals_check(&want);
	sigemptyset(&rt);
	sigaddset(&rt, SIGRTMIN);
	pthread_sigmask(SIG_UNBLOCK, &rt, NULL);
	pthread_sigmask(SIG_BLOCK, &rt, NULL);
	CHECK(next_value == 4, "%d queued signals came", next_value - 1);
	CHECK(!bad_stack && !bad_order, "%d %d", bad_stack, bad_order);
	signals_check(&want);
}

#define AREA (1 << 20)

/* Maps, fills, protects and checks; and looks at memory that was filled once. */
static void work_memory(void)
{
	static uint64_t kept[32768], round;
	static char *area;
	uint64_t *p;
	size_t n = 16 * 4096 / sizeof(*p), from = (round * 2048) % 32768;

	if (!area) {
		area = mmap(NULL, AREA, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		for (size_t i = 0; i < 32768; i++)
			kept[i] = i * 0x9e3779b97f4a7c15u;
	}
	p = mmap(area + round % 15 * 65536, 65536, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(p != MAP_FAILED, "mmap: %d", errno);
	if (p == MAP_FAILED)
		return;
	for (size_t i = 0; i < n; i++)
		p[i] = i * (round | 1);
	mprotect(p, 32768, PROT_READ);
	pause_us(300);
	for (size_t i = 0; i < n; i++)
		CHECK(p[i] == i * (round | 1), "word %zu", i);
	for (size_t i = from; i < from + 2048; i++)
		CHECK(kept[i] == i * 0x9e3779b97f4a7c15u, "kept word %zu", i);
	CHECK(mmap(p, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p,
	      "mmap: %d", errno);
	round++;
}

static void move_all(bool out, uint64_t *buf, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = out ? write(pipe_fd[1], (char *)buf + done, size - done)
				: read(pipe_fd[0], (char *)buf + done, size - done);

		if (n < 0 && errno == EINTR)
			__atomic_fetch_add(&self->eintr, 1, __ATOMIC_RELAXED);
		else
			CHECK(n > 0, "pipe: %zd, %d", n, errno);
		done += n > 0 ? (size_t)n : 0;
	}
}

static void work_writer(void)
{
	static uint64_t next;
	uint64_t buf[700];
	size_t n = next * 37 % 700 + 1;

	for (size_t i = 0; i < n; i++)
		buf[i] = next++;
	move_all(true, buf, n * sizeof(*buf));
	if (next % 11 == 0)
		pause_us(2000);
}

static void work_reader(void)
{
	static uint64_t next;
	uint64_t buf[64];

	move_all(false, buf, sizeof(buf));
	for (size_t i = 0; i < 64; i++, next++)
		CHECK(buf[i] == next, "%llu, not %llu", (unsigned long long)buf[i],
		      (unsigned long long)next);
	if (next % 17 == 0)
		pause_us(1000);
}

static void (*const works[THREADS])(void) = {
	work_naps,    work_integers, work_sse,    work_avx,
	work_signals, work_memory,   work_writer, work_reader
};

static void *worker(void *arg)
{
	static __thread uint64_t tls = 0x1122334455667788u;
	size_t k = (size_t)(uintptr_t)arg;
	uint64_t mine = 0; /* the report is not set back by a restore, this is */
	pid_t tid = gettid();
	char name[16];

	snprintf(name, sizeof(name), "busy-%zu", k);
	prctl(PR_SET_NAME, name);
	for (;;) {
		works[k]();
		CHECK(tls == 0x1122334455667788u + k * mine, "thread local memory");
		CHECK(gettid() == tid && syscall(SYS_gettid) == tid, "tid %d", gettid());
		tls += k;
		mine++;
		self->rounds[k]++;
	}
	return NULL;
}

static void run(size_t threads)
{
	pthread_t t;

	self->pid = (uint32_t)getpid();
	self->threads = (uint32_t)threads;
	if (pipe2(pipe_fd, O_CLOEXEC) < 0)
		exit(1);
	for (size_t k = 1; k < threads; k++)
		if (pthread_create(&t, NULL, worker, (void *)(uintptr_t)k))
			exit(1);
	worker(NULL);
}

static void child(struct report *r, unsigned int i)
{
	self = &r->proc[i];
	if (i == 1) {
		setsid();
		run(3);
	} else if (i == 2) {
		_exit(7);
	} else if (i == 3) {
		self->pid = (uint32_t)getpid();
		raise(SIGSTOP);
		_exit(1);
	}
	run(1);
}

int main(int argc, char **argv)
{
	unsigned long threads = argc > 2 ? strtoul(argv[2], NULL, 10) : THREADS;
	unsigned long children = argc > 3 ? strtoul(argv[3], NULL, 10) : 0;
	struct report *r;
	sigset_t all;
	int fd;

	if (argc < 2 || !threads || threads > THREADS || children >= PROCS)
		return 1;
	fd = open(argv[1], O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, sizeof(*r)) < 0)
		return 1;
	r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (r == MAP_FAILED)
		return 1;
	for (int i = 4; i < argc; i++)
		if (open(argv[i], O_RDWR) < 0)
			return 1;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	r->procs = 1 + (uint32_t)children;
	for (unsigned int i = 1; i <= children; i++)
		if (fork() == 0)
			child(r, i);
	self = &r->proc[0];
	__atomic_store_n(&r->magic, MAGIC, __ATOMIC_RELEASE);
	run(threads);
}
