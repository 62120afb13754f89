/*
 * state - the snapshot as a whole: every process by pid, and the shared
 * memory between them.
 */
#include "model/state_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static void index_all(struct state_ctx *s)
{
	struct pstree_item *it;

	state_files_index(s);
	state_mem_index(s);
	list_for_each(it, &s->t->items, list) {
		struct state_place at = { .pid = it->pid };

		if (!item_alive(it) || !it->ids)
			continue;
		if (it->ids->fs_id)
			state_note(s, &s->fs, it->ids->fs_id, at);
		if (it->ids->sighand_id)
			state_note(s, &s->sighand, it->ids->sighand_id, at);
	}
}

static void index_free(struct state_ctx *s)
{
	idmap_free(&s->tables);
	idmap_free(&s->fs);
	idmap_free(&s->sighand);
	idmap_free(&s->descs);
	for (int i = 0; i < STATE_SPACES; i++)
		idmap_free(&s->objects[i]);
	idmap_free(&s->shmems);
	arena_free(s->a);
}

static int by_pid(const void *a, const void *b)
{
	const struct pstree_item *x = *(const struct pstree_item *const *)a;
	const struct pstree_item *y = *(const struct pstree_item *const *)b;

	return x->pid < y->pid ? -1 : x->pid > y->pid;
}

static struct json_object *show_tasks(struct state_ctx *s)
{
	const struct pstree_item **order =
		arena_array(s->a, const struct pstree_item *, s->t->nr_items);
	struct json_object *o = json_object_new_object();
	const struct pstree_item *it;
	char key[16];
	size_t n = 0;

	list_for_each(it, &s->t->items, list)
		if (it->state != TASK_HELPER)
			order[n++] = it;
	qsort(order, n, sizeof(*order), by_pid);
	for (size_t i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "%d", order[i]->pid);
		state_put(o, key, state_task(s, order[i]));
	}
	return o;
}

/**
 * state_json - the snapshot of a tree
 * @t: the tree, live or from an image, its memory hashed: dump_state() does
 *	that, and state_hash_image()
 * @out: the snapshot; json_object_put() it
 *
 * Two snapshots of the same state are equal, whichever of the two each was
 * taken of; see docs/STATE.md.
 *
 * Return: 0, or -EINVAL for a tree without processes.
 */
int state_json(struct pstree *t, struct json_object **out)
{
	struct state_ctx s = { .t = t };
	struct json_object *o, *extra;

	if (!t->root)
		return -EINVAL;
	s.a = arena_new();
	index_all(&s);
	o = json_object_new_object();
	state_put(o, "format", state_str("criu-lite-state-1"));
	state_put(o, "root", json_object_new_int(t->root->pid));
	/* An image of another tool does not have the members named extra. */
	if (!t->root->dump && t->inventory && !t->inventory->tool)
		state_put(o, "foreign", json_object_new_boolean(1));
	state_put(o, "tasks", show_tasks(&s));
	state_put(o, "locks", state_locks(&s));
	state_put(o, "shared_memory", state_shmems(&s));
	state_put(o, "memfds", state_memfds(&s));
	extra = json_object_new_object();
	state_put(extra, "pipes", state_pipes(&s));
	state_put(o, "extra", extra);
	index_free(&s);
	*out = o;
	return 0;
}
