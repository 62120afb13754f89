/*
 * vma-files - mappings, executables and directories tied to the file table,
 * and shared anonymous memory opened. After dump_files().
 */
#include "dump/vmas.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "dump/files.h"
#include "kernel/smaps.h"

static int map_open(const struct pstree_item *it, const struct vma *v)
{
	char name[64];
	int fd;

	snprintf(name, sizeof(name), "map_files/%llx-%llx", (unsigned long long)v->e->start,
		 (unsigned long long)v->e->end);
	fd = openat(it->dump->proc_fd, name, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/*
 * Our own descriptor of a shared object, once. Without CAP_CHECKPOINT_RESTORE
 * it is read where it is mapped.
 */
static void shmem_open(struct pstree_item *it, const struct vma *v)
{
	struct shmem *s = v->shmem;
	struct stat st;

	if (s->fd >= 0)
		return;
	s->fd = map_open(it, v);
	if (s->fd >= 0 && fstat(s->fd, &st) == 0)
		s->size = (uint64_t)st.st_size;
}

/* The file of the mapping before: a program's segments lie side by side. */
struct last_file {
	struct file_desc *file;
	uint64_t group;
	uint32_t fdflags;
};

static int vma_file(struct dump_ctx *ctx, struct pstree_item *it, struct vma *v,
		    struct last_file *last)
{
	VmaEntry *e = v->e;

	if (!last->file || last->group != e->shmid || last->fdflags != e->fdflags)
		*last = (struct last_file){
			.file = dump_mapped_file(ctx, it, e->start, e->end, e->fdflags),
			.group = e->shmid,
			.fdflags = e->fdflags,
		};
	v->file = last->file;
	if (!v->file)
		return -EOPNOTSUPP;
	e->shmid = v->file->id;
	if (e->status & VMA_AREA_SOCKET)
		e->fdflags = O_RDWR;
	if (v->file->kind == FILE_KIND_memfd)
		e->status |= VMA_AREA_MEMFD;
	return 0;
}

static int fs_entry(struct dump_ctx *ctx, struct pstree_item *it)
{
	struct file_desc *cwd = dump_link_file(ctx, it, "cwd");
	struct file_desc *root = dump_link_file(ctx, it, "root");
	struct file_desc *exe = dump_link_file(ctx, it, "exe");

	if (!cwd || !root || !exe)
		return -EOPNOTSUPP;
	it->mm->exe_file_id = exe->id;
	if (!it->fs)
		return 0;
	it->fs->cwd_id = cwd->id;
	it->fs->root_id = root->id;
	return 0;
}

/* Nobody would supply its pages. */
static int check_supplied(struct dump_ctx *ctx, const struct pstree_item *it, const struct vma *v)
{
	if (!(v->vmflags & SMAPS_FLAG(um)) || file_seen(ctx, FILE_KIND_userfaultfd, 0))
		return 0;
	return fail(ctx->report, "memory-userfaultfd", EOPNOTSUPP,
		    "pid %d (%s): memory at %llx-%llx whose pages come by a userfaultfd that no "
		    "task of the tree has",
		    it->pid, it->dump->stat.comm, (unsigned long long)v->e->start,
		    (unsigned long long)v->e->end);
}

/**
 * dump_vma_files - the files that memory maps are made of
 * @ctx: the dump, after dump_vmas() and dump_files()
 *
 * Also the executable, the working and the root directory of each task.
 *
 * Return: 0, or -errno after every cause has been recorded.
 */
int dump_vma_files(struct dump_ctx *ctx)
{
	struct pstree_item *it;
	int bad = 0;

	list_for_each(it, &ctx->tree->items, list) {
		struct last_file last = { 0 };
		int ret = 0;

		if (!item_alive(it) || !it->mm)
			continue;
		for (size_t i = 0; i < it->nr_vmas; i++) {
			struct vma *v = &it->vmas[i];

			if (v->shmem)
				shmem_open(it, v);
			else if (v->e->status &
				 (VMA_FILE_PRIVATE | VMA_FILE_SHARED | VMA_AREA_SOCKET))
				ret = vma_file(ctx, it, v, &last);
			ret = check_supplied(ctx, it, v) ?: ret;
			bad = bad ? bad : ret;
		}
		ret = fs_entry(ctx, it);
		bad = bad ? bad : ret;
	}
	return bad;
}
