/*
 * signalfd - dump. A mask and nothing else: what is pending belongs to the
 * tasks. The other half is restore/types/signalfd.c.
 */
#include "dump/files.h"

#include <errno.h>
#include <string.h>

#include "proto/signalfd.pb-c.h"

static int signalfd_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return !strcmp(fi->link, "anon_inode:[signalfd]");
}

static int signalfd_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	SignalfdEntry *e = (SignalfdEntry *)d->msg;

	if (file_info_u64(fi, "sigmask", 16, &e->sigmask))
		return file_blocker(ctx, fi, "file-info", EIO, "no sigmask in fdinfo");
	return 0;
}

const struct file_dump_ops signalfd_dump_ops = { .probe = signalfd_probe, .dump = signalfd_dump };
