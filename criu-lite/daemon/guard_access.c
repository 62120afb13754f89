/*
 * guard_access - who wants to do what to a guarded file, and does a lock
 * forbid it?
 *
 * An event tells thread and pages. That thread stands in its system call,
 * which /proc/TID/syscall shows: so reading is told from writing, and for
 * read(), write() and their like the very bytes are known. What is none of the
 * known calls counts as writing to whole pages.
 */
#include "daemon/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kernel/locks.h"
#include "kernel/procfs.h"

#define TRIES 200 /* some 10 ms */

/* The event may be here before the thread has gone to sleep; until then its call is not told. */
static bool call_of(struct guard_access *a)
{
	struct proc_text t = { 0 };
	char name[40];
	int got = 0;

	snprintf(name, sizeof(name), "/proc/%d/syscall", a->tid);
	for (int i = 0; i < TRIES && !proc_read(AT_FDCWD, name, &t); i++) {
		got = sscanf(t.p, "%ld %lx %lx %lx %lx %lx %lx", &a->nr, &a->arg[0], &a->arg[1],
			     &a->arg[2], &a->arg[3], &a->arg[4], &a->arg[5]);
		if (strncmp(t.p, "running", 7) != 0)
			break;
		usleep(50);
	}
	proc_text_free(&t);
	return got == 7;
}

/**
 * guard_access_call - what the thread behind an event is about to do
 * @a: filled, but for what guard_access_rest() finds
 * @tid: the thread, which waits for the answer
 * @pages: what the event tells
 * @size: of the file, in bytes
 */
void guard_access_call(struct guard_access *a, pid_t tid, struct guard_range pages, int64_t size)
{
	*a = (struct guard_access){ .tid = tid, .tgid = tid, .write = true, .range = pages };
	if (!call_of(a)) {
		a->nr = -1;
		return;
	}
	switch (a->nr) {
	case SYS_read:
	case SYS_readv:
	case SYS_pread64:
	case SYS_preadv:
	case SYS_preadv2:
		a->write = false;
		break;
	case SYS_mmap:
		a->write = a->arg[2] & PROT_WRITE && a->arg[3] & MAP_SHARED;
		break;
	case SYS_ftruncate:
	case SYS_truncate:
		/* The bytes between the old end and the new one. */
		a->range.start = (int64_t)a->arg[1] < size ? (int64_t)a->arg[1] : size;
		a->range.end = INT64_MAX;
		break;
	default:
		break;
	}
}

/* Of the pages of the event, the bytes that the call names. */
static void narrow(struct guard_range *r, int64_t start, uint64_t len)
{
	int64_t end = len && len - 1 < (uint64_t)(INT64_MAX - start) ? start + (int64_t)len - 1
								     : INT64_MAX;

	if (start > r->start && start <= r->end)
		r->start = start;
	if (end < r->end && end >= r->start)
		r->end = end;
}

static pid_t tgid_of(pid_t tid, struct proc_text *t)
{
	char name[40];
	const char *at;

	snprintf(name, sizeof(name), "/proc/%d/status", tid);
	if (proc_read(AT_FDCWD, name, t))
		return tid;
	at = strstr(t->p, "\nTgid:");
	return at ? atoi(at + 6) : tid;
}

/* Calls on a descriptor: does it wait, and which bytes does it mean? */
static void by_descriptor(struct guard_access *a, struct proc_text *t)
{
	bool offset = a->nr != SYS_read && a->nr != SYS_write && a->nr != SYS_readv &&
		      a->nr != SYS_writev;
	bool bytes = a->nr == SYS_read || a->nr == SYS_write || a->nr == SYS_pread64 ||
		     a->nr == SYS_pwrite64;
	char name[64];
	long long pos;
	unsigned int flags;

	snprintf(name, sizeof(name), "/proc/%d/fdinfo/%d", a->tid, (int)a->arg[0]);
	if (proc_read(AT_FDCWD, name, t) || sscanf(t->p, "pos: %lld flags: %o", &pos, &flags) != 2)
		return;
	a->waits = !(flags & O_NONBLOCK);
	if (bytes && !(a->write && flags & O_APPEND))
		narrow(&a->range, offset ? (int64_t)a->arg[3] : pos, a->arg[2]);
}

/**
 * guard_access_rest - what is only asked if there is a lock in the pages
 * @a: the access, from guard_access_call()
 */
void guard_access_rest(struct guard_access *a)
{
	struct proc_text t = { 0 };

	a->tgid = tgid_of(a->tid, &t);
	switch (a->nr) {
	case SYS_read:
	case SYS_write:
	case SYS_pread64:
	case SYS_pwrite64:
	case SYS_readv:
	case SYS_writev:
	case SYS_preadv:
	case SYS_pwritev:
	case SYS_preadv2:
	case SYS_pwritev2:
		by_descriptor(a, &t);
		break;
	default:
		break;
	}
	proc_text_free(&t);
}

/**
 * guard_opens_to_truncate - is a thread about to open a file and cut it?
 * @a: the access
 *
 * Return: true if it is.
 */
bool guard_opens_to_truncate(const struct guard_access *a)
{
	struct open_how how = { 0 };
	struct iovec local = { &how, sizeof(how.flags) };
	struct iovec remote = { (void *)a->arg[2], sizeof(how.flags) };

	switch (a->nr) {
	case SYS_creat:
		return true;
	case SYS_open:
		return a->arg[1] & O_TRUNC;
	case SYS_openat:
		return a->arg[2] & O_TRUNC;
	case SYS_openat2:
		return process_vm_readv(a->tid, &local, 1, &remote, 1, 0) ==
			       (ssize_t)local.iov_len &&
		       how.flags & O_TRUNC;
	default:
		return false;
	}
}

/* Every lock on the inode, one by one: reads /proc/locks, which takes 10 ms. */
static int conflict_listed(int fd, const struct guard_access *a, struct guard_range r)
{
	struct proc_text t = { 0 };
	struct lock_line *list = NULL;
	struct stat st;
	size_t n = 0;
	int found = 0, ret = fstat(fd, &st) < 0 ? -errno : lock_list(&t, &list, &n);

	for (size_t i = 0; ret >= 0 && i < n && !found; i++) {
		const struct lock_line *l = &list[i];

		found = l->kind == LOCK_POSIX && !l->waits && l->ino == st.st_ino &&
			l->pid != a->tgid && (a->write || l->type == F_WRLCK) &&
			l->start <= (uint64_t)r.end && l->end >= (uint64_t)r.start;
	}
	free(list);
	proc_text_free(&t);
	return ret < 0 ? ret : found;
}

static int conflict_in(int fd, const struct guard_access *a, struct guard_range r);

/* What is left of @r beside a lock that permits the access. */
static int conflict_beside(int fd, const struct guard_access *a, struct guard_range r,
			   const struct flock *l)
{
	int64_t end = l->l_len ? l->l_start + l->l_len - 1 : INT64_MAX;
	int ret = 0;

	if (l->l_start > r.start)
		ret = conflict_in(fd, a, (struct guard_range){ r.start, l->l_start - 1 });
	if (!ret && end < r.end)
		ret = conflict_in(fd, a, (struct guard_range){ end + 1, r.end });
	return ret;
}

/*
 * F_GETLK gives one lock of a range, which hides those behind it: none, if it
 * is a WRITE lock, or a READ lock and the access reads.
 */
static int conflict_in(int fd, const struct guard_access *a, struct guard_range r)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = r.start };

	l.l_len = r.end == INT64_MAX ? 0 : r.end - r.start + 1;
	if (fcntl(fd, F_GETLK, &l) < 0)
		return -errno;
	if (l.l_type == F_UNLCK)
		return 0;
	/* OFD locks never were mandatory here: look behind. */
	if (l.l_pid == -1)
		return conflict_listed(fd, a, r);
	if (l.l_pid != a->tgid && (a->write || l.l_type == F_WRLCK))
		return 1;
	if (a->write && l.l_type == F_RDLCK)
		return conflict_listed(fd, a, r);
	return conflict_beside(fd, a, r, &l);
}

/**
 * guard_conflict - does somebody else's POSIX lock forbid an access?
 * @fd: the file
 * @a: the access; a range to INT64_MAX goes to the end of the file and beyond
 *
 * Return: 1 if one does, 0 if none does, or -errno.
 */
int guard_conflict(int fd, const struct guard_access *a)
{
	return conflict_in(fd, a, a->range);
}
