/*
 * files_taken - files without a name whose old name another file has by now.
 * The other file is not touched. What /proc/PID/fd says of a file are the
 * names from it up to the root of its mount: so the names are made anew below
 * a directory of our own beside the old name, that directory becomes the root
 * of a mount that stands in no namespace, and the file is opened through it.
 * All names go at once; the file keeps them, and the mount, while it is open.
 * Only for files without any name: from this mount a file cannot be linked.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <unistd.h>

#include "base/fd.h"

/* In the directory @top: makes all of @name below it, and the file at the end. */
static int make_below(const char *top, const char *name, ghost_make_fn *make, const void *what)
{
	cleanup_close int tree =
		open_tree(AT_FDCWD, top, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
	char path[PATH_MAX];
	int fd, made = 0;

	if (tree < 0)
		return -errno;
	if (snprintf(path, sizeof(path), "/proc/self/fd/%d%s", tree, name) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	fd = ghost_make_parents(path, &made);
	fd = fd < 0 ? fd : make(path, what);
	ghost_remove_parents(path, made);
	return fd;
}

/**
 * ghost_make_taken - make a file without a name whose name is taken
 * @name: its name, absolute
 * @make: makes a file at a path, and takes its name away
 * @what: for @make
 *
 * Return: a descriptor, or -errno; without CAP_SYS_ADMIN it is -EPERM.
 */
int ghost_make_taken(const char *name, ghost_make_fn *make, const void *what)
{
	char top[PATH_MAX];
	int fd, dir = (int)(strrchr(name, '/') - name);

	if (snprintf(top, sizeof(top), "%.*s/" GHOST_DIR, dir, name) >= (int)sizeof(top))
		return -ENAMETOOLONG;
	if (!mkdtemp(top))
		return -errno;
	fd = make_below(top, name, make, what);
	rmdir(top);
	return fd;
}
