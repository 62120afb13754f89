/*
 * pidfd - restore: opened once its task is born. For those of a process that
 * was gone the tool makes one that ends in the same way, opens all of them,
 * and hands them on. One of a thread is opened when the thread is there. The other half is
 * dump/types/pidfd.c.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/pidfd.h>

#include "base/fd.h"
#include "proto/pidfd.pb-c.h"

struct pidfd_priv {
	int fd; /* the tool's, of a process that is gone; 0: none yet */
};

static const PidfdEntry *entry(const struct file_desc *d)
{
	return file_desc_entry(d);
}

static int open_dead(struct pstree *t, const struct file_desc *like, pid_t pid)
{
	struct file_desc *d;

	list_for_each(d, &t->files.descs, list) {
		struct pidfd_priv *p = d->kind == FILE_KIND_pidfd ? file_desc_priv(d) : NULL;

		if (!p || entry(d)->nspid > 0 || entry(d)->ino != entry(like)->ino)
			continue;
		p->fd = pidfd_open(pid, entry(d)->flags & (O_NONBLOCK | O_EXCL));
		if (p->fd < 0)
			return file_fail(d, errno, "pidfd_open() of a process about to end");
		file_keep(t, &p->fd);
	}
	return 0;
}

static int make_dead(struct pstree *t, struct file_desc *d)
{
	struct dead_process p = { 0 };
	int ret = dead_begin(&p, 0, entry(d)->has_exit_code ? entry(d)->exit_code : 0);

	if (ret < 0)
		return file_fail(d, -ret, "start a process that is to be gone");
	ret = open_dead(t, d, p.pid);
	dead_end(&p);
	return ret;
}

static int pidfd_prepare(struct pstree *t, struct file_desc *d)
{
	struct pidfd_priv *p = file_desc_priv(d);

	if (entry(d)->nspid > 0 || p->fd > 0)
		return 0;
	return make_dead(t, d) < 0 ? -EIO : 0;
}

static bool is_thread(const struct pstree *t, pid_t tid)
{
	const struct pstree_item *it;

	list_for_each(it, &t->items, list)
		for (size_t i = 1; item_alive(it) && i < it->nr_threads; i++)
			if (it->threads[i].tid == tid)
				return true;
	return false;
}

static int pidfd_check(struct pstree *t, struct file_desc *d)
{
	pid_t pid = entry(d)->nspid;

	if (pid <= 0 || pstree_find(t, pid) || is_thread(t, pid))
		return 0;
	file_fail(d, ESRCH, "pid %d is not in the image", entry(d)->nspid);
	return -ESRCH;
}

/* O_EXCL in its flags is PIDFD_THREAD. */
static int open_live(struct file_desc *d)
{
	int fd = pidfd_open(entry(d)->nspid, entry(d)->flags & (O_NONBLOCK | O_EXCL));

	return fd < 0 ? file_fail(d, errno, "pidfd_open() of pid %d", entry(d)->nspid) : fd;
}

static int pidfd_open_again(struct file_desc *d, int *new_fd)
{
	const struct pidfd_priv *p = file_desc_priv(d);
	struct pstree_item *it = pstree_find(d->tree, entry(d)->nspid);
	cleanup_close int fd = -1;

	if (entry(d)->nspid > 0 && !it) {
		*new_fd = late_placeholder(d);
		return *new_fd < 0 ? -1 : 0;
	}
	if (entry(d)->nspid > 0 && restore_get_phase(engine_ctx(d->tree), it) < RST_BORN)
		return 1;
	if (entry(d)->nspid > 0)
		fd = open_live(d);
	else if ((fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 0)) < 0)
		file_fail(d, errno, "duplicate the pidfd of a process that is gone");
	if (fd < 0 || file_params(d, fd, entry(d)->flags, entry(d)->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

static int pidfd_late(struct pstree *t, struct file_desc *d)
{
	cleanup_close int fd = -1;

	if (entry(d)->nspid <= 0 || pstree_find(t, entry(d)->nspid))
		return 0;
	fd = open_live(d);
	if (fd < 0 || file_params(d, fd, entry(d)->flags, entry(d)->fown) < 0)
		return -1;
	return late_plant(d, fd);
}

const struct file_desc_ops pidfd_desc_ops = {
	.late = pidfd_late,
	.open = pidfd_open_again,
	.prepare = pidfd_prepare,
	.check = pidfd_check,
	.priv_size = sizeof(struct pidfd_priv),
};
