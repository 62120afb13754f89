/*
 * leases - taken again by the tasks that had them, when nothing of the restore
 * has their files open any more: to open a file breaks a lease.
 *
 * A lease whose holder had been asked to give it up is restored in two phases:
 * first all leases are taken as they were before, then one open() per file
 * that does not wait breaks them again. Meanwhile nobody owns their signals,
 * so that no task is told twice. The time to give it up begins anew.
 *
 * The kernel does not tell what a lease was that is to become none. On a
 * description that writes it was a WRITE lease; on another one a READ lease
 * does as well: both end as none, when the holder says so or the time is over.
 */
#include "restore/locks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "restore/files.h"
#include "proto/regfile.pb-c.h"

static bool breaking(const FileLockEntry *e)
{
	return e->flag == FL_LEASE && e->type & LEASE_BREAKING;
}

static const RegFileEntry *entry_of(const struct held_lock *k)
{
	return file_desc_entry(k->desc);
}

static int type_before(const struct held_lock *k)
{
	int to_be = (int)k->e->type & ~LEASE_BREAKING;

	if (!breaking(k->e))
		return to_be;
	if (to_be == F_RDLCK || (entry_of(k)->flags & O_ACCMODE) != O_RDONLY)
		return F_WRLCK;
	return F_RDLCK;
}

static int take_lease(struct restore_ctx *ctx, const struct held_lock *k)
{
	struct pstree_item *it = k->it;
	long ret;

	if (k->desc->kind != FILE_KIND_reg)
		return fail(ctx->report, "image-lock", EBADMSG,
			    "filelocks.img: pid %d fd %d: a lease on what is no regular file",
			    it->pid, k->e->fd);
	remote_reset(it->restore->remote);
	ret = remote_call1(it->restore->remote, k->e->pid, SYS_fcntl, (unsigned long)k->e->fd,
			   F_SETLEASE, (unsigned long)type_before(k), 0, 0, 0);
	return ret < 0 ? locks_refused(ctx, k, (int)-ret) : 0;
}

/* A conflicting open that does not wait, of the same file even if it has no name. */
static int break_lease(struct restore_ctx *ctx, const struct held_lock *k)
{
	int mode = ((int)k->e->type & ~LEASE_BREAKING) == F_RDLCK ? O_RDONLY : O_WRONLY;
	cleanup_close int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", k->e->pid, k->e->fd);
	fd = open(path, mode | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 && errno == EWOULDBLOCK)
		return 0;
	return fail(ctx->report, "lease-break", fd < 0 ? errno : 0,
		    "pid %d fd %d (%.160s): its lease was being broken and does not break again",
		    k->it->pid, k->e->fd, locks_name(k->desc));
}

/* The signals of a lease go to its taker unless somebody else, or nobody, was named. */
static int set_owner(struct restore_ctx *ctx, const struct held_lock *k, bool nobody)
{
	const FownEntry *fown = entry_of(k)->fown;
	cleanup_close int fd = locks_fetch(ctx, k);

	if (fd < 0)
		return fail(ctx->report, "file-fetch", -fd, "pid %d fd %d: pidfd_getfd()",
			    k->it->pid, k->e->fd);
	if (!nobody && fown->pid)
		return file_set_owner(k->desc, fd, fown) < 0 ? -EIO : 0;
	if (fcntl(fd, F_SETOWN, 0) < 0)
		return fail(ctx->report, "lease-owner", errno, "pid %d fd %d: F_SETOWN to nobody",
			    k->it->pid, k->e->fd);
	return 0;
}

/* One open() breaks all leases on a file. */
static int break_files(struct restore_ctx *ctx)
{
	const struct pstree *t = ctx->tree;
	struct stat *done = NULL;
	size_t n = 0, i, k;

	for (i = 0; i < t->nr_locks; i++) {
		const struct held_lock *l = &t->locks[i];
		struct stat st = { 0 };
		char path[64];
		int ret;

		if (!l->it || !breaking(l->e))
			continue;
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", l->e->pid, l->e->fd);
		if (stat(path, &st) < 0)
			return fail(ctx->report, "lease-break", errno, "stat %s", path);
		for (k = 0; k < n; k++)
			if (done[k].st_ino == st.st_ino && done[k].st_dev == st.st_dev)
				break;
		if (k < n)
			continue;
		arena_push(ctx->arena, done, n) = st;
		ret = break_lease(ctx, l);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int each_lease(struct restore_ctx *ctx,
		      int (*what)(struct restore_ctx *ctx, const struct held_lock *k))
{
	const struct pstree *t = ctx->tree;

	for (size_t i = 0; i < t->nr_locks; i++) {
		int ret = 0;

		if (t->locks[i].it && t->locks[i].e->flag == FL_LEASE)
			ret = what(ctx, &t->locks[i]);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int silence(struct restore_ctx *ctx, const struct held_lock *k)
{
	return breaking(k->e) ? set_owner(ctx, k, true) : 0;
}

static int own(struct restore_ctx *ctx, const struct held_lock *k)
{
	return set_owner(ctx, k, false);
}

/* What the tool has of files without a name; the tasks have opened theirs. */
static void close_ghosts(struct restore_ctx *ctx)
{
	for (struct ghost *g = ctx->files ? ctx->files->ghosts : NULL; g; g = g->next) {
		close_owned(&g->fd);
		g->fd = -1;
	}
}

/**
 * restore_leases - leases, those that are breaking too
 * @ctx: the run; locks are taken, and nothing of ours has a file of the tree open
 *
 * Return: 0 or -errno, recorded.
 */
int restore_leases(struct restore_ctx *ctx)
{
	bool any = false;
	int ret;

	for (size_t i = 0; i < ctx->tree->nr_locks; i++)
		any |= ctx->tree->locks[i].e->flag == FL_LEASE;
	if (!any)
		return 0;
	close_ghosts(ctx);
	ret = each_lease(ctx, take_lease);
	if (ret >= 0)
		ret = each_lease(ctx, silence);
	if (ret >= 0)
		ret = break_files(ctx);
	return ret < 0 ? ret : each_lease(ctx, own);
}
