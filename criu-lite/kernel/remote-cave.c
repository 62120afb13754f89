/*
 * remote-cave - the end of the vdso, lent for the time of a session: see
 * remote-internal.h for what is put there.
 */
#include "kernel/remote-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

#define CAVE_MAX 8192

/* A session with nothing but its memory file. */
int remote_new(struct remote **out, pid_t tid)
{
	cleanup_close int mem = -1;
	struct remote *r;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/mem", tid);
	mem = open(path, O_RDWR | O_CLOEXEC);
	if (mem < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	r = calloc(1, sizeof(*r));
	if (!r)
		return -ENOMEM;
	r->tid = tid;
	r->limit_ms = 10000;
	r->mem = take_fd(&mem);
	*out = r;
	return 0;
}

/* Frees a session and touches nothing else. */
void remote_free(struct remote *r)
{
	close(r->mem);
	free(r->host.before);
	free(r->threads);
	free(r);
}

/* How much of the end of the mapping may be ours. Returns its size or -errno. */
static ssize_t cave_measure(struct remote *r, unsigned long start, unsigned long end)
{
	size_t len = end - start < CAVE_MAX ? end - start : CAVE_MAX, zero;
	unsigned char *buf = malloc(len);
	ssize_t ret;

	if (!buf)
		return -ENOMEM;
	ret = remote_read(r, end - len, buf, len);
	for (zero = 0; !ret && zero < len && !buf[len - 1 - zero];)
		zero++;
	if (!ret)
		ret = zero > CAVE_MARGIN ? (ssize_t)(zero - CAVE_MARGIN) : 0;
	free(buf);
	return ret;
}

/* Does the end of the mapping hold what a dead tool has left? Returns 1, 0 or -errno. */
int remote_cave_used(struct remote *r, struct cave_head *head)
{
	int ret = remote_read(r, r->cave, head, sizeof(*head));

	return ret < 0 ? ret : head->magic == REMOTE_MAGIC;
}

/* Where head and stub are in a mapping that ends at @end. */
void remote_cave_locate(struct remote *r, unsigned long end)
{
	r->cave = end - sizeof(struct cave_head);
	r->code = r->cave - remote_round_up(arch_stub_size(), 16);
}

/* Finds room for the stub, and for as much else as there is. */
int remote_cave_find(struct remote *r, unsigned long start, unsigned long end)
{
	struct cave_head head = { 0 };
	ssize_t room;
	int ret;

	if (!end || end - start < REMOTE_PAGE)
		return -ENOSPC;
	remote_cave_locate(r, end);
	ret = remote_cave_used(r, &head);
	if (ret)
		return ret < 0 ? ret : -EBUSY;
	room = cave_measure(r, start, end);
	if (room < 0)
		return (int)room;
	if ((size_t)room < end - r->code)
		return -ENOSPC;
	r->cave_room = remote_round_up(end - (size_t)room, 64);
	if (r->cave_room > r->code)
		r->cave_room = r->code;
	return 0;
}

/* In a task without a vdso: the end of a program's or a library's code. */
int remote_cave_elsewhere(struct remote *r)
{
	unsigned long start = 0, end;
	int ret, found = -ENOSPC;

	while (found == -ENOSPC && (ret = remote_code_at(r->tid, &start, &end)) != 0) {
		if (ret < 0)
			return ret;
		found = remote_cave_find(r, start, end);
		start = end;
	}
	return found;
}

/* Writes stub and head in one go: the head tells a later tool what to remove. */
int remote_cave_plant(struct remote *r)
{
	struct cave_head head = { REMOTE_MAGIC, r->area, r->area_len, r->cave_room };
	unsigned char buf[512] = { 0 };
	size_t at = r->cave - r->code;

	_Static_assert(sizeof(head) == 32, "the stub is before it, aligned");
	if (at + sizeof(head) > sizeof(buf))
		return -E2BIG;
	memcpy(buf, arch_stub(), arch_stub_size());
	memcpy(buf + at, &head, sizeof(head));
	return remote_force(r, r->code, buf, at + sizeof(head));
}

/* Is the stub in the cave the one we know? Returns 0, -EPROTO or another -errno. */
int remote_cave_same(struct remote *r)
{
	unsigned char buf[512];
	int ret;

	if (arch_stub_size() > sizeof(buf))
		return -E2BIG;
	ret = remote_read(r, r->code, buf, arch_stub_size());
	if (!ret && memcmp(buf, arch_stub(), arch_stub_size()))
		ret = -EPROTO;
	return ret;
}

/* Zeroes the cave, as it was found. */
int remote_cave_wipe(struct remote *r)
{
	size_t len = r->cave + sizeof(struct cave_head) - r->cave_room;
	unsigned char *zero = calloc(1, len);
	int ret = zero ? remote_force(r, r->cave_room, zero, len) : -ENOMEM;

	free(zero);
	return ret;
}

/* Leaves the cave, and the stack of the host, as they were found. */
int remote_cave_clear(struct remote *r)
{
	int ret = remote_host_remove(r);

	return ret ?: remote_cave_wipe(r);
}

/*
 * Makes the host, which is stopped, unmap the area from where it needs nothing
 * of it. It then stands in the cave: remote_thread_restore(), remote_cave_clear().
 */
int remote_area_unmap(struct remote *r, struct remote_thread *t)
{
	unsigned long args[6] = { r->area, r->area_len };
	long result = 0;
	int ret = remote_host_place(r, t);

	ret = ret ?: remote_once(r, t, SYS_munmap, args, false, &result);
	return ret ?: (int)result;
}
