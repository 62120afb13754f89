/*
 * fdset_spec - a descriptor as it is written on the command line:
 *
 *	[NAME=]NUMBER          of the caller, for example after 5</a/file
 *	[NAME=]PID:NUMBER      of another process
 *	[NAME=]listen:ADDRESS  a new socket that listens there
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "cmd/addr.h"
#include "cmd/cmd.h"
#include "cmd/fdset.h"
#include "lib/fdpass.h"

#define BACKLOG 4096 /* the kernel takes less if net.core.somaxconn says so */

static int number(const char *text, const char **end)
{
	char *stop;
	long n;

	if (*text < '0' || *text > '9')
		return -1;
	errno = 0;
	n = strtol(text, &stop, 10);
	*end = stop;
	return errno || n > INT_MAX ? -1 : (int)n;
}

/**
 * fdset_inherited - a descriptor that the caller has left open for us
 * @c: the run
 * @word: its number
 * @fd: gets it
 *
 * Those that this program has opened itself are close-on-exec; no others are.
 *
 * Return: 0 or -errno, recorded.
 */
int fdset_inherited(struct cmd *c, const char *word, int *fd)
{
	const char *end = "";
	int n = number(word, &end), flags = n < 0 || *end ? -1 : fcntl(n, F_GETFD);

	if (flags < 0 || flags & FD_CLOEXEC)
		return fail(c->r, "fd-open", EBADF, "descriptor %s of the caller", word);
	*fd = n;
	return 0;
}

static int add_own(struct cmd *c, struct fdset *s, const char *word, const char *name, size_t len)
{
	int n, fd, ret = fdset_inherited(c, word, &n);

	if (ret < 0)
		return ret;
	fd = fcntl(n, F_DUPFD_CLOEXEC, 3);
	if (fd < 0)
		return fail(c->r, "fd-open", errno, "duplicate descriptor %s", word);
	return fdset_add(c, s, fd, n, name, len);
}

static int add_listener(struct cmd *c, struct fdset *s, const char *text, const char *name,
			size_t len)
{
	struct sockaddr_storage sa;
	cleanup_close int fd = -1;
	socklen_t size;
	int one = 1;

	if (addr_parse(text, &sa, &size) < 0)
		return fail(c->r, "option-value", 0,
			    "'%s' is no address such as 127.0.0.1:80, [::1]:80, /path or @name",
			    text);
	fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 ||
	    (sa.ss_family != AF_UNIX &&
	     setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) < 0) ||
	    bind(fd, (struct sockaddr *)&sa, size) < 0 || listen(fd, BACKLOG) < 0)
		return fail(c->r, "fd-socket", errno, "listen at %s", text);
	one = take_fd(&fd);
	return fdset_add(c, s, one, one, name, len);
}

/**
 * fdset_spec - add what a word names
 * @c: the run
 * @s: the set
 * @word: the word
 *
 * Return: 0 or -errno, recorded.
 */
int fdset_spec(struct cmd *c, struct fdset *s, const char *word)
{
	const char *eq = strchr(word, '='), *p = eq ? eq + 1 : word, *end = p;
	size_t len = eq ? (size_t)(eq - word) : 0;
	int pid, nr, fd;

	if (eq == word)
		return fail(c->r, "fd-name", EINVAL, "'%s' begins with an empty name", word);
	if (!strncmp(p, "listen:", 7))
		return add_listener(c, s, p + 7, word, len);
	pid = number(p, &end);
	if (pid >= 0 && !*end)
		return add_own(c, s, p, word, len);
	if (pid <= 0 || *end != ':' || (nr = number(end + 1, &end)) < 0 || *end)
		return fail(c->r, "option-value", 0,
			    "'%s' is not [NAME=] and NUMBER, PID:NUMBER or listen:ADDRESS", word);
	fd = fd_take(pid, nr);
	if (fd < 0)
		return fail(c->r, fd == -ESRCH ? "no-process" : "fd-take", -fd,
			    "pid %d: take its descriptor %d", pid, nr);
	return fdset_add(c, s, fd, nr, word, len);
}
