/* arch - registers of a thread from its image. One arch-<machine>.c each. */
#ifndef CL_RESTORE_ARCH_H
#define CL_RESTORE_ARCH_H

#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

#include <linux/sched.h>

#include "base/report.h"
#include "proto/core-x86.pb-c.h"

void arch_regs_from_image(const UserX86RegsEntry *e, uint32_t restart, struct user_regs_struct *r);
int arch_unmap_code(pid_t tid, unsigned long start, unsigned long end);
pid_t arch_clone_thread(const struct clone_args *args, void (*fn)(void *arg), void *arg);
int arch_set_xstate(struct report *report, pid_t tid, const UserX86FpregsEntry *e);

#endif
