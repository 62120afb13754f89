/*
 * fdstart - start a program with descriptors at their numbers. Not installed.
 */
#ifndef CL_LIB_FDSTART_H
#define CL_LIB_FDSTART_H

#include <stddef.h>
#include <sys/types.h>

#include "lib/fdlisten.h"

struct fd_start {
	const char *const *argv;
	char **env;             /* from fdstart_env() */
	struct fd_place *place; /* used up */
	size_t n;
	/* Called once there is a process, a leader of its session, before it executes anything. */
	void (*started)(void *arg, pid_t pid);
	void *arg;
};

char *fdstart_numbers(const char *name, const char *pattern, const struct fd_place *p, size_t n);
int fdstart_env(char ***out, const char *const *unset, const char *const *set);
void fdstart_env_free(char **env);
int fdstart_run(const struct fd_start *s, pid_t *pid, int *pidfd);

#endif
