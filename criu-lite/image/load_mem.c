/*
 * load_mem - mappings and where their pages are. Mappings ascend, do not
 * overlap and lie in user space; runs of pages lie in mappings and in the
 * pages file. Pages themselves stay where they are.
 */
#include "image/load.h"

#include <errno.h>
#include <unistd.h>

#include "base/fd.h"

#include "proto/memfd.pb-c.h"
#include "proto/pagemap.pb-c.h"

/* Bits of VmaEntry.status that say how a mapping is made; all that are known. */
#define STATUS_KNOWN                                                                              \
	(VMA_AREA_REGULAR | VMA_AREA_STACK | VMA_AREA_VSYSCALL | VMA_AREA_VDSO | VMA_AREA_HEAP |  \
	 VMA_FILE_PRIVATE | VMA_FILE_SHARED | VMA_ANON_SHARED | VMA_ANON_PRIVATE |                \
	 VMA_AREA_SYSVIPC | VMA_AREA_SOCKET | VMA_AREA_VVAR | VMA_AREA_AIORING | VMA_AREA_MEMFD | \
	 VMA_AREA_SHSTK | VMA_AREA_UPROBES)

static int bad_vma(struct loader *l, const struct pstree_item *it, const VmaEntry *e, int err,
		   const char *what)
{
	return fail(l->report, "image-vma", err, "mm-%d.img: mapping %llx-%llx (status %#x): %s",
		    it->pid, (unsigned long long)e->start, (unsigned long long)e->end, e->status,
		    what);
}

/* The segment's own entry is in the image of its ipc namespace. */
static int load_sysv(struct loader *l, struct pstree_item *it, struct vma *v)
{
	const VmaEntry *e = v->e;

	v->shmem = pstree_shmem(l->t, e->shmid);
	if (!v->shmem->sysv || e->pgoff > v->shmem->size ||
	    e->end - e->start > v->shmem->size - e->pgoff || e->start < e->pgoff)
		return bad_vma(l, it, e, EBADMSG, "its segment is not in ipcns-shm.img as it is");
	return 0;
}

/**
 * load_segments - the System V shared memory of the tree
 * @l: the loader; mappings are not loaded yet
 *
 * Return: 0 or -errno, recorded.
 */
int load_segments(struct loader *l)
{
	const TaskKobjIdsEntry *ids = l->t->inventory->root_ids;
	struct image_reader *r;
	ProtobufCMessage *m;
	int ret = ids && ids->has_ipc_ns_id
			  ? image_open_in(&r, l->d, l->a, IMAGE_IPCNS_SHM, ids->ipc_ns_id)
			  : -ENOENT;

	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = image_get(r, &ipc_shm_entry__descriptor, &m)) > 0) {
		IpcShmEntry *e = (IpcShmEntry *)m;
		uint32_t huge = e->has_hugetlb_flag ? e->hugetlb_flag : 0;
		struct shmem *s = pstree_shmem(l->t, e->desc->id);

		if (s->sysv || e->size > INT64_MAX / 2 || !e->in_pagemaps || huge >> 26 > 40) {
			ret = fail(l->report, "image-vma", EBADMSG,
				   "ipcns-shm-%u.img: segment %u, %llu bytes, is there twice, or "
				   "not in a form that is known",
				   ids->ipc_ns_id, e->desc->id, (unsigned long long)e->size);
			break;
		}
		s->sysv = e;
		s->huge = huge ? 1ull << (huge >> 26 ?: 21) : 0;
		s->size = (e->size + (s->huge ?: PAGE_BYTES) - 1) & ~((s->huge ?: PAGE_BYTES) - 1);
	}
	image_close(&r);
	return ret;
}

/* What a mapping shows: a file, a shared object, or nothing but its own pages. */
static int load_vma_object(struct loader *l, struct pstree_item *it, struct vma *v)
{
	const VmaEntry *e = v->e;
	uint64_t len = e->end - e->start;

	if (e->status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED | VMA_AREA_SOCKET) &&
	    !(e->status & VMA_AREA_SYSVIPC)) {
		v->file = e->shmid > UINT32_MAX ? NULL : file_desc_find(l->t, (uint32_t)e->shmid);
		if (!v->file)
			return bad_vma(l, it, e, EBADMSG, "its file is not in files.img");
	} else if (e->status & VMA_AREA_SYSVIPC) {
		return load_sysv(l, it, v);
	} else if (e->status & VMA_ANON_SHARED) {
		v->shmem = pstree_shmem(l->t, e->shmid);
		if (v->shmem->size < e->pgoff + len)
			v->shmem->size = e->pgoff + len;
	}
	return 0;
}

static int load_vma(struct loader *l, struct pstree_item *it, struct vma *v, uint64_t *end)
{
	const VmaEntry *e = v->e;
	uint64_t last;

	if (e->start % PAGE_BYTES || e->end % PAGE_BYTES || e->start >= e->end)
		return bad_vma(l, it, e, EBADMSG, "no such range of pages");
	if (e->start < *end)
		return bad_vma(l, it, e, EBADMSG, "overlaps the one before, or is out of order");
	if (e->end > USER_END && !(e->status & VMA_AREA_VSYSCALL))
		return bad_vma(l, it, e, EBADMSG, "outside user space");
	if (e->status & ~(uint32_t)STATUS_KNOWN)
		return bad_vma(l, it, e, EOPNOTSUPP, "of an unknown kind");
	if (e->pgoff % PAGE_BYTES || __builtin_add_overflow(e->pgoff, e->end - e->start, &last) ||
	    last > INT64_MAX)
		return bad_vma(l, it, e, EBADMSG, "impossible offset in its file");
	*end = e->end;
	return load_vma_object(l, it, v);
}

/* @len bytes at @at lie in mappings without a gap. Both ascend, so @i only moves forward. */
static bool run_mapped(const struct pstree_item *it, size_t *i, uint64_t at, uint64_t len)
{
	uint64_t end = at + len;
	size_t j;

	while (*i < it->nr_vmas && it->vmas[*i].e->end <= at)
		(*i)++;
	for (j = *i; j < it->nr_vmas && it->vmas[j].e->start <= at; j++) {
		if (it->vmas[j].e->end >= end)
			return true;
		at = it->vmas[j].e->end;
	}
	return false;
}

struct pagemap {
	struct page_run *runs;
	size_t nr_runs;
	uint32_t pages_id;
};

static int load_run(struct loader *l, const char *name, const PagemapEntry *e, struct pagemap *pm,
		    uint64_t *offset)
{
	uint64_t pages = e->has_nr_pages && e->nr_pages ? e->nr_pages : e->compat_nr_pages;
	uint32_t flags = e->has_flags ? e->flags : e->in_parent ? PE_PARENT : PE_PRESENT;
	uint64_t end = pm->nr_runs ? pm->runs[pm->nr_runs - 1].vaddr +
					     pm->runs[pm->nr_runs - 1].pages * PAGE_BYTES
				   : 0;

	if (flags & PE_PARENT)
		return fail(
			l->report, "image-parent", EOPNOTSUPP,
			"%s: pages at %#llx are in a parent image, which is not supported: dump "
			"without --prev-images-dir",
			name, (unsigned long long)e->vaddr);
	if (!(flags & PE_PRESENT))
		return fail(l->report, "image-lazy", EOPNOTSUPP,
			    "%s: pages at %#llx are not in the image but with a page server, which "
			    "is not supported",
			    name, (unsigned long long)e->vaddr);
	if (e->vaddr % PAGE_BYTES || e->vaddr < end || !pages || pages > USER_END / PAGE_BYTES ||
	    e->vaddr > USER_END - pages * PAGE_BYTES)
		return fail(l->report, "image-pages", EBADMSG,
			    "%s: entry %zu is no run of pages above the one before (%llu at %#llx)",
			    name, pm->nr_runs, (unsigned long long)pages,
			    (unsigned long long)e->vaddr);
	arena_push(l->a, pm->runs, pm->nr_runs) = (struct page_run){
		.vaddr = e->vaddr, .pages = pages, .offset = *offset, .flags = PE_PRESENT
	};
	*offset += pages * PAGE_BYTES;
	return 0;
}

/* All runs lie in the pages file. */
static int check_pages(struct loader *l, const char *name, const struct pagemap *pm, uint64_t need)
{
	cleanup_close int fd = -1;
	uint64_t size;
	int ret;

	if (!pm->nr_runs)
		return 0;
	ret = image_pages_open(l->d, pm->pages_id, &fd, &size);
	if (!ret && size < need)
		ret = fail(l->report, "image-pages", EBADMSG,
			   "%s: wants %llu bytes of pages-%u.img, which has %llu", name,
			   (unsigned long long)need, pm->pages_id, (unsigned long long)size);
	return ret;
}

/* -ENOENT is not recorded. */
static int load_pagemap(struct loader *l, enum image_kind k, uint64_t id, struct pagemap *pm)
{
	char name[IMAGE_NAME_MAX];
	struct image_reader *r;
	ProtobufCMessage *m;
	uint64_t offset = 0;
	int ret = image_open_in(&r, l->d, l->a, k, id);

	if (ret)
		return ret;
	image_name(name, k, id);
	ret = image_get(r, &pagemap_head__descriptor, &m);
	if (!ret)
		ret = fail(l->report, "image-truncated", ENODATA, "%s: no head at offset 8", name);
	else if (ret > 0)
		pm->pages_id = ((PagemapHead *)m)->pages_id;
	while (ret >= 0 && (ret = image_get(r, &pagemap_entry__descriptor, &m)) > 0)
		ret = load_run(l, name, (const PagemapEntry *)m, pm, &offset);
	image_close(&r);
	return ret ? ret : check_pages(l, name, pm, offset);
}

static int load_runs(struct loader *l, struct pstree_item *it)
{
	struct pagemap pm = { 0 };
	size_t at = 0;
	int ret = load_pagemap(l, IMAGE_PAGEMAP, (uint64_t)it->pid, &pm);

	if (ret == -ENOENT)
		return fail(l->report, "image-missing", ENOENT,
			    "pagemap-%d.img: not in the image directory", it->pid);
	if (ret)
		return ret;
	for (size_t i = 0; i < pm.nr_runs; i++)
		if (!run_mapped(it, &at, pm.runs[i].vaddr, pm.runs[i].pages * PAGE_BYTES))
			return fail(l->report, "image-pages", EBADMSG,
				    "pagemap-%d.img: %llu pages at %#llx are not in a mapping",
				    it->pid, (unsigned long long)pm.runs[i].pages,
				    (unsigned long long)pm.runs[i].vaddr);
	it->runs = pm.runs;
	it->nr_runs = pm.nr_runs;
	it->pages_id = pm.pages_id;
	return 0;
}

/**
 * load_mm - the address space of a task
 * @l: the loader; files are loaded
 * @it: the task
 *
 * Return: 0 or -errno, recorded.
 */
int load_mm(struct loader *l, struct pstree_item *it)
{
	struct file_desc *exe;
	ProtobufCMessage *m;
	uint64_t end = 0;
	int ret = load_one(l, IMAGE_MM, (uint64_t)it->pid, &mm_entry__descriptor, &m);

	if (ret)
		return ret;
	it->mm = (MmEntry *)m;
	if (!it->mm->n_vmas)
		return fail(l->report, "image-vma", EOPNOTSUPP,
			    "mm-%d.img: no mappings in it; images of old CRIU versions, which have "
			    "them in vmas-%d.img, are not supported",
			    it->pid, it->pid);
	exe = file_desc_find(l->t, it->mm->exe_file_id);
	if (!exe || (exe->kind != FILE_KIND_reg && exe->kind != FILE_KIND_memfd))
		return fail(l->report, "image-file-id", EBADMSG,
			    "mm-%d.img: executable %#x is not in files.img", it->pid,
			    it->mm->exe_file_id);
	it->nr_vmas = it->mm->n_vmas;
	it->vmas = arena_array(l->a, struct vma, it->nr_vmas);
	for (size_t i = 0; i < it->nr_vmas && !ret; i++) {
		it->vmas[i].e = it->mm->vmas[i];
		ret = load_vma(l, it, &it->vmas[i], &end);
	}
	return ret ? ret : load_runs(l, it);
}

/* -ENOENT is not recorded. */
static int load_shmem(struct loader *l, struct shmem *shm)
{
	struct pagemap pm = { 0 };
	const struct page_run *last;
	int ret = load_pagemap(l, IMAGE_PAGEMAP_SHMEM, shm->shmid, &pm);

	if (ret)
		return ret;
	if (pm.nr_runs) {
		last = &pm.runs[pm.nr_runs - 1];
		/* An object may have been larger than what is still mapped of it. */
		if (!shm->sysv && shm->size + PAGE_BYTES <= last->vaddr + last->pages * PAGE_BYTES)
			shm->size = last->vaddr + last->pages * PAGE_BYTES;
	}
	shm->runs = pm.runs;
	shm->nr_runs = pm.nr_runs;
	shm->pages_id = pm.pages_id;
	return 0;
}

/* How far its content reaches. */
static uint64_t shmem_end(const struct shmem *shm)
{
	const struct page_run *last = shm->nr_runs ? &shm->runs[shm->nr_runs - 1] : NULL;

	return last ? last->vaddr + last->pages * PAGE_BYTES : 0;
}

static int load_shmem_must(struct loader *l, struct shmem *shm)
{
	int ret = load_shmem(l, shm);

	if (ret != -ENOENT)
		return ret;
	return fail(l->report, "image-missing", ENOENT,
		    "pagemap-shmem-%llu.img: not in the image directory",
		    (unsigned long long)shm->shmid);
}

/* A memfd keeps its contents as a shared anonymous object does. */
static int load_memfds(struct loader *l)
{
	const MemfdInodeEntry *inode;
	struct image_reader *r;
	ProtobufCMessage *m;
	struct shmem *shm;
	int ret = image_open_in(&r, l->d, l->a, IMAGE_MEMFD_INODE, 0);

	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while (ret >= 0 && (ret = image_get(r, &memfd_inode_entry__descriptor, &m)) > 0) {
		inode = (const MemfdInodeEntry *)m;
		if (inode->size > INT64_MAX) {
			ret = fail(l->report, "image-pages", EBADMSG, "memfd.img: impossible size");
			break;
		}
		/* An empty one has no contents to look for. */
		if (!inode->size)
			continue;
		shm = pstree_shmem(l->t, inode->shmid);
		shm->size = inode->size;
		ret = load_shmem_must(l, shm);
	}
	image_close(&r);
	return ret;
}

/**
 * load_shmems - the contents of every shared anonymous object that is mapped,
 * and of every memfd
 * @l: the loader; all mappings are loaded
 *
 * Return: 0 or -errno, recorded.
 */
int load_shmems(struct loader *l)
{
	struct shmem *shm;

	list_for_each(shm, &l->t->shmems, list) {
		int ret = load_shmem_must(l, shm);

		if (ret)
			return ret;
		if (shm->sysv && shm->size < shmem_end(shm))
			return fail(l->report, "image-pages", EBADMSG,
				    "pagemap-shmem-%llu.img: more than the segment holds",
				    (unsigned long long)shm->shmid);
	}
	return load_memfds(l);
}

/**
 * image_load_shmem - the contents of an object that a file type knows of
 * @d: the directory
 * @t: the tree that the object is added to, unless it is there
 * @shmid: its id
 * @size: its bytes; the object has at least the pages that the image has
 *
 * For types whose contents are in pagemap-shmem images, as those of shared
 * memory are; image_load_tree() has loaded those of mappings and of memfds.
 *
 * Return: 0; -ENOENT unrecorded if there is no such image; another -errno recorded.
 */
int image_load_shmem(struct image_dir *d, struct pstree *t, uint64_t shmid, uint64_t size)
{
	struct loader l = { .d = d, .report = t->report, .t = t, .a = t->arena };
	struct shmem *shm = pstree_shmem(t, shmid);

	if (shm->size < size)
		shm->size = size;
	return load_shmem(&l, shm);
}
