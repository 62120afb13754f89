/*
 * files_sock - the options that all sockets have in common. An option is set
 * only where it differs, so that what needs a capability needs it only when
 * it was used; most are not even asked for, since a new socket has none of them.
 */
#include "restore/files_sock.h"

#include <errno.h>
#include <linux/filter.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "kernel/sockopt.h"

#define NAME_WAIT_US 1000000
#define NAP_US 500

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

/**
 * sock_name - bind(2) or connect(2), when the last user of an address may be on its way out
 * @call: one of the two
 * @fd: the socket
 * @addr: the address
 * @len: its bytes
 *
 * A socket goes with the last reference to it, which may be held by a process
 * that is ending, a packet on its way, or the kernel's collector of sockets in
 * flight. An address that is still taken after a second is somebody's.
 *
 * Return: 0 or -errno.
 */
int sock_name(int (*call)(int, const struct sockaddr *, socklen_t), int fd,
	      const struct sockaddr *addr, socklen_t len)
{
	for (int us = 0;; us += NAP_US) {
		if (call(fd, addr, len) == 0)
			return 0;
		if ((errno != EADDRINUSE && errno != EADDRNOTAVAIL) || us > NAME_WAIT_US)
			return -errno;
		usleep(NAP_US);
	}
}

/**
 * sock_set - set an integer option unless it has that value
 * @d: the socket's description
 * @fd: the socket
 * @level: level of the option
 * @name: its name
 * @val: its value
 * @what: how a failure calls it
 *
 * Return: 0, or -1, recorded.
 */
int sock_set(struct file_desc *d, int fd, int level, int name, uint32_t val, const char *what)
{
	socklen_t len = sizeof(uint32_t);
	uint32_t now;

	if (getsockopt(fd, level, name, &now, &len) == 0 && len == sizeof(now) && now == val)
		return 0;
	if (setsockopt(fd, level, name, &val, sizeof(val)) < 0)
		return file_fail(d, errno, "%s to %u", what, val);
	return 0;
}

/* The kernel doubles what it is given; FORCE passes the limits of sysctl, with CAP_NET_ADMIN. */
static int set_buf(struct file_desc *d, int fd, int name, int force, uint32_t want)
{
	uint32_t now = 0, half = want / 2;
	socklen_t len = sizeof(now);

	if (getsockopt(fd, SOL_SOCKET, name, &now, &len) == 0 && now == want)
		return 0;
	if (setsockopt(fd, SOL_SOCKET, force, &half, sizeof(half)) < 0 &&
	    setsockopt(fd, SOL_SOCKET, name, &half, sizeof(half)) < 0)
		return file_fail(d, errno, "buffer size %u", want);
	return 0;
}

static int set_time(struct file_desc *d, int fd, int name, uint64_t sec, uint64_t usec)
{
	struct timeval tv = { (time_t)sec, (suseconds_t)usec };

	if (!sec && !usec)
		return 0;
	if (setsockopt(fd, SOL_SOCKET, name, &tv, sizeof(tv)) < 0)
		return file_fail(d, errno, "send or receive timeout");
	return 0;
}

static int set_filter(struct file_desc *d, int fd, const SkOptsEntry *o)
{
	struct sock_fprog prog = { .len = (unsigned short)o->n_so_filter,
				   .filter = (struct sock_filter *)o->so_filter };

	if (!o->n_so_filter)
		return 0;
	if (o->n_so_filter > BPF_MAXINSNS)
		return file_fail(d, EBADMSG, "a filter of %zu instructions", o->n_so_filter);
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &prog, sizeof(prog)) < 0)
		return file_fail(d, errno, "attach its filter");
	return 0;
}

static int set_extra(struct file_desc *d, int fd, const SkOptsEntry *o)
{
	for (size_t i = 0; i < o->n_extra; i++) {
		const SkExtraOpt *x = o->extra[i];

		if (!sockopt_find(x->level, x->name) || x->value.len > SOCKOPT_MAX)
			return file_fail(d, EBADMSG, "socket option %u of level %u is not allowed",
					 x->name, x->level);
		if (setsockopt(fd, (int)x->level, (int)x->name, x->value.data,
			       (socklen_t)x->value.len) < 0)
			return file_fail(d, errno, "socket option %u of level %u", x->name,
					 x->level);
	}
	return 0;
}

static int set_flag(struct file_desc *d, int fd, int name, uint32_t val, const char *what)
{
	if (val && setsockopt(fd, SOL_SOCKET, name, &val, sizeof(val)) < 0)
		return file_fail(d, errno, "%s to %u", what, val);
	return 0;
}

/* Of some kinds of socket, or by other options, what these are is known only when asked. */
#define OPT(field, name)                                                              \
	if (o->has_##field && sock_set(d, fd, SOL_SOCKET, name, o->field, #name) < 0) \
	return -1
#define FLAG(field, name)                                                 \
	if (o->has_##field && set_flag(d, fd, name, o->field, #name) < 0) \
	return -1

static int set_flags(struct file_desc *d, int fd, const SkOptsEntry *o)
{
	struct linger linger = { 1, (int)o->so_linger };

	OPT(so_priority, SO_PRIORITY);
	if (o->has_so_rcvlowat && o->so_rcvlowat != 1)
		FLAG(so_rcvlowat, SO_RCVLOWAT);
	FLAG(so_mark, SO_MARK);
	OPT(so_passcred, SO_PASSCRED);
	OPT(so_passsec, SO_PASSSEC);
	FLAG(so_dontroute, SO_DONTROUTE);
	FLAG(so_no_check, SO_NO_CHECK);
	FLAG(so_broadcast, SO_BROADCAST);
	FLAG(so_keepalive, SO_KEEPALIVE);
	FLAG(so_oobinline, SO_OOBINLINE);
	FLAG(reuseaddr, SO_REUSEADDR);
	FLAG(so_reuseport, SO_REUSEPORT);
	if (o->has_so_linger && setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) < 0)
		return file_fail(d, errno, "SO_LINGER");
	return 0;
}

/**
 * sock_restore_buffers - set the sizes of the buffers, and whether they are fixed
 * @d: its description
 * @fd: the socket
 * @o: the options
 *
 * Return: 0, or -1, recorded.
 */
int sock_restore_buffers(struct file_desc *d, int fd, const SkOptsEntry *o)
{
	if (set_buf(d, fd, SO_SNDBUF, SO_SNDBUFFORCE, o->so_sndbuf) < 0 ||
	    set_buf(d, fd, SO_RCVBUF, SO_RCVBUFFORCE, o->so_rcvbuf) < 0 ||
	    (o->has_so_buf_lock &&
	     sock_set(d, fd, SOL_SOCKET, SO_BUF_LOCK, o->so_buf_lock, "SO_BUF_LOCK") < 0))
		return -1;
	return 0;
}

/**
 * sock_restore_opts - set the options of a socket
 * @d: its description
 * @fd: the socket
 * @o: the options
 *
 * Return: 0, or -1, recorded.
 */
int sock_restore_opts(struct file_desc *d, int fd, const SkOptsEntry *o)
{
	if (sock_restore_buffers(d, fd, o) < 0 ||
	    set_time(d, fd, SO_SNDTIMEO, o->so_snd_tmo_sec, o->so_snd_tmo_usec) < 0 ||
	    set_time(d, fd, SO_RCVTIMEO, o->so_rcv_tmo_sec, o->so_rcv_tmo_usec) < 0)
		return -1;
	if (o->so_bound_dev && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, o->so_bound_dev,
					  (socklen_t)strlen(o->so_bound_dev)) < 0)
		return file_fail(d, errno, "bind to device %s", o->so_bound_dev);
	if (set_flags(d, fd, o) < 0 || set_filter(d, fd, o) < 0)
		return -1;
	return set_extra(d, fd, o);
}
