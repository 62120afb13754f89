/*
 * load_locks - filelocks.img: locks and leases, and who has them. An entry
 * leads to a task and its descriptor, or to a description that is in flight.
 */
#include "image/load.h"

#include <errno.h>
#include <fcntl.h>

static bool known_type(const FileLockEntry *e)
{
	if (e->flag == FL_LEASE && e->type & LEASE_BREAKING)
		return (e->type & ~LEASE_BREAKING) == F_RDLCK ||
		       (e->type & ~LEASE_BREAKING) == F_UNLCK;
	return e->type == F_RDLCK || e->type == F_WRLCK;
}

static int check_lock(struct loader *l, const FileLockEntry *e)
{
	if (e->flag != FL_POSIX && e->flag != FL_FLOCK && e->flag != FL_OFD && e->flag != FL_LEASE)
		return fail(l->report, "image-lock", EBADMSG,
			    "filelocks.img: a lock of unknown kind %u", e->flag);
	if (!known_type(e) || e->start < 0 || e->len < 0 || e->len > INT64_MAX - e->start)
		return fail(l->report, "image-lock", EBADMSG,
			    "filelocks.img: pid %d fd %d: a lock of type %u, from %lld, %lld bytes",
			    e->pid, e->fd, e->type, (long long)e->start, (long long)e->len);
	return 0;
}

/* A process, or a thread with a table of its own. Returns the table. */
static const struct filedesc *find_taker(struct loader *l, struct held_lock *k)
{
	struct pstree_item *task = pstree_find(l->t, k->e->pid), *it;

	if (task && item_alive(task)) {
		k->it = task;
		return task->fdt;
	}
	list_for_each(it, &l->t->items, list)
		for (size_t i = 1; item_alive(it) && i < it->nr_threads; i++)
			if (it->threads[i].tid == k->e->pid && it->threads[i].fdt) {
				k->it = it;
				k->tid = k->e->pid;
				return it->threads[i].fdt;
			}
	return NULL;
}

/* @hint: the descriptor of the lock before, which stands before this one. */
static int place_lock(struct loader *l, struct held_lock *k, struct fdinfo_list_entry **hint)
{
	FileLockEntry *e = k->e;

	if (!e->pid && e->has_file_id && e->flag != FL_POSIX) {
		k->desc = file_desc_find(l->t, e->file_id);
	} else {
		const struct filedesc *fdt = find_taker(l, k);

		if (fdt) {
			if (*hint && (*hint)->fdt != fdt)
				*hint = NULL;
			*hint = fle_find(fdt, e->fd, *hint);
			k->desc = *hint ? (*hint)->desc : NULL;
		}
	}
	if (k->desc)
		return 0;
	return fail(l->report, "image-lock", EBADMSG,
		    "filelocks.img: a lock of pid %d fd %d, which is not in the image", e->pid,
		    e->fd);
}

/**
 * load_locks - what the tasks of the tree hold
 * @l: the loader; tasks and files are there
 *
 * Return: 0 or -errno, recorded.
 */
int load_locks(struct loader *l)
{
	struct fdinfo_list_entry *hint = NULL;
	struct pstree *t = l->t;
	struct image_reader *r;
	ProtobufCMessage *m;
	int ret = image_open_in(&r, l->d, l->a, IMAGE_FILE_LOCKS, 0);

	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = image_get(r, &file_lock_entry__descriptor, &m)) > 0) {
		ret = check_lock(l, (FileLockEntry *)m);
		if (ret)
			break;
		arena_push(l->a, t->locks, t->nr_locks) =
			(struct held_lock){ .e = (FileLockEntry *)m };
	}
	image_close(&r);
	if (ret)
		return ret;
	pstree_sort_locks(t);
	for (size_t i = 0; i < t->nr_locks && !ret; i++)
		ret = place_lock(l, &t->locks[i], &hint);
	return ret;
}
