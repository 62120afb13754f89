/*
 * door_names - the names of a ticket in the store: the ticket itself,
 * SERVER/t.NUMBER, and the link s.INODE, by which a descriptor of it leads to
 * its server. The link is a symbolic one whose text nobody follows:
 *
 *	l.SERVER NUMBER ID ATTRIBUTES DESC_MAX DATA_MAX DATA_MIN
 *
 * all but NUMBER in hexadecimal. NUMBER is the ticket's first inode number; a
 * restore may have made it anew, and then its inode number is another one.
 */
#include "lib/door_names.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "lib/door.h"

#define DIGITS "0123456789"

/**
 * door_name_is_good - can a name from elsewhere be one?
 * @n: root and server
 *
 * Return: that.
 */
bool door_name_is_good(const struct door_name *n)
{
	const size_t own = strlen(DOOR_OWN_ROOT);

	if (strlen(n->server) != DOOR_SERVER_LEN ||
	    strspn(n->server, DIGITS "abcdef") != DOOR_SERVER_LEN)
		return false;
	if (!strcmp(n->root, DOOR_ROOT))
		return true;
	return !strncmp(n->root, DOOR_OWN_ROOT, own) && n->root[own] &&
	       strspn(n->root + own, DIGITS) == strlen(n->root + own);
}

/**
 * door_name_is_listener - is this the name of a listener of doors?
 * @name: a Unix socket's; sessions have it, too
 * @len: its bytes
 *
 * Return: that.
 */
bool door_name_is_listener(const uint8_t *name, size_t len)
{
	static const char *const roots[] = { DOOR_ROOT "/l.", DOOR_OWN_ROOT };

	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++)
		if (len > strlen(roots[i]) && !memcmp(name, roots[i], strlen(roots[i])))
			return true;
	return false;
}

/**
 * door_name_dir - the directory of a server's tickets
 * @n: root and server
 * @path: DOOR_PATH_MAX bytes, filled. So do the others.
 */
void door_name_dir(const struct door_name *n, char *path)
{
	snprintf(path, DOOR_PATH_MAX, "%s/%s", n->root, n->server);
}

/**
 * door_name_ticket - a ticket
 * @n: root, server and number
 * @path: as door_name_dir()
 */
void door_name_ticket(const struct door_name *n, char *path)
{
	snprintf(path, DOOR_PATH_MAX, "%s/%s/t.%" PRIu64, n->root, n->server, n->number);
}

/**
 * door_name_listener - the socket of a server
 * @n: root and server
 * @path: as door_name_dir()
 */
void door_name_listener(const struct door_name *n, char *path)
{
	snprintf(path, DOOR_PATH_MAX, "%s/l.%s", n->root, n->server);
}

/**
 * door_name_link - the link of a ticket
 * @n: root
 * @ino: inode number of the ticket
 * @path: as door_name_dir()
 */
void door_name_link(const struct door_name *n, ino_t ino, char *path)
{
	snprintf(path, DOOR_PATH_MAX, "%s/s.%ju", n->root, (uintmax_t)ino);
}

/**
 * door_name_read - read the link of a ticket
 * @n: root; the rest is filled
 * @st: the ticket
 *
 * Return: 0; -ENOENT; -EBADF for one that neither the ticket's owner nor root
 * has made, or that says something else.
 */
int door_name_read(struct door_name *n, const struct stat *st)
{
	char path[DOOR_PATH_MAX], text[DOOR_PATH_MAX];
	struct stat l;
	ssize_t len;

	door_name_link(n, st->st_ino, path);
	if (lstat(path, &l) < 0)
		return errno == ENOENT ? -ENOENT : -EBADF;
	if (!S_ISLNK(l.st_mode) || (l.st_uid != 0 && l.st_uid != st->st_uid))
		return -EBADF;
	/* Not followed by the kernel: fs.protected_symlinks would forbid it. */
	len = readlink(path, text, sizeof(text) - 1);
	if (len < 0)
		return -ENOENT;
	text[len] = 0;
	if (sscanf(text,
		   "l.%16[0-9a-f] %" SCNu64 " %" SCNx64 " %" SCNx32 " %" SCNx64 " %" SCNx64
		   " %" SCNx64,
		   n->server, &n->number, &n->id, &n->attributes, &n->desc_max, &n->data_max,
		   &n->data_min) != 7 ||
	    strlen(n->server) != DOOR_SERVER_LEN)
		return -EBADF;
	return 0;
}

/**
 * door_name_write - make the link of a ticket, in place of one that it has
 * @n: all of it
 * @ino: inode number of the ticket
 *
 * Return: 0 or -errno.
 */
int door_name_write(const struct door_name *n, ino_t ino)
{
	char path[DOOR_PATH_MAX], fresh[DOOR_PATH_MAX + 4], text[DOOR_PATH_MAX];
	int err;

	snprintf(text, sizeof(text),
		 "l.%s %" PRIu64 " %" PRIx64 " %" PRIx32 " %" PRIx64 " %" PRIx64 " %" PRIx64,
		 n->server, n->number, n->id, n->attributes, n->desc_max, n->data_max, n->data_min);
	door_name_link(n, ino, path);
	if (symlink(text, path) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	unlink(fresh);
	if (symlink(text, fresh) == 0 && rename(fresh, path) == 0)
		return 0;
	err = errno;
	unlink(fresh);
	return -err;
}

/**
 * door_attributes - attributes of a door in words
 * @attr: DOOR_*
 * @buf: filled
 * @size: its bytes; DOOR_ATTRIBUTES_LEN are enough
 *
 * Return: @buf.
 */
const char *door_attributes(unsigned int attr, char *buf, size_t size)
{
	static const struct {
		unsigned int bit;
		const char *name;
	} names[] = {
		{ DOOR_UNREF, "UNREF" },         { DOOR_UNREF_MULTI, "UNREF_MULTI" },
		{ DOOR_PRIVATE, "PRIVATE" },     { DOOR_REFUSE_DESC, "REFUSE_DESC" },
		{ DOOR_NO_CANCEL, "NO_CANCEL" }, { DOOR_REVOKED, "REVOKED" },
		{ DOOR_IS_UNREF, "IS_UNREF" },
	};
	size_t len = 0;

	snprintf(buf, size, "-");
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (attr & names[i].bit && len < size)
			len += (size_t)snprintf(buf + len, size - len, "%s%s", len ? "," : "",
						names[i].name);
	return buf;
}
