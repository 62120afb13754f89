/*
 * file_types - the registry of file_types.def as a table.
 */
#include "model/file_desc.h"

#include <string.h>

#include "proto/fdinfo.pb-c.h"

const struct file_type file_types[FILE_KINDS] = {
#define FILE_TYPE(n, type, member, message)           \
	[FILE_KIND_##n] = {                           \
		.name = #n,                           \
		.fd_type = FD_TYPES__##type,          \
		.msg = &message##__descriptor,        \
		.field = offsetof(FileEntry, member), \
	},
#include "model/file_types.def"
#undef FILE_TYPE
};

/**
 * file_type_find - the row of an image's type
 * @type: FileEntry.type, unchecked
 *
 * Return: the row, or NULL if that type is not supported. Its kind is its
 * distance from file_types.
 */
const struct file_type *file_type_find(FdTypes type)
{
	for (size_t i = 0; i < FILE_KINDS; i++)
		if (file_types[i].fd_type == type)
			return &file_types[i];
	return NULL;
}

/**
 * file_type_ext - the row of a kind that the image format has no type for
 * @kind: its name in the image, or NULL
 *
 * Return: the row, or NULL.
 */
const struct file_type *file_type_ext(const char *kind)
{
	for (size_t i = 0; i < FILE_KINDS; i++)
		if (kind && file_types[i].fd_type == FD_TYPES__EXT &&
		    !strcmp(file_types[i].name, kind))
			return &file_types[i];
	return NULL;
}
