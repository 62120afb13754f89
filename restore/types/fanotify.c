/*
 * fanotify - restore: the group, and each of its marks. The other half is
 * dump/types/fanotify.c.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/fanotify.h>

#include "base/fd.h"
#include "kernel/fhandle.h"
#include "proto/fanotify.pb-c.h"

/* Of Linux 5.19 and 6.0. */
#ifndef FAN_MARK_EVICTABLE
#define FAN_MARK_EVICTABLE 0x200
#endif
#ifndef FAN_MARK_IGNORE
#define FAN_MARK_IGNORE 0x400
#endif

static int mark_path(struct file_desc *d, const FanotifyMarkEntry *m, char *path, int *hold)
{
	*hold = -1;
	if (m->type == MARK_TYPE__INODE && m->ie)
		return notify_target(d, m->ie->f_handle, m->s_dev, m->ie->i_ino, path, hold);
	if (m->type != MARK_TYPE__MOUNT || !m->me)
		return file_fail(d, EBADMSG, "a mark of kind %d", m->type);
	if (m->me->path)
		snprintf(path, PATH_MAX, "%s", m->me->path);
	else if (fhandle_mount_path(m->me->mnt_id, path, PATH_MAX))
		return file_fail(d, ENOENT, "it watches mount %u, which is not here",
				 m->me->mnt_id);
	return 0;
}

static int add_mark(struct file_desc *d, int fd, const FanotifyMarkEntry *m)
{
	unsigned how = FAN_MARK_ADD | (m->type == MARK_TYPE__MOUNT ? FAN_MARK_MOUNT : 0);
	unsigned ignore = m->mflags & FAN_MARK_IGNORE ? FAN_MARK_IGNORE : FAN_MARK_IGNORED_MASK;
	cleanup_close int hold = -1;
	char path[PATH_MAX];

	if (mark_path(d, m, path, &hold) < 0)
		return -1;
	how |= m->mflags & FAN_MARK_EVICTABLE;
	/* The path is that of what is watched, which may be a link itself. */
	if (m->type == MARK_TYPE__INODE && m->ie->f_handle->path)
		how |= FAN_MARK_DONT_FOLLOW;
	if (m->mask && fanotify_mark(fd, how, m->mask, AT_FDCWD, path) < 0)
		return file_fail(d, errno, "mark %s with mask %#x", path, m->mask);
	how |= ignore | (m->mflags & FAN_MARK_IGNORED_SURV_MODIFY);
	if (m->ignored_mask && fanotify_mark(fd, how, m->ignored_mask, AT_FDCWD, path) < 0)
		return file_fail(d, errno, "mark %s to ignore %#x", path, m->ignored_mask);
	return 0;
}

/* FAN_CLOEXEC would be told in fdinfo ever after; the descriptor's flag comes with its number. */
static int fanotify_open(struct file_desc *d, int *new_fd)
{
	const FanotifyFileEntry *e = file_desc_entry(d);
	cleanup_close int fd = fanotify_init(e->faflags, e->evflags);

	if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return file_fail(d, errno, "fanotify_init(%#x, %#x)", e->faflags, e->evflags);
	for (size_t i = 0; i < e->n_mark; i++)
		if (add_mark(d, fd, e->mark[i]) < 0)
			return -1;
	if (file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

const struct file_desc_ops fanotify_desc_ops = { .open = fanotify_open };
