/*
 * files_unix - names and connections of Unix sockets, for restore/types/unixsk.c.
 */
#ifndef CL_RESTORE_FILES_UNIX_H
#define CL_RESTORE_FILES_UNIX_H

#include "restore/files.h"
#include "proto/sk-unix.pb-c.h"

/* One name: sockets that were accepted have that of the listening one. */
struct unix_name {
	struct pstree_item *maker; /* who makes the connections that need the name */
	struct file_desc *listener;
	unsigned left; /* connections that are not made yet */
	int fd;        /* the listening socket while they are made, or -1 */
};

/* Two sockets that are connected, or one and the place of a closed one; made in one process. */
struct unix_pair {
	struct file_desc *d[2]; /* [1] is NULL when the peer is closed */
	struct unix_name *name; /* of the accepted end, or NULL */
	int accepted;           /* which end that is */
	int fds[2];
	bool made;
};

int unix_bind(struct file_desc *d, int fd);
int unix_name_taken(struct unix_name *n);
int unix_pair_make(struct unix_pair *p);
int unix_connect(struct file_desc *d, int fd, const struct file_desc *to);
int unix_check_node(struct file_desc *d);

#endif
