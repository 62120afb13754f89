/*
 * pidfd - dump, of pidfds of tasks of the tree. The other half is
 * restore/types/pidfd.c.
 */
#include "dump/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "proto/pidfd.pb-c.h"

static int pidfd_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return !strcmp(fi->link, "anon_inode:[pidfd]") || !strncmp(fi->link, "pidfd:[", 7);
}

static int pidfd_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	PidfdEntry *e = (PidfdEntry *)d->msg;
	const char *p = strstr(fi->fdinfo, "\nPid:");
	int pid = p ? atoi(p + 5) : 0;
	struct pstree_item *it = pid > 0 ? pstree_find(ctx->tree, pid) : NULL;

	if (!p)
		return file_blocker(ctx, fi, "file-info", EIO, "no Pid in fdinfo");
	if (pid < 0)
		return file_blocker(ctx, fi, "pidfd-dead", EOPNOTSUPP,
				    "a pidfd of a process that is gone is not supported by this "
				    "version; close it first");
	if (!it)
		return file_blocker(ctx, fi, "pidfd-outside", EOPNOTSUPP,
				    "a pidfd of pid %d, which is not in the tree", pid);
	e->nspid = pid;
	/* As pidfd_open(2) takes them. */
	e->flags &= ~(uint32_t)O_ACCMODE;
	e->ino = (uint32_t)fi->st.st_ino;
	return 0;
}

const struct file_dump_ops pidfd_dump_ops = { .probe = pidfd_probe, .dump = pidfd_dump };
