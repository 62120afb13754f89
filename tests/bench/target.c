/*
 * target - what the benchmark dumps, and the stop watch it uses.
 *
 *   target KIND REPORT                      a daemon: its pid goes to standard output
 *          small, mem:MIB, threads:N, locks:N, files:N, pipes:N (with data),
 *          unix:N (pairs of sockets, with data), shared:PROCESSES,FILES
 *   target cost N PATH
 *          what N locks cost the kernel: ns on a CPU to take them, and to read them in fdinfo
 *   target run SECONDS COMMAND...
 *          on descriptor 3: status, start and end in ns, peak KiB, ns on a CPU
 *
 * A daemon's ticker looks at the clock every 100 us, and notes in REPORT (a
 * shared mapping, struct report) each time that it did not get to it for
 * longer than a while: that is how long it was frozen, seen from inside. When
 * asked, it also checks its memory and how many threads it has.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GAPS 256
#define LONG_NS 250000u
#define SMALL 4
#define ALL_VMAS 35

struct report {
	uint64_t ticks;
	uint64_t asked; /* counted up by the benchmark: check yourself */
	uint64_t good;
	uint64_t bad;
	uint64_t ngaps;
	uint64_t gap[GAPS][2]; /* first and last ns of it */
};

static struct report *report;
static uint64_t *memory;
static size_t memory_words;
static unsigned int nthreads;
static int nfds, first_fd; /* descriptors that a kind is about, and the lowest of them */
static bool are_queues;

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static unsigned int count_dir(const char *path)
{
	DIR *d = opendir(path);
	unsigned int n = 0;

	while (d && readdir(d))
		n++;
	if (d)
		closedir(d);
	return n - 2;
}

/* Files have been read up to a position of their own, pipes and sockets have so much in them. */
static bool fds_are_right(void)
{
	for (int i = 0; i < nfds; i++) {
		int n = 0, fd = first_fd + i;

		if (are_queues ? ioctl(fd, FIONREAD, &n) < 0 || n != 1 + i / 2 % 100
			       : lseek(fd, 0, SEEK_CUR) != i % 100)
			return false;
	}
	return true;
}

static bool is_right(void)
{
	if (!fds_are_right())
		return false;
	for (size_t i = 0; i < memory_words; i += 64)
		if (memory[i] != i * 0x9e3779b97f4a7c15u)
			return false;
	return count_dir("/proc/self/task") == nthreads;
}

static void tick(void)
{
	struct timespec pause = { .tv_nsec = 100000 };
	uint64_t last = now(), t, seen = 0;

	for (;; last = t) {
		nanosleep(&pause, NULL);
		t = now();
		if (t - last > LONG_NS) {
			uint64_t *gap = report->gap[report->ngaps % GAPS];

			gap[0] = last;
			gap[1] = t;
			__atomic_fetch_add(&report->ngaps, 1, __ATOMIC_RELEASE);
		}
		__atomic_fetch_add(&report->ticks, 1, __ATOMIC_RELEASE);
		if (__atomic_load_n(&report->asked, __ATOMIC_ACQUIRE) == seen)
			continue;
		seen = report->asked;
		__atomic_fetch_add(is_right() ? &report->good : &report->bad, 1, __ATOMIC_RELEASE);
		t = now();
	}
}

static void *idle(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static bool add_threads(unsigned int n)
{
	pthread_attr_t a;
	pthread_t t;

	pthread_attr_init(&a);
	pthread_attr_setstacksize(&a, 65536);
	for (nthreads = 1; nthreads < n; nthreads++)
		if (pthread_create(&t, &a, idle, NULL))
			return false;
	return true;
}

static unsigned int count_vmas(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	unsigned int n = 0;
	int c;

	while (f && (c = fgetc(f)) != EOF)
		n += c == '\n';
	if (f)
		fclose(f);
	return n;
}

static bool add_memory(size_t bytes)
{
	memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return false;
	memory_words = bytes / sizeof(*memory);
	for (size_t i = 0; i < memory_words; i += 64)
		memory[i] = i * 0x9e3779b97f4a7c15u;
	return true;
}

#define LOCKED_FILES 100u

/* Locks on 100 files beside the report, half of them POSIX and half OFD. */
static bool add_locks(unsigned int n, const char *path)
{
	char name[4096];

	for (unsigned int i = 0; i < LOCKED_FILES; i++) {
		int fd, cmd = i % 2 ? F_SETLK : F_OFD_SETLK;

		snprintf(name, sizeof(name), "%s.lock%u", path, i);
		fd = open(name, O_RDWR | O_CREAT, 0600);
		for (unsigned int k = 0; fd >= 0 && k < n / LOCKED_FILES; k++) {
			struct flock l = { .l_type = k % 2 ? F_RDLCK : F_WRLCK,
					   .l_start = 20L * k,
					   .l_len = 10 };

			if (fcntl(fd, cmd, &l) < 0)
				return false;
		}
		if (fd < 0)
			return false;
	}
	return true;
}

static bool room_for(int fds)
{
	struct rlimit lim;

	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	nfds = fds;
	return setrlimit(RLIMIT_NOFILE, &lim) == 0;
}

/* Files beside the report, each at a position of its own. */
static bool add_files(const char *report_path, int n)
{
	char name[512];

	if (!room_for(n))
		return false;
	for (int i = 0; i < n; i++) {
		int fd;

		snprintf(name, sizeof(name), "%s.%d", report_path, i);
		fd = open(name, O_RDWR | O_CREAT, 0600);
		if (fd < 0 || write(fd, name, 100) < 1 || lseek(fd, i % 100, SEEK_SET) < 0)
			return false;
		first_fd = i ? first_fd : fd;
	}
	return true;
}

static bool add_pipes(int n)
{
	static const char data[100];
	int p[2];

	are_queues = true;
	if (!room_for(2 * n))
		return false;
	for (int i = 0; i < n; i++) {
		if (pipe(p) < 0 || write(p[1], data, (size_t)(1 + i % 100)) < 1)
			return false;
		first_fd = i ? first_fd : p[0];
	}
	return true;
}

static bool add_pairs(int n)
{
	static const char data[100];
	int s[2];

	are_queues = true;
	if (!room_for(2 * n))
		return false;
	for (int i = 0; i < n; i++) {
		size_t len = (size_t)(1 + i % 100);

		if (socketpair(AF_UNIX, SOCK_STREAM, 0, s) < 0 || send(s[0], data, len, 0) < 1 ||
		    send(s[1], data, len, 0) < 1)
			return false;
		first_fd = i ? first_fd : s[0];
	}
	return true;
}

static bool add_children(int n)
{
	for (int i = 1; i < n; i++) {
		pid_t pid = fork();

		if (pid < 0)
			return false;
		if (!pid) {
			close(3);
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			idle(NULL);
		}
	}
	return true;
}

static bool become_holder(const char *kind, const char *path)
{
	int n = 0, processes = 1;

	if (sscanf(kind, "pipes:%d", &n) == 1)
		return add_pipes(n) && add_threads(1);
	if (sscanf(kind, "unix:%d", &n) == 1)
		return add_pairs(n) && add_threads(1);
	if (sscanf(kind, "files:%d", &n) != 1 && sscanf(kind, "shared:%d,%d", &processes, &n) != 2)
		return false;
	return add_files(path, n) && add_children(processes) && add_threads(1);
}

/* A program of the usual size: some threads, mappings and descriptors. */
static bool become(const char *kind, const char *path)
{
	if (become_holder(kind, path))
		return true;
	if (!strncmp(kind, "mem:", 4))
		return add_memory(strtoul(kind + 4, NULL, 10) << 20) && add_threads(1);
	if (!strncmp(kind, "threads:", 8))
		return add_threads((unsigned int)strtoul(kind + 8, NULL, 10));
	if (!strncmp(kind, "locks:", 6))
		return add_locks((unsigned int)strtoul(kind + 6, NULL, 10), path) && add_threads(1);
	if (strcmp(kind, "small") != 0 || !add_memory(1 << 20) || !add_threads(SMALL))
		return false;
	while (count_vmas() < ALL_VMAS) {
		char *p = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			       -1, 0);

		if (p == MAP_FAILED || mprotect(p + 4096, 4096, PROT_READ) < 0)
			return false;
		p[0] = 1;
	}
	return open("/dev/null", O_RDWR) >= 0 && open("/", O_RDONLY) >= 0;
}

static int daemonize(const char *kind, const char *path)
{
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), ready[2];
	char c;

	if (fd < 0 || ftruncate(fd, sizeof(*report)) < 0 || pipe(ready) < 0)
		return 1;
	report = mmap(NULL, sizeof(*report), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (report == MAP_FAILED)
		return 1;
	close(fd);
	if (fork() == 0) {
		pid_t pid;

		setsid();
		pid = fork();
		if (pid > 0) {
			printf("%d\n", pid);
			fflush(stdout);
		}
		if (pid)
			_exit(0);
		setsid();
		fd = open("/dev/null", O_RDWR);
		for (int i = 0; i < 3; i++)
			dup2(fd, i);
		dup2(ready[1], 3);
		close_range(4, ~0u, 0);
		if (!become(kind, path) || write(3, "", 1) != 1)
			_exit(1);
		close(3);
		tick();
	}
	close(ready[1]);
	while (wait(NULL) > 0)
		;
	return read(ready[0], &c, 1) != 1;
}

static uint64_t on_cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The floor for any tool: nothing but the calls that take the locks, and those that read them. */
static int cost(unsigned int n, const char *path)
{
	uint64_t start = on_cpu(), taken, end;
	char name[64], buf[65536];

	if (!add_locks(n, path))
		return 1;
	taken = on_cpu();
	for (int fd = 3; fd < 3 + (int)LOCKED_FILES; fd++) {
		int info;

		snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", fd);
		info = open(name, O_RDONLY);
		while (info >= 0 && read(info, buf, sizeof(buf)) > 0)
			;
		close(info);
	}
	end = on_cpu();
	printf("%llu %llu\n", (unsigned long long)(taken - start),
	       (unsigned long long)(end - taken));
	return 0;
}

static pid_t child;

static void late(int sig)
{
	(void)sig;
	kill(child, SIGKILL);
}

static uint64_t time_ns(const struct timeval *t)
{
	return (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_usec * 1000u;
}

static int run(unsigned int seconds, char **argv)
{
	struct rusage ru;
	uint64_t start = now(), end, cpu;
	int status;

	child = fork();
	if (child == 0) {
		execv(argv[0], argv);
		_exit(127);
	}
	signal(SIGALRM, late);
	alarm(seconds);
	while (wait4(child, &status, 0, &ru) < 0)
		if (errno != EINTR)
			return 1;
	end = now();
	cpu = time_ns(&ru.ru_utime) + time_ns(&ru.ru_stime);
	dprintf(3, "%d %llu %llu %ld %llu\n",
		WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
		(unsigned long long)start, (unsigned long long)end, ru.ru_maxrss,
		(unsigned long long)cpu);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc > 3 && !strcmp(argv[1], "run"))
		return run((unsigned int)strtoul(argv[2], NULL, 10), argv + 3);
	if (argc == 4 && !strcmp(argv[1], "cost"))
		return cost((unsigned int)strtoul(argv[2], NULL, 10), argv[3]);
	return argc == 3 ? daemonize(argv[1], argv[2]) : 1;
}
