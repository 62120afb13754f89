/*
 * doors - what a call of a door costs, beside what the machine can do: a bare
 * futex ping-pong, a SEQPACKET round trip, memcpy(). Contenders take turns,
 * so that load hits all; figures are medians of single calls.
 *
 * doors latency|throughput|callers|growth
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/door.h"
#include "measure.h"

#define ROUNDS 40
#define PER_ROUND 500
#define SIZE 64
#define MIB (1 << 20)
#define TRANSFERS 1000

/* Two words, each on a line of its own. */
struct word {
	_Alignas(64) _Atomic unsigned int n;
	_Atomic unsigned int sleeper;
};

struct pingpong {
	struct word go, back;
};

static struct pingpong *pp;
static bool spinning;

static void wait_word(struct word *w, unsigned int old)
{
	double end = spinning ? now_us() + 5 : 0;

	while (spinning && now_us() < end)
		for (int i = 0; i < 64; i++) {
			if (atomic_load(&w->n) != old)
				return;
			__builtin_ia32_pause();
		}
	atomic_store(&w->sleeper, 1);
	while (atomic_load(&w->n) == old)
		syscall(SYS_futex, &w->n, FUTEX_WAIT, old, NULL, NULL, 0);
	atomic_store(&w->sleeper, 0);
}

static void wake_word(struct word *w)
{
	atomic_fetch_add(&w->n, 1);
	if (atomic_load(&w->sleeper))
		syscall(SYS_futex, &w->n, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static pid_t server(int cpu, void (*fn)(void))
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(cpu);
	fn();
	_exit(0);
}

static void futex_server(void)
{
	for (unsigned int n = 0;; n++) {
		wait_word(&pp->go, n);
		wake_word(&pp->back);
	}
}

static void futex_call(void)
{
	unsigned int old = atomic_load(&pp->back.n);

	wake_word(&pp->go);
	wait_word(&pp->back, old);
}

static int sk[2];

static void socket_server(void)
{
	char buf[SIZE];

	close(sk[0]);
	while (read(sk[1], buf, SIZE) == SIZE && write(sk[1], buf, SIZE) == SIZE)
		;
}

static void socket_call(void)
{
	char buf[SIZE] = { 0 };

	if (write(sk[0], buf, SIZE) != SIZE || read(sk[0], buf, SIZE) != SIZE)
		abort();
}

static char path[] = "/tmp/door-bench.XXXXXX";
static int door = -1;

static void echo(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	(void)cookie;
	(void)desc;
	(void)n;
	door_return(args, size, NULL, 0);
}

/* Takes what it is given, and says only that. */
static void sink(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	(void)cookie;
	(void)args;
	(void)desc;
	(void)n;
	door_return((char *)&size, sizeof(size), NULL, 0);
}

static door_server_procedure_t *procedure = echo;

static void door_server(void)
{
	int fd = door_create(procedure, NULL, 0);

	if (fd < 0 || fattach(fd, path) < 0) {
		perror("door");
		_exit(1);
	}
	for (;;)
		pause();
}

static void call(char *in, size_t size, char *out, size_t room)
{
	door_arg_t a = { .data_ptr = in, .data_size = size, .rbuf = out, .rsize = room };

	if (door_call(door, &a) < 0 || a.rbuf != out) {
		perror("door_call");
		exit(1);
	}
}

static void door_call_small(void)
{
	static char buf[SIZE];

	call(buf, SIZE, buf, SIZE);
}

static void open_door(void)
{
	door_info_t i;

	for (int ms = 0; ms < 5000; ms++) {
		close(door);
		door = open(path, O_RDWR | O_CLOEXEC);
		if (door >= 0 && door_info(door, &i) == 0 && i.di_target > 0)
			return;
		usleep(1000);
	}
	fprintf(stderr, "the door does not appear\n");
	exit(1);
}

static pid_t start_door(int cpu)
{
	pid_t pid = server(cpu, door_server);

	open_door();
	return pid;
}

/* What a call of a door cannot do without: is the descriptor still that door? */
static void position_call(void)
{
	if (lseek(door, 0, SEEK_CUR) < 0)
		abort();
}

static void latency(bool two)
{
	static void (*const calls[])(void) = { futex_call, socket_call, door_call_small,
					       position_call };
	static double v[4][ROUNDS * PER_ROUND];
	pid_t pids[3];
	double m[4];

	spinning = two;
	pp = mmap(NULL, sizeof(*pp), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sk) < 0)
		exit(1);
	pin(0);
	pids[0] = server(two, futex_server);
	pids[1] = server(two, socket_server);
	pids[2] = start_door(two);
	for (int r = 0; r < ROUNDS; r++)
		for (int k = 0; k < 4; k++)
			for (int i = 0; i < PER_ROUND; i++) {
				double t = now_us();

				calls[k]();
				v[k][r * PER_ROUND + i] = now_us() - t;
			}
	for (int k = 0; k < 4; k++)
		m[k] = percentile(v[k], ROUNDS * PER_ROUND, 0.5);
	for (int k = 0; k < 3; k++)
		kill(pids[k], SIGKILL);
	printf("latency, %d bytes, %s: futex %.2f us, SEQPACKET %.2f us, lseek %.2f us, door %.2f "
	       "us: %.2f of the futex, %.2f of SEQPACKET\n",
	       SIZE, two ? "two processors" : "one processor", m[0], m[1], m[3], m[2], m[2] / m[0],
	       m[2] / m[1]);
}

/* One way: the size is what comes back. Else all of it does, and that is two copies. */
static void throughput(bool one_way)
{
	static double copy[TRANSFERS], args[TRANSFERS];
	static char in[MIB], out[MIB], answer[16];
	char *to = one_way ? answer : out;
	const size_t room = one_way ? sizeof(answer) : MIB;
	double c, a;
	pid_t pid;

	procedure = one_way ? sink : echo;
	pid = start_door(0);
	pin(0);
	memset(in, 1, MIB);
	memset(out, 1, MIB);
	call(in, MIB, to, room);
	for (int i = 0; i < TRANSFERS; i++) {
		double t = now_us();

		memcpy(out, in, MIB);
		__asm__ volatile("" ::"r"(out) : "memory");
		copy[i] = now_us() - t;
		t = now_us();
		call(in, MIB, to, room);
		args[i] = now_us() - t;
	}
	kill(pid, SIGKILL);
	c = percentile(copy, TRANSFERS, 0.5);
	a = percentile(args, TRANSFERS, 0.5);
	if (one_way)
		printf("1 MiB of arguments: memcpy %.1f us, door %.1f us: %.2f of one memcpy\n", c,
		       a, a / c);
	else
		printf("1 MiB there and back: memcpy %.1f us, door %.1f us: %.2f of one memcpy "
		       "each "
		       "way\n",
		       c, a, a / c / 2);
}

#define CALLERS 100
#define CALLS 200

static void *caller(void *arg)
{
	double *v = arg;
	char buf[SIZE] = { 0 };

	for (int i = 0; i < CALLS; i++) {
		double t = now_us();

		call(buf, SIZE, buf, SIZE);
		v[i] = now_us() - t;
	}
	return NULL;
}

static void callers(void)
{
	static double v[CALLERS * CALLS];
	pthread_t id[CALLERS];
	double begin;
	pid_t pid = fork();

	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		door_server();
	}
	open_door();
	begin = now_us();
	for (int i = 0; i < CALLERS; i++)
		pthread_create(&id[i], NULL, caller, v + (size_t)i * CALLS);
	for (int i = 0; i < CALLERS; i++)
		pthread_join(id[i], NULL);
	begin = now_us() - begin;
	kill(pid, SIGKILL);
	printf("%d callers at once: %.0f calls a second, p50 %.1f us, p99 %.1f us\n", CALLERS,
	       CALLERS * CALLS / begin * 1e6, percentile(v, (size_t)CALLERS * CALLS, 0.5),
	       percentile(v, (size_t)CALLERS * CALLS, 0.99));
}

/* Resident kilobytes and descriptors of a process. */
static void usage(pid_t pid, long *kb, int *fds)
{
	char name[64], line[256];
	FILE *f;

	snprintf(name, sizeof(name), "/proc/%d/status", pid);
	f = fopen(name, "r");
	while (f && fgets(line, sizeof(line), f))
		sscanf(line, "VmRSS: %ld", kb);
	fclose(f);
	snprintf(line, sizeof(line), "ls /proc/%d/fd | wc -l", pid);
	f = popen(line, "r");
	if (fscanf(f, "%d", fds) != 1)
		*fds = -1;
	pclose(f);
}

static void growth(void)
{
	long n = getenv("DOOR_CALLS") ? atol(getenv("DOOR_CALLS")) : 200000;
	long kb[2][2] = { { 0 } };
	int fds[2][2] = { { 0 } };
	pid_t pid = start_door(0), who[2] = { pid, getpid() };
	double t;

	for (int i = 0; i < 10000; i++)
		door_call_small();
	for (int k = 0; k < 2; k++)
		usage(who[k], &kb[0][k], &fds[0][k]);
	t = now_us();
	for (long i = 0; i < n; i++)
		door_call_small();
	t = now_us() - t;
	for (int k = 0; k < 2; k++)
		usage(who[k], &kb[1][k], &fds[1][k]);
	kill(pid, SIGKILL);
	printf("%ld calls, %.2f us each: server %ld to %ld kB, %d to %d descriptors; client %ld to "
	       "%ld kB, %d to %d "
	       "descriptors\n",
	       n, t / (double)n, kb[0][0], kb[1][0], fds[0][0], fds[1][0], kb[0][1], kb[1][1],
	       fds[0][1], fds[1][1]);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	int fd = mkstemp(path);

	close(fd);
	if (!strcmp(what, "latency")) {
		latency(false);
		fdetach(path);
		latency(true);
	} else if (!strcmp(what, "throughput")) {
		throughput(true);
		fdetach(path);
		throughput(false);
	} else if (!strcmp(what, "callers")) {
		callers();
	} else if (!strcmp(what, "growth")) {
		growth();
	} else {
		return 2;
	}
	fdetach(path);
	return unlink(path) < 0;
}
