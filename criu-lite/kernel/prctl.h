/*
 * prctl - operations of prctl(2) and ptrace(2) that are newer than the headers
 * of the oldest system this is built on (linux/prctl.h, linux/ptrace.h).
 */
#ifndef CL_KERNEL_PRCTL_H
#define CL_KERNEL_PRCTL_H

#include <stdint.h>
#include <sys/prctl.h>

#ifndef PR_GET_MDWE
#define PR_SET_MDWE 65 /* Linux 6.3 */
#define PR_GET_MDWE 66
#endif

#ifndef PR_GET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67 /* Linux 6.4 */
#define PR_GET_MEMORY_MERGE 68
#endif

#ifndef PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG
#define PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG 0x4211 /* Linux 6.4 */
struct ptrace_sud_config {
	uint64_t mode, selector, offset, len;
};
#endif

#endif
