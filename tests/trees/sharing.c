/*
 * sharing - a tree of processes that share descriptions of all kinds at random.
 *
 *   sharing SEED PROCESSES DESCRIPTIONS
 *
 * Says READY on standard output when everybody stands still. Each description
 * has between one and five holders, under numbers of their own; some processes
 * share the table of their parent, some have a thread with a table of its own,
 * which children may share, too. The same seed gives the same tree. It works
 * in the current directory.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>

#define MAX_PROCESSES 31
#define MAX_FILES 1024
#define CHILD_NUMBERS 2000 /* children hold descriptors from here on */
#define CHILD_RANGE 1000

#define NEED(what)                                                  \
	do {                                                        \
		if (!(what)) {                                      \
			fprintf(stderr, "line %d: %m\n", __LINE__); \
			exit(1);                                    \
		}                                                   \
	} while (0)

static int nr_processes, nr_wanted;
static int fds[MAX_FILES];
static uint32_t holders[MAX_FILES]; /* a bit for each process */
static uint32_t thread_holders[MAX_FILES];
static int nr_files;
static int parent[MAX_PROCESSES];
static bool shares[MAX_PROCESSES];    /* its parent's table */
static bool of_thread[MAX_PROCESSES]; /* or rather that of its parent's thread */
static bool threads[MAX_PROCESSES];   /* has a thread with a table of its own */
static uint64_t random_state;
static int *settled; /* shared: how many stand still */

static unsigned draw(unsigned below)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (unsigned)(random_state >> 16) % below;
}

static void add(int fd)
{
	NEED(fd >= 0 && nr_files < MAX_FILES);
	fds[nr_files++] = fd;
}

static const char *fresh_name(void)
{
	static char name[32];

	snprintf(name, sizeof(name), "f%d", nr_files);
	return name;
}

static int new_file(int flags)
{
	int fd = open(fresh_name(), flags | O_CREAT, 0600);

	NEED(fd >= 0 && write(fd, "0123456789", 10) == 10);
	lseek(fd, draw(10), SEEK_SET);
	return fd;
}

static void make_reg(void)
{
	static const int flags[] = { 0, O_APPEND, O_CLOEXEC, O_NONBLOCK | O_SYNC, O_NOATIME };

	add(new_file(O_RDWR | flags[draw(5)]));
}

static void make_path(void)
{
	close(new_file(O_RDWR));
	add(open(fresh_name(), O_PATH));
}

static void make_deleted(void)
{
	int fd = new_file(O_RDWR);

	unlink(fresh_name());
	add(fd);
}

/* Held by nobody after this: only mapped, by everybody that was born later. */
static void make_mapped(void)
{
	int fd = new_file(O_RDWR);

	NEED(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
	close(fd);
	add(open("/dev/null", O_RDWR));
}

static void make_dir(void)
{
	NEED(mkdir(fresh_name(), 0700) == 0);
	add(open(fresh_name(), O_RDONLY | O_DIRECTORY));
}

static void make_pipe(void)
{
	int p[2];

	NEED(pipe2(p, draw(2) ? O_NONBLOCK : 0) == 0 && write(p[1], "pipe", 1 + draw(4)) > 0);
	add(p[0]);
	add(p[1]);
}

static void make_fifo(void)
{
	int fd;

	NEED(mkfifo(fresh_name(), 0600) == 0);
	fd = open(fresh_name(), O_RDWR | O_NONBLOCK);
	NEED(write(fd, "fifo", 4) == 4);
	add(fd);
}

static void make_eventfd(void)
{
	add(eventfd(draw(1000), draw(2) ? EFD_SEMAPHORE : EFD_NONBLOCK));
}

static void make_timerfd(void)
{
	struct itimerspec t = { .it_value = { .tv_sec = 1000 + draw(1000) } };
	int fd = timerfd_create(CLOCK_MONOTONIC, 0);

	NEED(timerfd_settime(fd, 0, &t, NULL) == 0);
	add(fd);
}

static void make_signalfd(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + (int)draw(5));
	add(signalfd(-1, &set, 0));
}

static void make_inotify(void)
{
	int fd = inotify_init1(0);

	NEED(inotify_add_watch(fd, ".", IN_DELETE_SELF) >= 0);
	add(fd);
}

static void make_memfd(void)
{
	int fd = memfd_create("shared", MFD_ALLOW_SEALING);

	NEED(write(fd, "memory", 6) == 6);
	add(fd);
}

static void make_pidfd(void)
{
	add((int)syscall(SYS_pidfd_open, getpid(), 0));
}

static void make_pair(void)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };
	int s[2], type = types[draw(3)];

	NEED(socketpair(AF_UNIX, type, 0, s) == 0 && send(s[0], "to the peer", 11, 0) == 11);
	add(s[0]);
	add(s[1]);
}

/* What is sent is held by nobody: only in flight. */
static void make_in_flight(void)
{
	int s[2], fd = new_file(O_RDWR);
	char control[CMSG_SPACE(sizeof(int))] = "";
	struct iovec iov = { "x", 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	NEED(socketpair(AF_UNIX, SOCK_STREAM, 0, s) == 0 && sendmsg(s[0], &m, 0) == 1);
	close(fd);
	add(s[0]);
	add(s[1]);
}

static void make_listener(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(a.sun_path, fresh_name());
	NEED(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 5) == 0);
	add(fd);
}

static void make_inet(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	bool tcp = draw(2);
	int fd = socket(AF_INET, tcp ? SOCK_STREAM : SOCK_DGRAM, 0);

	NEED(bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	NEED(!tcp || listen(fd, 7) == 0);
	add(fd);
}

static void make_pty(void)
{
	int m = posix_openpt(O_RDWR | O_NOCTTY);

	NEED(m >= 0 && grantpt(m) == 0 && unlockpt(m) == 0);
	add(m);
	add(open(ptsname(m), O_RDWR | O_NOCTTY));
}

static void make_device(void)
{
	add(open(draw(2) ? "/dev/zero" : "/dev/urandom", O_RDONLY));
}

static void make_ns(void)
{
	add(open("/proc/self/ns/uts", O_RDONLY));
}

/* What it watches stays open in the root, which has put it there, under that number. */
static void make_epoll(void)
{
	int fd = epoll_create1(0);

	for (unsigned i = 0; i < 3 && nr_files; i++) {
		unsigned which = draw((unsigned)nr_files);
		struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.u32 = which };

		if (epoll_ctl(fd, EPOLL_CTL_ADD, fds[which], &e) == 0)
			holders[which] |= 1;
	}
	holders[nr_files] |= 1;
	add(fd);
}

static void (*const makers[])(void) = {
	make_reg,   make_path,    make_deleted,  make_mapped,   make_dir,       make_pipe,
	make_fifo,  make_eventfd, make_timerfd,  make_signalfd, make_inotify,   make_memfd,
	make_pidfd, make_pair,    make_listener, make_inet,     make_pty,       make_device,
	make_ns,    make_epoll,   make_reg,      make_pair,     make_in_flight, make_pipe,
};

static void make_all(void)
{
	unsigned kinds = sizeof(makers) / sizeof(*makers);

	while (nr_files < nr_wanted)
		makers[nr_files ? draw(kinds) : 0]();
	for (int i = 0; i < nr_files; i++) {
		for (unsigned n = 1 + draw(5); n; n--) {
			unsigned p = draw((unsigned)nr_processes);

			if (threads[p] && draw(2))
				thread_holders[i] |= 1u << p;
			else
				holders[i] |= 1u << (shares[p] ? 0 : p);
		}
	}
}

/* Each but the root is born by one that is born before; those that share a table bear nobody. */
static void plan_tree(void)
{
	threads[0] = draw(3) == 0;
	for (int i = 1; i < nr_processes; i++) {
		shares[i] = draw(6) == 0;
		do {
			parent[i] = (int)draw((unsigned)i);
		} while (shares[parent[i]]);
		of_thread[i] = shares[i] && threads[parent[i]] && draw(2);
		threads[i] = !shares[i] && draw(5) == 0;
	}
}

static void stand_still(void)
{
	__atomic_fetch_add(settled, 1, __ATOMIC_RELEASE);
	for (;;)
		pause();
}

/* Keeps, under new numbers, what this process holds, or its thread. */
static void keep_some(const uint32_t *held, int me)
{
	bool used[CHILD_RANGE] = { false };

	for (int i = 0; i < nr_files; i++) {
		unsigned at;

		/* Some have it twice. */
		for (int n = held[i] >> me & 1 ? 1 + !draw(8) : 0; n; n--) {
			while (used[at = draw(CHILD_RANGE)])
				;
			used[at] = true;
			NEED(dup3(fds[i], CHILD_NUMBERS + (int)at, draw(2) ? O_CLOEXEC : 0) >= 0);
		}
	}
	close_range(0, CHILD_NUMBERS - 1, 0);
}

/* The root keeps the numbers. */
static void keep_own(int me)
{
	if (me) {
		keep_some(holders, me);
		return;
	}
	for (int i = 0; i < nr_files; i++)
		if (!(holders[i] & 1))
			close(fds[i]);
}

static void bear(int me, bool sharing, bool by_thread);

/* Shared with nobody but the leader, which waits. */
static volatile int thread_stands;

static void *thread_main(void *arg)
{
	int me = *(int *)arg;

	NEED(unshare(CLONE_FILES) == 0);
	keep_some(thread_holders, me);
	bear(me, true, true);
	thread_stands = 1;
	for (;;)
		pause();
}

static void make_thread(int me)
{
	pthread_t t;

	if (!threads[me])
		return;
	NEED(pthread_create(&t, NULL, thread_main, &me) == 0);
	while (!thread_stands)
		usleep(1000);
}

static void bear(int me, bool sharing, bool by_thread)
{
	for (int i = me + 1; i < nr_processes; i++) {
		long pid;

		if (parent[i] != me || shares[i] != sharing || of_thread[i] != by_thread)
			continue;
		pid = sharing ? syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0) : fork();
		NEED(pid >= 0);
		if (pid)
			continue;
		if (sharing)
			stand_still();
		random_state += (uint64_t)i * 0x9e3779b97f4a7c15u;
		bear(i, false, false);
		make_thread(i);
		keep_own(i);
		bear(i, true, false);
		stand_still();
	}
}

int main(int argc, char **argv)
{
	struct rlimit lim;

	NEED(argc == 4);
	random_state = strtoull(argv[1], NULL, 10) * 2654435761u + 88172645463325252u;
	nr_processes = atoi(argv[2]);
	nr_wanted = atoi(argv[3]);
	NEED(nr_processes > 0 && nr_processes <= MAX_PROCESSES && nr_wanted + 8 < MAX_FILES);
	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	NEED(setrlimit(RLIMIT_NOFILE, &lim) == 0);
	settled = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	NEED(settled != MAP_FAILED);
	plan_tree();
	make_all();
	bear(0, false, false);
	make_thread(0);
	keep_own(0);
	bear(0, true, false);
	while (__atomic_load_n(settled, __ATOMIC_ACQUIRE) < nr_processes - 1)
		usleep(1000);
	printf("READY\n");
	fflush(stdout);
	for (;;)
		pause();
}
