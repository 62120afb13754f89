/*
 * locks - what the kernel tells about locks and leases: lines of /proc/locks
 * and of /proc/PID/fdinfo/N.
 *
 * A description's own locks (flock, OFD, lease) stand in the fdinfo of every
 * descriptor that leads to it, also of one that is just a copy. POSIX locks
 * belong to a table of descriptors, and stand in its fdinfo of the description
 * through which they were taken; neighbours taken through two have merged.
 */
#ifndef CL_KERNEL_LOCKS_H
#define CL_KERNEL_LOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kernel/procfs.h"

#ifndef F_OFD_GETLK
#define F_OFD_GETLK 36
#define F_OFD_SETLK 37
#define F_OFD_SETLKW 38
#endif

enum lock_kind { LOCK_POSIX, LOCK_FLOCK, LOCK_OFD, LOCK_LEASE, LOCK_OTHER };

struct lock_line {
	enum lock_kind kind;
	int type;      /* F_RDLCK, F_WRLCK or F_UNLCK; of a breaking lease what it is to become */
	bool breaking; /* a lease whose holder has been asked */
	bool waits;    /* not held: somebody waits for the lock of the line before */
	pid_t pid;     /* who took it; 0: gone or in another pid namespace, -1: OFD */
	uint32_t major, minor;
	uint64_t ino;
	uint64_t start, end; /* bytes, both inclusive; end UINT64_MAX: to the end of the file */
};

/* What lock_list() says besides 0. */
#define LOCK_LIST_PARTIAL 1

const char *lock_kind_name(enum lock_kind kind);
const char *lock_type_name(int type);
int lock_parse(const char *line, struct lock_line *out);
const char *lock_next(const char *text, struct lock_line *out);
int lock_list(struct proc_text *t, struct lock_line **out, size_t *n);

#endif
