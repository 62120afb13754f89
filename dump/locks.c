/*
 * locks - locks and leases that the tree holds. They are found when files are
 * described, and told when every descriptor is known:
 *
 *   - flock, OFD locks and leases belong to the description: its fdinfo has
 *     them, whoever looks;
 *   - POSIX locks belong to a table of descriptors. F_GETLK tells if an inode
 *     has any; then the tables that have it open are asked by their fdinfo.
 *
 * Nothing here opens a file, which might break a lease.
 */
#include "dump/locks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dump/files.h"

static const uint32_t flags[] = {
	[LOCK_POSIX] = FL_POSIX,
	[LOCK_FLOCK] = FL_FLOCK,
	[LOCK_OFD] = FL_OFD,
	[LOCK_LEASE] = FL_LEASE,
};

static const char *const words[] = {
	[LOCK_POSIX] = "a POSIX record lock",
	[LOCK_FLOCK] = "a lock of flock(2)",
	[LOCK_OFD] = "an OFD lock",
	[LOCK_LEASE] = "a lease",
};

/* dump_files.locks, one for each description that may have some. */
struct found_locks {
	struct found_locks *next;
	struct file_desc *d;
	struct lock_line *own; /* of the description, and POSIX ones of @read */
	size_t nr_own;
	const struct filedesc *read; /* the table whose fdinfo has been read */
	bool posix;                  /* somebody has a POSIX or an OFD lock on its inode */
};

/* Said once for a description; a READ lease on one that writes has been downgraded by the clock. */
static int check_line(struct dump_ctx *ctx, const struct fd_info *fi, const struct lock_line *l)
{
	if (l->kind == LOCK_OTHER)
		return file_blocker(ctx, fi, "file-lock-kind", EOPNOTSUPP,
				    "it has a lock of a kind that this version does not know");
	if (!ctx->opts->file_locks)
		return file_blocker(ctx, fi, "file-locks", EOPNOTSUPP,
				    "it has %s; locks need --file-locks", words[l->kind]);
	if (l->kind == LOCK_LEASE && fi->via)
		return file_blocker(ctx, fi, "lease-in-flight", EOPNOTSUPP,
				    "it has a lease and is only in the queue of a socket; receive "
				    "it first");
	if (l->kind == LOCK_LEASE && l->type == F_RDLCK && !l->breaking &&
	    (fi->flags & O_ACCMODE) != O_RDONLY)
		return file_blocker(ctx, fi, "lease-expired", EOPNOTSUPP,
				    "its WRITE lease was made a READ lease when the time to give "
				    "it up had passed, which cannot be done again; release it "
				    "(F_UNLCK)");
	return 0;
}

static struct found_locks *found_new(struct dump_ctx *ctx, struct file_desc *d)
{
	struct found_locks *f = arena_new_of(ctx->arena, struct found_locks);

	f->d = d;
	f->next = ctx->files->locks;
	ctx->files->locks = f;
	return f;
}

static bool any_range_lock(const struct fd_info *fi)
{
	struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	return fcntl(fi->local, F_GETLK, &fl) == 0 && fl.l_type != F_UNLCK;
}

/* Its own locks, from the text that is there already or the one in /proc. */
static int own_locks(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi,
		     struct found_locks **f)
{
	const char *at = fi->fdinfo;
	struct lock_line l;
	char name[32];
	int ret = 0;

	if (!at || !*at) {
		/* Of what is in flight the descriptor is ours. */
		snprintf(name, sizeof(name), "%sfdinfo/%d", fi->via ? "/proc/self/" : "", fi->fd);
		if (proc_read(fi->task->dump->proc_fd, name, &ctx->text))
			return 0;
		at = ctx->text.p;
	}
	while (!ret && (at = lock_next(at, &l))) {
		/* libdoor has one for a moment, to see if others have the door open. */
		if (d->kind == FILE_KIND_door && l.kind == LOCK_LEASE)
			continue;
		ret = check_line(ctx, fi, &l);
		*f = *f ? *f : found_new(ctx, d);
		(*f)->read = fi->via ? NULL : fi->task->fdt;
		arena_push(ctx->arena, (*f)->own, (*f)->nr_own) = l;
	}
	return ret;
}

/**
 * locks_look - see if a description has locks; called once for each
 * @ctx: the dump
 * @d: the description
 * @fi: a descriptor of it, with our own copy
 *
 * Return: 0, or -errno with a blocker recorded.
 */
int locks_look(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	struct found_locks *f = NULL;
	int ret = 0;

	if (fi->fd < 0 || fi->local < 0 || fi->flags & O_PATH)
		return 0;
	if (!file_may_be_locked(ctx, &fi->st))
		return 0;
	ret = own_locks(ctx, d, fi, &f);
	if (!ret && any_range_lock(fi)) {
		f = f ? f : found_new(ctx, d);
		f->posix = true;
	}
	return ret;
}

static const struct found_locks *find_lease(const struct dump_ctx *ctx, const struct stat *st)
{
	const struct found_locks *f;

	for (f = ctx->files->locks; f; f = f->next)
		for (size_t i = 0; i < f->nr_own; i++)
			if (f->own[i].kind == LOCK_LEASE && f->own[i].ino == st->st_ino &&
			    f->d->dump->fi.st.st_dev == st->st_dev)
				return f;
	return NULL;
}

/**
 * locks_leased - does a task of the tree have a lease on a file?
 * @ctx: the dump, after dump_files()
 * @st: the file
 *
 * Return: true if it does: to open the file would break it, or might.
 */
bool locks_leased(const struct dump_ctx *ctx, const struct stat *st)
{
	return find_lease(ctx, st);
}

/**
 * locks_copy_leased - what to look at a file with on which the tree has a lease
 * @ctx: the dump, after dump_files()
 * @st: the file
 *
 * Return: a copy of the descriptor that has the lease, or -errno.
 */
int locks_copy_leased(const struct dump_ctx *ctx, const struct stat *st)
{
	const struct found_locks *f = find_lease(ctx, st);
	const struct fd_info *fi = f ? &f->d->dump->fi : NULL;
	int fd;

	if (!fi || (fi->flags & O_ACCMODE) == O_WRONLY)
		return -ENOENT;
	fd = (int)syscall(SYS_pidfd_getfd, fi->task->dump->pidfd, fi->fd, 0);
	return fd < 0 ? -errno : fd;
}

/**
 * locks_of_descriptions - how many locks the descriptors of the tree show
 * @ctx: the dump, after dump_files()
 * @ino: the inode
 *
 * Return: the number of flock and OFD locks and of leases.
 */
size_t locks_of_descriptions(const struct dump_ctx *ctx, ino_t ino)
{
	const struct found_locks *f;
	size_t n = 0;

	for (f = ctx->files->locks; f; f = f->next)
		for (size_t i = 0; i < f->nr_own; i++)
			n += f->own[i].kind != LOCK_POSIX && f->own[i].ino == ino;
	return n;
}

/**
 * locks_add - tell one lock
 * @ctx: the dump
 * @l: the lock; of those who share the table, the one that took it is its owner in /proc/locks
 * @fdt: the table that has it; NULL: its description is in flight, or only mapped
 * @fd: the descriptor there, or -1
 * @d: the description
 */
void locks_add(struct dump_ctx *ctx, const struct lock_line *l, const struct filedesc *fdt, int fd,
	       struct file_desc *d)
{
	struct pstree_item *it = fdt && l->pid > 0 ? pstree_find(ctx->tree, l->pid) : NULL;
	const struct task_thread *th = NULL;
	FileLockEntry *e = arena_new_of(ctx->arena, FileLockEntry);
	struct pstree *t = ctx->tree;

	file_lock_entry__init(e);
	e->flag = flags[l->kind];
	e->type = (uint32_t)l->type | (l->breaking ? LEASE_BREAKING : 0);
	if (fdt && (!it || !item_has_table(it, fdt)))
		it = fdt->tid ? fdt->thread_of : fdt->owner;
	if (it && it->fdt != fdt)
		th = item_table_thread(it, fdt);
	e->pid = th ? th->tid : it ? it->pid : 0;
	e->fd = fd;
	e->start = (int64_t)l->start;
	e->len = l->end >= INT64_MAX ? 0 : (int64_t)(l->end - l->start + 1);
	if (l->kind != LOCK_POSIX) {
		e->has_file_id = 1;
		e->file_id = d->id;
	}
	arena_push(ctx->arena, t->locks, t->nr_locks) =
		(struct held_lock){ .e = e, .it = it, .tid = th ? th->tid : 0, .desc = d };
}

/* The entry of the task that took the lock, or the first that there is. */
static struct fdinfo_list_entry *holder(struct dump_ctx *ctx, const struct file_desc *d, pid_t pid)
{
	struct pstree_item *taker = pid > 0 ? pstree_find(ctx->tree, pid) : NULL;
	struct fdinfo_list_entry *fle;

	list_for_each(fle, &d->fles, of_desc)
		if (taker && item_has_table(taker, fle->fdt) && !fle->fake)
			return fle;
	list_for_each(fle, &d->fles, of_desc)
		if (!fle->fake)
			return fle;
	return NULL;
}

static int tell_own(struct dump_ctx *ctx, const struct found_locks *f)
{
	const struct fd_info *fi = &f->d->dump->fi;

	for (size_t i = 0; i < f->nr_own; i++) {
		const struct lock_line *l = &f->own[i];
		struct fdinfo_list_entry *fle;
		pid_t who;

		if (l->kind == LOCK_POSIX) {
			locks_add(ctx, l, f->read, fi->fd, f->d);
			continue;
		}
		fle = holder(ctx, f->d, l->pid);
		who = locks_shared_with(ctx, f->d, l->pid);
		if (who)
			return file_blocker(ctx, fi, "file-lock-outside", EBUSY,
					    "%s on it is held by process %d, too, which is outside "
					    "of the tree; end that, or let it close the file",
					    words[l->kind], who);
		locks_add(ctx, l, fle ? fle->fdt : NULL, fle ? fle->fd : -1, f->d);
	}
	return 0;
}

static int tell_posix(struct dump_ctx *ctx, const struct found_locks *f)
{
	const struct filedesc *last = NULL;
	struct fdinfo_list_entry *fle;

	list_for_each(fle, &f->d->fles, of_desc) {
		struct fd_info fi = f->d->dump->fi;
		struct lock_line l;
		const char *at;
		char name[32];

		/* All descriptors of a table that lead to it say the same. */
		if (fle->fdt == last || fle->fdt == f->read)
			continue;
		last = fle->fdt;
		snprintf(name, sizeof(name), "fdinfo/%d", fle->fd);
		if (proc_read(fle->fdt->owner->dump->proc_fd, name, &ctx->text))
			continue;
		fi.task = fle->fdt->owner;
		fi.fd = fle->fd;
		for (at = ctx->text.p; (at = lock_next(at, &l));) {
			int ret = l.kind == LOCK_POSIX ? check_line(ctx, &fi, &l) : 0;

			if (ret)
				return ret;
			if (l.kind == LOCK_POSIX)
				locks_add(ctx, &l, fle->fdt, fle->fd, f->d);
		}
		fd_advlocked(fle->fdt);
	}
	return 0;
}

/**
 * dump_locks - tell what locks the tree holds and waits for
 * @ctx: the dump, after dump_files()
 *
 * Return: 0, or -errno after every cause has been recorded.
 */
int dump_locks(struct dump_ctx *ctx)
{
	const struct found_locks *f;
	int bad = 0;

	for (f = ctx->files->locks; f; f = f->next) {
		int ret = f->d->dump ? tell_own(ctx, f) : 0;

		if (!ret && f->posix && f->d->dump)
			ret = tell_posix(ctx, f);
		bad = bad ? bad : ret;
	}
	pstree_sort_locks(ctx->tree);
	locks_waits(ctx);
	return bad;
}
