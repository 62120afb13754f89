/*
 * fd - whole reads and writes: short transfers and EINTR are handled here,
 * once.
 */
#include "base/fd.h"

/**
 * read_all - read exactly @len bytes
 * @fd: where from
 * @buf: where to
 * @len: bytes
 *
 * Return: 0, -ENODATA when the file ends early, or -errno of read(2).
 */
int read_all(int fd, void *buf, size_t len)
{
	char *p = buf;

	while (len) {
		ssize_t n = read(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/**
 * write_all - write exactly @len bytes
 * @fd: where to
 * @buf: where from
 * @len: bytes
 *
 * Return: 0 or -errno of write(2).
 */
int write_all(int fd, const void *buf, size_t len)
{
	const char *p = buf;

	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/**
 * pread_all - read exactly @len bytes at a position
 * @fd: where from
 * @buf: where to
 * @len: bytes
 * @off: position in bytes
 *
 * Return: 0, -ENODATA when the file ends early, or -errno of pread(2).
 */
int pread_all(int fd, void *buf, size_t len, off_t off)
{
	char *p = buf;

	while (len) {
		ssize_t n = pread(fd, p, len, off);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENODATA;
		p += n;
		off += n;
		len -= (size_t)n;
	}
	return 0;
}

/**
 * pwrite_all - write exactly @len bytes at a position
 * @fd: where to
 * @buf: where from
 * @len: bytes
 * @off: position in bytes
 *
 * Return: 0 or -errno of pwrite(2).
 */
int pwrite_all(int fd, const void *buf, size_t len, off_t off)
{
	const char *p = buf;

	while (len) {
		ssize_t n = pwrite(fd, p, len, off);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		p += n;
		off += n;
		len -= (size_t)n;
	}
	return 0;
}
