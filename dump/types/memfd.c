/*
 * memfd - dump. The description goes to files.img, the file behind it to
 * memfd.img, its content to the image of a shared memory object, which is
 * written with the others. The other half is restore/types/memfd.c.
 *
 * Shared anonymous memory that is held by a descriptor, or mapped privately,
 * is such a file too, and so is that of huge pages.
 */
#include "dump/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/memfd.pb-c.h"

#ifndef MFD_HUGETLB
#define MFD_HUGETLB 4u
#endif

#define PREFIX "/memfd:"
#define DELETED " (deleted)"

struct memfd_seen {
	uint32_t id;
};

/* Where memfds are, and shared memory that has no name. */
static dev_t memfd_device(struct dump_files *f)
{
	cleanup_close int mem = -1;
	struct stat st;

	if (f->memfd_dev)
		return f->memfd_dev;
	mem = memfd_create("probe", MFD_CLOEXEC);
	f->memfd_dev = mem >= 0 && fstat(mem, &st) == 0 ? st.st_dev : 0;
	return f->memfd_dev;
}

static bool is_named(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	if (!strncmp(fi->link, PREFIX, sizeof(PREFIX) - 1))
		return true;
	if (!strcmp(fi->link, "/dev/zero" DELETED))
		return fi->st.st_dev == memfd_device(ctx->files);
	return !strcmp(fi->link, "/anon_hugepage" DELETED);
}

static int memfd_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return S_ISREG(fi->st.st_mode) && fi->st.st_nlink == 0 && fi->local >= 0 &&
	       !(fi->flags & O_PATH) && is_named(ctx, fi) && fcntl(fi->local, F_GET_SEALS) >= 0;
}

static char *memfd_name(struct dump_ctx *ctx, const struct fd_info *fi)
{
	bool anonymous = strncmp(fi->link, PREFIX, sizeof(PREFIX) - 1) != 0;
	char *name = arena_strdup(ctx->arena, fi->link + (anonymous ? 0 : sizeof(PREFIX) - 1));
	size_t len = strlen(name), cut = sizeof(DELETED) - 1;

	if (len >= cut && !strcmp(name + len - cut, DELETED))
		name[len - cut] = 0;
	return name;
}

/* The flags of memfd_create(2) for pages of another size; 0: none, or -errno. */
static int huge_flags(const struct fd_info *fi)
{
	struct statfs fs;

	if (fstatfs(fi->local, &fs) < 0)
		return -errno;
	if (fs.f_type != HUGETLBFS_MAGIC)
		return fs.f_type == TMPFS_MAGIC ? 0 : -EOPNOTSUPP;
	return (int)(MFD_HUGETLB | (uint32_t)__builtin_ctzl((unsigned long)fs.f_bsize)
					   << MAP_HUGE_SHIFT);
}

static int dump_inode(struct dump_ctx *ctx, const struct fd_info *fi, uint32_t id)
{
	MemfdInodeEntry e = MEMFD_INODE_ENTRY__INIT;
	struct shmem *s;
	char path[32];
	int seals = fcntl(fi->local, F_GET_SEALS), huge = huge_flags(fi);

	if (huge < 0)
		return file_blocker(ctx, fi, "memfd-read", -huge, "a memfd of an unknown kind");
	e.has_hugetlb_flag = huge != 0;
	e.hugetlb_flag = (uint32_t)huge;
	e.name = memfd_name(ctx, fi);
	e.uid = fi->st.st_uid;
	e.gid = fi->st.st_gid;
	e.size = (uint64_t)fi->st.st_size;
	/* hugetlbfs counts inodes for itself, so that its numbers may be those of others. */
	e.shmid = (uint32_t)fi->st.st_ino | (huge ? 1u << 31 : 0);
	e.seals = (uint32_t)seals;
	e.inode_id = id;
	e.has_mode = 1;
	e.mode = fi->st.st_mode;
	s = pstree_shmem(ctx->tree, e.shmid);
	s->size = e.size;
	if (s->fd < 0) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fi->local);
		s->fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (s->fd < 0)
		return file_blocker(ctx, fi, "memfd-read", errno, "open it for reading");
	return file_side_put(ctx, IMAGE_MEMFD_INODE, &e.base, NULL, 0);
}

static int memfd_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	const uint64_t key = fi->st.st_ino ^ (uint64_t)fi->st.st_dev << 32;
	struct memfd_seen *m = file_seen(ctx, FILE_KIND_memfd, key);
	MemfdFileEntry *e = (MemfdFileEntry *)d->msg;

	e->pos = fi->fd >= 0 ? fi->pos : 0;
	if (!m) {
		int ret;

		m = arena_new_of(ctx->arena, struct memfd_seen);
		m->id = ++ctx->files->last_memfd;
		ret = dump_inode(ctx, fi, m->id);
		if (ret)
			return ret;
		file_see(ctx, FILE_KIND_memfd, key, m);
	}
	e->inode_id = m->id;
	return 0;
}

const struct file_dump_ops memfd_dump_ops = { .probe = memfd_probe, .dump = memfd_dump };
