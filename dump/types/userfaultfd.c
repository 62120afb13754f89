/*
 * userfaultfd - dump. The kernel tells what was agreed on and which memory is
 * registered, but not which of several descriptors has it, nor whose memory an
 * unused one is about: where there is a choice it is refused. Faults that wait
 * are raised again by who waits. The other half is restore/types/userfaultfd.c.
 */
#include "dump/files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kernel/smaps.h"
#include "proto/userfaultfd.pb-c.h"

static int userfaultfd_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return !strcmp(fi->link, "anon_inode:[userfaultfd]");
}

static int userfaultfd_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	UserfaultfdEntry *e = (UserfaultfdEntry *)d->msg;
	const char *p = strstr(fi->fdinfo, "\nAPI:");

	if (!p || sscanf(p, "\nAPI: %*x:%x:", &e->features) != 1)
		return file_blocker(ctx, fi, "file-info", EIO, "no features in fdinfo");
	file_see(ctx, FILE_KIND_userfaultfd, 0, d);
	return 0;
}

static bool is_registered(const struct pstree_item *it)
{
	for (size_t i = 0; i < it->nr_vmas; i++)
		if (it->vmas[i].vmflags & SMAPS_FLAG(um))
			return true;
	return false;
}

/* Whose memory it is about; NULL: nobody can tell. */
static struct pstree_item *find_owner(struct dump_ctx *ctx, const struct file_desc *d)
{
	struct pstree_item *it, *owner = NULL;
	const struct fdinfo_list_entry *fle;
	const struct file_desc *other;

	list_for_each(it, &ctx->tree->items, list) {
		if (!item_alive(it) || !is_registered(it))
			continue;
		if (owner)
			return NULL;
		owner = it;
	}
	list_for_each(other, &ctx->tree->files.descs, list)
		if (owner && other != d && other->kind == FILE_KIND_userfaultfd)
			return NULL;
	if (owner)
		return owner;
	list_for_each(fle, &d->fles, of_desc) {
		it = fle->fdt->tid ? fle->fdt->thread_of : fle->fdt->owner;
		if (owner && owner != it)
			return NULL;
		owner = it;
	}
	return owner;
}

static int userfaultfd_finish(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	UserfaultfdEntry *e = (UserfaultfdEntry *)d->msg;
	struct pstree_item *owner = find_owner(ctx, d);

	if (!owner)
		return file_blocker(ctx, fi, "userfaultfd-owner", EOPNOTSUPP,
				    "a userfaultfd, and there is no telling whose memory it is "
				    "about: several tasks, or several of them, could be meant");
	e->pid = (uint32_t)owner->pid;
	for (size_t i = 0; i < owner->nr_vmas; i++) {
		UserfaultfdRange *r;

		if (!(owner->vmas[i].vmflags & SMAPS_FLAG(um)))
			continue;
		r = arena_new_of(ctx->arena, UserfaultfdRange);
		userfaultfd_range__init(r);
		r->start = owner->vmas[i].e->start;
		r->end = owner->vmas[i].e->end;
		arena_push(ctx->arena, e->range, e->n_range) = r;
	}
	return 0;
}

const struct file_dump_ops userfaultfd_dump_ops = {
	.probe = userfaultfd_probe,
	.dump = userfaultfd_dump,
	.finish = userfaultfd_finish,
};
