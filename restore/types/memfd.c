/*
 * memfd - restore. The tool makes the file before the first fork; it is
 * filled with the other shared memory, and opened through the tool's
 * descriptor. Seals come last, when it is mapped everywhere. The
 * other half is dump/types/memfd.c.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/memfd.pb-c.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4u
#endif

#ifndef MFD_EXEC
#define MFD_EXEC 0x10
#endif

#define HUGE_DEFAULT 21 /* the shift of a size that is not told */

struct memfd_inode {
	const MemfdInodeEntry *e;
	struct shmem *shmem;     /* has the tool's descriptor */
	struct file_desc *first; /* the description that is the tool's own, or NULL */
};

struct memfd_priv {
	struct memfd_inode *inode;
};

/* The other way in which images have MAP_SHARED | MAP_ANONYMOUS memory. */
static bool is_anonymous(const MemfdInodeEntry *e)
{
	return !strncmp(e->name, "/dev/zero", 9) || !strncmp(e->name, "/anon_hugepage", 14);
}

static int each_inode(const struct pstree *t, struct image_reader *r, const ProtobufCMessage *m)
{
	struct memfd_inode *i = arena_new_of(t->arena, struct memfd_inode);

	(void)r;
	i->e = (const MemfdInodeEntry *)m;
	rfile_see(t, FILE_KIND_memfd, i->e->inode_id, i);
	return 0;
}

static int make_inode(struct pstree *t, struct file_desc *d, struct memfd_inode *i)
{
	const MemfdInodeEntry *e = i->e;
	uint32_t huge = e->has_hugetlb_flag ? e->hugetlb_flag : 0;
	unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING | huge;
	cleanup_close int fd = -1;

	if (huge && (!(huge & MFD_HUGETLB) ||
		     huge & ~(MFD_HUGETLB | (uint32_t)MAP_HUGE_MASK << MAP_HUGE_SHIFT))) {
		file_fail(d, EBADMSG, "hugetlb flags %#x", huge);
		return -EBADMSG;
	}
	i->shmem = pstree_shmem(t, e->shmid);
	i->shmem->huge = huge ? 1ull << (huge >> MAP_HUGE_SHIFT ?: HUGE_DEFAULT) : 0;
	if (is_anonymous(e))
		return 0;
	fd = memfd_create(e->name, flags | MFD_EXEC);
	if (fd < 0 && errno == EINVAL)
		fd = memfd_create(e->name, flags);
	if (fd < 0 || ftruncate(fd, (off_t)e->size) < 0 || fchown(fd, e->uid, e->gid) < 0 ||
	    (e->has_mode && fchmod(fd, e->mode & 07777) < 0)) {
		int err = errno;

		file_fail(d, err, "make the memfd %s of %llu bytes", e->name,
			  (unsigned long long)e->size);
		return -err;
	}
	i->shmem->fd = take_fd(&fd);
	file_keep(t, &i->shmem->fd);
	return 0;
}

/*
 * The file is born open for writing without counting as such, as execve(2)
 * sees it; an open file that is made from it counts. So the description that
 * memfd_create(2) made goes to one that may well be it.
 */
static void choose_first(struct file_desc *d, struct memfd_inode *i)
{
	const MemfdFileEntry *e = file_desc_entry(d);

	if (!i->first && !is_anonymous(i->e) && (e->flags & O_ACCMODE) == O_RDWR &&
	    !list_empty(&d->fles))
		i->first = d;
}

static int memfd_prepare(struct pstree *t, struct file_desc *d)
{
	const MemfdFileEntry *e = file_desc_entry(d);
	struct memfd_priv *p = file_desc_priv(d);
	int ret = file_side_load(t, IMAGE_MEMFD_INODE, &memfd_inode_entry__descriptor, each_inode);

	if (ret)
		return ret;
	p->inode = rfile_seen(t, FILE_KIND_memfd, e->inode_id);
	if (!p->inode) {
		file_fail(d, EBADMSG, "memfd.img has no inode %u", e->inode_id);
		return -EBADMSG;
	}
	choose_first(d, p->inode);
	return p->inode->shmem ? 0 : make_inode(t, d, p->inode);
}

static int seal(struct file_desc *d, int fd, const MemfdInodeEntry *e)
{
	int now = fcntl(fd, F_GET_SEALS);

	if (is_anonymous(e) || (now >= 0 && (uint32_t)now == e->seals))
		return 0;
	if (fcntl(fd, F_ADD_SEALS, (int)e->seals) < 0)
		return file_fail(d, errno, "F_ADD_SEALS %#x", e->seals);
	return 0;
}

/* Some seals would keep it from being mapped as it was. */
static int memfd_late(struct pstree *t, struct file_desc *d)
{
	const struct memfd_priv *p = file_desc_priv(d);

	(void)t;
	return p->inode && p->inode->shmem->fd >= 0 ? seal(d, p->inode->shmem->fd, p->inode->e) : 0;
}

static int open_again(const struct memfd_inode *i, int flags)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", i->shmem->fd);
	fd = open(path, (flags & ~(O_CREAT | O_EXCL | O_TRUNC)) | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_own(const struct memfd_inode *i)
{
	int fd = fcntl(i->shmem->fd, F_DUPFD_CLOEXEC, 0);

	return fd < 0 ? -errno : fd;
}

/**
 * memfd_open_inode - open the file of a description
 * @d: the description, a memfd
 * @flags: for open(2)
 *
 * Return: a descriptor for mapping, close-on-exec, or -errno, not recorded.
 */
int memfd_open_inode(struct file_desc *d, int flags)
{
	const struct memfd_priv *p = file_desc_priv(d);

	/* Mapped as if it could be written, it could not be sealed. */
	if (p->inode->e->seals & F_SEAL_WRITE)
		flags = (flags & ~O_ACCMODE) | O_RDONLY;
	if ((flags & O_ACCMODE) != O_RDWR || is_anonymous(p->inode->e))
		return open_again(p->inode, flags);
	return open_own(p->inode);
}

static int memfd_open(struct file_desc *d, int *new_fd)
{
	const MemfdFileEntry *e = file_desc_entry(d);
	struct memfd_priv *p = file_desc_priv(d);
	cleanup_close int fd =
		p->inode->first == d ? open_own(p->inode) : open_again(p->inode, (int)e->flags);

	if (fd < 0)
		return file_fail(d, -fd, "open with flags %#o", e->flags);
	if (e->pos && lseek(fd, (off_t)e->pos, SEEK_SET) < 0)
		return file_fail(d, errno, "seek to %llu", (unsigned long long)e->pos);
	if (file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

static bool memfd_key(struct pstree *t, const struct file_desc *d, char *buf, size_t size)
{
	const MemfdFileEntry *e = file_desc_entry(d);
	const struct memfd_inode *i;

	if (file_side_load(t, IMAGE_MEMFD_INODE, &memfd_inode_entry__descriptor, each_inode))
		return false;
	i = rfile_seen(t, FILE_KIND_memfd, e->inode_id);
	return i && snprintf(buf, size, "/memfd:%s", i->e->name) < (int)size;
}

const struct file_desc_ops memfd_desc_ops = {
	.open = memfd_open,
	.key = memfd_key,
	.late = memfd_late,
	.prepare = memfd_prepare,
	.priv_size = sizeof(struct memfd_priv),
};
