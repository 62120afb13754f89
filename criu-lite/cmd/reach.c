/*
 * reach - several programs may accept on one listening socket: old and new one
 * during an upgrade. That somebody accepts says nothing about the new one, so
 * connections are made until one of them is found among the descriptors of its
 * processes. Several at a time, because whoever sleeps is woken in the same
 * order again and again.
 */
#include "cmd/reach.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "cmd/addr.h"
#include "kernel/inetdiag.h"
#include "kernel/sockdiag.h"

/**
 * reach_begin - read the address
 * @r: the probe
 * @address: as addr_parse() takes it
 *
 * Return: 0 or -errno of addr_parse().
 */
int reach_begin(struct reach *r, const char *address)
{
	for (int i = 0; i < REACH_MAX; i++)
		r->fds[i] = -1;
	return addr_parse(address, &r->to, &r->len);
}

/**
 * reach_end - close all connections
 * @r: the probe
 */
void reach_end(struct reach *r)
{
	for (int i = 0; i < REACH_MAX; i++) {
		close_owned(&r->fds[i]);
		r->fds[i] = -1;
	}
}

static uint32_t inode_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : (uint32_t)st.st_ino;
}

/* The inode of the socket at the other end; 0: not accepted yet, or closed again. */
static uint32_t peer_inode(const struct reach *r, int fd, const struct sockdiag *sd)
{
	const struct sockdiag_unix *u;
	struct sockaddr_storage own, peer;
	socklen_t a = sizeof(own), b = sizeof(peer);
	uint32_t ino = 0;

	if (r->to.ss_family == AF_UNIX) {
		u = sd ? sockdiag_unix_by_ino(sd, inode_of(fd)) : NULL;
		return u ? u->peer : 0;
	}
	if (getsockname(fd, (struct sockaddr *)&own, &a) < 0 ||
	    getpeername(fd, (struct sockaddr *)&peer, &b) < 0 ||
	    inetdiag_inode((struct sockaddr *)&peer, (struct sockaddr *)&own, &ino) < 0)
		return 0;
	return ino;
}

static bool has_socket(pid_t pid, uint32_t ino)
{
	char path[64], link[64], want[32];
	struct dirent *e;
	bool found = false;
	DIR *d;

	snprintf(want, sizeof(want), "socket:[%u]", ino);
	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	while (d && !found && (e = readdir(d))) {
		ssize_t n = readlinkat(dirfd(d), e->d_name, link, sizeof(link) - 1);

		link[n < 0 ? 0 : n] = '\0';
		found = !strcmp(link, want);
	}
	if (d)
		closedir(d);
	return found;
}

static bool in_session(pid_t session, uint32_t ino)
{
	struct dirent *e;
	bool found = false;
	DIR *d = opendir("/proc");

	while (d && !found && (e = readdir(d))) {
		pid_t pid = atoi(e->d_name);

		found = pid > 0 && getsid(pid) == session && has_socket(pid, ino);
	}
	if (d)
		closedir(d);
	return found;
}

/* The connection has been refused, reset or closed. */
static bool is_over(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n == 0 || (n < 0 && errno != EAGAIN && errno != ENOTCONN);
}

static int connect_one(const struct reach *r)
{
	int fd = socket(r->to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	/* Nobody there yet is no error: the program may be about to listen. */
	if (fd >= 0 && connect(fd, (struct sockaddr *)&r->to, r->len) < 0 && errno != EINPROGRESS) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/**
 * reach_look - make connections, and see who has taken those made before
 * @r: the probe
 * @session: the session that the program's processes are in
 *
 * Return: whether one of them has.
 */
bool reach_look(struct reach *r, pid_t session)
{
	struct sockdiag *sd = NULL;
	bool found = false;

	if (r->to.ss_family == AF_UNIX && sockdiag_open(&sd) < 0)
		sd = NULL;
	for (int i = 0; i < REACH_MAX && !found; i++) {
		uint32_t ino = r->fds[i] < 0 ? 0 : peer_inode(r, r->fds[i], sd);

		found = ino && in_session(session, ino);
		/* One that somebody else has taken is of no use, nor one that was refused. */
		if (r->fds[i] >= 0 && (ino || is_over(r->fds[i]))) {
			close(r->fds[i]);
			r->fds[i] = -1;
		}
		if (r->fds[i] < 0 && !found)
			r->fds[i] = connect_one(r);
	}
	sockdiag_close(sd);
	return found;
}
