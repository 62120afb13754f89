/*
 * sysv - System V shared memory. A segment that is still there, under its id
 * and its key, is the one: if nobody has it attached its content is that of
 * the image again, else it stays as it is. Otherwise the tool makes it, under
 * its id, and removes it if the restore fails. Tasks attach it by remote
 * calls; one that was to go with its last user is marked so after that. The
 * other half is dump/sysv.c.
 */
#include "restore/sysv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

static int sysv_fail(struct restore_ctx *ctx, const IpcShmEntry *e, int err, const char *what)
{
	return fail(ctx->report, "sysv-segment", err,
		    "System V shared memory %u, key %#x, %llu bytes: %s", e->desc->id, e->desc->key,
		    (unsigned long long)e->size, what);
}

/* The creator is whoever makes it, and cannot be set. */
static int make_as(const IpcDescEntry *d, size_t size, int flags)
{
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;
	int id, err;

	if (getresuid(&ruid, &euid, &suid) < 0 || getresgid(&rgid, &egid, &sgid) < 0)
		return -errno;
	if ((egid != d->cgid && syscall(SYS_setresgid, -1, d->cgid, -1) < 0) ||
	    (euid != d->cuid && syscall(SYS_setresuid, -1, d->cuid, -1) < 0))
		return -errno;
	id = shmget((key_t)d->key, size, flags);
	err = errno;
	if ((euid != d->cuid && syscall(SYS_setresuid, -1, euid, -1) < 0) ||
	    (egid != d->cgid && syscall(SYS_setresgid, -1, egid, -1) < 0))
		return -errno;
	return id < 0 ? -err : id;
}

static int want_id(uint32_t id)
{
	cleanup_close int fd = open("/proc/sys/kernel/shm_next_id", O_WRONLY | O_CLOEXEC);
	char text[16];
	int n = snprintf(text, sizeof(text), "%u", id);

	return fd < 0 ? -errno : write_all(fd, text, (size_t)n);
}

static int make_segment(struct restore_ctx *ctx, struct shmem *s)
{
	const IpcShmEntry *e = s->sysv;
	const IpcDescEntry *d = e->desc;
	int flags = (int)(d->mode & 0777) | IPC_CREAT | IPC_EXCL |
		    (int)(e->has_hugetlb_flag ? e->hugetlb_flag : 0);
	struct shmid_ds ds;
	int id = want_id(d->id);

	if (id < 0)
		return sysv_fail(ctx, e, -id, "write its id to /proc/sys/kernel/shm_next_id");
	id = make_as(d, e->size, flags);
	if (id < 0)
		return sysv_fail(ctx, e, -id, "shmget()");
	if ((uint32_t)id != d->id) {
		shmctl(id, IPC_RMID, NULL);
		return sysv_fail(ctx, e, EEXIST, "its id is in use, or was not granted");
	}
	if (shmctl(id, IPC_STAT, &ds) < 0)
		return sysv_fail(ctx, e, errno, "IPC_STAT");
	ds.shm_perm.uid = d->uid;
	ds.shm_perm.gid = d->gid;
	ds.shm_perm.mode = d->mode & 0777;
	if (shmctl(id, IPC_SET, &ds) < 0)
		return sysv_fail(ctx, e, errno, "IPC_SET");
	if (d->mode & SHM_LOCKED && shmctl(id, SHM_LOCK, NULL) < 0)
		return sysv_fail(ctx, e, errno, "SHM_LOCK");
	return 0;
}

/* The file behind the segment, through a mapping of our own. */
static int open_segment(struct restore_ctx *ctx, struct shmem *s)
{
	void *at = shmat((int)s->shmid, NULL, 0);
	char path[64];
	int fd;

	if (at == (void *)-1)
		return sysv_fail(ctx, s->sysv, errno, "shmat()");
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (unsigned long)at,
		 (unsigned long)at + s->size);
	fd = open(path, O_RDWR | O_CLOEXEC);
	s->fd = fd;
	if (fd < 0)
		sysv_fail(ctx, s->sysv, errno, "open it through /proc/self/map_files");
	shmdt(at);
	return fd < 0 ? -EIO : 0;
}

/**
 * sysv_open - have a segment, and a descriptor of what is in it
 * @ctx: the run; nothing is forked yet
 * @s: the segment; without runs of pages if it must not be filled
 *
 * Return: 0 or -errno, recorded.
 */
int sysv_open(struct restore_ctx *ctx, struct shmem *s)
{
	const IpcDescEntry *d = s->sysv->desc;
	uint64_t page = s->huge ?: 4096;
	struct shmid_ds ds;
	int ret = 0;

	s->size = (s->sysv->size + page - 1) & ~(page - 1);
	if (shmctl((int)d->id, IPC_STAT, &ds) < 0)
		ret = make_segment(ctx, s);
	else if ((uint32_t)ds.shm_perm.__key != d->key || ds.shm_segsz != s->sysv->size)
		return sysv_fail(ctx, s->sysv, EEXIST, "another segment has its id");
	else if (ds.shm_nattch)
		s->nr_runs = 0;
	return ret < 0 ? ret : open_segment(ctx, s);
}

static unsigned long attached_at(const struct vma *v)
{
	return v->e->start - v->e->pgoff;
}

static bool same_attach(const struct vma *v, const struct vma *w)
{
	return w->e->status & VMA_AREA_SYSVIPC && w->shmem == v->shmem &&
	       attached_at(w) == attached_at(v);
}

/* What is left of the attachment of @v, and how it is protected. */
static void add_pieces(struct batch *b, const struct pstree_item *it, const struct vma *v)
{
	unsigned long at = attached_at(v), to = at + v->shmem->size;

	for (size_t i = 0; i < it->nr_vmas; i++) {
		const VmaEntry *e = it->vmas[i].e;

		if (!same_attach(v, &it->vmas[i]))
			continue;
		if (at < e->start)
			batch_add(b, "munmap", SYS_munmap, at, e->start - at, 0, 0, 0, 0);
		batch_add(b, "mprotect", SYS_mprotect, e->start, e->end - e->start, e->prot, 0, 0,
			  0);
		at = e->end;
	}
	if (at < to)
		batch_add(b, "munmap", SYS_munmap, at, to - at, 0, 0, 0, 0);
}

static void attach(struct batch *b, const struct pstree_item *it, size_t first, bool holes)
{
	const struct vma *v = &it->vmas[first];
	int flags = SHM_REMAP | SHM_RDONLY;
	uint64_t mapped = 0;

	for (size_t i = 0; i < first; i++)
		if (same_attach(v, &it->vmas[i]))
			return;
	for (size_t i = first; i < it->nr_vmas; i++) {
		const VmaEntry *e = it->vmas[i].e;

		if (!same_attach(v, &it->vmas[i]))
			continue;
		if (e->has_fdflags ? (e->fdflags & O_ACCMODE) == O_RDWR : e->prot & PROT_WRITE)
			flags &= ~SHM_RDONLY;
		flags |= e->prot & PROT_EXEC ? SHM_EXEC : 0;
		mapped += e->end - e->start;
	}
	if (holes != (mapped < v->shmem->size))
		return;
	batch_add(b, "shmat", SYS_shmat, v->shmem->sysv->desc->id, attached_at(v),
		  (unsigned long)flags, 0, 0, 0);
	add_pieces(b, it, v);
}

/**
 * sysv_attach - remote calls that attach segments where a task had them
 * @b: the batch; nothing else is mapped yet
 * @it: the task
 *
 * What was protected, locked or advised in part is several mappings of one attachment; parts may
 * be unmapped, and others have come there. The kernel places downwards, so what fills a hole is
 * lower than what has it, or fits.
 */
void sysv_attach(struct batch *b, const struct pstree_item *it)
{
	for (size_t i = it->nr_vmas; i-- > 0;)
		if (it->vmas[i].e->status & VMA_AREA_SYSVIPC)
			attach(b, it, i, true);
	for (size_t i = 0; i < it->nr_vmas; i++)
		if (it->vmas[i].e->status & VMA_AREA_SYSVIPC)
			attach(b, it, i, false);
}

/**
 * sysv_settle - segments that were to go with their last user
 * @ctx: the run; every task has attached what it had
 *
 * Return: 0 or -errno, recorded.
 */
int sysv_settle(struct restore_ctx *ctx)
{
	struct shmem *s;

	list_for_each(s, &ctx->tree->shmems, list)
		if (s->sysv && s->sysv->desc->mode & SHM_DEST && s->fd >= 0 &&
		    shmctl((int)s->shmid, IPC_RMID, NULL) < 0)
			return sysv_fail(ctx, s->sysv, errno, "IPC_RMID");
	return 0;
}

/**
 * sysv_undo - a restore has failed: the segments that it made go
 * @ctx: the run; also called by the guardian, when the tool is gone
 */
void sysv_undo(struct restore_ctx *ctx)
{
	struct shmid_ds ds;
	struct shmem *s;

	list_for_each(s, &ctx->tree->shmems, list)
		if (s->sysv && shmctl((int)s->shmid, IPC_STAT, &ds) == 0 &&
		    ds.shm_cpid == ctx->tool)
			shmctl((int)s->shmid, IPC_RMID, NULL);
}
