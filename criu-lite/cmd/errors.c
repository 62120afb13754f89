/*
 * errors - the table of error ids: those of errors.def, then one for each
 * file type.
 */
#include "cmd/errors.h"

#include <string.h>

const struct error_row error_rows[] = {
#define ERROR(id, class, cause, cure) { id, CLASS_##class, cause, cure },
#include "cmd/errors.def"
#undef ERROR
/* What file_fail() records. */
#define FILE_TYPE(name, fd_type, field, msg)                                                       \
	{ "file-" #name, CLASS_HERE, "an open file, of the type " #name ", could not be restored", \
	  "put back what the line names, or see its errno" },
#include "model/file_types.def"
#undef FILE_TYPE
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
