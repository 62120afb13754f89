/*
 * grid - text in columns, in full width whatever the terminal has.
 */
#ifndef CL_MODEL_GRID_H
#define CL_MODEL_GRID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* How a column is printed. */
enum grid_flags {
	GRID_RIGHT = 1, /* to the right */
	GRID_TREE = 2,  /* rows that are below another one are linked to it */
};

struct grid;
struct grid_row;

struct grid *grid_new(size_t columns);
void grid_free(struct grid *g);
void grid_head(struct grid *g, size_t column, const char *text, int flags);
struct grid_row *grid_add(struct grid *g, const struct grid_row *parent);
void grid_set(struct grid *g, struct grid_row *row, size_t column, const char *text);
void grid_hide_empty(struct grid *g);
void grid_print(const struct grid *g, FILE *f);

#endif
