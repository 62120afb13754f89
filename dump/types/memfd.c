/*
 * memfd - dump. The description goes to files.img, the file behind it to
 * memfd.img, its content to the image of a shared memory object, which is
 * written with the others. The other half is restore/types/memfd.c.
 */
#include "dump/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/memfd.pb-c.h"

#define PREFIX "/memfd:"
#define DELETED " (deleted)"

struct memfd_seen {
	uint32_t id;
};

static int memfd_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return S_ISREG(fi->st.st_mode) && fi->st.st_nlink == 0 && fi->local >= 0 &&
	       !(fi->flags & O_PATH) && !strncmp(fi->link, PREFIX, sizeof(PREFIX) - 1) &&
	       fcntl(fi->local, F_GET_SEALS) >= 0;
}

static char *memfd_name(struct dump_ctx *ctx, const struct fd_info *fi)
{
	char *name = arena_strdup(ctx->arena, fi->link + sizeof(PREFIX) - 1);
	size_t len = strlen(name), cut = sizeof(DELETED) - 1;

	if (len >= cut && !strcmp(name + len - cut, DELETED))
		name[len - cut] = 0;
	return name;
}

static int dump_inode(struct dump_ctx *ctx, const struct fd_info *fi, uint32_t id)
{
	MemfdInodeEntry e = MEMFD_INODE_ENTRY__INIT;
	struct shmem *s;
	char path[32];
	int seals = fcntl(fi->local, F_GET_SEALS);

	e.name = memfd_name(ctx, fi);
	e.uid = fi->st.st_uid;
	e.gid = fi->st.st_gid;
	e.size = (uint64_t)fi->st.st_size;
	e.shmid = (uint32_t)fi->st.st_ino;
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
	struct memfd_seen *m = file_seen(ctx, FILE_KIND_memfd, fi->st.st_ino);
	MemfdFileEntry *e = (MemfdFileEntry *)d->msg;
	struct statfs fs;

	if (fi->st.st_dev != ctx->files->memfd_dev || fstatfs(fi->local, &fs) < 0 ||
	    fs.f_type != TMPFS_MAGIC)
		return file_blocker(ctx, fi, "memfd-hugetlb", EOPNOTSUPP,
				    "a memfd of huge pages: not supported by this version");
	e->pos = fi->fd >= 0 ? fi->pos : 0;
	if (!m) {
		int ret;

		m = arena_new_of(ctx->arena, struct memfd_seen);
		m->id = ++ctx->files->last_memfd;
		ret = dump_inode(ctx, fi, m->id);
		if (ret)
			return ret;
		file_see(ctx, FILE_KIND_memfd, fi->st.st_ino, m);
	}
	e->inode_id = m->id;
	return 0;
}

const struct file_dump_ops memfd_dump_ops = { .probe = memfd_probe, .dump = memfd_dump };
