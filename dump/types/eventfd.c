/*
 * eventfd - dump. fdinfo has the counter, all 64 bits of it. The other half
 * is restore/types/eventfd.c.
 */
#include "dump/files.h"

#include <errno.h>
#include <string.h>

#include "proto/eventfd.pb-c.h"

static int eventfd_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return !strcmp(fi->link, "anon_inode:[eventfd]");
}

static int eventfd_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	EventfdFileEntry *e = (EventfdFileEntry *)d->msg;
	uint64_t sem = 0;

	if (file_info_u64(fi, "eventfd-count", 16, &e->counter))
		return file_blocker(ctx, fi, "file-info", EIO, "no eventfd-count in fdinfo");
	/* The flag is in fdinfo since Linux 6.5. */
	e->has_semaphore = !file_info_u64(fi, "eventfd-semaphore", 10, &sem) && sem;
	e->semaphore = sem != 0;
	return 0;
}

const struct file_dump_ops eventfd_dump_ops = { .probe = eventfd_probe, .dump = eventfd_dump };
