/*
 * unixcost N - what N pairs of Unix sockets, with a message waiting in each
 * socket, cost the kernel, whoever dumps and restores them: ns on a CPU of the
 * calls that make them, of those that tell what has to be kept of them, and of
 * the end of a process that has them.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PASSPIDFD 76 /* SO_*, younger than the headers of older systems */
#define BUF_LOCK 72
#define PASSRIGHTS 83
#define INQ 84

/* All that can be set on one and is not told by netlink. */
static const int options[] = {
	SO_REUSEADDR, SO_DONTROUTE,    SO_BROADCAST, SO_KEEPALIVE, SO_OOBINLINE,   SO_NO_CHECK,
	SO_PRIORITY,  SO_LINGER,       SO_PASSCRED,  SO_PEERCRED,  SO_RCVLOWAT,    SO_RCVTIMEO,
	SO_SNDTIMEO,  SO_BINDTODEVICE, SO_TIMESTAMP, SO_PASSSEC,   SO_TIMESTAMPNS, SO_MARK,
	SO_PEEK_OFF,  SO_LOCK_FILTER,  BUF_LOCK,     PASSPIDFD,    PASSRIGHTS,     INQ,
};

static uint64_t ns(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * 1000000000u + (uint64_t)t->tv_nsec;
}

static uint64_t on_cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return ns(&t);
}

/* Returns the number of the first. */
static int make(size_t n)
{
	static const char data[128];
	int fds[2], first = -1;

	for (size_t i = 0; i < n; i += 2) {
		if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0 ||
		    send(fds[0], data, sizeof(data), 0) < 0 ||
		    send(fds[1], data, sizeof(data), 0) < 0)
			_exit(1);
		first = i ? first : fds[0];
	}
	return first;
}

static void tell(int pidfd, int number)
{
	int fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	struct flock lock = { .l_type = F_WRLCK };
	char data[128], control[1024], value[16];
	struct iovec iov = { data, sizeof(data) };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct f_owner_ex owner;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || fcntl(fd, F_GETFL) < 0 || fcntl(fd, F_GETSIG) < 0 ||
	    fcntl(fd, F_GETOWN_EX, &owner) < 0 || fcntl(fd, F_GETLK, &lock) < 0)
		_exit(1);
	for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
		socklen_t len = sizeof(value);

		/* Some kernels do not have all. */
		(void)getsockopt(fd, SOL_SOCKET, options[i], value, &len);
	}
	if (recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT) != sizeof(data))
		_exit(1);
	close(fd);
}

/* A process that has them; it says how long it took, and waits. */
static pid_t hold(int *first, size_t n, uint64_t *made)
{
	uint64_t start;
	int said[2];
	pid_t pid;

	if (pipe(said) < 0 || (pid = fork()) < 0)
		_exit(1);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		start = on_cpu();
		*first = make(n);
		start = on_cpu() - start;
		if (write(said[1], &start, sizeof(start)) != sizeof(start))
			_exit(1);
		if (write(said[1], first, sizeof(*first)) != sizeof(*first))
			_exit(1);
		for (;;)
			pause();
	}
	if (read(said[0], made, sizeof(*made)) != sizeof(*made) ||
	    read(said[0], first, sizeof(*first)) != sizeof(*first))
		_exit(1);
	return pid;
}

int main(int argc, char **argv)
{
	size_t n = argc == 2 ? 2 * strtoul(argv[1], NULL, 10) : 0;
	struct rlimit limit;
	uint64_t made, told, lived;
	struct timespec t;
	struct rusage ru;
	clockid_t clock;
	int first, pidfd;
	pid_t pid;

	/* Of nothing but sockets the numbers follow each other. */
	close_range(3, ~0u, 0);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (!n)
		return 1;
	pid = hold(&first, n, &made);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	told = on_cpu();
	for (size_t i = 0; i < n; i++)
		tell(pidfd, first + (int)i);
	told = on_cpu() - told;
	if (clock_getcpuclockid(pid, &clock) || clock_gettime(clock, &t) < 0)
		return 1;
	lived = ns(&t);
	kill(pid, SIGKILL);
	if (wait4(pid, NULL, 0, &ru) != pid)
		return 1;
	printf("%llu %llu %llu\n", (unsigned long long)made, (unsigned long long)told,
	       (unsigned long long)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) * 1000000000u +
		       (unsigned long long)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) * 1000u -
		       (unsigned long long)lived);
	return 0;
}
