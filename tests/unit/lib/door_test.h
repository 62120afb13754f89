/*
 * door_test - how the tests of doors run: each row of a table in a process of
 * its own, with a mount namespace in which nobody else has doors. Rows are
 * numbered as in docs/DOORS.md. Prints TAP.
 */
#ifndef CL_TESTS_DOOR_TEST_H
#define CL_TESTS_DOOR_TEST_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/door.h"

#define ROW_LIMIT 60 /* seconds */
#define SKIPPED 77

#ifdef __SANITIZE_THREAD__
/* It sees no locks in a thread that is being cancelled, so what such a thread does last is not
 * judged. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
	return "race:thread_gone\nrace:abandon\nrace:thread_end\nrace:nptl_deallocate_tsd\n";
}
#endif

struct door_row {
	const char *name;
	void (*run)(void);
	bool mounts;
};

#define EXPECT(cond)                                                                       \
	do {                                                                               \
		if (!(cond)) {                                                             \
			printf("# %s:%d: %s (errno %s)\n", __FILE_NAME__, __LINE__, #cond, \
			       strerror(errno));                                           \
			fflush(stdout);                                                    \
			_exit(1);                                                          \
		}                                                                          \
	} while (0)
#define EXPECT_ERR(call, err)                           \
	do {                                            \
		errno = 0;                              \
		EXPECT((call) == -1 && errno == (err)); \
	} while (0)

__attribute__((unused)) static void skip(const char *why)
{
	printf("# SKIP %s\n", why);
	fflush(stdout);
	_exit(SKIPPED);
}

__attribute__((unused)) static void msleep(unsigned int ms)
{
	const struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

/* Until @cond, for ten seconds at most. */
#define WAIT_FOR(cond)                                                          \
	do {                                                                    \
		for (int wait_ms = 0; !(cond) && wait_ms < 10000; wait_ms += 2) \
			msleep(2);                                              \
		EXPECT(cond);                                                   \
	} while (0)

__attribute__((unused)) static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

/* A child that runs @fn and says by its status that all was as expected. */
__attribute__((unused)) static pid_t child(void (*fn)(void *), void *arg)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	EXPECT(pid >= 0);
	if (!pid) {
		fn(arg);
		fflush(stdout);
		_exit(0);
	}
	return pid;
}

__attribute__((unused)) static int end_of(pid_t pid)
{
	int status;

	EXPECT(waitpid(pid, &status, 0) == pid);
	return status;
}

__attribute__((unused)) static void in_child(void (*fn)(void *), void *arg)
{
	EXPECT(end_of(child(fn, arg)) == 0);
}

__attribute__((unused)) static const char *new_file(const char *name)
{
	static __thread char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", getenv("TMPDIR") ?: "/tmp", name);
	fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
	EXPECT(fd >= 0);
	close(fd);
	return path;
}

/* Memory that children share with the row. */
__attribute__((unused)) static void *shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	EXPECT(p != MAP_FAILED);
	return p;
}

__attribute__((unused)) static void echo(void *cookie, char *args, size_t size, door_desc_t *desc,
					 unsigned int n)
{
	(void)cookie;
	(void)desc;
	(void)n;
	door_return(args, size, NULL, 0);
}

/* A call with a long, which echo() gives back. */
__attribute__((unused)) static int call_long(int fd, long in, long *out)
{
	door_arg_t a = { .data_ptr = (char *)&in,
			 .data_size = sizeof(in),
			 .rbuf = (char *)out,
			 .rsize = sizeof(*out) };

	return door_call(fd, &a);
}

static bool own_mounts(void)
{
	return unshare(CLONE_NEWNS) == 0 &&
	       mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	       mount("tmpfs", "/run", "tmpfs", 0, NULL) == 0;
}

static int run_row(const struct door_row *r)
{
	pid_t pid;
	int status;

	fflush(stdout);
	pid = fork();
	if (!pid) {
		setpgid(0, 0);
		alarm(ROW_LIMIT);
		if (!own_mounts() && r->mounts)
			skip("mounting is not allowed here");
		r->run();
		_exit(0);
	}
	setpgid(pid, pid);
	waitpid(pid, &status, 0);
	kill(-pid, SIGKILL);
	if (WIFSIGNALED(status))
		printf("# signal %d\n", WTERMSIG(status));
	return status;
}

/* Runs the rows, or those that are named. */
__attribute__((unused)) static int run_rows(const struct door_row *rows, size_t n, int argc,
					    char **argv)
{
	int bad = 0;

	for (size_t i = 0; i < n; i++) {
		bool wanted = argc < 2;
		int status;

		for (int a = 1; a < argc; a++)
			wanted = wanted || strstr(rows[i].name, argv[a]);
		if (!wanted)
			continue;
		status = run_row(rows + i);
#ifdef __SANITIZE_ADDRESS__
		/* The sanitizer's allocator may be locked for ever in a child of a process with
		 * threads. */
		if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
			status = run_row(rows + i);
#endif
		if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
			printf("ok %zu - %s # SKIP not possible here\n", i + 1, rows[i].name);
		else
			printf("%s %zu - %s\n", status ? "not ok" : "ok", i + 1, rows[i].name);
		bad += status != 0 && !(WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED);
	}
	return bad != 0;
}

#endif
