/*
 * state_table - a table whose rows are members of JSON and whose columns say
 * where in a row their cell is found. Printed in full width, whatever the
 * terminal has.
 */
#include "model/state_table.h"

#include <errno.h>
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

static int set_rest(const struct scols *s, struct libscols_line *ln, size_t at,
		    struct json_object *row, const char *skip)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);
	int ret;

	if (!f)
		return -errno;
	table_rest(f, row, "", skip);
	if (fclose(f)) {
		free(text);
		return -ENOMEM;
	}
	if (len)
		text[len - 1] = '\0';
	ret = s->line_set_data(ln, at, text);
	free(text);
	return ret;
}

static int set_count(const struct scols *s, struct libscols_line *ln, size_t at,
		     struct json_object *o)
{
	char buf[24];

	snprintf(buf, sizeof(buf), "%zu",
		 json_object_is_type(o, json_type_array)    ? json_object_array_length(o)
		 : json_object_is_type(o, json_type_object) ? (size_t)json_object_object_length(o)
							    : 0);
	return s->line_set_data(ln, at, buf);
}

static int set_cell(const struct scols *s, struct libscols_line *ln, size_t at,
		    const struct column *c, const char *key, struct json_object *row)
{
	switch (c->cell) {
	case KEY:
		return s->line_set_data(ln, at, key);
	case VALUE:
		return s->line_set_data(ln, at, table_text(row));
	case COUNT:
		return set_count(s, ln, at, table_member(row, c->path));
	case REST:
		return set_rest(s, ln, at, row, c->path);
	default:
		return s->line_set_data(ln, at, table_text(table_member(row, c->path)));
	}
}

/**
 * table_add - a row
 * @p: the table
 * @t: its columns
 * @parent: the row above it in a tree, or NULL
 * @key: its name
 * @row: its members
 * @out: the row; may be NULL
 *
 * Return: 0 or -ENOMEM.
 */
int table_add(const struct printed *p, const struct table *t, struct libscols_line *parent,
	      const char *key, struct json_object *row, struct libscols_line **out)
{
	struct libscols_line *ln = p->s.table_new_line(p->tb, parent);
	int ret = ln ? 0 : -ENOMEM;

	for (size_t i = 0; !ret && i < t->n; i++)
		ret = set_cell(&p->s, ln, i, &t->columns[i], key, row);
	if (out)
		*out = ln;
	return ret;
}

/**
 * table_new - a table without rows
 * @p: filled; printed->s.unref_table(printed->tb) ends it
 * @f: where it is going to be printed
 * @t: its columns
 *
 * Return: 0, -ENOMEM, or -ELIBACC without libsmartcols.
 */
int table_new(struct printed *p, FILE *f, const struct table *t)
{
	int ret = scols_load(&p->s);

	if (ret)
		return ret;
	p->tb = p->s.new_table();
	if (!p->tb)
		return -ENOMEM;
	p->s.table_set_stream(p->tb, f);
	p->s.table_set_termforce(p->tb, SCOLS_TERMFORCE_NEVER);
	for (size_t i = 0; i < t->n; i++) {
		if (!p->s.table_new_column(p->tb, t->columns[i].head, 0, t->columns[i].flags)) {
			p->s.unref_table(p->tb);
			return -ENOMEM;
		}
	}
	return 0;
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

/* Columns without anything in them are not shown. */
static void hide_empty(const struct printed *p, const struct table *t)
{
	for (size_t i = 0; i < t->n; i++) {
		bool empty = true;

		for (size_t k = 0; empty && k < p->s.table_get_nlines(p->tb); k++) {
			struct libscols_cell *c =
				p->s.line_get_cell(p->s.table_get_line(p->tb, k), i);

			empty = !c || !p->s.cell_get_data(c) || !*p->s.cell_get_data(c);
		}
		if (empty)
			p->s.column_set_flags(p->s.table_get_column(p->tb, i), SCOLS_FL_HIDDEN);
	}
}

static int add_rows(const struct printed *p, const struct table *t, struct json_object *rows)
{
	struct json_object *first = NULL, *what;
	char key[24];
	int ret = 0;

	if (json_object_is_type(rows, json_type_array)) {
		for (size_t i = 0; !ret && i < json_object_array_length(rows); i++) {
			snprintf(key, sizeof(key), "%zu", i);
			ret = table_add(p, t, NULL, key, json_object_array_get_idx(rows, i), NULL);
		}
	} else if (json_object_is_type(rows, json_type_object)) {
		json_object_object_foreach(rows, name, row)
		{
			what = t->news ? table_member(row, t->news) : NULL;
			if (ret || (what && first && json_object_equal(first, what)))
				continue;
			first = first ? first : what;
			ret = table_add(p, t, NULL, name, row, NULL);
		}
	}
	return ret;
}

/**
 * table_print - a table with its title
 * @f: where
 * @t: the table
 * @rows: an object or a list of rows; NULL prints nothing
 *
 * Return: 0, -ENOMEM, -ELIBACC without libsmartcols, or what that says.
 */
int table_print(FILE *f, const struct table *t, struct json_object *rows)
{
	struct printed p;
	int ret;

	if (!rows)
		return 0;
	ret = table_new(&p, f, t);
	if (ret)
		return ret;
	ret = add_rows(&p, t, rows);
	if (!ret) {
		hide_empty(&p, t);
		table_heading(f, t->title);
		ret = p.s.print_table(p.tb);
	}
	p.s.unref_table(p.tb);
	return ret;
}
