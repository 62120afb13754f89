/*
 * file_types - the registry of file_types.def as a table.
 */
#include "model/file_desc.h"

#include <string.h>

#include "proto/fdinfo.pb-c.h"

/* Messages of types that only we have are in no other one. */
#define FILE_TYPE(n, type, member, message) \
	extern const ProtobufCMessageDescriptor message##__descriptor;
#include "model/file_types.def"
#undef FILE_TYPE

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
 * @own: for FD_TYPES__EXT, the name of a type that only we have; or NULL
 *
 * Return: the row, or NULL if that type is not supported. Its kind is its
 * distance from file_types.
 */
const struct file_type *file_type_find(FdTypes type, const char *own)
{
	for (size_t i = 0; i < FILE_KINDS; i++)
		if (file_types[i].fd_type == type &&
		    (type != FD_TYPES__EXT || (own && !strcmp(own, file_types[i].name))))
			return &file_types[i];
	return NULL;
}
