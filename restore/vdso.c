/*
 * vdso - the code that the kernel maps into every process. The restored task
 * gets this kernel's, at the place of the dumped one; a program may have
 * pointers into it, so the two must be the same, byte by byte.
 */
#include "restore/ctx.h"

#include <errno.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/image.h"

static const VmaEntry *vdso_vma(const struct pstree_item *it)
{
	for (size_t i = 0; i < it->nr_vmas; i++)
		if (it->vmas[i].e->status & VMA_AREA_VDSO)
			return it->vmas[i].e;
	return NULL;
}

/* The pages of the image against ours; @at is where ours is. */
static int compare(struct restore_ctx *ctx, const struct pstree_item *it, const VmaEntry *e,
		   const char *at)
{
	cleanup_close int fd = -1;
	uint64_t size;
	int ret = image_pages_open(ctx->images, it->pages_id, &fd, &size);

	for (size_t i = 0; ret >= 0 && i < it->nr_runs; i++) {
		const struct page_run *r = &it->runs[i];

		for (uint64_t p = 0; p < r->pages; p++) {
			uint64_t addr = r->vaddr + p * 4096;
			char page[4096];

			if (addr < e->start || addr >= e->end)
				continue;
			ret = pread_all(fd, page, sizeof(page), (off_t)(r->offset + p * 4096));
			if (ret < 0)
				return fail(ctx->report, "image-pages", -ret,
					    "pid %d: read its vdso", it->pid);
			if (memcmp(page, at + (addr - e->start), sizeof(page)) != 0)
				return fail(
					ctx->report, "vdso-differs", 0,
					"pid %d was dumped under another kernel: its vdso differs "
					"from the one here",
					it->pid);
		}
	}
	return ret < 0 ? ret : 0;
}

/**
 * vdso_check - the vdso of every task is the one of this kernel
 * @ctx: the run; the tree is loaded
 *
 * Return: 0 or -errno, recorded.
 */
int vdso_check(struct restore_ctx *ctx)
{
	const char *own = (const char *)getauxval(AT_SYSINFO_EHDR); /* NOLINT: an address */
	struct pstree_item *it;
	int ret;

	list_for_each(it, &ctx->tree->items, list) {
		const VmaEntry *e = vdso_vma(it);

		if (!item_alive(it) || !e)
			continue;
		if (!own)
			return fail(ctx->report, "vdso-differs", 0,
				    "pid %d has a vdso, this kernel gives none", it->pid);
		ret = compare(ctx, it, e, own);
		if (ret < 0)
			return ret;
	}
	return 0;
}
