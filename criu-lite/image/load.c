/*
 * load - images to the model: the tree and its tasks. Everything is checked
 * here, at the door, so that what uses the model need not: pids and their
 * relations, states, the images that a task in its state must have.
 */
#include "image/load.h"

#include <errno.h>
#include <string.h>

#include "proto/ids.pb-c.h"
#include "proto/pstree.pb-c.h"

#define PID_MAX 4194304u

/**
 * load_open - open an image that must be there
 * @l: the loader
 * @r: the reader
 * @k: the kind
 * @id: the id in its name
 *
 * Return: 0 or -errno, recorded; image-missing if there is none.
 */
int load_open(struct loader *l, struct image_reader **r, enum image_kind k, uint64_t id)
{
	char name[IMAGE_NAME_MAX];
	int ret = image_open_in(r, l->d, l->a, k, id);

	if (ret != -ENOENT)
		return ret;
	image_name(name, k, id);
	return fail(l->report, "image-missing", ENOENT, "%s: not in the image directory", name);
}

/**
 * load_one - the only message of an image that must be there
 * @l: the loader
 * @k: the kind
 * @id: the id in its name
 * @desc: type of the message
 * @m: the message, in the tree's arena
 *
 * Return: 0 or -errno, recorded; image-missing if there is none.
 */
int load_one(struct loader *l, enum image_kind k, uint64_t id,
	     const ProtobufCMessageDescriptor *desc, ProtobufCMessage **m)
{
	char name[IMAGE_NAME_MAX];
	int ret = image_read_one(l->d, l->a, k, id, desc, m);

	if (ret != -ENOENT)
		return ret;
	image_name(name, k, id);
	return fail(l->report, "image-missing", ENOENT, "%s: not in the image directory", name);
}

static int bad_task(struct loader *l, uint32_t pid, const char *what)
{
	return fail(l->report, "image-task", EBADMSG, "pid %u: %s", pid, what);
}

/* No two threads of the tree have the same number. */
static int take_tid(struct loader *l, uint32_t pid, uint32_t tid)
{
	static const char taken;

	if (!tid || tid > PID_MAX)
		return fail(l->report, "image-task", EBADMSG, "pid %u: %u is no thread id", pid,
			    tid);
	if (idmap_get(&l->tids, tid))
		return fail(l->report, "image-task", EBADMSG,
			    "pid %u: thread id %u is in the tree twice", pid, tid);
	idmap_put(&l->tids, tid, (void *)&taken);
	return 0;
}

static int load_state(struct loader *l, struct pstree_item *it)
{
	uint32_t state = item_core(it)->tc->task_state;

	if (state != TASK_ALIVE && state != TASK_STOPPED && state != TASK_DEAD &&
	    state != TASK_ZOMBIE)
		return fail(l->report, "image-task", EBADMSG, "pid %d: unknown state %u", it->pid,
			    state);
	it->state = (enum task_state)state;
	return 0;
}

/* Threads of a task that lives; a dead one has whatever was left in the entry. */
static int load_threads(struct loader *l, struct pstree_item *it, const PstreeEntry *e)
{
	size_t n = 1;
	bool leader = false;
	int ret;

	it->threads = arena_array(l->a, struct task_thread, e->n_threads + 1);
	it->threads[0].tid = it->pid;
	it->nr_threads = 1;
	ret = take_tid(l, e->pid, e->pid);
	if (!ret)
		ret = load_core(l, &it->threads[0], true);
	if (!ret)
		ret = load_state(l, it);
	if (ret || !item_alive(it))
		return ret;
	for (size_t i = 0; i < e->n_threads; i++) {
		if (e->threads[i] == e->pid && !leader) {
			leader = true;
			continue;
		}
		ret = take_tid(l, e->pid, e->threads[i]);
		if (ret)
			return ret;
		it->threads[n++].tid = (pid_t)e->threads[i];
	}
	if (!leader)
		return bad_task(l, e->pid, "not among its own threads");
	it->nr_threads = n;
	ret = check_core(l, &it->threads[0], true);
	for (size_t i = 1; i < n && !ret; i++) {
		ret = load_core(l, &it->threads[i], false);
		if (!ret)
			ret = check_core(l, &it->threads[i], false);
	}
	return ret;
}

static int load_item(struct loader *l, const PstreeEntry *e)
{
	struct pstree_item *parent = NULL, *it;

	if (!e->pid || e->pid > PID_MAX || e->pgid > PID_MAX || e->sid > PID_MAX)
		return bad_task(l, e->pid, "no such pid, group or session number");
	if (pstree_find(l->t, (pid_t)e->pid))
		return bad_task(l, e->pid, "is in the tree twice");
	if (e->ppid) {
		parent = e->ppid > PID_MAX ? NULL : pstree_find(l->t, (pid_t)e->ppid);
		if (!parent)
			return fail(l->report, "image-task", EBADMSG,
				    "pid %u: its parent %u is not before it in pstree.img", e->pid,
				    e->ppid);
	} else if (l->t->root) {
		return bad_task(l, e->pid, "a second root of the tree");
	}
	it = pstree_add(l->t, parent, (pid_t)e->pid);
	it->pgid = (pid_t)e->pgid;
	it->sid = (pid_t)e->sid;
	return load_threads(l, it, e);
}

static int load_pstree(struct loader *l)
{
	struct image_reader *r;
	ProtobufCMessage *m;
	int ret = load_open(l, &r, IMAGE_PSTREE, 0);

	if (ret)
		return ret;
	while ((ret = image_get(r, &pstree_entry__descriptor, &m)) > 0) {
		ret = load_item(l, (const PstreeEntry *)m);
		if (ret)
			break;
	}
	image_close(&r);
	if (!ret && !l->t->root)
		ret = fail(l->report, "image-task", EBADMSG, "pstree.img: no process in it");
	return ret;
}

/* ids-<pid>.img; long ago these were in the core. */
static int load_ids(struct loader *l, struct pstree_item *it)
{
	ProtobufCMessage *m;
	int ret = image_read_one(l->d, l->a, IMAGE_IDS, (uint64_t)it->pid,
				 &task_kobj_ids_entry__descriptor, &m);

	if (ret == -ENOENT && item_core(it)->ids) {
		it->ids = item_core(it)->ids;
		return 0;
	}
	if (ret == -ENOENT)
		return fail(l->report, "image-missing", ENOENT,
			    "ids-%d.img: not in the image directory", it->pid);
	if (!ret)
		it->ids = (TaskKobjIdsEntry *)m;
	return ret;
}

/* The file ids that a task names must be files of the right sort. */
static int load_fs(struct loader *l, struct pstree_item *it)
{
	struct file_desc *cwd, *root;
	ProtobufCMessage *m;
	int ret = load_one(l, IMAGE_FS, (uint64_t)it->pid, &fs_entry__descriptor, &m);

	if (ret)
		return ret;
	it->fs = (FsEntry *)m;
	cwd = file_desc_find(l->t, it->fs->cwd_id);
	root = file_desc_find(l->t, it->fs->root_id);
	if (!cwd || cwd->kind != FILE_KIND_reg || !root || root->kind != FILE_KIND_reg)
		return fail(l->report, "image-file-id", EBADMSG,
			    "fs-%d.img: directories %#x and %#x are not in files.img", it->pid,
			    it->fs->cwd_id, it->fs->root_id);
	return 0;
}

static int load_tasks(struct loader *l)
{
	struct pstree_item *it;
	int ret = 0;

	list_for_each(it, &l->t->items, list) {
		if (!item_alive(it))
			continue;
		ret = load_ids(l, it);
		if (!ret)
			ret = load_fs(l, it);
		if (!ret)
			ret = load_mm(l, it);
		if (!ret)
			ret = load_table(l, it);
		if (ret)
			break;
	}
	/* Tables of processes come first: a thread may share that of another process. */
	list_for_each(it, &l->t->items, list)
		if (!ret && item_alive(it))
			ret = load_thread_tables(l, it);
	return ret;
}

/**
 * image_load_tree - a tree from images
 * @d: the directory; image_verify() it first
 * @r: where causes are recorded; the tree keeps it
 * @out: the tree, with all tasks, mappings, tables and files; descriptors are
 *	larval until the engine opens them
 *
 * Return: 0; -errno recorded: an id that begins with image-.
 */
int image_load_tree(struct image_dir *d, struct report *r, struct pstree **out)
{
	struct pstree *t = pstree_new(r);
	struct loader l = { .d = d, .report = r, .t = t, .a = t->arena };
	int ret = image_inventory(d, t->arena, &t->inventory);

	if (!ret && !t->inventory->fdinfo_per_id)
		ret = fail(r, "image-version", EOPNOTSUPP,
			   "inventory.img: descriptors by pid, as old CRIU versions had them, are "
			   "not supported");
	if (!ret)
		ret = load_pstree(&l);
	if (!ret)
		ret = load_files(&l);
	if (!ret)
		ret = load_segments(&l);
	if (!ret)
		ret = load_tasks(&l);
	if (!ret)
		ret = load_locks(&l);
	if (!ret)
		ret = load_shmems(&l);
	idmap_free(&l.tids);
	idmap_free(&l.tables);
	if (ret)
		pstree_free(t);
	else
		*out = t;
	return ret;
}
