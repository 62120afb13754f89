/*
 * remote-mem - memory of the other address space: a place for the work area,
 * the scratch space, reading and writing.
 */
#include "kernel/remote-internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "kernel/ptrace.h"

static FILE *maps_open(pid_t tid)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/maps", tid);
	return fopen(path, "re");
}

/*
 * Finds the vdso and the middle of the largest hole: far from the heap, the
 * stack and whatever will be mapped next.
 */
int remote_scan_maps(pid_t tid, struct remote_gap *gap)
{
	unsigned long last = 16 * REMOTE_PAGE, best = 0, start, end;
	struct remote_gap found = { 0 };
	FILE *f = maps_open(tid);
	char line[512];

	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx", &start, &end) != 2 || end > ARCH_USER_END)
			continue;
		if (strstr(line, " [vdso]\n")) {
			found.vdso_start = start;
			found.vdso_end = end;
		}
		if (start > last && start - last > best) {
			best = start - last;
			found.free = (last + best / 2) & ~(REMOTE_PAGE * 512 - 1);
		}
		if (end > last)
			last = end;
	}
	fclose(f);
	if (!best)
		return -ESRCH;
	*gap = found;
	return 0;
}

struct map_line {
	unsigned long start, end, ino;
	char perms[8];
};

/* The next line of a maps file. */
static bool next_map(FILE *f, struct map_line *m)
{
	char line[512];

	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %7s %*s %*s %lu", &m->start, &m->end, m->perms,
			   &m->ino) == 4)
			return true;
	return false;
}

/*
 * The first private executable mapping of a file that starts at *@start or
 * above; sets both. Returns 1, 0 if there is none, or -errno.
 */
int remote_code_at(pid_t tid, unsigned long *start, unsigned long *end)
{
	FILE *f = maps_open(tid);
	struct map_line m;
	int ret = 0;

	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	while (!ret && next_map(f, &m)) {
		if (m.start < *start || m.end > ARCH_USER_END || !m.ino || strcmp(m.perms, "r-xp"))
			continue;
		*start = m.start;
		*end = m.end;
		ret = 1;
	}
	fclose(f);
	return ret;
}

/* Is there a private anonymous mapping rw-p that starts at @start? Returns 1, 0 or -errno. */
int remote_mapped_at(pid_t tid, unsigned long start, unsigned long *end)
{
	FILE *f = maps_open(tid);
	struct map_line m;
	int ret = 0;

	if (!f)
		return errno == ENOENT ? -ESRCH : -errno;
	while (!ret && next_map(f, &m)) {
		if (m.start == start && !m.ino && !strcmp(m.perms, "rw-p")) {
			*end = m.end;
			ret = 1;
		}
	}
	fclose(f);
	return ret;
}

/**
 * remote_area - where the work area is, which is not part of the task.
 * @start: first address
 * @end: first address behind it
 */
void remote_area(const struct remote *r, unsigned long *start, unsigned long *end)
{
	*start = r->area;
	*end = r->area + r->area_len;
}

/**
 * remote_alloc - scratch memory in the work area.
 * @size: bytes
 * @align: a power of two
 *
 * Returns the remote address, or 0 if @size is not left; remote_reset() gives
 * all back. The contents are undefined.
 */
unsigned long remote_alloc(struct remote *r, size_t size, size_t align)
{
	size_t at = (r->scratch_used + align - 1) & ~(align - 1);

	if (at > REMOTE_SCRATCH || size > REMOTE_SCRATCH - at)
		return 0;
	r->scratch_used = at + size;
	return r->scratch + at;
}

/** remote_left - how much remote_alloc() has left, in bytes, before alignment. */
size_t remote_left(const struct remote *r)
{
	return REMOTE_SCRATCH - r->scratch_used;
}

/** remote_reset - give back all that remote_alloc() has handed out. */
void remote_reset(struct remote *r)
{
	r->scratch_used = 0;
}

static int mem_rw(struct remote *r, unsigned long raddr, char *buf, size_t len, bool write)
{
	while (len) {
		ssize_t got = write ? pwrite(r->mem, buf, len, (off_t)raddr)
				    : pread(r->mem, buf, len, (off_t)raddr);

		if (got < 0 && errno != EINTR)
			return errno == EIO ? -EFAULT : -errno;
		/* The address space is gone. */
		if (!got)
			return -ESRCH;
		if (got > 0) {
			buf += got;
			raddr += (unsigned long)got;
			len -= (size_t)got;
		}
	}
	return 0;
}

/**
 * remote_write - write memory of the address space, read-only or not.
 * @raddr: where to
 *
 * Returns 0 or -errno; on an error a part may have been written.
 */
int remote_write(struct remote *r, unsigned long raddr, const void *buf, size_t len)
{
	struct iovec from = { (void *)buf, len }, to = { (void *)raddr, len };

	if (process_vm_writev(r->tid, &from, 1, &to, 1, 0) == (ssize_t)len)
		return 0;
	return mem_rw(r, raddr, (char *)buf, len, true);
}

/** remote_read - read memory of the address space. Returns 0 or -errno. */
int remote_read(struct remote *r, unsigned long raddr, void *buf, size_t len)
{
	struct iovec to = { buf, len }, from = { (void *)raddr, len };

	if (process_vm_readv(r->tid, &to, 1, &from, 1, 0) == (ssize_t)len)
		return 0;
	return mem_rw(r, raddr, buf, len, false);
}

/* As remote_write(), also where /proc/PID/mem does not override protection. Multiples of 8. */
int remote_force(struct remote *r, unsigned long raddr, const void *buf, size_t len)
{
	if (!mem_rw(r, raddr, (char *)buf, len, true))
		return 0;
	return ptrace_poke(r->tid, raddr, buf, len);
}

/* Is there memory at @raddr? */
bool remote_readable(const struct remote *r, unsigned long raddr)
{
	char c;
	struct iovec to = { &c, 1 }, from = { (void *)raddr, 1 };

	return process_vm_readv(r->tid, &to, 1, &from, 1, 0) == 1;
}
