/*
 * pathdir - the directory of the last path, kept open. Many files are in one
 * directory: looking each up from there saves the walk through all above it,
 * which is most of what a lookup costs.
 */
#ifndef CL_BASE_PATHDIR_H
#define CL_BASE_PATHDIR_H

#include <stddef.h>

struct path_dir {
	int fd;     /* -1: none yet */
	int above;  /* @fd is to be no lower number */
	char *name; /* up to and with the last slash; malloc'ed */
	size_t len;
};

#define PATH_DIR_INIT ((struct path_dir){ .fd = -1 })

int path_dir_enter(struct path_dir *c, const char *path, const char **base);
void path_dir_close(struct path_dir *c);

#endif
