/*
 * guard - mandatory locking, which Linux 5.15 dropped: POSIX locks bind those
 * who do not ask for them, too, on files with the classic marking (set-group-id
 * and not executable by the group). By fanotify's events before access; what
 * they cannot see is listed in criu-lite-guard(8).
 */
#ifndef CL_DAEMON_GUARD_H
#define CL_DAEMON_GUARD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct guard;
struct report;

int guard_new(struct guard **out, struct report *r);
int guard_add(struct guard *g, const char *path);
int guard_run(struct guard *g, int signals);
void guard_free(struct guard *g);

/* guard_access.c, for guard.c and its test. */

/* Bytes, both inclusive; @end INT64_MAX: to the end of the file. */
struct guard_range {
	int64_t start, end;
};

/* What somebody is about to do. */
struct guard_access {
	pid_t tid, tgid;
	long nr; /* the system call; -1 if it is not known */
	unsigned long arg[6];
	bool write; /* else it only reads */
	bool waits; /* it may be kept waiting; else it gets EAGAIN */
	struct guard_range range;
};

void guard_access_call(struct guard_access *a, pid_t tid, struct guard_range pages, int64_t size);
void guard_access_rest(struct guard_access *a);
bool guard_opens_to_truncate(const struct guard_access *a);
int guard_conflict(int fd, const struct guard_access *a);

#endif
