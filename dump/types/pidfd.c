/*
 * pidfd - dump, of pidfds of tasks of the tree, and of processes that are
 * gone: those come back as pidfds of another process that is gone, the same
 * one for all that lead to one process. The other half is
 * restore/types/pidfd.c.
 */
#include "dump/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "proto/pidfd.pb-c.h"

/* The head of struct pidfd_info of linux/pidfd.h, as of Linux 6.15. */
struct info {
	uint64_t mask;
	uint64_t cgroupid;
	uint32_t pid, tgid, ppid;
	uint32_t creds[8];
	int32_t exit_code;
};

#define INFO_EXIT (1u << 3)
#define GET_INFO _IOWR(0xFF, 11, struct info)

_Static_assert(sizeof(struct info) == 64, "a size that the kernel knows");

static int pidfd_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return !strcmp(fi->link, "anon_inode:[pidfd]") || !strncmp(fi->link, "pidfd:[", 7);
}

static void dump_dead(PidfdEntry *e, const struct fd_info *fi)
{
	struct info info = { .mask = INFO_EXIT };

	e->nspid = -1;
	/* How it ended is known since Linux 6.15, if it was reaped after the pidfd was made. */
	if (ioctl(fi->local, GET_INFO, &info) == 0 && info.mask & INFO_EXIT) {
		e->has_exit_code = 1;
		e->exit_code = info.exit_code;
	}
}

/* Is it a thread of a task of the tree? */
static bool is_thread(struct dump_ctx *ctx, int tid)
{
	const struct pstree_item *it;
	char name[32];

	list_for_each(it, &ctx->tree->items, list) {
		snprintf(name, sizeof(name), "task/%d", tid);
		if (item_alive(it) && faccessat(it->dump->proc_fd, name, F_OK, 0) == 0)
			return true;
	}
	return false;
}

static int pidfd_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	PidfdEntry *e = (PidfdEntry *)d->msg;
	const char *p = strstr(fi->fdinfo, "\nPid:");
	int pid = p ? atoi(p + 5) : 0;
	struct pstree_item *it = pid > 0 ? pstree_find(ctx->tree, pid) : NULL;

	if (!p)
		return file_blocker(ctx, fi, "file-info", EIO, "no Pid in fdinfo");
	/* As pidfd_open(2) takes them. */
	e->flags &= ~(uint32_t)O_ACCMODE;
	e->ino = (uint32_t)fi->st.st_ino;
	if (pid < 0) {
		dump_dead(e, fi);
		return 0;
	}
	if (!it && !(pid && is_thread(ctx, pid)))
		return file_blocker(ctx, fi, "pidfd-outside", EOPNOTSUPP,
				    "a pidfd of pid %d, which is not in the tree; dump a tree that "
				    "has both, or close it first",
				    pid);
	e->nspid = pid;
	return 0;
}

const struct file_dump_ops pidfd_dump_ops = { .probe = pidfd_probe, .dump = pidfd_dump };
