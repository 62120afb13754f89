/*
 * inotify - restore: each watch on what it was on, under its old number. The
 * other half is dump/types/inotify.c.
 */
#include "restore/files.h"

#include <errno.h>
#include <limits.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "proto/inotify.pb-c.h"

#define SET_NEXT_WD _IOW('I', 0, int32_t) /* INOTIFY_IOC_SETNEXTWD */
#define SETTABLE (IN_ALL_EVENTS | IN_ONLYDIR | IN_DONT_FOLLOW | IN_EXCL_UNLINK | IN_ONESHOT)

static int add_watch(struct file_desc *d, int fd, const InotifyWdEntry *w)
{
	cleanup_close int hold = -1;
	char path[PATH_MAX];
	int wd;

	if (notify_target(d, w->f_handle, w->s_dev, w->i_ino, path, &hold) < 0)
		return -1;
	if (w->wd > INT32_MAX || ioctl(fd, SET_NEXT_WD, (int32_t)w->wd) < 0)
		return file_fail(d, errno, "number %u for a watch", w->wd);
	/* The path is that of what is watched, which may be a link itself. */
	wd = inotify_add_watch(fd, path,
			       (w->mask & SETTABLE) | (w->f_handle->path ? IN_DONT_FOLLOW : 0));
	if (wd < 0)
		return file_fail(d, errno, "watch %s", path);
	if ((uint32_t)wd != w->wd)
		return file_fail(d, EEXIST, "watch of %s is %d, was %u", path, wd, w->wd);
	return 0;
}

static int inotify_open(struct file_desc *d, int *new_fd)
{
	const InotifyFileEntry *e = file_desc_entry(d);
	cleanup_close int fd = inotify_init1(IN_CLOEXEC);

	if (fd < 0)
		return file_fail(d, errno, "inotify_init1()");
	for (size_t i = 0; i < e->n_wd; i++)
		if (add_watch(d, fd, e->wd[i]) < 0)
			return -1;
	if (file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

const struct file_desc_ops inotify_desc_ops = { .open = inotify_open };
