/*
 * door_ask - how a client comes to the server of a door: the descriptor is a
 * ticket, the ticket's link says where the server listens, and the first
 * message there carries the descriptor.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/fdpass.h"

/**
 * door_connect - connect to the server of a ticket
 * @st: the ticket
 * @out: the connection
 *
 * Waiting for that ends with a signal, even one with SA_RESTART, because there
 * is a time limit.
 *
 * Return: 0; -ENXIO if there is no server; -EINTR; -errno.
 */
int door_connect(const struct stat *st, int *out)
{
	const struct timeval limit = { .tv_sec = 1000000 };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	cleanup_close int sock = -1;
	char path[DOOR_PATH_MAX];
	struct door_name n;
	int ret = door_name_find(st, &n);

	if (ret)
		return ret;
	door_name_listener(&n, path);
	snprintf(a.sun_path, sizeof(a.sun_path), "%.100s", path);
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	if (setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	if (connect(sock, (struct sockaddr *)&a, sizeof(a)) < 0)
		return errno == ECONNREFUSED || errno == ENOENT ? -ENXIO : -errno;
	*out = take_fd(&sock);
	return 0;
}

static int wait_readable(int sock, int limit)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };

	int n = poll(&p, 1, limit);

	if (n < 0)
		return -errno;
	return n ? 0 : -ETIMEDOUT;
}

/**
 * door_greet - say hello, and read the answer
 * @sock: the connection
 * @fd: the caller's descriptor of the door
 * @h: the question; op and what belongs to it
 * @memfd: memory of a session to be, or -1
 * @w: the answer; the server's pid is as this process sees it
 * @out: a descriptor that comes with it, or -1; NULL: none is wanted
 * @limit: milliseconds to wait for the answer, or -1
 *
 * Return: 0; -ECONNRESET: the server ends while it is asked, and may have been
 * followed by another one; -ETIMEDOUT; -EINTR; what the server says.
 */
int door_greet(int sock, int fd, const struct door_hello *h, int memfd, struct door_welcome *w,
	       int *out, int limit)
{
	struct door_hello full = *h;
	const int fds[] = { fd, memfd };
	struct ucred cred;
	socklen_t cred_len = sizeof(cred);
	int got = -1, ret;
	size_t len, n;

	full.magic = DOOR_WIRE_MAGIC;
	full.version = DOOR_WIRE_VERSION;
	ret = fd_send_msg(sock, &full, sizeof(full), fds, memfd >= 0 ? 2 : 1, 0);
	if (!ret)
		ret = wait_readable(sock, limit);
	if (!ret)
		ret = fd_recv_msg(sock, w, sizeof(*w), &len, &got, 1, &n, MSG_DONTWAIT);
	if (!ret && (len != sizeof(*w) || w->magic != DOOR_WIRE_MAGIC))
		ret = -EBADF;
	if (!ret && w->err)
		ret = w->err > 0 && w->err < 4096 ? -w->err : -EBADF;
	if (!ret && getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) == 0)
		w->pid = cred.pid;
	if (ret || !out) {
		close_owned(&got);
		got = -1;
	}
	if (!ret && out)
		*out = got;
	return ret == -EPIPE ? -ECONNRESET : ret;
}

/**
 * door_file - the file of a descriptor
 * @fd: the descriptor
 * @st: set
 *
 * Return: 0; -EBADF if it is none that a door could be.
 */
int door_file(int fd, struct stat *st)
{
	if (fstat(fd, st) < 0)
		return -EBADF;
	return S_ISREG(st->st_mode) ? 0 : -EBADF;
}

/**
 * door_ask - ask the server of a door
 * @fd: a descriptor of the door
 * @h: the question; op and what belongs to it
 * @w: the answer
 * @out: a descriptor that comes with it, or -1; NULL: none is wanted
 * @limit: milliseconds to wait for the answer, or -1
 *
 * Return: 0; -EBADF if it is no door; -ENXIO if its server is gone; -EINTR;
 * -ETIMEDOUT; what the server says.
 */
int door_ask(int fd, const struct door_hello *h, struct door_welcome *w, int *out, int limit)
{
	struct stat st;
	int ret = door_file(fd, &st);

	if (ret)
		return ret;
	for (int i = 0; i < DOOR_ATTEMPTS; i++) {
		cleanup_close int sock = -1;

		ret = door_connect(&st, &sock);
		if (!ret)
			ret = door_greet(sock, fd, h, -1, w, out, limit);
		if (ret != -ECONNRESET)
			return ret;
	}
	return -ENXIO;
}
