/*
 * pidfd - restore: opened once its task is born. The other half is
 * dump/types/pidfd.c.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/pidfd.h>

#include "base/fd.h"
#include "proto/pidfd.pb-c.h"

static int pidfd_check(struct pstree *t, struct file_desc *d)
{
	const PidfdEntry *e = file_desc_entry(d);

	if (pstree_find(t, e->nspid))
		return 0;
	file_fail(d, ESRCH, "pid %d is not in the image", e->nspid);
	return -ESRCH;
}

/* O_EXCL in its flags is PIDFD_THREAD. */
static int pidfd_open_again(struct file_desc *d, int *new_fd)
{
	const PidfdEntry *e = file_desc_entry(d);
	struct pstree_item *it = pstree_find(d->tree, e->nspid);
	cleanup_close int fd = -1;

	if (restore_get_phase(engine_ctx(d->tree), it) < RST_BORN)
		return 1;
	fd = pidfd_open(e->nspid, e->flags & (O_NONBLOCK | O_EXCL));
	if (fd < 0)
		return file_fail(d, errno, "pidfd_open() of pid %d", e->nspid);
	if (file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

const struct file_desc_ops pidfd_desc_ops = { .open = pidfd_open_again, .check = pidfd_check };
