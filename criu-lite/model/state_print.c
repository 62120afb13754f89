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
	{ "TID", KEY, NULL, SCOLS_FL_RIGHT },
	{ "NAME", MEMBER, "comm", 0 },
	{ "SCHED", MEMBER, "sched", 0 },
	{ "PRIO", MEMBER, "sched_prio", SCOLS_FL_RIGHT },
	{ "NICE", MEMBER, "nice", SCOLS_FL_RIGHT },
	{ "SIGMASK", MEMBER, "sigmask", 0 },
	{ "PENDING", COUNT, "pending", SCOLS_FL_RIGHT },
	{ "SECCOMP", MEMBER, "seccomp", 0 },
	{ "IP", MEMBER, "registers.ip", 0 },
	{ "SP", MEMBER, "registers.sp", 0 },
	{ "OTHER", REST,
	  "comm sched sched_prio nice sigmask pending seccomp registers fpu creds tls", 0 },
};

static const struct column cred_columns[] = {
	{ "TID", KEY, NULL, SCOLS_FL_RIGHT },
	{ "UID", MEMBER, "creds.uid", SCOLS_FL_RIGHT },
	{ "EUID", MEMBER, "creds.euid", SCOLS_FL_RIGHT },
	{ "GID", MEMBER, "creds.gid", SCOLS_FL_RIGHT },
	{ "EGID", MEMBER, "creds.egid", SCOLS_FL_RIGHT },
	{ "GROUPS", MEMBER, "creds.groups", 0 },
	{ "EFFECTIVE", MEMBER, "creds.cap_eff", 0 },
	{ "PERMITTED", MEMBER, "creds.cap_prm", 0 },
	{ "BOUNDING", MEMBER, "creds.cap_bnd", 0 },
	{ "SECUREBITS", MEMBER, "creds.secbits", 0 },
	{ "NNP", MEMBER, "creds.no_new_privs", SCOLS_FL_RIGHT },
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
	{ "CODE", MEMBER, "code", SCOLS_FL_RIGHT },
	{ "DETAILS", REST, "signal code", 0 },
};

static const struct column limit_columns[] = {
	{ "LIMIT", KEY, NULL, 0 },
	{ "SOFT:HARD", VALUE, NULL, 0 },
};

static const struct column vma_columns[] = {
	{ "RANGE", KEY, NULL, SCOLS_FL_RIGHT },
	{ "PROT", MEMBER, "prot", 0 },
	{ "KIND", MEMBER, "kind", 0 },
	{ "FLAGS", MEMBER, "flags", 0 },
	{ "ADVICE", MEMBER, "madvise", 0 },
	{ "OFFSET", MEMBER, "offset", SCOLS_FL_RIGHT },
	{ "CONTENT", MEMBER, "content", 0 },
	{ "OTHER", REST, "prot kind flags madvise offset content file", 0 },
	{ "FILE", MEMBER, "file", 0 },
};

static const struct column fd_columns[] = {
	{ "FD", KEY, NULL, SCOLS_FL_RIGHT },
	{ "KIND", MEMBER, "kind", 0 },
	{ "SHARING", MEMBER, "sharing", 0 },
	{ "CLOEXEC", MEMBER, "cloexec", 0 },
	{ "FLAGS", MEMBER, "file.flags", 0 },
	{ "POS", MEMBER, "file.pos", SCOLS_FL_RIGHT },
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
	{ "PID", KEY, NULL, SCOLS_FL_TREE },      { "NAME", MEMBER, "comm", 0 },
	{ "STATE", MEMBER, "state", 0 },          { "PGID", MEMBER, "pgid", SCOLS_FL_RIGHT },
	{ "SID", MEMBER, "sid", SCOLS_FL_RIGHT }, { "THREADS", COUNT, "threads", SCOLS_FL_RIGHT },
	{ "FDS", COUNT, "fds", SCOLS_FL_RIGHT },  { "MAPPINGS", COUNT, "vmas", SCOLS_FL_RIGHT },
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
static int add_children(const struct printed *p, struct json_object *tasks, const char *ppid,
			struct libscols_line *parent, unsigned depth)
{
	int ret = 0;

	json_object_object_foreach(tasks, key, task)
	{
		struct json_object *above = table_member(task, "ppid");
		struct libscols_line *ln;

		if (ret || !above || strcmp(json_object_get_string(above), ppid))
			continue;
		ret = table_add(p, &tree_table, parent, key, task, &ln);
		if (!ret && depth)
			ret = add_children(p, tasks, key, ln, depth - 1);
	}
	return ret;
}

static int print_tree(FILE *f, struct json_object *tasks)
{
	struct printed p;
	int ret = table_new(&p, f, &tree_table);

	if (ret)
		return ret;
	ret = add_children(&p, tasks, "outside", NULL, 1000);
	if (!ret)
		ret = p.s.print_table(p.tb);
	p.s.unref_table(p.tb);
	return ret;
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

static int print_task(FILE *f, const char *pid, struct json_object *task)
{
	char title[64];
	int ret = 0;

	snprintf(title, sizeof(title), "Process %s (%.30s)", pid,
		 table_text(table_member(task, "comm")));
	table_heading(f, title);
	print_plain(f, task);
	for (size_t i = 0; !ret && i < sizeof(task_tables) / sizeof(*task_tables); i++)
		ret = table_print(f, &task_tables[i], table_member(task, task_tables[i].member));
	return ret;
}

/**
 * state_print - print a snapshot as text
 * @f: where
 * @state: the snapshot
 *
 * Return: 0; -EINVAL if it is not a snapshot; -ENOMEM; or the -errno of @f.
 */
int state_print(FILE *f, struct json_object *state)
{
	struct json_object *tasks = table_member(state, "tasks");
	int ret;

	if (!json_object_is_type(tasks, json_type_object))
		return -EINVAL;
	ret = print_tree(f, tasks);
	json_object_object_foreach(tasks, pid, task) if (!ret) ret = print_task(f, pid, task);
	for (size_t i = 0; !ret && i < sizeof(other_tables) / sizeof(*other_tables); i++)
		ret = table_print(f, &other_tables[i], table_member(state, other_tables[i].member));
	if (!ret && (fflush(f) || ferror(f)))
		ret = errno ? -errno : -EIO;
	return ret;
}
