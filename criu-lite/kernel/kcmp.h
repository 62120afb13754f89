/*
 * kcmp - do two tasks share a kernel object? kcmp(2).
 */
#ifndef CL_KERNEL_KCMP_H
#define CL_KERNEL_KCMP_H

#include <errno.h>
#include <linux/kcmp.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

enum kcmp_object {
	CL_KCMP_FILE = KCMP_FILE,
	CL_KCMP_VM = KCMP_VM,
	CL_KCMP_FILES = KCMP_FILES,
	CL_KCMP_FS = KCMP_FS,
	CL_KCMP_SIGHAND = KCMP_SIGHAND,
	CL_KCMP_SYSVSEM = KCMP_SYSVSEM,
	CL_KCMP_EPOLL_TFD = KCMP_EPOLL_TFD,
};

/**
 * kcmp - compare a kernel object of two tasks
 * @a: pid of one
 * @b: pid of the other
 * @what: which object
 * @ia: its number in @a (KCMP_FILE: a descriptor), else 0
 * @ib: its number in @b (KCMP_EPOLL_TFD: address of a struct kcmp_epoll_slot)
 *
 * Return: 0 the same, 1 and 2 the order of two different ones, or -errno.
 */
static inline int kcmp(pid_t a, pid_t b, enum kcmp_object what, unsigned long ia, unsigned long ib)
{
	long ret = syscall(SYS_kcmp, a, b, (int)what, ia, ib);

	return ret < 0 ? -errno : (int)ret;
}

#endif
