/*
 * locks_mapped - locks of a description that is only mapped. Closing its
 * descriptors has not ended them, and no fdinfo tells of them: what is left
 * over in /proc/locks on the inode of a shared, writable mapping is taken for
 * one. It comes back if it can only be that mapping's; a Java virtual machine
 * has one on its performance data.
 */
#include "dump/locks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "dump/files.h"

#define READINGS_MAX 10

/* Of the tree, but for POSIX ones; and such as have no taker. */
struct all_locks {
	bool read;
	struct proc_text text;
	struct lock_line *list;
	size_t n;
};

/* POSIX locks went with the descriptor; those of a taker outside are its own. */
static bool may_be_mapped(const struct dump_ctx *ctx, const struct lock_line *l)
{
	return !l->waits && l->kind != LOCK_POSIX && l->kind != LOCK_OTHER &&
	       (l->pid <= 0 || pstree_find(ctx->tree, l->pid));
}

static int read_once(struct dump_ctx *ctx, struct all_locks *a)
{
	struct lock_line *list = NULL;
	size_t n = 0, kept = 0;
	int ret = lock_list(&a->text, &list, &n);

	if (ret < 0)
		return fail(ctx->report, "file-locks", -ret, "read /proc/locks");
	for (size_t i = 0; i < n; i++)
		if (may_be_mapped(ctx, &list[i]))
			list[kept++] = list[i];
	free(a->list);
	a->list = list;
	a->n = kept;
	return ret;
}

/*
 * Read when the first such mapping is met: /proc/locks waits for an RCU grace period. Locks of
 * others that come and go may hide some or show them twice: two readings have to agree.
 */
static int read_all(struct dump_ctx *ctx, struct all_locks *a)
{
	size_t before;
	int ret = a->read ? 0 : read_once(ctx, a);

	a->read = true;
	for (int i = 0; i < READINGS_MAX && ret == LOCK_LIST_PARTIAL; i++) {
		before = a->n;
		ret = read_once(ctx, a);
		if (ret == LOCK_LIST_PARTIAL && a->n == before)
			break;
	}
	return ret < 0 ? ret : 0;
}

/* Has nobody but this task the description, and no other one of the file a lock like that? */
static bool is_alone(const struct dump_ctx *ctx, const struct pstree_item *it,
		     const struct file_desc *d)
{
	const struct pstree_item *other;

	if (!list_empty(&d->fles))
		return false;
	list_for_each(other, &ctx->tree->items, list)
		for (size_t i = 0; other != it && i < other->nr_vmas; i++)
			if (other->vmas[i].file == d)
				return false;
	return true;
}

/* The description of the file that was found to be locked by its mapping before. */
static const struct file_desc *told(const struct dump_ctx *ctx, ino_t ino)
{
	for (size_t i = 0; i < ctx->tree->nr_locks; i++) {
		const struct held_lock *k = &ctx->tree->locks[i];

		if (!k->it && k->desc->dump && list_empty(&k->desc->fles) &&
		    k->desc->dump->fi.st.st_ino == ino)
			return k->desc;
	}
	return NULL;
}

/* Tells the only lock on a file, which no descriptor shows. Returns false if it may be another's.
 */
static bool tell_mapped(struct dump_ctx *ctx, const struct pstree_item *it, const struct vma *v,
			const struct lock_line *l)
{
	const struct file_desc *before = told(ctx, l->ino);

	if ((l->kind != LOCK_FLOCK && l->kind != LOCK_OFD) || !is_alone(ctx, it, v->file))
		return false;
	if (!before)
		locks_add(ctx, l, NULL, -1, v->file);
	return !before || before == v->file;
}

static int check_vma(struct dump_ctx *ctx, const struct pstree_item *it, const struct vma *v,
		     struct all_locks *a)
{
	const struct fd_info *fi = &v->file->dump->fi;
	const struct lock_line *last = NULL;
	int ret = read_all(ctx, a);
	size_t all = 0;

	for (size_t i = 0; !ret && i < a->n; i++)
		if (a->list[i].ino == fi->st.st_ino) {
			last = &a->list[i];
			all++;
		}
	if (!last || all <= locks_of_descriptions(ctx, fi->st.st_ino))
		return ret;
	if (all == 1 && tell_mapped(ctx, it, v, last))
		return 0;
	return fail(ctx->report, "file-lock-mapped", EOPNOTSUPP,
		    "pid %d (%s): %.200s, mapped at %llx-%llx, has a lock (%s) that no descriptor "
		    "of the tree shows",
		    it->pid, it->dump->stat.comm, fi->link, (unsigned long long)v->e->start,
		    (unsigned long long)v->e->end, lock_kind_name(last->kind));
}

/**
 * dump_mapped_locks - tell, or refuse, locks that only a mapping keeps
 * @ctx: the dump, after dump_vma_files()
 *
 * Looks only with --file-locks, and if the tree has another lock.
 *
 * Return: 0, or -errno after every cause has been recorded.
 */
int dump_mapped_locks(struct dump_ctx *ctx)
{
	struct all_locks a = { 0 };
	struct pstree_item *it;
	int bad = 0;

	/* A tree without any lock does not wait for a grace period, frozen. */
	if (!ctx->opts->file_locks || !ctx->files->locks)
		return 0;
	list_for_each(it, &ctx->tree->items, list)
		for (size_t i = 0; item_alive(it) && i < it->nr_vmas; i++) {
			const struct vma *v = &it->vmas[i];
			int ret = 0;

			if (v->file && v->file->dump && S_ISREG(v->file->dump->fi.st.st_mode) &&
			    v->e->status & VMA_FILE_SHARED && (v->e->fdflags & O_ACCMODE) == O_RDWR)
				ret = check_vma(ctx, it, v, &a);
			bad = bad ? bad : ret;
		}
	free(a.list);
	proc_text_free(&a.text);
	pstree_sort_locks(ctx->tree);
	return bad;
}
