/*
 * fhandle - see the header.
 */
#include "kernel/fhandle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

/* mountinfo writes blanks and backslashes as three octal digits. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		if (s[0] == '\\' && strspn(s + 1, "01234567") >= 3) {
			*to++ = (char)((s[1] - '0') << 6 | (s[2] - '0') << 3 | (s[3] - '0'));
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = 0;
}

/**
 * fhandle_mount - open any mount of a file system
 * @kdev: its device as the kernel counts: 12 bits major, 20 minor
 *
 * One that shows the whole file system is preferred.
 *
 * Return: a descriptor, or -errno; -ENOENT if there is none that can be opened.
 */
int fhandle_mount(uint32_t kdev)
{
	char *line = malloc((size_t)3 * PATH_MAX), *root = malloc(PATH_MAX),
	     *path = malloc(PATH_MAX);
	FILE *in = fopen("/proc/self/mountinfo", "re");
	unsigned maj, min;
	bool whole = false;
	int fd = -ENOENT;

	while (in && line && root && path && !whole && fgets(line, 3 * PATH_MAX, in)) {
		int got;

		if (sscanf(line, "%*d %*d %u:%u %4095s %4095s", &maj, &min, root, path) != 4 ||
		    maj > 0xfff || (maj << 20 | min) != kdev)
			continue;
		whole = !strcmp(root, "/");
		if (fd >= 0 && !whole)
			continue;
		unescape(path);
		got = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (got < 0) {
			whole = false;
			continue;
		}
		if (fd >= 0)
			close(fd);
		fd = got;
	}
	if (in)
		fclose(in);
	free(line);
	free(root);
	free(path);
	return fd;
}

/**
 * fhandle_mount_path - where a mount is
 * @mnt_id: its number
 * @path: gets the mount point
 * @size: bytes there
 *
 * Return: 0, -ENOENT if this mount namespace has no such mount, -ENAMETOOLONG.
 */
int fhandle_mount_path(uint32_t mnt_id, char *path, size_t size)
{
	char *line = malloc((size_t)3 * PATH_MAX), *at = malloc(PATH_MAX);
	FILE *in = fopen("/proc/self/mountinfo", "re");
	int ret = -ENOENT;
	unsigned id;

	while (in && line && at && ret == -ENOENT && fgets(line, 3 * PATH_MAX, in)) {
		if (sscanf(line, "%u %*d %*s %*s %4095s", &id, at) != 2 || id != mnt_id)
			continue;
		unescape(at);
		ret = strlen(at) < size ? 0 : -ENAMETOOLONG;
		if (!ret)
			memcpy(path, at, strlen(at) + 1);
	}
	if (in)
		fclose(in);
	free(line);
	free(at);
	return ret;
}

/**
 * fhandle_mounts - all mounts of this mount namespace
 * @each: called with @arg, the device as fhandle_mount() has it, the root of the
 * mount within its file system, and the mount point; what is not 0 ends it
 * @arg: for @each
 *
 * Return: 0, -ENOMEM, or what @each has returned.
 */
int fhandle_mounts(int (*each)(void *arg, uint32_t kdev, const char *root, const char *path),
		   void *arg)
{
	char *line = malloc((size_t)3 * PATH_MAX), *root = malloc(PATH_MAX),
	     *path = malloc(PATH_MAX);
	FILE *in = fopen("/proc/self/mountinfo", "re");
	int ret = line && root && path && in ? 0 : -ENOMEM;
	unsigned maj, min;

	while (!ret && fgets(line, 3 * PATH_MAX, in)) {
		if (sscanf(line, "%*d %*d %u:%u %4095s %4095s", &maj, &min, root, path) != 4)
			continue;
		unescape(root);
		unescape(path);
		ret = each(arg, maj << 20 | min, root, path);
	}
	if (in)
		fclose(in);
	free(line);
	free(root);
	free(path);
	return ret;
}

/**
 * fhandle_open - a file by its handle
 * @mount_fd: any file of that file system
 * @handle: the bytes of the handle
 * @bytes: how many
 * @type: the file system's kind of handle
 *
 * Needs CAP_DAC_READ_SEARCH.
 *
 * Return: an O_PATH descriptor, or -errno; -ESTALE if there is no such file any more.
 */
int fhandle_open(int mount_fd, const void *handle, uint32_t bytes, uint32_t type)
{
	struct {
		struct file_handle h;
		uint8_t room[FHANDLE_MAX];
	} fh = { .h = { .handle_bytes = bytes, .handle_type = (int)type } };
	int fd;

	if (bytes > FHANDLE_MAX)
		return -EINVAL;
	memcpy(fh.h.f_handle, handle, bytes);
	fd = open_by_handle_at(mount_fd, &fh.h, O_PATH | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}
