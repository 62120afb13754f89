/*
 * scols - libsmartcols, loaded when the first table is printed: most runs
 * print none, and would spend a tenth of a small dump in the dynamic linker.
 * Only model/state*.c includes this.
 */
#ifndef CL_MODEL_SCOLS_H
#define CL_MODEL_SCOLS_H

#include <libsmartcols.h>

/* clang-format off */
#define SCOLS_FUNCTIONS(F) \
	F(new_table) F(unref_table) F(print_table) F(table_set_stream) F(table_set_termforce) \
	F(table_new_column) F(table_new_line) F(table_get_column) F(table_get_line) \
	F(table_get_nlines) F(column_set_flags) F(line_set_data) F(line_get_cell) F(cell_get_data)
/* clang-format on */

/* Each function without its prefix. */
struct scols {
#define F(name) __typeof__(scols_##name) *name;
	SCOLS_FUNCTIONS(F)
#undef F
};

int scols_load(struct scols *s);

#endif
