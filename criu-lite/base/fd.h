/*
 * fd - owned descriptors. A local that owns a descriptor is declared
 * cleanup_close and given away by take_fd().
 */
#ifndef CL_BASE_FD_H
#define CL_BASE_FD_H

#include <errno.h>
#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

/* O_LARGEFILE, which a C library of 64 bits counts as 0: open(2) sets it, other calls do not. */
#define KERNEL_O_LARGEFILE 0100000

static inline void close_owned(int *fd)
{
	if (*fd >= 0) {
		int saved = errno;

		close(*fd);
		errno = saved;
	}
}

#define cleanup_close __attribute__((cleanup(close_owned)))

static inline int take_fd(int *fd)
{
	int out = *fd;

	*fd = -1;
	return out;
}

int read_all(int fd, void *buf, size_t len);
int write_all(int fd, const void *buf, size_t len);
int pread_all(int fd, void *buf, size_t len, off_t off);
int pwrite_all(int fd, const void *buf, size_t len, off_t off);

#endif
