/*
 * locks_outside - is a description with locks open outside of the tree, too?
 * Then the locks do not end with the tree, and cannot be taken again beside
 * those who kept them. A description gets out by inheritance: those looked at
 * are the ancestors of the root and whoever took the lock.
 */
#include "dump/locks.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "dump/files.h"
#include "kernel/kcmp.h"

struct outside_fd {
	struct outside_fd *next; /* of the same inode number */
	pid_t pid;
	int fd;
};

static void note_fds(struct dump_ctx *ctx, pid_t pid, DIR *dir)
{
	struct dirent *de;
	struct stat st;

	while ((de = readdir(dir))) {
		struct outside_fd *o, *first;

		if (de->d_name[0] == '.' || fstatat(dirfd(dir), de->d_name, &st, 0) < 0)
			continue;
		o = arena_new_of(ctx->arena, struct outside_fd);
		*o = (struct outside_fd){ .pid = pid, .fd = atoi(de->d_name) };
		first = idmap_put(&ctx->files->outside, st.st_ino, o);
		if (first != o) {
			o->next = first->next;
			first->next = o;
		}
	}
}

/* Once for each process; one that may not be looked at is left out. */
static void note_process(struct dump_ctx *ctx, pid_t pid)
{
	char name[32];
	DIR *dir;

	if (pid == getpid() || idmap_get(&ctx->files->outside_pids, (uint64_t)pid))
		return;
	idmap_put(&ctx->files->outside_pids, (uint64_t)pid, ctx);
	snprintf(name, sizeof(name), "/proc/%d/fd", pid);
	dir = opendir(name);
	if (!dir)
		return;
	note_fds(ctx, pid, dir);
	closedir(dir);
}

static void note_ancestors(struct dump_ctx *ctx)
{
	struct proc_stat st = { .ppid = ctx->tree->root->dump->stat.ppid };
	char name[32];

	while (st.ppid > 0 && !idmap_get(&ctx->files->outside_pids, (uint64_t)st.ppid)) {
		note_process(ctx, st.ppid);
		snprintf(name, sizeof(name), "/proc/%d/stat", st.ppid);
		if (proc_read(AT_FDCWD, name, &ctx->text) || proc_parse_stat(ctx->text.p, &st))
			return;
	}
}

/**
 * locks_shared_with - a process outside of the tree that has a description, too
 * @ctx: the dump
 * @d: the description
 * @taker: who has taken a lock through it; 0 or -1 if that is not known
 *
 * Return: its pid, or 0 if none of those looked at has it.
 */
pid_t locks_shared_with(struct dump_ctx *ctx, const struct file_desc *d, pid_t taker)
{
	const struct fd_info *fi = &d->dump->fi;
	const struct outside_fd *o;
	pid_t pid = fi->via ? getpid() : fi->task->pid;

	note_ancestors(ctx);
	if (taker > 0 && !pstree_find(ctx->tree, taker))
		note_process(ctx, taker);
	for (o = idmap_get(&ctx->files->outside, fi->st.st_ino); o; o = o->next)
		if (kcmp(o->pid, pid, CL_KCMP_FILE, (unsigned)o->fd, (unsigned)fi->fd) == 0)
			return o->pid;
	return 0;
}
