/*
 * listen - the address of the service, and its pidfile.
 *
 * Everybody may connect: what a caller may do is decided by its credentials,
 * request by request. A name that is left of a service that has died is taken
 * over; one that answers is not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/server.h"

#define BACKLOG 512

/* "@NAME" is in the abstract name space. */
static int make_address(const struct server *s, struct sockaddr_un *a, socklen_t *len)
{
	size_t n = strlen(s->o->address);

	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!n || n >= sizeof(a->sun_path))
		return fail(s->report, "service-address", ENAMETOOLONG, "%s", s->o->address);
	memcpy(a->sun_path, s->o->address, n);
	*len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n);
	if (a->sun_path[0] == '@')
		a->sun_path[0] = '\0';
	else
		++*len;
	return 0;
}

static bool answers(const struct sockaddr_un *a, socklen_t len)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	return connect(fd, (const struct sockaddr *)a, len) == 0 || errno != ECONNREFUSED;
}

/* Binds; a socket without an owner makes room. */
static int bind_address(int fd, const struct sockaddr_un *a, socklen_t len)
{
	struct stat st;

	if (bind(fd, (const struct sockaddr *)a, len) == 0)
		return 0;
	if (errno != EADDRINUSE || !a->sun_path[0] || lstat(a->sun_path, &st) < 0 ||
	    !S_ISSOCK(st.st_mode) || answers(a, len))
		return -EADDRINUSE;
	if (unlink(a->sun_path) < 0 || bind(fd, (const struct sockaddr *)a, len) < 0)
		return -errno;
	return 0;
}

/**
 * listen_open - open the address that the options give
 * @s: the server; s->listen_fd is set
 *
 * Return: 0 or -errno, recorded.
 */
int listen_open(struct server *s)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un a;
	socklen_t len;
	int ret = make_address(s, &a, &len);

	if (ret < 0)
		return ret;
	if (fd < 0)
		return fail(s->report, "service-address", errno, "socket()");
	ret = bind_address(fd, &a, len);
	if (ret < 0)
		return fail(s->report, "service-address", -ret, "%s", s->o->address);
	s->own_address = a.sun_path[0];
	if ((s->own_address && chmod(a.sun_path, 0666) < 0) || listen(fd, BACKLOG) < 0)
		return fail(s->report, "service-address", errno, "listen at %s", s->o->address);
	s->listen_fd = take_fd(&fd);
	return 0;
}

/**
 * listen_close - hear nobody new any more; an address of our own goes with the listener
 * @s: the server
 */
void listen_close(struct server *s)
{
	if (s->listen_fd >= 0 && s->own_address)
		unlink(s->o->address);
	/* Others may have it too, so closing it is not enough; it is not there while we are deaf.
	 */
	if (s->listen_fd >= 0 && s->epoll_fd >= 0)
		epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->listen_fd, NULL);
	close_owned(&s->listen_fd);
	s->listen_fd = -1;
	s->own_address = false;
}

/**
 * pidfile_write - write the pidfile anew, if there is to be one
 * @s: the server
 *
 * It appears as a whole, and takes the place of one that is left there.
 *
 * Return: 0 or -errno, recorded.
 */
int pidfile_write(struct server *s)
{
	const char *name = s->o->pidfile;
	char text[16], tmp[4096];
	cleanup_close int fd = -1;
	int ret;

	if (!name)
		return 0;
	if (snprintf(tmp, sizeof(tmp), "%s.new", name) >= (int)sizeof(tmp))
		return fail(s->report, "pidfile", ENAMETOOLONG, "%s", name);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);
	ret = fd < 0 ? -errno
		     : write_all(fd, text, (size_t)snprintf(text, sizeof(text), "%d", getpid()));
	if (!ret && rename(tmp, name) < 0)
		ret = -errno;
	return ret < 0 ? fail(s->report, "pidfile", -ret, "cannot write the pidfile %s", name) : 0;
}

/**
 * pidfile_remove - remove the pidfile, unless it is another one's by now
 * @s: the server
 */
void pidfile_remove(struct server *s)
{
	cleanup_close int fd =
		s->o->pidfile ? open(s->o->pidfile, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1;
	char text[16] = "", own[16];

	snprintf(own, sizeof(own), "%d", getpid());
	if (fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && !strcmp(text, own))
		unlink(s->o->pidfile);
}
