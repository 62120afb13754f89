/*
 * state_table - tables of a snapshot, described by their columns. Only
 * model/state*.c includes this.
 */
#ifndef CL_MODEL_STATE_TABLE_H
#define CL_MODEL_STATE_TABLE_H

#include <stddef.h>
#include <stdio.h>

#include <json-c/json.h>

#include "model/scols.h"

/* How a cell is made of the member of a row. */
enum cell_kind { KEY, VALUE, MEMBER, COUNT, REST };

/* A column of a table whose rows are the members of an object. */
struct column {
	const char *head;
	enum cell_kind cell;
	const char
		*path; /* of the member, with dots; REST: what not to show, separated by blanks */
	int flags;     /* SCOLS_FL_ */
};

struct table {
	const char *title, *member;
	const char *news; /* a row that has the same here as the first one is not shown */
	const struct column *columns;
	size_t n;
};

/* A table on its way to be printed. */
struct printed {
	struct scols s;
	struct libscols_table *tb;
};

#define TABLE(title, member, news, columns)                                        \
	{                                                                          \
		title, member, news, columns, sizeof(columns) / sizeof(*(columns)) \
	}

/* A member by its path, with dots; NULL if there is none. */
struct json_object *table_member(struct json_object *o, const char *path);
const char *table_text(struct json_object *o);
/* All members but those that @skip lists as name=value, inner ones by path. */
void table_rest(FILE *f, struct json_object *o, const char *prefix, const char *skip);
int table_new(struct printed *p, FILE *f, const struct table *t);
int table_add(const struct printed *p, const struct table *t, struct libscols_line *parent,
	      const char *key, struct json_object *row, struct libscols_line **out);
int table_print(FILE *f, const struct table *t, struct json_object *rows);
void table_heading(FILE *f, const char *text);

#endif
