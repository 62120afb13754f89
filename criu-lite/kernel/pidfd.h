/*
 * pidfd - descriptors that stand for threads. A pidfd of a thread (PIDFD_THREAD,
 * Linux 6.9) gives the descriptors of that thread's own table.
 */
#ifndef CL_KERNEL_PIDFD_H
#define CL_KERNEL_PIDFD_H

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CL_PIDFD_THREAD O_EXCL

/* Return: a pidfd, or -1 with errno; EINVAL from kernels that do not know these. */
static inline int pidfd_of_thread(pid_t tid)
{
	return (int)syscall(SYS_pidfd_open, tid, CL_PIDFD_THREAD);
}

#endif
