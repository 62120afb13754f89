/*
 * guard - the events of guarded files, answered. An access that no lock is in
 * the way of is let through; one that must not wait gets EAGAIN; one that may
 * is held until the lock has gone, which is looked for every few milliseconds,
 * as nothing tells of it. While an answer is held its thread cannot be stopped,
 * only killed. When the guard ends the kernel lets everybody through.
 */
#include "daemon/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/report.h"

#ifndef FAN_PRE_ACCESS
#define FAN_PRE_ACCESS 0x00100000 /* Linux 6.14 */
#endif
#ifndef FAN_EVENT_INFO_TYPE_RANGE
#define FAN_EVENT_INFO_TYPE_RANGE 6
#endif

#define DENY_EAGAIN (FAN_DENY | (unsigned)EAGAIN << 24)
#define HELD_MAX 512 /* accesses that wait; more get EAGAIN */
#define LOOK_MS 5    /* between looks at locks that others wait for */

/* struct fanotify_event_info_range, which older headers lack */
struct range_info {
	struct fanotify_event_info_header hdr;
	uint32_t pad;
	uint64_t offset, count;
};

struct held {
	int fd;
	struct guard_access a;
};

struct guard {
	struct report *report;
	int fan;
	struct held held[HELD_MAX];
	size_t nr_held;
};

/**
 * guard_new - a guard without files
 * @out: the guard
 * @r: where causes are recorded
 *
 * Return: 0 or -errno, recorded.
 */
int guard_new(struct guard **out, struct report *r)
{
	struct guard *g;
	int fd = fanotify_init(FAN_CLASS_PRE_CONTENT | FAN_CLOEXEC | FAN_NONBLOCK | FAN_REPORT_TID |
				       FAN_UNLIMITED_QUEUE,
			       O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return fail(r, "guard-kernel", errno,
			    "fanotify_init(FAN_CLASS_PRE_CONTENT): it takes Linux 6.14 and "
			    "CAP_SYS_ADMIN");
	g = calloc(1, sizeof(*g));
	if (!g)
		abort();
	g->report = r;
	g->fan = fd;
	*out = g;
	return 0;
}

static bool marked(const struct stat *st)
{
	return S_ISREG(st->st_mode) && (st->st_mode & (S_ISGID | S_IXGRP)) == S_ISGID;
}

/**
 * guard_add - guard one more file
 * @g: the guard
 * @path: a regular file with the classic marking
 *
 * Return: 0 or -errno, recorded.
 */
int guard_add(struct guard *g, const char *path)
{
	cleanup_close int fd = open(path, O_PATH | O_CLOEXEC);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fail(g->report, "guard-file", errno, "%s", path);
	if (!marked(&st))
		return fail(g->report, "guard-unmarked", EINVAL,
			    "%s: only a regular file with the classic marking is guarded: chmod "
			    "g+s,g-x",
			    path);
	if (fanotify_mark(g->fan, FAN_MARK_ADD, FAN_PRE_ACCESS | FAN_OPEN_PERM, AT_FDCWD, path) ==
	    0)
		return 0;
	if (errno == EINVAL)
		return fail(g->report, "guard-kernel", errno,
			    "%s: events before access (FAN_PRE_ACCESS) take Linux 6.14", path);
	return fail(g->report, "guard-filesystem", errno,
		    "%s: its file system tells nobody before access; ext4, XFS and btrfs do, tmpfs "
		    "does not",
		    path);
}

/* A thread that has been killed waits for no answer: that is no error. */
static void answer(const struct guard *g, int fd, unsigned response)
{
	struct fanotify_response r = { .fd = fd, .response = response };

	if (write(g->fan, &r, sizeof(r)) < 0 && errno != ENOENT)
		log_warn(g->report, "an access could not be answered: %s", strerror(errno));
	close(fd);
}

/* Errors let through: a guard that cannot judge must not lock out everybody. */
static void judge(struct guard *g, int fd, const struct guard_access *a)
{
	if (guard_conflict(fd, a) <= 0)
		answer(g, fd, FAN_ALLOW);
	else if (a->waits && g->nr_held < HELD_MAX)
		g->held[g->nr_held++] = (struct held){ .fd = fd, .a = *a };
	else
		answer(g, fd, DENY_EAGAIN);
}

static struct guard_range range_of(const struct fanotify_event_metadata *m)
{
	const struct range_info *r = (const void *)(m + 1);
	struct guard_range all = { 0, INT64_MAX };

	if (m->event_len < sizeof(*m) + sizeof(*r) ||
	    r->hdr.info_type != FAN_EVENT_INFO_TYPE_RANGE || r->offset > INT64_MAX)
		return all;
	all.start = (int64_t)r->offset;
	if (r->count && r->count <= (uint64_t)(INT64_MAX - all.start))
		all.end = all.start + (int64_t)r->count - 1;
	return all;
}

static bool locked(int fd, struct guard_range r)
{
	struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = r.start };

	l.l_len = r.end == INT64_MAX ? 0 : r.end - r.start + 1;
	return fcntl(fd, F_GETLK, &l) == 0 && l.l_type != F_UNLCK;
}

/* Nearly always there is no lock at all, and the first question settles it. */
static bool harmless(const struct fanotify_event_metadata *m, struct guard_access *a)
{
	const struct guard_range all = { 0, INT64_MAX };
	struct stat st;

	if (!locked(m->fd, all) || fstat(m->fd, &st) < 0 || !marked(&st))
		return true;
	guard_access_call(a, m->pid, m->mask & FAN_PRE_ACCESS ? range_of(m) : all, st.st_size);
	if (m->mask & FAN_OPEN_PERM)
		return !guard_opens_to_truncate(a);
	return !locked(m->fd, a->range);
}

static void serve_event(struct guard *g, const struct fanotify_event_metadata *m)
{
	struct guard_access a;

	if (harmless(m, &a)) {
		answer(g, m->fd, FAN_ALLOW);
		return;
	}
	guard_access_rest(&a);
	judge(g, m->fd, &a);
}

static void look_at_held(struct guard *g)
{
	size_t kept = 0;

	for (size_t i = 0; i < g->nr_held; i++) {
		struct held *h = &g->held[i];

		if (guard_conflict(h->fd, &h->a) > 0)
			g->held[kept++] = *h;
		else
			answer(g, h->fd, FAN_ALLOW);
	}
	g->nr_held = kept;
}

/* 0 or -errno, recorded: the guard is of no use any more. */
static int serve(struct guard *g)
{
	char buf[16384] __attribute__((aligned(8)));
	ssize_t n;

	look_at_held(g);
	n = read(g->fan, buf, sizeof(buf));
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (n < 0)
		return fail(g->report, "guard-events", errno, "read of the fanotify group");
	for (const struct fanotify_event_metadata *m = (const void *)buf; FAN_EVENT_OK(m, n);
	     m = FAN_EVENT_NEXT(m, n)) {
		if (m->vers != FANOTIFY_METADATA_VERSION)
			return fail(g->report, "guard-kernel", 0,
				    "the kernel speaks version %d of fanotify, not %d", m->vers,
				    FANOTIFY_METADATA_VERSION);
		if (m->fd >= 0)
			serve_event(g, m);
	}
	return 0;
}

/**
 * guard_run - answer until a signal comes
 * @g: the guard
 * @signals: readable when it is time to end: a signalfd
 *
 * Return: 0 or -errno, recorded.
 */
int guard_run(struct guard *g, int signals)
{
	struct pollfd p[] = { { .fd = g->fan, .events = POLLIN },
			      { .fd = signals, .events = POLLIN } };
	int ret = 0;

	while (ret >= 0 && !(p[1].revents & POLLIN)) {
		if (poll(p, 2, g->nr_held ? LOOK_MS : -1) < 0 && errno != EINTR)
			return fail(g->report, "guard-events", errno, "poll()");
		ret = serve(g);
	}
	return ret;
}

/**
 * guard_free - end a guard; whoever it held is let through
 * @g: the guard, or NULL
 */
void guard_free(struct guard *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->nr_held; i++)
		close(g->held[i].fd);
	close(g->fan);
	free(g);
}
