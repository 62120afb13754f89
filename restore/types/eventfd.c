/*
 * eventfd - restore. A counter and two flags; waits for nobody, so open()
 * finishes in one step. The other half is dump/types/eventfd.c.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>

#include "base/fd.h"
#include "proto/eventfd.pb-c.h"

static int eventfd_open(struct file_desc *d, int *new_fd)
{
	const EventfdFileEntry *e = file_desc_entry(d);
	int flags = EFD_CLOEXEC | EFD_NONBLOCK | (e->semaphore ? EFD_SEMAPHORE : 0);
	cleanup_close int fd = eventfd(0, flags);
	int ret;

	if (fd < 0)
		return file_fail(d, errno, "eventfd()");
	/* eventfd(2) takes 32 bits only; the counter has 64. */
	ret = e->counter ? write_all(fd, &e->counter, sizeof(e->counter)) : 0;
	if (ret < 0)
		return file_fail(d, -ret, "set counter to %llu", (unsigned long long)e->counter);
	if (file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

const struct file_desc_ops eventfd_desc_ops = { .open = eventfd_open };
