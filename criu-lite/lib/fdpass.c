/*
 * fdpass - descriptors over a Unix socket. A message always has a payload: a
 * stream socket drops the descriptors of an empty one.
 */
#include "lib/fdpass.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/fdcontrol.h"

/* Since Linux 6.5; not in every C library. */
#ifndef SCM_PIDFD
#define SCM_PIDFD 0x04
#endif

/* More than FD_MSG_MAX descriptors go in pieces of this size. */
#define CHUNK 252

/* Room for what a socket may be set to add: credentials, pidfd, label, time stamps. */
#define OTHER_CMSGS 512

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(sizeof(int) * FD_MSG_MAX) + OTHER_CMSGS];
};

size_t fd_control_put(void *control, const int *fds, size_t n)
{
	struct cmsghdr *c = control;

	if (!n)
		return 0;
	memset(control, 0, CMSG_SPACE(sizeof(int) * n));
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	return CMSG_SPACE(sizeof(int) * n);
}

int fd_send_msg(int sock, const void *payload, size_t len, const int *fds, size_t n, int flags)
{
	union control ctl;
	struct iovec iov = { .iov_base = (void *)payload, .iov_len = len };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t sent;

	if (!len || n > FD_MSG_MAX)
		return -EINVAL;
	m.msg_controllen = fd_control_put(ctl.buf, fds, n);
	m.msg_control = n ? ctl.buf : NULL;
	do {
		sent = sendmsg(sock, &m, flags | MSG_NOSIGNAL);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	/* A stream may take a part; its descriptors went with the first byte. */
	return (size_t)sent == len ? 0
				   : fd_send_msg(sock, (const char *)payload + sent,
						 len - (size_t)sent, NULL, 0, flags);
}

/* A socket may be set to add a descriptor of the sender: nobody here has asked for it. */
static void close_pidfd(const struct cmsghdr *c)
{
	int fd = -1;

	if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_PIDFD &&
	    c->cmsg_len >= CMSG_LEN(sizeof(fd))) {
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
		close_owned(&fd);
	}
}

size_t fd_control_take(struct msghdr *m, int *fds, size_t max, size_t *n)
{
	size_t carried = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		const unsigned char *data = CMSG_DATA(c);

		close_pidfd(c);
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < count; i++, carried++) {
			int fd;

			memcpy(&fd, data + i * sizeof(int), sizeof(int));
			if (*n < max)
				fds[(*n)++] = fd;
			else
				close(fd);
		}
	}
	return carried;
}

bool fd_control_sender(struct msghdr *m, struct fd_sender *from)
{
	bool found = false;
	struct ucred who;

	*from = (struct fd_sender){ .pid = 0 };
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_CREDENTIALS ||
		    c->cmsg_len < CMSG_LEN(sizeof(who)))
			continue;
		memcpy(&who, CMSG_DATA(c), sizeof(who));
		*from = (struct fd_sender){ who.pid, who.uid, who.gid };
		found = true;
	}
	return found;
}

int fd_recv_msg_from(int sock, void *payload, size_t size, size_t *len, int *fds, size_t max,
		     size_t *n, int flags, struct fd_sender *from)
{
	union control ctl;
	struct iovec iov = { .iov_base = payload, .iov_len = size };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = ctl.buf,
			    .msg_controllen = sizeof(ctl.buf) };
	size_t carried;
	ssize_t got;

	*n = 0;
	do {
		got = recvmsg(sock, &m, flags | MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	carried = fd_control_take(&m, fds, max, n);
	if (from)
		fd_control_sender(&m, from);
	if (!got && !carried)
		return -ECONNRESET;
	if (m.msg_flags & MSG_CTRUNC)
		return m.msg_controllen + CMSG_SPACE(sizeof(int)) > sizeof(ctl.buf) ? -EMSGSIZE
										    : -EMFILE;
	if (m.msg_flags & MSG_TRUNC || carried > max)
		return -EMSGSIZE;
	*len = (size_t)got;
	return 0;
}

int fd_recv_msg(int sock, void *payload, size_t size, size_t *len, int *fds, size_t max, size_t *n,
		int flags)
{
	return fd_recv_msg_from(sock, payload, size, len, fds, max, n, flags, NULL);
}

/* After -EAGAIN: waits if the socket is one that does not block, else its time is up. */
static int wait_ready(int sock, short events)
{
	struct pollfd p = { .fd = sock, .events = events };
	int fl = fcntl(sock, F_GETFL);

	if (fl < 0)
		return -errno;
	if (!(fl & O_NONBLOCK))
		return -EAGAIN;
	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

int fd_put(int sock, const int *fds, size_t n)
{
	while (n) {
		size_t now = n <= FD_MSG_MAX ? n : CHUNK;
		int ret = fd_send_msg(sock, "", 1, fds, now, 0);

		if (ret == -EAGAIN && !(ret = wait_ready(sock, POLLOUT)))
			continue;
		if (ret)
			return ret;
		fds += now;
		n -= now;
	}
	return 0;
}

static bool too_many_names(const char *const *names, size_t num)
{
	size_t n = 0;

	while (names && n <= num && names[n])
		n++;
	return n > num;
}

int fd_get(int sock, int *fds, size_t num, const char *const *names, size_t *got)
{
	*got = 0;
	if (too_many_names(names, num))
		return -EINVAL;
	while (*got < num) {
		size_t left = num - *got, want = left <= FD_MSG_MAX ? left : CHUNK, n, len;
		char byte;
		int ret = fd_recv_msg(sock, &byte, 1, &len, fds + *got, want, &n, 0);

		if (ret == -EAGAIN && !(ret = wait_ready(sock, POLLIN)))
			continue;
		*got += n;
		if (ret)
			return ret;
		if (n < want)
			return -EBADMSG;
	}
	return 0;
}

int fd_find(const int *fds, size_t n, const char *const *names, const char *name)
{
	for (size_t i = 0; names && i < n && names[i]; i++)
		if (!strcmp(names[i], name))
			return fds[i];
	return -ENOENT;
}
