/* pathdir - see pathdir.h. */
#include "base/pathdir.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

static int open_dir(const char *name, int above)
{
	cleanup_close int fd = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 || fd >= above ? take_fd(&fd) : fcntl(fd, F_DUPFD_CLOEXEC, above);
}

/**
 * path_dir_enter - where to look a path up
 * @c: the cache
 * @path: an absolute path
 * @base: what to look up there: the last part of @path, or all of it
 *
 * Nobody is to move directories between two calls with the same @c.
 *
 * Return: a directory for the *at() calls, which stays the cache's; AT_FDCWD
 * if the directory cannot be opened, or @path is not of that form.
 */
int path_dir_enter(struct path_dir *c, const char *path, const char **base)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash + 1 - path) : 0;
	char *name;
	int fd;

	*base = path;
	if (path[0] != '/' || !slash || !slash[1])
		return AT_FDCWD;
	if (c->fd < 0 || c->len != len || memcmp(c->name, path, len) != 0) {
		name = strndup(path, len);
		fd = name ? open_dir(name, c->above) : -1;
		if (fd < 0) {
			free(name);
			return AT_FDCWD;
		}
		path_dir_close(c);
		c->fd = fd;
		c->name = name;
		c->len = len;
	}
	*base = slash + 1;
	return c->fd;
}

/**
 * path_dir_close - forget the directory
 * @c: the cache; may be used again
 */
void path_dir_close(struct path_dir *c)
{
	close_owned(&c->fd);
	c->fd = -1;
	free(c->name);
	c->name = NULL;
}
