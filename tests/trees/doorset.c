/*
 * doorset - doors of every kind, to be dumped and restored.
 *
 * doorset server: doors a (also at a2), p (private), u (unreferenced) in the
 * current directory, and a descriptor of one that was revoked. On SIGUSR1 it
 * writes to "server" what it knows of them.
 * doorset hold PATH...: has these doors open. On SIGUSR1 it calls them and
 * writes to hold.PID what comes of it.
 * doorset slow PATH: makes a call that takes until the file "go" is there.
 * doorset call PATH: calls one.
 *
 * A call has the argument "who", and the answer is the name of the door.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/door.h"

static int doors[4], nr_doors;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void serve(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	int fd;

	(void)desc;
	(void)n;
	if (args == DOOR_UNREF_DATA) {
		fd = open("unref", O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0644);
		if (fd < 0 || write(fd, "U", 1) != 1)
			fail("unref");
		close(fd);
		door_return(NULL, 0, NULL, 0);
	}
	if (size == 4 && !memcmp(args, "slow", 4)) {
		close(open("begun", O_CREAT | O_WRONLY, 0644));
		while (access("go", F_OK) < 0)
			usleep(10000);
	}
	door_return(cookie, strlen(cookie) + 1, NULL, 0);
}

static int make_thread(door_info_t *info, void *(*fn)(void *), void *arg, void *cookie)
{
	pthread_t t;

	(void)info;
	(void)cookie;
	return pthread_create(&t, NULL, fn, arg) ? -1 : 1;
}

static void attach(int fd, const char *path)
{
	close(open(path, O_CREAT | O_RDWR, 0640));
	if (fattach(fd, path) < 0)
		fail(path);
}

static void serve_all(void)
{
	int fd;

	doors[0] = door_create(serve, "a", DOOR_NO_CANCEL);
	doors[1] = door_xcreate(serve, "p", 0, make_thread, NULL, NULL, 2);
	doors[2] = door_create(serve, "u", DOOR_UNREF_MULTI);
	fd = door_create(serve, "r", DOOR_REFUSE_DESC);
	nr_doors = 4;
	if (doors[0] < 0 || doors[1] < 0 || doors[2] < 0 || fd < 0 ||
	    door_setparam(doors[0], DOOR_PARAM_DATA_MAX, 4096) < 0 ||
	    door_setparam(doors[1], DOOR_PARAM_DESC_MAX, 3) < 0)
		fail("door_create");
	doors[3] = dup(fd);
	door_revoke(fd);
	attach(doors[0], "a");
	attach(doors[0], "a2");
	attach(doors[1], "p");
	attach(doors[2], "u");
}

static void tell(FILE *f, int fd)
{
	door_info_t i;
	size_t v[3] = { 0 };

	if (door_info(fd, &i) < 0) {
		fprintf(f, "errno %d\n", errno);
		return;
	}
	for (int p = 1; p <= 3 && i.di_target >= 0; p++)
		if (door_getparam(fd, p, &v[p - 1]) < 0)
			fail("door_getparam");
	fprintf(f, "target %d id %llu attributes %#x params %zu %zu %zu\n", i.di_target,
		i.di_uniquifier, i.di_attributes & ~DOOR_IS_UNREF, v[0], v[1], v[2]);
}

static void call(FILE *f, int fd, char *what)
{
	char buf[64] = "";
	door_arg_t a = {
		.data_ptr = what, .data_size = strlen(what), .rbuf = buf, .rsize = sizeof(buf)
	};

	if (door_call(fd, &a) < 0)
		fprintf(f, "error %s\n", strerrorname_np(errno));
	else
		fprintf(f, "answer %s\n", a.rbuf);
}

/* On each SIGUSR1, in a file that is there when it is whole. */
static void report_for_ever(const char *name, bool calls)
{
	char fresh[64];
	sigset_t set;
	int sig;
	FILE *f;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	printf("READY\n");
	fflush(stdout);
	for (;;) {
		if (sigwait(&set, &sig) != 0)
			continue;
		snprintf(fresh, sizeof(fresh), "%s.new", name);
		f = fopen(fresh, "we");
		if (!f)
			fail(fresh);
		for (int i = 0; i < nr_doors; i++) {
			tell(f, doors[i]);
			if (calls)
				call(f, doors[i], "who");
		}
		fclose(f);
		rename(fresh, name);
	}
}

int main(int argc, char **argv)
{
	char name[32] = "server";
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (argc == 2 && !strcmp(argv[1], "server")) {
		serve_all();
		report_for_ever(name, false);
	}
	if (argc >= 3 && !strcmp(argv[1], "hold")) {
		for (nr_doors = 0; nr_doors < argc - 2 && nr_doors < 4; nr_doors++) {
			doors[nr_doors] = open(argv[2 + nr_doors], O_RDWR | O_CLOEXEC);
			if (doors[nr_doors] < 0)
				fail(argv[2 + nr_doors]);
		}
		snprintf(name, sizeof(name), "hold.%d", getpid());
		report_for_ever(name, true);
	}
	if (argc == 3 && (!strcmp(argv[1], "call") || !strcmp(argv[1], "slow"))) {
		fd = open(argv[2], O_RDWR | O_CLOEXEC);
		printf("READY\n");
		fflush(stdout);
		call(stdout, fd, !strcmp(argv[1], "slow") ? "slow" : "who");
		return 0;
	}
	return 2;
}
