/*
 * door_info - what a door says of itself, one of this process or another's.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/**
 * door_fill_info - describe a door of this process
 * @d: the door; the server's lock is held
 * @info: filled; DOOR_LOCAL is not in it
 */
void door_fill_info(const struct door *d, door_info_t *info)
{
	memset(info, 0, sizeof(*info));
	info->di_target = d->revoked ? -1 : getpid();
	info->di_proc = (uintptr_t)d->proc;
	info->di_data = (uintptr_t)d->cookie;
	info->di_attributes = d->attributes | (d->revoked ? DOOR_REVOKED : 0);
	info->di_uniquifier = d->id;
}

static int info_local(int fd, door_info_t *info)
{
	struct door_thread *t = fd == DOOR_QUERY ? door_thread_self() : NULL;
	struct door *d;

	pthread_mutex_lock(&door_server.lock);
	d = fd == DOOR_QUERY ? (t ? t->bound : NULL) : door_find(fd);
	if (d) {
		door_fill_info(d, info);
		info->di_attributes |= DOOR_LOCAL | (door_unref_is(d) ? DOOR_IS_UNREF : 0);
	}
	pthread_mutex_unlock(&door_server.lock);
	return d ? 0 : -ENOENT;
}

static int info_remote(int fd, door_info_t *info, int limit)
{
	const struct door_hello h = { .op = DOOR_OP_INFO };
	struct door_welcome w;
	int ret = door_ask(fd, &h, &w, NULL, limit);

	if (ret && ret != -ENXIO)
		return ret;
	memset(info, 0, sizeof(*info));
	if (ret) {
		info->di_target = -1;
		info->di_attributes = DOOR_REVOKED;
		return 0;
	}
	info->di_target = w.attributes & DOOR_REVOKED ? -1 : w.pid;
	info->di_proc = w.proc;
	info->di_data = w.data;
	info->di_attributes = w.attributes;
	info->di_uniquifier = w.id;
	return 0;
}

/**
 * door_info_of - door_info() for this library
 * @fd: a descriptor of the door, or DOOR_QUERY
 * @info: filled
 * @limit: milliseconds that its server is waited for, or -1
 *
 * Return: 0 or -errno; -ETIMEDOUT.
 */
int door_info_of(int fd, door_info_t *info, int limit)
{
	int ret = info_local(fd, info);

	if (ret != -ENOENT)
		return ret;
	return fd == DOOR_QUERY ? -EBADF : info_remote(fd, info, limit);
}

/**
 * door_info - describe a door
 * @fd: a descriptor of it, or DOOR_QUERY for that of this thread
 * @info: filled
 *
 * Return: 0; or -1: EBADF, EFAULT; EINTR.
 */
int door_info(int fd, door_info_t *info)
{
	door_info_t i;
	int ret = door_check_range(info, sizeof(*info));

	if (!ret)
		ret = door_info_of(fd, &i, -1);
	return door_set_errno(ret ? ret : door_copy(info, &i, sizeof(i)));
}
