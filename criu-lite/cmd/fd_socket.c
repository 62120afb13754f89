/*
 * fd_socket - where descriptors go: a path, an abstract @name, or the number
 * of a connected socket that the caller has left open.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "cmd/addr.h"
#include "cmd/cmd.h"
#include "cmd/fdcmd.h"
#include "cmd/fdset.h"
#include "lib/fdwait.h"

/**
 * fdcmd_timeout - how long a peer may take
 * @c: the run
 *
 * Return: milliseconds.
 */
int fdcmd_timeout(const struct cmd *c)
{
	return c->o->timeout ? (int)c->o->timeout * 1000 : FDCMD_MS;
}

static int parse(struct cmd *c, const char *where, struct sockaddr_storage *sa, socklen_t *len)
{
	if (addr_parse(where, sa, len) < 0 || sa->ss_family != AF_UNIX)
		return fail(c->r, "option-value", 0,
			    "'%s' is no Unix socket: a path with a slash in it, @name, or the "
			    "number of an open one",
			    where);
	return 0;
}

static int connect_any(const struct sockaddr_storage *sa, socklen_t len)
{
	static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
	int err = EPROTOTYPE;

	for (size_t i = 0; err == EPROTOTYPE && i < sizeof(types) / sizeof(types[0]); i++) {
		cleanup_close int fd = socket(AF_UNIX, types[i] | SOCK_CLOEXEC, 0);

		if (fd < 0)
			return -errno;
		if (connect(fd, (const struct sockaddr *)sa, len) == 0)
			return take_fd(&fd);
		err = errno;
	}
	return -err;
}

static int accept_one(struct cmd *c, const char *where, int *sock)
{
	cleanup_close int at = -1;
	int ret = fdcmd_listen(c, where, &at);

	if (ret < 0)
		return ret;
	ret = fdwait(at, POLLIN, fdwait_until(fdcmd_timeout(c)));
	if (!ret)
		*sock = accept4(at, NULL, NULL, SOCK_CLOEXEC);
	if (!ret && *sock < 0)
		ret = -errno;
	if (where[0] != '@')
		unlink(where);
	return ret ? fail(c->r, "fd-socket", -ret, "wait for a peer at %s", where) : 0;
}

/**
 * fdcmd_socket - a connected socket
 * @c: the run
 * @where: as the command line has it; with --accept the peer connects to us
 * @sock: gets it, the caller's to close
 *
 * Return: 0 or -errno, recorded.
 */
int fdcmd_socket(struct cmd *c, const char *where, int *sock)
{
	struct sockaddr_storage sa;
	socklen_t len;
	int fd, ret;

	if (where[strspn(where, "0123456789")] == '\0') {
		ret = fdset_inherited(c, where, &fd);
		if (ret < 0)
			return ret;
		*sock = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		return *sock < 0 ? fail(c->r, "fd-socket", errno, "duplicate %s", where) : 0;
	}
	if (c->o->accept)
		return accept_one(c, where, sock);
	ret = parse(c, where, &sa, &len);
	if (ret < 0)
		return ret;
	fd = connect_any(&sa, len);
	if (fd < 0)
		return fail(c->r, "fd-socket", -fd, "connect to %s", where);
	*sock = fd;
	return 0;
}

/* What is left of somebody who was killed. */
static void remove_stale(const struct sockaddr_storage *sa, socklen_t len, const char *where)
{
	struct stat st;
	int fd;

	if (where[0] == '@' || stat(where, &st) < 0 || !S_ISSOCK(st.st_mode))
		return;
	fd = connect_any(sa, len);
	if (fd == -ECONNREFUSED)
		unlink(where);
	if (fd >= 0)
		close(fd);
}

/**
 * fdcmd_listen - a socket that others connect to
 * @c: the run
 * @where: a path or @name; a path can be used by its owner only
 * @sock: gets it, the caller's to close
 *
 * Return: 0 or -errno, recorded.
 */
int fdcmd_listen(struct cmd *c, const char *where, int *sock)
{
	struct sockaddr_storage sa;
	cleanup_close int fd = -1;
	socklen_t len;
	mode_t mask;
	int ret = parse(c, where, &sa, &len);

	if (ret < 0)
		return ret;
	remove_stale(&sa, len, where);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	mask = umask(0177);
	ret = fd < 0 || bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 64) < 0 ? -errno
											: 0;
	umask(mask);
	if (ret)
		return fail(c->r, "fd-socket", -ret, "listen at %s", where);
	*sock = take_fd(&fd);
	return 0;
}
