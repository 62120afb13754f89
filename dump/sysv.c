/*
 * sysv - System V shared memory that tasks have attached: what the kernel
 * knows of each segment. Its content goes where that of all shared memory
 * goes. The other half is restore/sysv.c.
 */
#include "dump/vmas.h"

#include <errno.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>

#include "image/image.h"

static void fill_desc(IpcDescEntry *e, uint32_t id, const struct ipc_perm *p)
{
	e->id = id;
	e->key = (uint32_t)p->__key;
	e->uid = p->uid;
	e->gid = p->gid;
	e->cuid = p->cuid;
	e->cgid = p->cgid;
	e->mode = p->mode;
}

/**
 * sysv_describe - what is known of a segment
 * @ctx: the dump
 * @shm: the segment
 * @page: bytes of its pages
 *
 * Return: 0; -EEXIST: its number is that of other shared memory, too; another
 * -errno. Not recorded.
 */
int sysv_describe(struct dump_ctx *ctx, struct shmem *shm, uint64_t page)
{
	IpcShmEntry *e = arena_new_of(ctx->arena, IpcShmEntry);
	struct shmid_ds ds;

	if (shm->size)
		return shm->sysv ? 0 : -EEXIST;
	if (shmctl((int)shm->shmid, IPC_STAT, &ds) < 0)
		return -errno;
	ipc_shm_entry__init(e);
	e->desc = arena_new_of(ctx->arena, IpcDescEntry);
	ipc_desc_entry__init(e->desc);
	fill_desc(e->desc, (uint32_t)shm->shmid, &ds.shm_perm);
	e->size = ds.shm_segsz;
	e->has_in_pagemaps = e->in_pagemaps = 1;
	if (page > 4096) {
		e->has_hugetlb_flag = 1;
		e->hugetlb_flag = (uint32_t)SHM_HUGETLB | (uint32_t)__builtin_ctzll(page)
								  << MAP_HUGE_SHIFT;
	}
	shm->sysv = e;
	shm->size = (ds.shm_segsz + page - 1) & ~(page - 1);
	return 0;
}

/**
 * sysv_write - the image of all segments, if there are any
 * @ctx: the dump
 *
 * Return: 0 or -errno, recorded.
 */
int sysv_write(struct dump_ctx *ctx)
{
	struct image_writer *w = NULL;
	struct shmem *s;
	int ret = 0, end;

	list_for_each(s, &ctx->tree->shmems, list) {
		if (!s->sysv || ret)
			continue;
		if (!w)
			ret = image_create(&w, ctx->images, IMAGE_IPCNS_SHM,
					   ctx->tree->root->ids->ipc_ns_id);
		if (!ret)
			ret = image_put(w, &s->sysv->base);
	}
	end = w ? image_finish(&w) : 0;
	return ret ? ret : end;
}
