/*
 * files_sockval - the options of a socket, one by one: asked when they are
 * wanted, or, of Unix sockets in large tables, all read ahead by the thread
 * that fetches the descriptors.
 */
#include "dump/files_sock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif
#ifndef SO_INQ
#define SO_INQ 84
#endif

/* What every Unix socket is asked for; the others are asked when they are wanted. */
static const uint8_t value_of[SOCK_VALUE_NAMES] = {
	[SO_REUSEADDR] = 1,   [SO_DONTROUTE] = 2,    [SO_BROADCAST] = 3,     [SO_KEEPALIVE] = 4,
	[SO_OOBINLINE] = 5,   [SO_NO_CHECK] = 6,     [SO_PRIORITY] = 7,      [SO_LINGER] = 8,
	[SO_REUSEPORT] = 9,   [SO_PASSCRED] = 10,    [SO_PEERCRED] = 11,     [SO_RCVLOWAT] = 12,
	[SO_RCVTIMEO] = 13,   [SO_SNDTIMEO] = 14,    [SO_BINDTODEVICE] = 15, [SO_INQ] = 16,
	[SO_TIMESTAMP] = 17,  [SO_PASSSEC] = 18,     [SO_TIMESTAMPNS] = 19,  [SO_MARK] = 20,
	[SO_PEEK_OFF] = 21,   [SO_LOCK_FILTER] = 22, [SO_BUF_LOCK] = 23,     [SO_PASSPIDFD] = 24,
	[SO_PASSRIGHTS] = 25,
};
_Static_assert(SOCK_VALUES == 26, "one more than the last number above");

/**
 * sock_values_reuseport - can a Unix socket have SO_REUSEPORT?
 *
 * Return: false since Linux 6.14, which refuses it.
 */
bool sock_values_reuseport(void)
{
	cleanup_close int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const int on = 1;

	return setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) == 0 ||
	       errno != EOPNOTSUPP;
}

/**
 * sock_values_read - ask for all options that a Unix socket may have; in any thread
 * @fd: the socket
 * @reuseport: what sock_values_reuseport() said
 * @v: filled
 */
void sock_values_read(int fd, bool reuseport, struct sock_values *v)
{
	for (int name = 0; name < SOCK_VALUE_NAMES; name++) {
		struct sock_value *o = &v->of[value_of[name]];
		socklen_t len;

		if (!value_of[name])
			continue;
		if (name == SO_REUSEPORT && !reuseport) {
			*o = (struct sock_value){ .len = sizeof(int) };
			continue;
		}
		len = sizeof(o->val);
		o->err = getsockopt(fd, SOL_SOCKET, name, o->val, &len) < 0 ? (uint16_t)errno : 0;
		o->len = (uint16_t)len;
	}
}

/**
 * sock_get - an option, as getsockopt(2) gives it
 * @fi: the socket
 * @level: its level
 * @name: its name
 * @val: the value
 * @len: the room for it; gets its length
 *
 * Return: 0, or -1 with errno set.
 */
int sock_get(const struct fd_info *fi, int level, int name, void *val, socklen_t *len)
{
	const struct sock_value *o;

	if (!fi->opts || level != SOL_SOCKET || name >= SOCK_VALUE_NAMES || !value_of[name])
		return getsockopt(fi->local, level, name, val, len);
	o = &fi->opts->of[value_of[name]];
	if (o->err) {
		errno = o->err;
		return -1;
	}
	memcpy(val, o->val, *len < o->len ? *len : o->len);
	*len = o->len;
	return 0;
}
