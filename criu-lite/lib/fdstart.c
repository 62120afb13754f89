/*
 * fdstart - fork, numbers, environment, exec. Between fork and exec nothing is
 * called that a program with threads may not call there, so all that needs
 * memory is made before.
 */
#include "lib/fdstart.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

/* Filled in by the child, which alone knows it. */
#define PID_VARIABLE "LISTEN_PID="
#define PID_DIGITS 11

static bool same_name(const char *entry, const char *name)
{
	size_t len = strcspn(name, "=");

	return !strncmp(entry, name, len) && entry[len] == '=';
}

static bool listed(const char *entry, const char *const *names)
{
	for (; names && *names; names++)
		if (same_name(entry, *names))
			return true;
	return false;
}

/**
 * fdstart_numbers - a variable that says where descriptors are
 * @name: its name
 * @pattern: written once for each of them, with its number for %d
 * @p: their places
 * @n: how many
 *
 * Return: "NAME=value", to be freed with free(); NULL if there is no %d, or memory is short.
 */
char *fdstart_numbers(const char *name, const char *pattern, const struct fd_place *p, size_t n)
{
	const char *at = strstr(pattern, "%d");
	char *text = NULL;
	size_t len;
	FILE *f = at ? open_memstream(&text, &len) : NULL;

	if (!f)
		return NULL;
	fprintf(f, "%s=", name);
	for (size_t i = 0; i < n; i++)
		fprintf(f, "%.*s%d%s", (int)(at - pattern), pattern, p[i].to, at + 2);
	if (fclose(f) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

/**
 * fdstart_env - an environment
 * @out: gets it; fdstart_env_free() gives it back
 * @unset: names of variables that are left out of ours, NULL after the last
 * @set: "NAME=value" of those that are added or replaced, NULL after the last.
 * LISTEN_PID= gets the pid of the program that is started.
 *
 * Return: 0 or -ENOMEM.
 */
int fdstart_env(char ***out, const char *const *unset, const char *const *set)
{
	size_t n = 0, k = 0;
	char **env;

	for (char **e = environ; e && *e; e++)
		n++;
	for (const char *const *s = set; *s; s++)
		n++;
	env = calloc(n + 1, sizeof(*env));
	if (!env)
		return -ENOMEM;
	for (char **e = environ; e && *e; e++)
		if (!listed(*e, unset) && !listed(*e, set) && !(env[k++] = strdup(*e)))
			goto no_memory;
	for (; *set; set++) {
		env[k] = calloc(1, strlen(*set) + PID_DIGITS + 1);
		if (!env[k])
			goto no_memory;
		memcpy(env[k++], *set, strlen(*set) + 1);
	}
	*out = env;
	return 0;
no_memory:
	fdstart_env_free(env);
	return -ENOMEM;
}

/**
 * fdstart_env_free - give an environment back
 * @env: from fdstart_env(), or NULL
 */
void fdstart_env_free(char **env)
{
	for (char **e = env; e && *e; e++)
		free(*e);
	free(env);
}

/* In decimal, without stdio. */
static void fill_pid(char **env)
{
	char digits[PID_DIGITS + 1];
	unsigned pid = (unsigned)getpid();
	char *p = digits + PID_DIGITS;

	*p = '\0';
	do
		*--p = (char)('0' + pid % 10);
	while (pid /= 10);
	for (; *env; env++)
		if (!strcmp(*env, PID_VARIABLE))
			memcpy(*env + strlen(PID_VARIABLE), p, strlen(p) + 1);
}

static void reset_signals(void)
{
	sigset_t none;

	for (int sig = 1; sig <= SIGRTMAX; sig++)
		signal(sig, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Not at a number where something else is to be. */
static int out_of_the_way(const struct fd_start *s, int fd)
{
	int top = 0;

	for (size_t i = 0; i < s->n; i++)
		if (s->place[i].to >= top)
			top = s->place[i].to + 1;
	fd = fcntl(fd, F_DUPFD_CLOEXEC, top);
	return fd < 0 ? -errno : fd;
}

/* The two ends that the new process has. */
struct gate {
	int tell; /* an errno value: 0 is said at the gate, another one is the end */
	int open; /* a byte comes when it may go on; nothing, when nobody is left to say so */
};

/* Waits at the gate: whoever has started us has to know before anything is executed. */
static int pass_gate(const struct gate *g)
{
	const int here = 0;
	ssize_t n;
	char c;

	if (write(g->tell, &here, sizeof(here)) < 0)
		return errno;
	do
		n = read(g->open, &c, 1);
	while (n < 0 && errno == EINTR);
	if (n != 1)
		_exit(125);
	return 0;
}

static void become(const struct fd_start *s, struct gate g) __attribute__((noreturn));
static void become(const struct fd_start *s, struct gate g)
{
	int err = 0, tell = out_of_the_way(s, g.tell), open = out_of_the_way(s, g.open);

	if (tell >= 0 && open >= 0)
		g = (struct gate){ .tell = tell, .open = open };
	else
		err = tell < 0 ? -tell : -open;
	reset_signals();
	setsid();
	if (!err && syscall(SYS_close_range, 3, UINT_MAX, CLOSE_RANGE_CLOEXEC) < 0)
		err = errno;
	if (!err)
		err = -fd_place(s->place, s->n);
	if (!err)
		err = pass_gate(&g);
	if (!err) {
		fill_pid(s->env);
		execvpe(s->argv[0], (char *const *)s->argv, s->env);
		err = errno;
	}
	if (write(g.tell, &err, sizeof(err)) < 0)
		_exit(126);
	_exit(127);
}

static int read_error(int fd)
{
	ssize_t n;
	int err;

	do
		n = read(fd, &err, sizeof(err));
	while (n < 0 && errno == EINTR);
	return n == sizeof(err) ? err : 0;
}

/*
 * The child @pid has been made; who calls has the other end of the gate too, so that a child that
 * is gone does no harm. Returns 0, or an errno value: then it comes to nothing.
 */
static int let_through(const struct fd_start *s, pid_t pid, int said, int *gate)
{
	int err = read_error(said);

	if (err)
		return err;
	if (s->started)
		s->started(s->arg, pid);
	if (write(*gate, "", 1) < 0)
		return errno;
	close(take_fd(gate));
	/* Nothing is said of a program that is executed: the pipe is closed then. */
	return read_error(said);
}

/**
 * fdstart_run - start a program, in a session of its own
 * @s: the program, its environment and its descriptors
 * @pid: gets its pid
 * @pidfd: gets a descriptor of it, close-on-exec
 *
 * Return: 0: it was executed; or -errno, and nothing is left of it.
 */
int fdstart_run(const struct fd_start *s, pid_t *pid, int *pidfd)
{
	cleanup_close int said = -1, tell = -1, child = -1, gate = -1, open = -1;
	int p[2], q[2], err = 0;

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	said = p[0];
	tell = p[1];
	if (pipe2(q, O_CLOEXEC) < 0)
		return -errno;
	open = q[0];
	gate = q[1];
	*pid = fork();
	if (*pid == 0) {
		close(gate);
		become(s, (struct gate){ .tell = tell, .open = open });
	}
	if (*pid < 0)
		return -errno;
	close(take_fd(&tell));
	child = (int)syscall(SYS_pidfd_open, *pid, 0);
	if (child < 0)
		err = errno;
	if (!err)
		err = let_through(s, *pid, said, &gate);
	if (err) {
		kill(*pid, SIGKILL);
		while (waitpid(*pid, NULL, 0) < 0 && errno == EINTR)
			;
		return -err;
	}
	*pidfd = take_fd(&child);
	return 0;
}
