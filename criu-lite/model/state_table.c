/*
 * state_table - a table whose rows are members of JSON and whose columns say
 * where in a row their cell is found.
 */
#include "model/state_table.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/**
 * table_member - a member of a member
 * @o: where to begin, or NULL
 * @path: names joined by dots
 *
 * Return: it, or NULL.
 */
struct json_object *table_member(struct json_object *o, const char *path)
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

/**
 * table_text - a value as text
 * @o: the value, or NULL
 *
 * Return: a string as it is, others as JSON; valid as long as @o.
 */
const char *table_text(struct json_object *o)
{
	if (!o)
		return "";
	return json_object_is_type(o, json_type_string)
		       ? json_object_get_string(o)
		       : json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
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

/**
 * table_rest - members as name=value
 * @f: where they are printed, each with a blank after it
 * @o: the object; its inner ones too
 * @prefix: the path of @o
 * @skip: paths not to print, separated by blanks
 */
void table_rest(FILE *f, struct json_object *o, const char *prefix, const char *skip)
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
			table_rest(f, val, path, skip);
		else
			fprintf(f, "%s=%s ", !strncmp(path, "file.", 5) ? path + 5 : path,
				table_text(val));
	}
}

static void set_rest(struct grid *g, struct grid_row *to, size_t at, struct json_object *row,
		     const char *skip)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		abort();
	table_rest(f, row, "", skip);
	if (fclose(f))
		abort();
	if (len)
		text[len - 1] = '\0';
	grid_set(g, to, at, text);
	free(text);
}

static void set_count(struct grid *g, struct grid_row *to, size_t at, struct json_object *o)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%zu",
		 json_object_is_type(o, json_type_array)    ? json_object_array_length(o)
		 : json_object_is_type(o, json_type_object) ? (size_t)json_object_object_length(o)
							    : 0);
	grid_set(g, to, at, buf);
}

static void set_cell(struct grid *g, struct grid_row *to, size_t at, const struct column *c,
		     const char *key, struct json_object *row)
{
	switch (c->cell) {
	case KEY:
		grid_set(g, to, at, key);
		break;
	case VALUE:
		grid_set(g, to, at, table_text(row));
		break;
	case COUNT:
		set_count(g, to, at, table_member(row, c->path));
		break;
	case REST:
		set_rest(g, to, at, row, c->path);
		break;
	default:
		grid_set(g, to, at, table_text(table_member(row, c->path)));
		break;
	}
}

/**
 * table_add - a row
 * @g: the table
 * @t: its columns
 * @parent: the row above it in a tree, or NULL
 * @key: its name
 * @row: its members
 *
 * Return: the row.
 */
struct grid_row *table_add(struct grid *g, const struct table *t, const struct grid_row *parent,
			   const char *key, struct json_object *row)
{
	struct grid_row *to = grid_add(g, parent);

	for (size_t i = 0; i < t->n; i++)
		set_cell(g, to, i, &t->columns[i], key, row);
	return to;
}

/**
 * table_new - a table without rows
 * @t: its columns
 *
 * Return: the table, for grid_free().
 */
struct grid *table_new(const struct table *t)
{
	struct grid *g = grid_new(t->n);

	for (size_t i = 0; i < t->n; i++)
		grid_head(g, i, t->columns[i].head, t->columns[i].flags);
	return g;
}

/**
 * table_heading - a line before what belongs together
 * @f: where; bold if it is a terminal and NO_COLOR is not set
 * @text: the line
 */
void table_heading(FILE *f, const char *text)
{
	bool bold = isatty(fileno(f)) && !getenv("NO_COLOR");

	fprintf(f, bold ? "\n\033[1m%s\033[0m\n" : "\n%s\n", text);
}

static void add_rows(struct grid *g, const struct table *t, struct json_object *rows)
{
	struct json_object *first = NULL, *what;
	char key[24];

	if (json_object_is_type(rows, json_type_array)) {
		for (size_t i = 0; i < json_object_array_length(rows); i++) {
			snprintf(key, sizeof(key), "%zu", i);
			table_add(g, t, NULL, key, json_object_array_get_idx(rows, i));
		}
	} else if (json_object_is_type(rows, json_type_object)) {
		json_object_object_foreach(rows, name, row)
		{
			what = t->news ? table_member(row, t->news) : NULL;
			if (what && first && json_object_equal(first, what))
				continue;
			first = first ? first : what;
			table_add(g, t, NULL, name, row);
		}
	}
}

/**
 * table_print - a table with its title, without columns that have nothing in them
 * @f: where
 * @t: the table
 * @rows: an object or a list of rows; NULL prints nothing
 */
void table_print(FILE *f, const struct table *t, struct json_object *rows)
{
	struct grid *g;

	if (!rows)
		return;
	g = table_new(t);
	add_rows(g, t, rows);
	grid_hide_empty(g);
	table_heading(f, t->title);
	grid_print(g, f);
	grid_free(g);
}
