/* files_only - which descriptors of an image a fresh program gets. */
#ifndef CL_RESTORE_FILES_ONLY_H
#define CL_RESTORE_FILES_ONLY_H

#include <sys/types.h>

#include "restore/ctx.h"

/* A descriptor that was picked. */
struct picked {
	const struct fdinfo_list_entry *fle;
	const char *name; /* NULL: none was given */
	size_t name_len;
};

int files_pick(struct restore_ctx *ctx, pid_t pid, const char *list, struct picked **out,
	       size_t *n);

#endif
