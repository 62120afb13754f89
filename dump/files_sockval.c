/*
 * files_sockval - the options of a socket, one by one: asked when they are
 * wanted, or, of Unix sockets in large tables, all read ahead by the thread
 * that fetches the descriptors.
 */
#include "dump/files_sock.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

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

/* What a Unix socket is asked for; the others are asked when they are wanted. */
static const uint8_t value_of[SOCK_VALUE_NAMES] = {
	[SO_REUSEADDR] = 1,   [SO_TYPE] = 2,        [SO_DONTROUTE] = 3,    [SO_BROADCAST] = 4,
	[SO_KEEPALIVE] = 5,   [SO_OOBINLINE] = 6,   [SO_NO_CHECK] = 7,     [SO_PRIORITY] = 8,
	[SO_LINGER] = 9,      [SO_REUSEPORT] = 10,  [SO_PASSCRED] = 11,    [SO_PEERCRED] = 12,
	[SO_RCVLOWAT] = 13,   [SO_RCVTIMEO] = 14,   [SO_SNDTIMEO] = 15,    [SO_BINDTODEVICE] = 16,
	[SO_GET_FILTER] = 17, [SO_TIMESTAMP] = 18,  [SO_PASSSEC] = 19,     [SO_TIMESTAMPNS] = 20,
	[SO_MARK] = 21,       [SO_PEEK_OFF] = 22,   [SO_LOCK_FILTER] = 23, [SO_BUF_LOCK] = 24,
	[SO_PASSPIDFD] = 25,  [SO_PASSRIGHTS] = 26, [SO_INQ] = 27,
};
_Static_assert(SOCK_VALUES == 28, "one more than the last number above");

/**
 * sock_values_read - ask for all options that a Unix socket may have; in any thread
 * @fd: the socket
 * @v: filled
 */
void sock_values_read(int fd, struct sock_values *v)
{
	for (int name = 0; name < SOCK_VALUE_NAMES; name++) {
		struct sock_value *o = &v->of[value_of[name]];
		socklen_t len;

		if (!value_of[name])
			continue;
		/* Without room for it a filter tells its length. */
		len = name == SO_GET_FILTER ? 0 : sizeof(o->val);
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
	if (name == SO_GET_FILTER && *len)
		return getsockopt(fi->local, level, name, val, len);
	if (name != SO_GET_FILTER)
		memcpy(val, o->val, *len < o->len ? *len : o->len);
	*len = o->len;
	return 0;
}
