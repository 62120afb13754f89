/*
 * client-link - the connection to a service: made for a request, or a program
 * started for it.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/client-internal.h"

#define DEFAULT_ADDRESS "./criu_service.socket"

static int link_address(const char *path, struct cl_link *l)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	cleanup_close int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	size_t len = strlen(path);

	if (fd < 0)
		return -errno;
	if (len >= sizeof(a.sun_path))
		return -ENAMETOOLONG;
	memcpy(a.sun_path, path, len + 1);
	if (*path == '@')
		a.sun_path[0] = '\0';
	len += offsetof(struct sockaddr_un, sun_path) + (*path != '@');
	if (connect(fd, (struct sockaddr *)&a, (socklen_t)len) < 0)
		return -errno;
	l->sock = take_fd(&fd);
	return 0;
}

/* The socket and what the tree is to inherit stay open in the program, all under their numbers. */
static int start(const struct cl_request *q, const char *program, int sock, pid_t *pid)
{
	posix_spawn_file_actions_t fa;
	char number[16];
	char *argv[] = { (char *)program, "swrk", number, NULL };
	int ret;

	snprintf(number, sizeof(number), "%d", sock);
	ret = posix_spawn_file_actions_init(&fa);
	if (ret)
		return -ret;
	ret = posix_spawn_file_actions_adddup2(&fa, sock, sock);
	for (size_t i = 0; !ret && i < q->opts.n_inherit_fd; i++)
		if (q->opts.inherit_fd[i]->fd != sock)
			ret = posix_spawn_file_actions_adddup2(&fa, q->opts.inherit_fd[i]->fd,
							       q->opts.inherit_fd[i]->fd);
	if (!ret)
		ret = posix_spawnp(pid, program, &fa, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&fa);
	return -ret;
}

static int link_program(const struct cl_request *q, struct cl_link *l)
{
	cleanup_close int ours = -1, theirs = -1;
	int pair[2], ret;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return -errno;
	ours = pair[0];
	theirs = pair[1];
	if (q->where) {
		ret = start(q, q->where, theirs, &l->pid);
	} else {
		ret = start(q, "criu-lite", theirs, &l->pid);
		if (ret == -ENOENT)
			ret = start(q, "criu", theirs, &l->pid);
	}
	if (!ret)
		l->sock = take_fd(&ours);
	return ret;
}

/**
 * client_link - reach the service that a request is for
 * @q: the request
 * @l: filled
 *
 * Return: 0 or -errno.
 */
int client_link(const struct cl_request *q, struct cl_link *l)
{
	*l = (struct cl_link){ .sock = -1 };
	switch (q->way) {
	case CL_WAY_ADDRESS:
		return link_address(q->where ? q->where : DEFAULT_ADDRESS, l);
	case CL_WAY_FD:
		l->sock = q->fd;
		return q->fd < 0 ? -EBADF : 0;
	default:
		return link_program(q, l);
	}
}

/**
 * client_unlink - the request has been answered
 * @q: the request
 * @l: from client_link()
 */
void client_unlink(const struct cl_request *q, struct cl_link *l)
{
	if (q->way != CL_WAY_FD)
		close_owned(&l->sock);
	l->sock = -1;
	/* It ends when its socket does. Who ignores SIGCHLD has no child to wait for. */
	while (l->pid > 0 && waitpid(l->pid, NULL, 0) < 0 && errno == EINTR)
		;
	l->pid = 0;
}
