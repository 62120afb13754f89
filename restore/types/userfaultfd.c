/*
 * userfaultfd - restore: opened by the task whose memory it is about, and
 * registered when that memory is there. What was missing then is missing
 * again, whatever came with the pages beside it. The other half is
 * dump/types/userfaultfd.c.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/userfaultfd.pb-c.h"
#include "restore/batch.h"

#define AGREED (1u << 31) /* UFFDIO_API was called: kernel's own bit of its features */

static const UserfaultfdEntry *entry(const struct file_desc *d)
{
	return file_desc_entry(d);
}

static int userfaultfd_prepare(struct pstree *t, struct file_desc *d)
{
	const UserfaultfdEntry *e = entry(d);
	struct pstree_item *owner = pstree_find(t, (pid_t)e->pid);
	struct fdinfo_list_entry *fle = owner ? engine_need(t, d, owner) : NULL;

	if (!fle) {
		file_fail(d, EBADMSG, "the task whose memory it is about is not in the image");
		return -EBADMSG;
	}
	engine_force_master(fle);
	return 0;
}

static int make(uint32_t flags)
{
	int fd = (int)syscall(SYS_userfaultfd, (flags & O_NONBLOCK) | O_CLOEXEC);

	/* Who may not see to faults of the kernel's own has never done so. */
	if (fd < 0 && errno == EPERM)
		fd = (int)syscall(SYS_userfaultfd,
				  (flags & O_NONBLOCK) | O_CLOEXEC | UFFD_USER_MODE_ONLY);
	return fd;
}

static int userfaultfd_open(struct file_desc *d, int *new_fd)
{
	const UserfaultfdEntry *e = entry(d);
	struct uffdio_api api = { .api = UFFD_API, .features = e->features & ~AGREED };
	cleanup_close int fd = make(e->flags);

	if (fd < 0)
		return file_fail(d, errno, "userfaultfd()");
	if (e->features & AGREED && ioctl(fd, UFFDIO_API, &api) < 0)
		return file_fail(d, errno, "agree on features %#x", e->features);
	if (file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

/* Gaps between the pages of the image. */
static int drop_missing(struct pstree *t, const struct pstree_item *it, const UserfaultfdRange *r)
{
	struct batch b = { .arena = t->arena };
	uint64_t at = r->start;

	for (size_t i = 0; i < it->nr_runs && at < r->end; i++) {
		uint64_t start = it->runs[i].vaddr, end = start + it->runs[i].pages * 4096;

		if (end <= at)
			continue;
		if (start > r->end)
			start = end = r->end;
		if (at < start)
			batch_add(&b, "drop pages", SYS_madvise, at, start - at, MADV_DONTNEED, 0,
				  0, 0);
		at = end;
	}
	if (at < r->end)
		batch_add(&b, "drop pages", SYS_madvise, at, r->end - at, MADV_DONTNEED, 0, 0, 0);
	return batch_run(engine_ctx(t), it->restore->remote, it->pid, &b);
}

static int userfaultfd_late(struct pstree *t, struct file_desc *d)
{
	const UserfaultfdEntry *e = entry(d);
	const struct pstree_item *it = pstree_find(t, (pid_t)e->pid);
	cleanup_close int fd = -1;

	if (!e->n_range || list_empty(&d->fles))
		return 0;
	fd = late_copy(d);
	if (fd < 0)
		return file_fail(d, -fd, "fetch it");
	for (size_t i = 0; i < e->n_range; i++) {
		const UserfaultfdRange *r = e->range[i];
		struct uffdio_register reg = { .range = { r->start, r->end - r->start },
					       .mode = UFFDIO_REGISTER_MODE_MISSING };

		if (drop_missing(t, it, r) < 0)
			return -1;
		if (ioctl(fd, UFFDIO_REGISTER, &reg) < 0)
			return file_fail(d, errno, "register memory at %#llx",
					 (unsigned long long)r->start);
	}
	return 0;
}

const struct file_desc_ops userfaultfd_desc_ops = {
	.open = userfaultfd_open,
	.prepare = userfaultfd_prepare,
	.late = userfaultfd_late,
};
