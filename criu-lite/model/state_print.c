/*
 * state_print - a snapshot for people: the processes as a tree, then of each
 * what it is and tables of its threads, credentials, signals, limits,
 * mappings and descriptors. The same on a terminal and in a pipe, but for
 * bold headings on a terminal without NO_COLOR.
 */
#include "model/state.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "model/state_table.h"

static const struct column thread_columns[] = {
	{ "TID", KEY, NULL, GRID_RIGHT },
	{ "NAME", MEMBER, "comm", 0 },
	{ "SCHED", MEMBER, "sched", 0 },
	{ "PRIO", MEMBER, "sched_prio", GRID_RIGHT },
	{ "NICE", MEMBER, "nice", GRID_RIGHT },
	{ "SIGMASK", MEMBER, "sigmask", 0 },
	{ "PENDING", COUNT, "pending", GRID_RIGHT },
	{ "SECCOMP", MEMBER, "seccomp", 0 },
	{ "IP", MEMBER, "registers.ip", 0 },
	{ "SP", MEMBER, "registers.sp", 0 },
	{ "OTHER", REST,
	  "comm sched sched_prio nice sigmask pending seccomp registers fpu creds tls", 0 },
};

static const struct column cred_columns[] = {
	{ "TID", KEY, NULL, GRID_RIGHT },
	{ "UID", MEMBER, "creds.uid", GRID_RIGHT },
	{ "EUID", MEMBER, "creds.euid", GRID_RIGHT },
	{ "GID", MEMBER, "creds.gid", GRID_RIGHT },
	{ "EGID", MEMBER, "creds.egid", GRID_RIGHT },
	{ "GROUPS", MEMBER, "creds.groups", 0 },
	{ "EFFECTIVE", MEMBER, "creds.cap_eff", 0 },
	{ "PERMITTED", MEMBER, "creds.cap_prm", 0 },
	{ "BOUNDING", MEMBER, "creds.cap_bnd", 0 },
	{ "SECUREBITS", MEMBER, "creds.secbits", 0 },
	{ "NNP", MEMBER, "creds.no_new_privs", GRID_RIGHT },
};

static const struct column action_columns[] = {
	{ "SIGNAL", KEY, NULL, 0 },
	{ "HANDLER", MEMBER, "sigaction", 0 },
	{ "FLAGS", MEMBER, "flags", 0 },
	{ "MASK", MEMBER, "mask", 0 },
	{ "RESTORER", MEMBER, "restorer", 0 },
};

static const struct column pending_columns[] = {
	{ "SIGNAL", MEMBER, "signal", 0 },
	{ "CODE", MEMBER, "code", GRID_RIGHT },
	{ "DETAILS", REST, "signal code", 0 },
};

static const struct column limit_columns[] = {
	{ "LIMIT", KEY, NULL, 0 },
	{ "SOFT:HARD", VALUE, NULL, 0 },
};

static const struct column vma_columns[] = {
	{ "RANGE", KEY, NULL, GRID_RIGHT },
	{ "PROT", MEMBER, "prot", 0 },
	{ "KIND", MEMBER, "kind", 0 },
	{ "FLAGS", MEMBER, "flags", 0 },
	{ "ADVICE", MEMBER, "madvise", 0 },
	{ "OFFSET", MEMBER, "offset", GRID_RIGHT },
	{ "CONTENT", MEMBER, "content", 0 },
	{ "OTHER", REST, "prot kind flags madvise offset content file", 0 },
	{ "FILE", MEMBER, "file", 0 },
};

static const struct column fd_columns[] = {
	{ "FD", KEY, NULL, GRID_RIGHT },
	{ "KIND", MEMBER, "kind", 0 },
	{ "SHARING", MEMBER, "sharing", 0 },
	{ "CLOEXEC", MEMBER, "cloexec", 0 },
	{ "FLAGS", MEMBER, "file.flags", 0 },
	{ "POS", MEMBER, "file.pos", GRID_RIGHT },
	{ "NAME", MEMBER, "file.name", 0 },
	{ "DETAILS", REST, "kind sharing cloexec file.flags file.pos file.name", 0 },
};

static const struct column shared_columns[] = {
	{ "OBJECT", KEY, NULL, 0 },
	{ "CONTENT", VALUE, NULL, 0 },
};

static const struct column pipe_columns[] = {
	{ "PIPE", KEY, NULL, 0 },
	{ "CONTENT", VALUE, NULL, 0 },
};

static const struct column lock_columns[] = {
	{ "PLACE", MEMBER, "place", 0 },
	{ "KIND", MEMBER, "kind", 0 },
	{ "TYPE", MEMBER, "type", 0 },
	{ "RANGE", MEMBER, "range", 0 },
	{ "OTHER", REST, "place kind type range file", 0 },
	{ "FILE", MEMBER, "file", 0 },
};

static const struct column memfd_columns[] = {
	{ "CONTENT", VALUE, NULL, 0 },
};

static const struct column tree_columns[] = {
	{ "PID", KEY, NULL, GRID_TREE },      { "NAME", MEMBER, "comm", 0 },
	{ "STATE", MEMBER, "state", 0 },      { "PGID", MEMBER, "pgid", GRID_RIGHT },
	{ "SID", MEMBER, "sid", GRID_RIGHT }, { "THREADS", COUNT, "threads", GRID_RIGHT },
	{ "FDS", COUNT, "fds", GRID_RIGHT },  { "MAPPINGS", COUNT, "vmas", GRID_RIGHT },
	{ "PROGRAM", MEMBER, "exe", 0 },
};

static const struct table task_tables[] = {
	TABLE("Threads", "threads", NULL, thread_columns),
	TABLE("Credentials", "threads", "creds", cred_columns),
	TABLE("Signal actions", "sigactions", NULL, action_columns),
	TABLE("Pending signals of the process", "pending", NULL, pending_columns),
	TABLE("Limits", "limits", NULL, limit_columns),
	TABLE("Memory", "vmas", NULL, vma_columns),
	TABLE("Descriptors", "fds", NULL, fd_columns),
};
static const struct table tree_table = TABLE("Processes", "tasks", NULL, tree_columns);
static const struct table other_tables[] = {
	TABLE("Locks and leases", "locks", NULL, lock_columns),
	TABLE("Shared memory", "shared_memory", NULL, shared_columns),
	TABLE("Contents of memfds", "memfds", NULL, memfd_columns),
	TABLE("Contents of pipes, by checksum", "extra.pipes", NULL, pipe_columns),
};

/* The children of @ppid, each with its own. */
static void add_children(struct grid *g, struct json_object *tasks, const char *ppid,
			 const struct grid_row *parent, unsigned depth)
{
	json_object_object_foreach(tasks, key, task)
	{
		struct json_object *p = table_member(task, "ppid");
		const struct grid_row *row;

		if (!p || strcmp(json_object_get_string(p), ppid))
			continue;
		row = table_add(g, &tree_table, parent, key, task);
		if (depth)
			add_children(g, tasks, key, row, depth - 1);
	}
}

static void print_tree(FILE *f, struct json_object *tasks)
{
	struct grid *g = table_new(&tree_table);

	add_children(g, tasks, "outside", NULL, 1000);
	grid_print(g, f);
	grid_free(g);
}

/* What no table shows: the plain members, and small objects flattened. */
static void print_plain(FILE *f, struct json_object *task)
{
	json_object_object_foreach(task, key, val)
	{
		bool tabled = false;

		for (size_t i = 0; i < sizeof(task_tables) / sizeof(*task_tables); i++)
			tabled = tabled || !strcmp(key, task_tables[i].member);
		if (tabled || !strcmp(key, "comm"))
			continue;
		fprintf(f, "  %-13s ", key);
		if (json_object_is_type(val, json_type_object))
			table_rest(f, val, "", "");
		else
			fputs(table_text(val), f);
		fputc('\n', f);
	}
}

static void print_task(FILE *f, const char *pid, struct json_object *task)
{
	char title[64];

	snprintf(title, sizeof(title), "Process %s (%.30s)", pid,
		 table_text(table_member(task, "comm")));
	table_heading(f, title);
	print_plain(f, task);
	for (size_t i = 0; i < sizeof(task_tables) / sizeof(*task_tables); i++)
		table_print(f, &task_tables[i], table_member(task, task_tables[i].member));
}

/**
 * state_print - print a snapshot as text
 * @f: where
 * @state: the snapshot
 *
 * Return: 0; -EINVAL if it is not a snapshot; or the -errno of @f.
 */
int state_print(FILE *f, struct json_object *state)
{
	struct json_object *tasks = table_member(state, "tasks");

	if (!json_object_is_type(tasks, json_type_object))
		return -EINVAL;
	print_tree(f, tasks);
	json_object_object_foreach(tasks, pid, task) print_task(f, pid, task);
	for (size_t i = 0; i < sizeof(other_tables) / sizeof(*other_tables); i++)
		table_print(f, &other_tables[i], table_member(state, other_tables[i].member));
	if (fflush(f) || ferror(f))
		return errno ? -errno : -EIO;
	return 0;
}
