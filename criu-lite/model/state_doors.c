/*
 * state_doors - the doors of a snapshot, as rows: each once for a task, however
 * many descriptors and tickets of it that has.
 */
#include "model/state.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/door_names.h"
#include "model/state_parts.h"
#include "model/state_table.h"

static const struct column columns[] = {
	{ "PLACE", MEMBER, "place", 0 },   { "COMMAND", MEMBER, "command", 0 },
	{ "ID", MEMBER, "id", 0 },         { "ATTRIBUTES", MEMBER, "attributes", 0 },
	{ "PARAMS", MEMBER, "params", 0 }, { "SERVER", MEMBER, "server", 0 },
	{ "PATHS", MEMBER, "paths", 0 },
};

static const struct table door_table = TABLE("Doors", "doors", NULL, columns);

static uint64_t number(struct json_object *o, const char *key)
{
	struct json_object *v = table_member(o, key);

	return v ? json_object_get_uint64(v) : 0;
}

static struct json_object *attributes(struct json_object *ticket)
{
	struct json_object *v = table_member(ticket, "attributes");
	char buf[DOOR_ATTRIBUTES_LEN];

	return state_str(door_attributes(
		v ? (uint32_t)strtoul(json_object_get_string(v), NULL, 0) : 0, buf, sizeof(buf)));
}

/* The row of a door that the task has; made if there is none. */
static struct json_object *row_of(struct json_object *rows, size_t first, const char *pid,
				  const char *fd, struct json_object *ticket)
{
	struct json_object *row, *id;

	for (size_t i = first; ticket && i < json_object_array_length(rows); i++) {
		row = json_object_array_get_idx(rows, i);
		id = table_member(row, "id");
		if (id && json_object_get_uint64(id) == number(ticket, "door_id"))
			return row;
	}
	row = json_object_new_object();
	json_object_array_add(rows, row);
	state_put(row, "place", state_fmt("%s/%s", pid, fd));
	return row;
}

static bool has(struct json_object *list, const char *word)
{
	for (size_t i = 0; i < json_object_array_length(list); i++)
		if (!strcmp(table_text(json_object_array_get_idx(list, i)), word))
			return true;
	return false;
}

/* Several descriptors may be of one ticket. */
static void add_paths(struct json_object *row, struct json_object *ticket)
{
	struct json_object *more = table_member(ticket, "attached");
	struct json_object *had = table_member(row, "paths");
	struct json_object *paths = had ? had : json_object_new_array();

	for (size_t i = 0; more && i < json_object_array_length(more); i++) {
		struct json_object *path = json_object_array_get_idx(more, i);

		if (!has(paths, table_text(path)))
			json_object_array_add(paths, json_object_get(path));
	}
	/* Not before: what is empty is left out. */
	if (!had)
		state_put(row, "paths", paths);
}

static void add_door(struct json_object *rows, size_t first, const char *pid,
		     struct json_object *task, const char *fd, struct json_object *file)
{
	struct json_object *ticket = table_member(file, "ticket"), *comm;
	struct json_object *row = row_of(rows, first, pid, fd, ticket);

	if (ticket)
		add_paths(row, ticket);
	if (table_member(row, "server"))
		return;
	comm = table_member(task, "comm");
	if (comm)
		state_put(row, "command", json_object_get(comm));
	if (!ticket) {
		state_put(row, "server", state_str("revoked"));
		return;
	}
	state_put(row, "id", state_u64(number(ticket, "door_id")));
	state_put(row, "attributes", attributes(ticket));
	state_put(row, "params",
		  state_fmt("%llu descriptors, %llu-%llu bytes",
			    (unsigned long long)number(ticket, "desc_max"),
			    (unsigned long long)number(ticket, "data_min"),
			    (unsigned long long)number(ticket, "data_max")));
	state_put(row, "server",
		  state_str(table_member(ticket, "listener") ? "in the tree" : "outside"));
}

/**
 * state_show_doors - doors of which a snapshot has descriptors
 * @state: the snapshot
 * @rows: a list; json_object_put() it
 *
 * Return: 0, or -EINVAL if it is not a snapshot.
 */
int state_show_doors(struct json_object *state, struct json_object **rows)
{
	struct json_object *tasks = table_member(state, "tasks");

	if (!json_object_is_type(tasks, json_type_object))
		return -EINVAL;
	*rows = json_object_new_array();
	json_object_object_foreach(tasks, pid, task)
	{
		struct json_object *fds = table_member(task, "fds");
		const size_t first = json_object_array_length(*rows);

		if (!fds)
			continue;
		json_object_object_foreach(fds, fd, o)
		{
			const char *kind = table_text(table_member(o, "kind"));
			struct json_object *file = table_member(o, "file");

			if (file && kind && !strcmp(kind, "door"))
				add_door(*rows, first, pid, task, fd, file);
		}
	}
	return 0;
}

/**
 * state_print_doors - print what state_show_doors() has found
 * @f: where
 * @rows: the list
 *
 * Return: as table_print().
 */
int state_print_doors(FILE *f, struct json_object *rows)
{
	return table_print(f, &door_table, rows);
}
