/*
 * fdset - descriptors that a command is about, taken from other processes or
 * from its caller, each with a name.
 */
#ifndef CL_CMD_FDSET_H
#define CL_CMD_FDSET_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/fdframe.h"

struct cmd;

struct fdset {
	struct fd_item *items;
	int *from; /* numbers that they had where they come from */
	size_t n;
};

int fdset_add(struct cmd *c, struct fdset *s, int fd, int from, const char *name, size_t len);
void fdset_close(struct fdset *s);

/* fdset_process.c: of a process, which ones. */
int fdset_of_process(struct cmd *c, struct fdset *s, pid_t pid, const char *list);

/* fdset_spec.c: a word of the command line. */
int fdset_spec(struct cmd *c, struct fdset *s, const char *word);
int fdset_inherited(struct cmd *c, const char *word, int *fd);

/* fdset_print.c */
void fdset_describe(int fd, char *out, size_t size);
void fdset_print(struct cmd *c, const struct fd_item *items, size_t n, const char *payload);

#endif
