/*
 * pstree - the tree of processes: items in the order they are added, parents
 * before children, found by pid; and the shared memory objects they map.
 */
#include "model/pstree.h"

#include <stdlib.h>

/**
 * pstree_new - an empty tree with an arena of its own
 * @report: where its users record causes; outlives the tree
 *
 * Return: the tree, never NULL.
 */
struct pstree *pstree_new(struct report *report)
{
	struct pstree *t = calloc(1, sizeof(*t));

	if (!t)
		abort();
	t->arena = arena_new();
	t->report = report;
	list_init(&t->items);
	list_init(&t->shmems);
	filetab_init(&t->files, t->arena);
	return t;
}

/**
 * pstree_free - give back a tree, its files and all that is in its arena
 * @t: the tree, or NULL. Descriptors kept in it stay open.
 */
void pstree_free(struct pstree *t)
{
	if (!t)
		return;
	filetab_fini(&t->files);
	idmap_free(&t->by_pid);
	idmap_free(&t->by_shmid);
	arena_free(t->arena);
	free(t);
}

/**
 * pstree_add - a new process
 * @t: the tree
 * @parent: its parent in the tree; NULL for the root, of which there is one
 * @pid: its pid
 *
 * Return: the item, alive and without threads; NULL if the pid is in the tree
 * already, or there is a root already.
 */
struct pstree_item *pstree_add(struct pstree *t, struct pstree_item *parent, pid_t pid)
{
	struct pstree_item *it;

	if (pstree_find(t, pid) || (!parent && t->root))
		return NULL;
	it = arena_new_of(t->arena, struct pstree_item);
	it->pid = pid;
	it->parent = parent;
	it->state = TASK_ALIVE;
	list_init(&it->children);
	list_init(&it->sibling);
	list_add_tail(&it->list, &t->items);
	if (parent)
		list_add_tail(&it->sibling, &parent->children);
	else
		t->root = it;
	idmap_put(&t->by_pid, (uint64_t)pid, it);
	t->nr_items++;
	return it;
}

/**
 * pstree_find - the process of a pid
 * @t: the tree
 * @pid: the pid
 *
 * Return: the item, or NULL.
 */
struct pstree_item *pstree_find(const struct pstree *t, pid_t pid)
{
	return idmap_get(&t->by_pid, (uint64_t)pid);
}

/**
 * item_table_thread - the first thread of a process with a table of its own
 * @it: the process
 * @fdt: the table
 *
 * Return: the thread, or NULL if no thread has that table apart from its process.
 */
struct task_thread *item_table_thread(const struct pstree_item *it, const struct filedesc *fdt)
{
	for (size_t i = 0; fdt && i < it->nr_threads; i++)
		if (it->threads[i].fdt == fdt)
			return &it->threads[i];
	return NULL;
}

/**
 * pstree_table - the table of descriptors that a process or a thread has
 * @t: the tree
 * @id: a pid, or the id of a thread
 *
 * Return: the table, or NULL.
 */
struct filedesc *pstree_table(const struct pstree *t, pid_t id)
{
	const struct pstree_item *task = pstree_find(t, id), *it;

	if (task)
		return task->fdt;
	list_for_each(it, &t->items, list)
		for (size_t i = 1; item_alive(it) && i < it->nr_threads; i++)
			if (it->threads[i].tid == id)
				return it->threads[i].fdt ? it->threads[i].fdt : it->fdt;
	return NULL;
}

/**
 * pstree_shmem - a shared anonymous object, made when it is first asked for
 * @t: the tree
 * @shmid: its id
 *
 * Return: the object; a new one has no size, no pages and no descriptor.
 */
struct shmem *pstree_shmem(struct pstree *t, uint64_t shmid)
{
	struct shmem *shm = idmap_get(&t->by_shmid, shmid);

	if (shm)
		return shm;
	shm = arena_new_of(t->arena, struct shmem);
	shm->shmid = shmid;
	shm->fd = -1;
	list_add_tail(&shm->list, &t->shmems);
	idmap_put(&t->by_shmid, shmid, shm);
	return shm;
}

/**
 * held_lock_table - the table that a lock was taken through
 * @k: the lock, of a task
 *
 * Return: the table; its descriptor has the lock.
 */
struct filedesc *held_lock_table(const struct held_lock *k)
{
	for (size_t i = 0; k->tid && i < k->it->nr_threads; i++)
		if (k->it->threads[i].tid == k->tid && k->it->threads[i].fdt)
			return k->it->threads[i].fdt;
	return k->it->fdt;
}

static int by_place(const void *a, const void *b)
{
	const FileLockEntry *x = ((const struct held_lock *)a)->e;
	const FileLockEntry *y = ((const struct held_lock *)b)->e;

	if (x->pid != y->pid)
		return x->pid < y->pid ? -1 : 1;
	if (x->fd != y->fd)
		return x->fd < y->fd ? -1 : 1;
	if (x->flag != y->flag)
		return x->flag < y->flag ? -1 : 1;
	return x->start < y->start ? -1 : x->start > y->start;
}

/**
 * pstree_sort_locks - bring the locks of a tree into their order
 * @t: the tree
 */
void pstree_sort_locks(struct pstree *t)
{
	size_t i = 1;

	while (i < t->nr_locks && by_place(&t->locks[i - 1], &t->locks[i]) <= 0)
		i++;
	if (i < t->nr_locks)
		qsort(t->locks, t->nr_locks, sizeof(*t->locks), by_place);
}
