/*
 * state_print - a snapshot for people: the processes as a tree, then of each
 * what it is and tables of its threads, credentials, signals, limits,
 * mappings and descriptors. The same on a terminal and in a pipe, but for
 * bold headings on a terminal without NO_COLOR.
 */
#include "model/state.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>
#include <libsmartcols.h>

/* How a cell is made of the member of a row. */
enum cell { KEY, VALUE, MEMBER, COUNT, REST };

/* A column of a table whose rows are the members of an object. */
struct column {
	const char *head;
	enum cell cell;
	const char *path; /* of the member, with dots; REST: what not to show, separated by blanks */
	int flags;        /* SCOLS_FL_ */
};

struct table {
	const char *title, *member;
	const char *news; /* a row that has the same here as the first one is not shown */
	const struct column *columns;
	size_t n;
};

#define TABLE(title, member, news, columns) \
	{ title, member, news, columns, sizeof(columns) / sizeof(*(columns)) }

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
	{ "FILE", MEMBER, "file", 0 },
	{ "OTHER", REST, "prot kind flags madvise offset content file", 0 },
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

static const struct column tree_columns[] = {
	{ "PID", KEY, NULL, SCOLS_FL_TREE },
	{ "NAME", MEMBER, "comm", 0 },
	{ "STATE", MEMBER, "state", 0 },
	{ "PGID", MEMBER, "pgid", SCOLS_FL_RIGHT },
	{ "SID", MEMBER, "sid", SCOLS_FL_RIGHT },
	{ "THREADS", COUNT, "threads", SCOLS_FL_RIGHT },
	{ "FDS", COUNT, "fds", SCOLS_FL_RIGHT },
	{ "MAPPINGS", COUNT, "vmas", SCOLS_FL_RIGHT },
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
static const struct table shared_table = TABLE("Shared memory", "shared_memory", NULL, shared_columns);

static struct json_object *member(struct json_object *o, const char *path)
{
	char key[64];

	while (o && *path) {
		size_t n = strcspn(path, ".");

		snprintf(key, sizeof(key), "%.*s", (int)n, path);
		if (!json_object_is_type(o, json_type_object) ||
		    !json_object_object_get_ex(o, key, &o))
			return NULL;
		path += path[n] ? n + 1 : n;
	}
	return o;
}

static const char *text_of(struct json_object *o)
{
	if (!o)
		return "";
	return json_object_is_type(o, json_type_string) ?
		       json_object_get_string(o) :
		       json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
								 JSON_C_TO_STRING_NOSLASHESCAPE);
}

/* Is @path one of the blank-separated words? */
static bool listed(const char *words, const char *path)
{
	size_t n = strlen(path);

	for (const char *at = words; (at = strstr(at, path)); at++)
		if ((at == words || at[-1] == ' ') && (!at[n] || at[n] == ' '))
			return true;
	return false;
}

/* All members but the listed ones as name=value, inner ones by path. */
static void put_rest(FILE *f, struct json_object *o, const char *prefix, const char *skip)
{
	if (!json_object_is_type(o, json_type_object))
		return;
	json_object_object_foreach(o, key, val)
	{
		char path[128];

		snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", key);
		if (listed(skip, path))
			continue;
		if (json_object_is_type(val, json_type_object))
			put_rest(f, val, path, skip);
		else
			fprintf(f, "%s=%s ", !strncmp(path, "file.", 5) ? path + 5 : path,
				text_of(val));
	}
}

static int set_rest(struct libscols_line *ln, size_t at, struct json_object *row, const char *skip)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int ret;

	if (!f)
		return -errno;
	put_rest(f, row, "", skip);
	if (fclose(f)) {
		free(text);
		return -ENOMEM;
	}
	if (len)
		text[len - 1] = '\0';
	ret = scols_line_set_data(ln, at, text);
	free(text);
	return ret;
}

static int set_count(struct libscols_line *ln, size_t at, struct json_object *o)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%zu",
		 json_object_is_type(o, json_type_array)  ? json_object_array_length(o) :
		 json_object_is_type(o, json_type_object) ? (size_t)json_object_object_length(o) :
							    0);
	return scols_line_set_data(ln, at, buf);
}

static int set_cell(struct libscols_line *ln, size_t at, const struct column *c, const char *key,
		    struct json_object *row)
{
	switch (c->cell) {
	case KEY:
		return scols_line_set_data(ln, at, key);
	case VALUE:
		return scols_line_set_data(ln, at, text_of(row));
	case COUNT:
		return set_count(ln, at, member(row, c->path));
	case REST:
		return set_rest(ln, at, row, c->path);
	default:
		return scols_line_set_data(ln, at, text_of(member(row, c->path)));
	}
}

static int add_row(struct libscols_table *tb, const struct table *t, struct libscols_line *parent,
		   const char *key, struct json_object *row, struct libscols_line **out)
{
	struct libscols_line *ln = scols_table_new_line(tb, parent);
	int ret = ln ? 0 : -ENOMEM;

	for (size_t i = 0; !ret && i < t->n; i++)
		ret = set_cell(ln, i, &t->columns[i], key, row);
	if (out)
		*out = ln;
	return ret;
}

static struct libscols_table *new_table(FILE *f, const struct table *t)
{
	struct libscols_table *tb = scols_new_table();

	if (!tb)
		return NULL;
	scols_table_set_stream(tb, f);
	scols_table_set_termforce(tb, SCOLS_TERMFORCE_NEVER);
	for (size_t i = 0; i < t->n; i++) {
		if (!scols_table_new_column(tb, t->columns[i].head, 0, t->columns[i].flags)) {
			scols_unref_table(tb);
			return NULL;
		}
	}
	return tb;
}

static void heading(FILE *f, const char *text)
{
	bool bold = isatty(fileno(f)) && !getenv("NO_COLOR");

	fprintf(f, bold ? "\n\033[1m%s\033[0m\n" : "\n%s\n", text);
}

/* Columns without anything in them are not shown. */
static void hide_empty(struct libscols_table *tb, const struct table *t)
{
	for (size_t i = 0; i < t->n; i++) {
		bool empty = true;

		for (size_t k = 0; empty && k < scols_table_get_nlines(tb); k++) {
			struct libscols_cell *c =
				scols_line_get_cell(scols_table_get_line(tb, k), i);

			empty = !c || !scols_cell_get_data(c) || !*scols_cell_get_data(c);
		}
		if (empty)
			scols_column_set_flags(scols_table_get_column(tb, i), SCOLS_FL_HIDDEN);
	}
}

static int add_rows(struct libscols_table *tb, const struct table *t, struct json_object *rows)
{
	struct json_object *first = NULL, *what;
	char key[24];
	int ret = 0;

	if (json_object_is_type(rows, json_type_array)) {
		for (size_t i = 0; !ret && i < json_object_array_length(rows); i++) {
			snprintf(key, sizeof(key), "%zu", i);
			ret = add_row(tb, t, NULL, key, json_object_array_get_idx(rows, i), NULL);
		}
	} else if (json_object_is_type(rows, json_type_object)) {
		json_object_object_foreach(rows, name, row)
		{
			what = t->news ? member(row, t->news) : NULL;
			if (ret || (what && first && json_object_equal(first, what)))
				continue;
			first = first ? first : what;
			ret = add_row(tb, t, NULL, name, row, NULL);
		}
	}
	return ret;
}

static int print_rows(FILE *f, const struct table *t, struct json_object *rows)
{
	struct libscols_table *tb;
	int ret;

	if (!rows)
		return 0;
	tb = new_table(f, t);
	if (!tb)
		return -ENOMEM;
	ret = add_rows(tb, t, rows);
	if (!ret) {
		hide_empty(tb, t);
		heading(f, t->title);
		ret = scols_print_table(tb);
	}
	scols_unref_table(tb);
	return ret;
}

/* The children of @ppid, each with its own. */
static int add_children(struct libscols_table *tb, struct json_object *tasks, const char *ppid,
			struct libscols_line *parent, unsigned depth)
{
	int ret = 0;

	json_object_object_foreach(tasks, key, task)
	{
		struct json_object *p = member(task, "ppid");
		struct libscols_line *ln;

		if (ret || !p || strcmp(json_object_get_string(p), ppid))
			continue;
		ret = add_row(tb, &tree_table, parent, key, task, &ln);
		if (!ret && depth)
			ret = add_children(tb, tasks, key, ln, depth - 1);
	}
	return ret;
}

static int print_tree(FILE *f, struct json_object *tasks)
{
	struct libscols_table *tb = new_table(f, &tree_table);
	int ret = tb ? add_children(tb, tasks, "outside", NULL, 1000) : -ENOMEM;

	if (!ret)
		ret = scols_print_table(tb);
	scols_unref_table(tb);
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
			put_rest(f, val, "", "");
		else
			fputs(text_of(val), f);
		fputc('\n', f);
	}
}

static int print_task(FILE *f, const char *pid, struct json_object *task)
{
	char title[64];
	int ret = 0;

	snprintf(title, sizeof(title), "Process %s (%.30s)", pid, text_of(member(task, "comm")));
	heading(f, title);
	print_plain(f, task);
	for (size_t i = 0; !ret && i < sizeof(task_tables) / sizeof(*task_tables); i++)
		ret = print_rows(f, &task_tables[i], member(task, task_tables[i].member));
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
	struct json_object *tasks = member(state, "tasks");
	int ret;

	if (!json_object_is_type(tasks, json_type_object))
		return -EINVAL;
	ret = print_tree(f, tasks);
	json_object_object_foreach(tasks, pid, task)
		if (!ret)
			ret = print_task(f, pid, task);
	if (!ret)
		ret = print_rows(f, &shared_table, member(state, "shared_memory"));
	if (!ret && (fflush(f) || ferror(f)))
		ret = errno ? -errno : -EIO;
	return ret;
}
