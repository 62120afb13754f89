/*
 * pidfd - which process a pidfd stands for.
 */
#ifndef CL_LIB_PIDFD_H
#define CL_LIB_PIDFD_H

#include <stdio.h>
#include <sys/types.h>

/**
 * pidfd_pid - the number of its process here
 * @pidfd: the pidfd
 *
 * Return: the number; 0: the process has ended, or has no number in this pid namespace.
 */
static inline pid_t pidfd_pid(int pidfd)
{
	char path[48], line[128];
	pid_t pid = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", pidfd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "Pid: %d", &pid) == 1)
			break;
	if (f)
		fclose(f);
	return pid > 0 ? pid : 0;
}

#endif
