/*
 * vdso - the code that the kernel maps into every process. The restored task
 * gets this kernel's, at the place of the dumped one; a program may have
 * pointers into it, so the two must be the same, byte by byte. One that has
 * unmapped it, as valgrind does, gets none.
 */
#include "restore/ctx.h"

#include <asm/prctl.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/image.h"
#include "restore/batch.h"

#ifndef ARCH_MAP_VDSO_64
#define ARCH_MAP_VDSO_64 0x2003
#endif

/* What the kernel maps in one go: data, "[vvar...]", and behind it the code. */
struct layout {
	uint64_t start, code, end;
};

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

static bool own_layout(struct layout *l)
{
	FILE *f = fopen("/proc/self/maps", "re");
	uint64_t start, end;
	char line[256];

	*l = (struct layout){ 0 };
	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64, &start, &end) != 2)
			continue;
		if (!l->start && strstr(line, " [vvar"))
			l->start = start;
		if (strstr(line, " [vdso]\n"))
			l->code = start, l->end = end;
	}
	if (f)
		fclose(f);
	return l->start && l->start < l->code;
}

/**
 * vdso_map - map what the kernel maps into every process
 * @b: gets the calls; nothing else is mapped there yet
 * @it: the task
 */
void vdso_map(struct batch *b, const struct pstree_item *it)
{
	const VmaEntry *code = vdso_vma(it), *data = NULL;
	struct layout own = { 0 };
	uint64_t at;

	for (size_t i = 0; i < it->nr_vmas && !data; i++)
		if (it->vmas[i].e->status & VMA_AREA_VVAR)
			data = it->vmas[i].e;
	if ((!code || !data) && !own_layout(&own))
		own = (struct layout){ 0 };
	if (data)
		at = data->start;
	else if (code)
		at = code->start - (own.code - own.start);
	else
		return;
	batch_add(b, "map the vdso", SYS_arch_prctl, ARCH_MAP_VDSO_64, at, 0, 0, 0, 0);
	if (!code && own.end)
		batch_add(b, "unmap the vdso", SYS_munmap, at + (own.code - own.start),
			  own.end - own.code, 0, 0, 0, 0);
	if (!data && own.end)
		batch_add(b, "unmap its data", SYS_munmap, at, own.code - own.start, 0, 0, 0, 0);
}
