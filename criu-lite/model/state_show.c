/*
 * state_show - views of a snapshot: one side of all its tasks, as rows.
 */
#include "model/state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "model/state_parts.h"
#include "model/state_table.h"

static const struct column columns[] = {
	{ "PLACE", MEMBER, "place", 0 }, { "COMMAND", MEMBER, "command", 0 },
	{ "KIND", MEMBER, "kind", 0 },   { "TYPE", MEMBER, "type", 0 },
	{ "RANGE", MEMBER, "range", 0 }, { "STATE", MEMBER, "state", 0 },
	{ "FILE", MEMBER, "file", 0 },
};

static const struct table lock_table = TABLE("Locks and leases", "locks", NULL, columns);

static void copy(struct json_object *row, struct json_object *from, const char *key)
{
	struct json_object *v = table_member(from, key);

	if (v)
		state_put(row, key, json_object_get(v));
}

/* The name of the task that a place begins with. */
static struct json_object *command_at(struct json_object *tasks, const char *place)
{
	char path[32];
	int pid;

	if (!place || sscanf(place, "%d/", &pid) != 1)
		return NULL;
	snprintf(path, sizeof(path), "%d.comm", pid);
	return table_member(tasks, path);
}

static void add_held(struct json_object *rows, struct json_object *tasks, struct json_object *lock)
{
	struct json_object *row = json_object_new_object(), *place = table_member(lock, "place");
	struct json_object *comm = command_at(tasks, place ? json_object_get_string(place) : NULL);

	copy(row, lock, "place");
	if (comm)
		state_put(row, "command", json_object_get(comm));
	copy(row, lock, "kind");
	copy(row, lock, "type");
	copy(row, lock, "range");
	state_put(row, "state", state_str(table_member(lock, "breaking") ? "breaking" : "held"));
	copy(row, lock, "file");
	json_object_array_add(rows, row);
}

static int64_t number(struct json_object *o, const char *key, int64_t none)
{
	struct json_object *v = table_member(o, key);

	return v ? json_object_get_int64(v) : none;
}

/* @wait: the members of a lock_wait_entry. */
static void add_wait(struct json_object *rows, struct json_object *task, const char *pid,
		     struct json_object *wait)
{
	static const char *const kinds[] = {
		[FL_POSIX] = "POSIX", [FL_FLOCK] = "FLOCK", [FL_OFD] = "OFD", [FL_LEASE] = "open()"
	};
	struct json_object *row = json_object_new_object(), *file = NULL;
	int64_t kind = number(wait, "flag", 0), fd = number(wait, "fd", -1);
	int64_t len = number(wait, "len", 0), start = number(wait, "start", 0);
	char path[48];

	snprintf(path, sizeof(path), "fds.%lld.file.name", (long long)fd);
	file = fd < 0 ? table_member(wait, "name") : table_member(task, path);
	state_put(row, "place", fd < 0 ? state_str(pid) : state_fmt("%s/%lld", pid, (long long)fd));
	if (table_member(task, "comm"))
		state_put(row, "command", json_object_get(table_member(task, "comm")));
	if (kind > 0 && kind <= FL_LEASE && kinds[kind])
		state_put(row, "kind", state_str(kinds[kind]));
	state_put(row, "type",
		  state_str(number(wait, "type", F_RDLCK) == F_WRLCK ? "WRITE" : "READ"));
	if (len > 0)
		state_put(row, "range",
			  state_fmt("%lld-%lld", (long long)start, (long long)(start + len - 1)));
	else if (kind == FL_POSIX || kind == FL_OFD)
		state_put(row, "range", state_fmt("%lld-EOF", (long long)start));
	state_put(row, "state", state_str("waits"));
	if (file)
		state_put(row, "file", json_object_get(file));
	json_object_array_add(rows, row);
}

static void add_waits(struct json_object *rows, const char *pid, struct json_object *task)
{
	struct json_object *threads = table_member(task, "threads"), *wait;

	if (!threads)
		return;
	json_object_object_foreach(threads, tid, thread)
	{
		(void)tid;
		wait = table_member(thread, "extra.lock_wait");
		if (wait)
			add_wait(rows, task, pid, wait);
	}
}

/**
 * state_show_locks - locks and leases of a snapshot, held and waited for
 * @state: the snapshot
 * @rows: a list; json_object_put() it
 *
 * Return: 0, or -EINVAL if it is not a snapshot.
 */
int state_show_locks(struct json_object *state, struct json_object **rows)
{
	struct json_object *locks = table_member(state, "locks");
	struct json_object *tasks = table_member(state, "tasks");

	if (!json_object_is_type(tasks, json_type_object))
		return -EINVAL;
	*rows = json_object_new_array();
	for (size_t i = 0; locks && i < json_object_array_length(locks); i++)
		add_held(*rows, tasks, json_object_array_get_idx(locks, i));
	json_object_object_foreach(tasks, pid, task) if (task) add_waits(*rows, pid, task);
	return 0;
}

/**
 * state_print_locks - print what state_show_locks() has found
 * @f: where
 * @rows: the list
 *
 * Return: 0, -ENOMEM, or what libsmartcols says.
 */
int state_print_locks(FILE *f, struct json_object *rows)
{
	return table_print(f, &lock_table, rows);
}
