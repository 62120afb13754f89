/*
 * state_locks - locks and leases, by the place of what holds them: for POSIX
 * locks the first task of a table of descriptors and the descriptor, for the
 * others the first descriptor of the description. Who took a lock is no part of
 * it: that process may be gone. What a thread waits for is told with the thread.
 */
#include "model/state_parts.h"

#include <fcntl.h>

static const char *kind_word(uint32_t flag)
{
	switch (flag) {
	case FL_POSIX:
		return "POSIX";
	case FL_FLOCK:
		return "FLOCK";
	case FL_OFD:
		return "OFD";
	default:
		return "LEASE";
	}
}

static const char *type_word(uint32_t type)
{
	type &= ~(uint32_t)LEASE_BREAKING;
	return type == F_RDLCK ? "READ" : type == F_WRLCK ? "WRITE" : "UNLCK";
}

static struct json_object *show_range(int64_t start, int64_t len)
{
	if (!len)
		return state_fmt("%lld-EOF", (long long)start);
	return state_fmt("%lld-%lld", (long long)start, (long long)(start + len - 1));
}

/* Where a lock is, by a descriptor that both a live tree and an image have. */
static struct json_object *lock_place(struct state_ctx *s, const struct held_lock *k)
{
	const struct state_place *p = idmap_get(&s->descs, k->desc->id);

	if (k->e->flag == FL_POSIX && k->it)
		return state_fmt("%d/%d", state_table_first(s, held_lock_table(k)), k->e->fd);
	return p ? state_place_name(p) : state_str("in flight");
}

static struct json_object *show_lock(struct state_ctx *s, const struct held_lock *k)
{
	struct json_object *o = json_object_new_object();

	state_put(o, "place", lock_place(s, k));
	state_put(o, "kind", state_str(kind_word(k->e->flag)));
	state_put(o, "type", state_str(type_word(k->e->type)));
	if (k->e->flag == FL_POSIX || k->e->flag == FL_OFD)
		state_put(o, "range", show_range(k->e->start, k->e->len));
	if (k->e->flag == FL_LEASE && k->e->type & LEASE_BREAKING)
		state_put(o, "breaking", json_object_new_boolean(1));
	state_put(o, "file", state_str(state_file_name(s, k->desc)));
	return o;
}

/**
 * state_locks - every lock and lease that the tree holds
 * @s: the snapshot
 *
 * Return: an array, in an order of its own.
 */
struct json_object *state_locks(struct state_ctx *s)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < s->t->nr_locks; i++)
		json_object_array_add(list, show_lock(s, &s->t->locks[i]));
	state_sort(list);
	return list;
}
