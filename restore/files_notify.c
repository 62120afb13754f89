/*
 * files_notify - what inotify and fanotify watch, and their queues: other
 * files are opened while the watches stand, and nobody is to hear of that.
 */
#include "restore/files_door.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/fhandle.h"
#include "proto/fh.pb-c.h"
#include "proto/inotify.pb-c.h"

/**
 * notify_target - a path that leads to what is watched
 * @d: the watching file
 * @h: the handle in the image, with a path or the id of a file without one if it had them
 * @kdev: the device that it was on
 * @ino: its inode there
 * @path: gets the path; room for PATH_MAX bytes
 * @hold: gets a descriptor that must stay open meanwhile, or -1
 *
 * Return: 0, or -1, recorded.
 */
int notify_target(struct file_desc *d, const FhEntry *h, uint32_t kdev, uint64_t ino, char *path,
		  int *hold)
{
	const struct file_desc *ghost = h->has_file_id ? file_desc_find(d->tree, h->file_id) : NULL;
	cleanup_close int mnt = -1;
	int fd;

	*hold = -1;
	if (ghost && ghost->kind == FILE_KIND_door) {
		door_ticket_path(((struct door_priv *)file_desc_priv(ghost))->t, path);
		return 0;
	}
	if (h->has_file_id) {
		fd = ghost ? file_ghost_fd(ghost) : -1;
		if (fd < 0)
			return file_fail(d, EBADMSG, "it watches file %#x, which has a name",
					 h->file_id);
		snprintf(path, PATH_MAX, "/proc/self/fd/%d", fd);
		return 0;
	}
	if (h->path) {
		snprintf(path, PATH_MAX, "%s", h->path);
		return 0;
	}
	/* CRIU has no number for a file without a name: it is the one of that inode. */
	fd = file_ghost_at(d->tree, kdev, ino);
	if (fd >= 0) {
		snprintf(path, PATH_MAX, "/proc/self/fd/%d", fd);
		return 0;
	}
	if (h->bytes > FHANDLE_MAX || h->bytes > h->n_handle * sizeof(*h->handle))
		return file_fail(d, EBADMSG, "a handle of %u bytes", h->bytes);
	mnt = fhandle_mount(kdev);
	if (mnt < 0)
		return file_fail(d, -mnt, "a mount of device %u:%u, which it watches", kdev >> 20,
				 kdev & 0xfffff);
	fd = fhandle_open(mnt, h->handle, h->bytes, h->type);
	if (fd < 0)
		return file_fail(d, -fd, "find what it watches by its handle");
	*hold = fd;
	snprintf(path, PATH_MAX, "/proc/self/fd/%d", fd);
	return 0;
}

/* Descriptors come with the events of a fanotify group. */
static void close_events(const char *buf, ssize_t len)
{
	const struct fanotify_event_metadata *m = (const void *)buf;

	for (; FAN_EVENT_OK(m, len); m = FAN_EVENT_NEXT(m, len))
		if (m->fd >= 0)
			close(m->fd);
}

static int empty_one(const struct file_desc *d)
{
	cleanup_close int fd = late_copy(d);
	_Alignas(8) char buf[8192];
	int queued;

	if (fd < 0)
		return file_fail(d, -fd, "pidfd_getfd()") < 0 ? -EIO : 0;
	while (ioctl(fd, FIONREAD, &queued) == 0 && queued) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n <= 0)
			return file_fail(d, n ? errno : EIO, "empty its queue") < 0 ? -EIO : 0;
		if (d->kind == FILE_KIND_fanotify)
			close_events(buf, n);
	}
	return 0;
}

#define MAX_EVENTS "/proc/sys/fs/inotify/max_queued_events"

static long max_events(void)
{
	cleanup_close int fd = open(MAX_EVENTS, O_RDONLY | O_CLOEXEC);
	char buf[24] = "";

	return fd >= 0 && read(fd, buf, sizeof(buf) - 1) > 0 ? strtol(buf, NULL, 10) : -1;
}

/* Takes all events but the last one out of a queue. */
static int keep_last(int fd, long n)
{
	struct inotify_event buf[512];
	const long room = sizeof(buf) / sizeof(*buf);

	while (n > 0) {
		ssize_t got = read(fd, buf, (size_t)(n < room ? n : room) * sizeof(*buf));

		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		n -= got / (ssize_t)sizeof(*buf);
	}
	return 0;
}

/*
 * Events that nobody had read are gone, and the program must hear of that as
 * the kernel says it: by IN_Q_OVERFLOW, which only a queue that is too full
 * makes. So it is filled with events of a file of our own, and emptied again.
 */
static int tell_lost(struct file_desc *d)
{
	cleanup_close int fd = late_copy(d), own = memfd_create("events", MFD_CLOEXEC);
	long max = max_events();
	char path[32];
	int wd, ret;

	/* Too many to make: the log of the dump has it. */
	if (max < 0 || max > 1 << 20)
		return 0;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", own);
	wd = fd < 0 || own < 0 ? -1 : inotify_add_watch(fd, path, IN_ATTRIB | IN_MODIFY);
	if (wd < 0)
		return file_fail(d, errno, "watch a file of our own");
	/* Neighbours that are equal become one. */
	for (long i = 0; i <= max; i++)
		if (i % 2 ? fchmod(own, 0600) < 0 : ftruncate(own, 0) < 0)
			return file_fail(d, errno, "make events");
	inotify_rm_watch(fd, wd);
	ret = keep_last(fd, max);
	return ret < 0 ? file_fail(d, -ret, "take the events of our own") : 0;
}

/**
 * file_queues_empty - close deleted files in the tool, and take what the restore itself has caused
 * out of the queues of events
 * @ctx: the run; the tree is complete and stands still
 *
 * Return: 0 or -errno, recorded.
 */
int file_queues_empty(struct restore_ctx *ctx)
{
	struct file_desc *d;
	struct ghost *g = ctx->files ? ctx->files->ghosts : NULL;
	int ret = 0;

	/* The end of what was open for writing is an event, too. */
	for (; g; g = g->next) {
		close_owned(&g->fd);
		g->fd = -1;
	}
	list_for_each(d, &ctx->tree->files.descs, list)
		if (!ret && (d->kind == FILE_KIND_inotify || d->kind == FILE_KIND_fanotify) &&
		    !list_empty(&d->fles))
			ret = empty_one(d);
	list_for_each(d, &ctx->tree->files.descs, list) {
		const InotifyFileEntry *e = (const InotifyFileEntry *)d->msg;

		if (!ret && d->kind == FILE_KIND_inotify && e->has_queued && e->queued &&
		    !list_empty(&d->fles) && tell_lost(d) < 0)
			ret = -EIO;
	}
	return ret;
}
