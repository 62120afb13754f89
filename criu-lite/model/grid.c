/*
 * grid - see grid.h. Cells are names that anybody may have chosen: what is not
 * printable ASCII is shown as \xNN. A row comes right after the one that it is
 * below, or after that one's others.
 */
#include "model/grid.h"

#include <string.h>

#include "base/arena.h"

struct grid_row {
	struct grid_row *next;
	unsigned int depth;
	const char *cells[]; /* NULL: empty */
};

struct grid_column {
	const char *head;
	int flags;
	bool hidden;
};

struct grid {
	struct arena *arena;
	struct grid_row *first, **last;
	size_t n;
	struct grid_column columns[];
};

/**
 * grid_new - a grid without rows
 * @columns: how many columns it has
 *
 * Return: the grid, never NULL. Give it back with grid_free().
 */
struct grid *grid_new(size_t columns)
{
	struct arena *a = arena_new();
	struct grid *g = arena_alloc(a, sizeof(*g) + columns * sizeof(*g->columns));

	g->arena = a;
	g->last = &g->first;
	g->n = columns;
	return g;
}

/**
 * grid_free - give back a grid and its rows
 * @g: the grid, or NULL
 */
void grid_free(struct grid *g)
{
	if (g)
		arena_free(g->arena);
}

/**
 * grid_head - the title of a column
 * @g: the grid
 * @column: its number
 * @text: the title; stays the caller's
 * @flags: GRID_RIGHT, GRID_TREE
 */
void grid_head(struct grid *g, size_t column, const char *text, int flags)
{
	g->columns[column].head = text;
	g->columns[column].flags = flags;
}

/**
 * grid_add - a row at the end
 * @g: the grid
 * @parent: the row that it is below in a tree, or NULL
 *
 * Return: the row, with empty cells.
 */
struct grid_row *grid_add(struct grid *g, const struct grid_row *parent)
{
	struct grid_row *row = arena_alloc(g->arena, sizeof(*row) + g->n * sizeof(row->cells[0]));

	row->depth = parent ? parent->depth + 1 : 0;
	*g->last = row;
	g->last = &row->next;
	return row;
}

/**
 * grid_set - the text of a cell
 * @g: the grid
 * @row: a row of it
 * @column: number of the column
 * @text: copied
 */
void grid_set(struct grid *g, struct grid_row *row, size_t column, const char *text)
{
	char *out = arena_alloc(g->arena, 4 * strlen(text) + 1), *to = out;

	for (; *text; text++) {
		if (*text >= ' ' && *text <= '~')
			*to++ = *text;
		else
			to += sprintf(to, "\\x%02x", (unsigned char)*text);
	}
	row->cells[column] = out;
}

/**
 * grid_hide_empty - leave out the columns that have nothing in any row
 * @g: the grid
 */
void grid_hide_empty(struct grid *g)
{
	for (size_t i = 0; i < g->n; i++) {
		const struct grid_row *row = g->first;

		while (row && (!row->cells[i] || !*row->cells[i]))
			row = row->next;
		g->columns[i].hidden = !row;
	}
}

/* Does the row that @row is below at @depth have another one below it, further down? */
static bool goes_on(const struct grid_row *row, unsigned int depth)
{
	do
		row = row->next;
	while (row && row->depth > depth);
	return row && row->depth == depth;
}

/* What links a row to those above it: two characters for each. */
static void print_links(FILE *f, const struct grid_row *row)
{
	for (unsigned int d = 1; d < row->depth; d++)
		fputs(goes_on(row, d) ? "| " : "  ", f);
	if (row->depth)
		fputs(goes_on(row, row->depth) ? "|-" : "`-", f);
}

static size_t cell_width(const struct grid *g, const struct grid_row *row, size_t i)
{
	size_t links = g->columns[i].flags & GRID_TREE ? 2 * (size_t)row->depth : 0;

	return links + (row->cells[i] ? strlen(row->cells[i]) : 0);
}

static size_t column_width(const struct grid *g, size_t i)
{
	size_t width = strlen(g->columns[i].head);

	for (const struct grid_row *row = g->first; row; row = row->next)
		if (cell_width(g, row, i) > width)
			width = cell_width(g, row, i);
	return width;
}

/* @row: NULL for the titles. */
static void print_row(const struct grid *g, FILE *f, const struct grid_row *row,
		      const size_t *widths)
{
	size_t last = g->n, gap = 0;

	while (last && g->columns[last - 1].hidden)
		last--;
	for (size_t i = 0; i < last; i++) {
		const struct grid_column *c = &g->columns[i];
		const char *text = row ? row->cells[i] : c->head;
		size_t rest = widths[i] - (row ? cell_width(g, row, i) : strlen(c->head));

		if (c->hidden)
			continue;
		/* Blanks are owed until something follows them. */
		if (c->flags & GRID_RIGHT)
			gap += rest;
		if ((text && *text) || (row && row->depth && c->flags & GRID_TREE)) {
			fprintf(f, "%*s", (int)gap, "");
			gap = 0;
		}
		if (row && c->flags & GRID_TREE)
			print_links(f, row);
		fputs(text ? text : "", f);
		gap += 1 + (c->flags & GRID_RIGHT ? 0 : rest);
	}
	fputc('\n', f);
}

/**
 * grid_print - titles and rows; nothing for a grid without rows
 * @g: the grid
 * @f: where
 */
void grid_print(const struct grid *g, FILE *f)
{
	size_t *widths = arena_array(g->arena, size_t, g->n);

	if (!g->first)
		return;
	for (size_t i = 0; i < g->n; i++)
		widths[i] = column_width(g, i);
	print_row(g, f, NULL, widths);
	for (const struct grid_row *row = g->first; row; row = row->next)
		print_row(g, f, row, widths);
}
