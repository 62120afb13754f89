/*
 * errors - the table of error ids.
 */
#include "cmd/errors.h"

#include <string.h>

const struct error_row error_rows[] = {
#define ERROR(id, class, cause, cure) { id, CLASS_##class, cause, cure },
#include "cmd/errors.def"
#undef ERROR
};

const size_t error_rows_nr = sizeof(error_rows) / sizeof(error_rows[0]);

/**
 * error_find - look up an error id
 * @id: the word
 *
 * Return: its row, or NULL.
 */
const struct error_row *error_find(const char *id)
{
	for (size_t i = 0; i < error_rows_nr; i++)
		if (!strcmp(error_rows[i].id, id))
			return &error_rows[i];
	return NULL;
}
