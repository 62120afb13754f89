/*
 * signalfd - restore: the mask. What is pending is queued to the tasks. The
 * other half is dump/types/signalfd.c.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/signalfd.pb-c.h"

static int signalfd_open(struct file_desc *d, int *new_fd)
{
	const SignalfdEntry *e = file_desc_entry(d);
	uint64_t mask = e->sigmask;
	cleanup_close int fd = (int)syscall(SYS_signalfd4, -1, &mask, sizeof(mask), SFD_CLOEXEC);

	if (fd < 0)
		return file_fail(d, errno, "signalfd()");
	if (file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

const struct file_desc_ops signalfd_desc_ops = { .open = signalfd_open };
