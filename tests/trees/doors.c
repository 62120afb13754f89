/*
 * doors - a server of doors and its clients, to be dumped and restored.
 *
 * doors server PATH N: a server with N clients as its children, at PATH
 * doors private PATH N: the same, with a pool of threads for that door alone
 * doors clients PATH N: a process with N clients as its children
 * doors ask PATH N: the same, for the version of the service whose door is at PATH
 * doors info PATH: what the door at PATH says of itself
 *
 * A client writes to clients.PID how its calls ended; one answer that is wrong,
 * or an error that is neither EINTR nor EBADF, ends it. One that asks is ended
 * by any error.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/door.h"

struct request {
	long number, pid;
};

static void serve(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	struct request r;

	(void)cookie;
	(void)desc;
	(void)n;
	if (args == DOOR_UNREF_DATA || size != sizeof(r))
		door_return(NULL, 0, NULL, 0);
	memcpy(&r, args, sizeof(r));
	/* Some calls are under way at any time. */
	if (r.number % 8 == 0)
		usleep(3000);
	r.number = r.number * 3 + r.pid;
	door_return((char *)&r, sizeof(r), NULL, 0);
}

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static int open_door(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		fail("open");
	return fd;
}

/* Where a client writes how its calls have ended. */
static int open_counts(void)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "clients.%d", getpid());
	fd = open(name, O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		fail("open");
	return fd;
}

static void call_for_ever(const char *path)
{
	long ok = 0, interrupted = 0, dead = 0;
	int fd = open_door(path), out = open_counts();
	char line[160];

	for (long i = 1;; i++) {
		struct request r = { .number = i, .pid = getpid() }, got = { .number = 0 };
		door_arg_t a = { .data_ptr = (char *)&r,
				 .data_size = sizeof(r),
				 .rbuf = (char *)&got,
				 .rsize = sizeof(got) };

		if (door_call(fd, &a) == 0) {
			ok++;
			if (a.data_size != sizeof(got) || got.number != i * 3 + getpid() ||
			    got.pid != getpid())
				fail("a wrong answer");
		} else if (errno == EINTR) {
			interrupted++;
		} else if (errno == EBADF) {
			dead++;
			usleep(1000);
		} else {
			fail("door_call");
		}
		snprintf(line, sizeof(line), "%ld %ld %ld %ld %58s\n", i, ok, interrupted, dead,
			 "");
		if (pwrite(out, line, strlen(line), 0) < 0)
			fail("pwrite");
		usleep(200);
	}
}

/* Every 8th call is made by a descriptor that was just opened. */
static void ask_for_ever(const char *path)
{
	static const char version[] = { 0x08, 0x0a, 0x10, 0x01 };
	int fd = open_door(path), out = open_counts();
	char line[160];

	for (long i = 1;; i++) {
		char ask[] = { 0x08, 0x0a }, got[256];
		door_arg_t a = {
			.data_ptr = ask, .data_size = sizeof(ask), .rbuf = got, .rsize = sizeof(got)
		};

		if (i % 8 == 0) {
			close(fd);
			fd = open(path, O_RDWR | O_CLOEXEC);
		}
		if (fd < 0 || door_call(fd, &a) < 0)
			fail("a call");
		if (a.data_size < sizeof(version) || memcmp(a.data_ptr, version, sizeof(version)))
			fail("a wrong answer");
		snprintf(line, sizeof(line), "%ld %58s\n", i, "");
		if (pwrite(out, line, strlen(line), 0) < 0)
			fail("pwrite");
	}
}

static void clients(const char *path, int n, void (*run)(const char *path))
{
	for (int i = 0; i < n; i++)
		if (!fork())
			run(path);
}

static void info(const char *path)
{
	int fd = open(path, O_RDWR);
	door_info_t i;
	size_t v[3];

	if (fd < 0 || door_info(fd, &i) < 0)
		fail(path);
	for (int p = 1; p <= 3; p++)
		if (door_getparam(fd, p, &v[p - 1]) < 0)
			fail("door_getparam");
	printf("target %d id %llu attributes %#x proc %#llx data %#llx params %zu %zu %zu\n",
	       i.di_target, i.di_uniquifier, i.di_attributes, i.di_proc, i.di_data, v[0], v[1],
	       v[2]);
}

static int make_thread(door_info_t *info, void *(*fn)(void *), void *arg, void *cookie)
{
	pthread_t t;

	(void)info;
	(void)cookie;
	return pthread_create(&t, NULL, fn, arg) ? -1 : 1;
}

static void begin_server(const char *path, bool private)
{
	const unsigned int attr = DOOR_UNREF_MULTI | DOOR_NO_CANCEL;
	int fd = private ? door_xcreate(serve, (void *)0x1234, attr, make_thread, NULL, NULL, 4)
			 : door_create(serve, (void *)0x1234, attr);

	if (fd < 0 || door_setparam(fd, DOOR_PARAM_DATA_MAX, 4096) < 0)
		fail("door_create");
	close(open(path, O_CREAT | O_RDWR, 0640));
	if (fattach(fd, path) < 0)
		fail("fattach");
}

int main(int argc, char **argv)
{

	if (argc == 3 && !strcmp(argv[1], "info")) {
		info(argv[2]);
		return 0;
	}
	if (argc != 4)
		return 2;
	if (!strcmp(argv[1], "server") || !strcmp(argv[1], "private"))
		begin_server(argv[2], argv[1][0] == 'p');
	printf("READY\n");
	fflush(stdout);
	clients(argv[2], atoi(argv[3]), strcmp(argv[1], "ask") ? call_for_ever : ask_for_ever);
	for (;;) {
		int status;

		/* A client ends only if something was wrong. */
		if (wait(&status) > 0)
			return 1;
		pause();
	}
}
