/*
 * save - the model to images: who there is, what each task is, its memory's
 * layout, its descriptors, and every open file. Pages are in their files
 * already. Images of single file types are their owners'.
 */
#include "image/dir.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "model/file_desc.h"
#include "model/pstree.h"

#include "proto/fdinfo.pb-c.h"
#include "proto/ids.pb-c.h"
#include "proto/pagemap.pb-c.h"
#include "proto/pstree.pb-c.h"

#define PAGE_BYTES 4096u

/* An image of one message. */
static int save_one(struct image_dir *d, enum image_kind k, uint64_t id, const ProtobufCMessage *m)
{
	struct image_writer *w;
	int ret = image_create(&w, d, k, id), end;

	if (ret)
		return ret;
	ret = image_put(w, m);
	end = image_finish(&w);
	return ret ? ret : end;
}

static int put_item(struct image_writer *w, const struct pstree_item *it)
{
	PstreeEntry e = PSTREE_ENTRY__INIT;
	uint32_t *tids = calloc(it->nr_threads + 1, sizeof(*tids));
	int ret;

	if (!tids)
		abort();
	e.pid = (uint32_t)it->pid;
	e.ppid = it->parent ? (uint32_t)it->parent->pid : 0;
	e.pgid = (uint32_t)it->pgid;
	e.sid = (uint32_t)it->sid;
	for (size_t i = 0; i < it->nr_threads; i++)
		tids[i] = (uint32_t)it->threads[i].tid;
	e.threads = tids;
	e.n_threads = it->nr_threads;
	ret = image_put(w, &e.base);
	free(tids);
	return ret;
}

static int save_pstree(struct image_dir *d, struct pstree *t)
{
	struct pstree_item *it;
	struct image_writer *w;
	int ret = image_create(&w, d, IMAGE_PSTREE, 0), end;

	if (ret)
		return ret;
	list_for_each(it, &t->items, list) {
		ret = put_item(w, it);
		if (ret)
			break;
	}
	end = image_finish(&w);
	return ret ? ret : end;
}

static int save_mm(struct image_dir *d, const struct pstree_item *it)
{
	VmaEntry **vmas = calloc(it->nr_vmas + 1, sizeof(struct VmaEntry *));
	MmEntry mm = *it->mm;
	int ret;

	if (!vmas)
		abort();
	for (size_t i = 0; i < it->nr_vmas; i++)
		vmas[i] = it->vmas[i].e;
	mm.vmas = vmas;
	mm.n_vmas = it->nr_vmas;
	ret = save_one(d, IMAGE_MM, (uint64_t)it->pid, &mm.base);
	free(vmas);
	return ret;
}

static int put_run(struct image_dir *d, struct image_writer *w, const struct page_run *run,
		   uint64_t offset)
{
	PagemapEntry e = PAGEMAP_ENTRY__INIT;

	/* The format has no offsets: pages lie in the order of their entries. */
	if (run->offset != offset || run->vaddr % PAGE_BYTES || !run->pages)
		return fail(d->report, "image-pages", EINVAL,
			    "pagemap: %llu pages at %#llx are at offset %#llx, not at %#llx",
			    (unsigned long long)run->pages, (unsigned long long)run->vaddr,
			    (unsigned long long)run->offset, (unsigned long long)offset);
	e.vaddr = run->vaddr;
	/* Readers older than nr_pages know only this one. */
	e.compat_nr_pages = run->pages > UINT32_MAX ? 0 : (uint32_t)run->pages;
	e.has_nr_pages = 1;
	e.nr_pages = run->pages;
	e.has_flags = 1;
	e.flags = run->flags | PE_PRESENT;
	return image_put(w, &e.base);
}

static int save_pagemap(struct image_dir *d, enum image_kind k, uint64_t id, uint32_t pages_id,
			const struct page_run *runs, size_t n)
{
	PagemapHead head = PAGEMAP_HEAD__INIT;
	struct image_writer *w;
	uint64_t offset = 0;
	int ret = image_create(&w, d, k, id), end;

	if (ret)
		return ret;
	head.pages_id = pages_id;
	ret = image_put(w, &head.base);
	for (size_t i = 0; i < n && !ret; i++) {
		ret = put_run(d, w, &runs[i], offset);
		offset += runs[i].pages * PAGE_BYTES;
	}
	end = image_finish(&w);
	return ret ? ret : end;
}

static int save_item(struct image_dir *d, const struct pstree_item *it)
{
	uint64_t pid = (uint64_t)it->pid;
	int ret = 0;

	for (size_t i = 0; i < it->nr_threads && !ret; i++)
		ret = save_one(d, IMAGE_CORE, (uint64_t)it->threads[i].tid,
			       &it->threads[i].core->base);
	if (ret || !item_alive(it))
		return ret;
	ret = save_one(d, IMAGE_IDS, pid, &it->ids->base);
	if (!ret)
		ret = save_one(d, IMAGE_FS, pid, &it->fs->base);
	if (!ret)
		ret = save_mm(d, it);
	if (!ret)
		ret = save_pagemap(d, IMAGE_PAGEMAP, pid, it->pages_id, it->runs, it->nr_runs);
	return ret;
}

static int save_table(struct image_dir *d, const struct filedesc *fdt)
{
	const struct fdinfo_list_entry *fle;
	struct image_writer *w;
	int ret = image_create(&w, d, IMAGE_FDINFO, fdt->id), end;

	if (ret)
		return ret;
	list_for_each(fle, &fdt->fles, in_table) {
		FdinfoEntry e = FDINFO_ENTRY__INIT;

		if (fle->fake)
			continue;
		e.id = fle->desc->id;
		e.flags = fle->fdflags;
		e.type = file_types[fle->desc->kind].fd_type;
		e.fd = (uint32_t)fle->fd;
		ret = image_put(w, &e.base);
		if (ret)
			break;
	}
	end = image_finish(&w);
	return ret ? ret : end;
}

static int put_file(struct image_writer *w, const struct file_desc *desc)
{
	const struct file_type *type = &file_types[desc->kind];
	FileEntry e = FILE_ENTRY__INIT;

	e.type = type->fd_type;
	e.id = desc->id;
	*(ProtobufCMessage **)((char *)&e + type->field) = desc->msg;
	return image_put(w, &e.base);
}

/* A type that only we have: others see a file that somebody else is to bring. */
static int put_own_file(struct image_writer *w, const struct file_desc *desc)
{
	ExtFileEntry ext = EXT_FILE_ENTRY__INIT;
	FownEntry fown = FOWN_ENTRY__INIT;
	FileEntry e = FILE_ENTRY__INIT;
	int ret;

	ext.id = e.id = desc->id;
	ext.fown = &fown;
	ext.kind = (char *)file_types[desc->kind].name;
	ext.has_message = 1;
	ext.message.len = protobuf_c_message_get_packed_size(desc->msg);
	ext.message.data = malloc(ext.message.len + 1);
	if (!ext.message.data)
		return -ENOMEM;
	protobuf_c_message_pack(desc->msg, ext.message.data);
	e.type = FD_TYPES__EXT;
	e.ext = &ext;
	ret = image_put(w, &e.base);
	free(ext.message.data);
	return ret;
}

static int save_files(struct image_dir *d, const struct pstree *t)
{
	const struct file_desc *desc;
	struct image_writer *w;
	int ret = image_create(&w, d, IMAGE_FILES, 0), end;

	if (ret)
		return ret;
	list_for_each(desc, &t->files.descs, list) {
		ret = file_types[desc->kind].fd_type == FD_TYPES__EXT ? put_own_file(w, desc)
								      : put_file(w, desc);
		if (ret)
			break;
	}
	end = image_finish(&w);
	return ret ? ret : end;
}

static int save_locks(struct image_dir *d, const struct pstree *t)
{
	struct image_writer *w;
	int ret, end;

	if (!t->nr_locks)
		return 0;
	ret = image_create(&w, d, IMAGE_FILE_LOCKS, 0);
	if (ret)
		return ret;
	for (size_t i = 0; i < t->nr_locks && !ret; i++)
		ret = image_put(w, &t->locks[i].e->base);
	end = image_finish(&w);
	return ret ? ret : end;
}

/**
 * image_save_tree - write a tree to images
 * @d: the directory; pages files are its caller's, the inventory image_commit()'s
 * @t: the tree
 *
 * Return: 0, or -errno recorded.
 */
int image_save_tree(struct image_dir *d, struct pstree *t)
{
	const struct pstree_item *it;
	const struct filedesc *fdt;
	const struct shmem *shm;
	int ret = save_pstree(d, t);

	list_for_each(it, &t->items, list)
		if (!ret)
			ret = save_item(d, it);
	list_for_each(shm, &t->shmems, list)
		if (!ret)
			ret = save_pagemap(d, IMAGE_PAGEMAP_SHMEM, shm->shmid, shm->pages_id,
					   shm->runs, shm->nr_runs);
	list_for_each(fdt, &t->files.tables, list)
		if (!ret)
			ret = save_table(d, fdt);
	if (!ret)
		ret = save_files(d, t);
	return ret ? ret : save_locks(d, t);
}
