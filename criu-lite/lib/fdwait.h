/*
 * fdwait - deadlines of the library: a time limit in milliseconds becomes a
 * point in time once, and every wait counts towards it. Not installed.
 */
#ifndef CL_LIB_FDWAIT_H
#define CL_LIB_FDWAIT_H

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

static inline int64_t fdwait_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* -1, no limit, stays -1. */
static inline int64_t fdwait_until(int timeout_ms)
{
	return timeout_ms < 0 ? -1 : fdwait_now() + timeout_ms;
}

static inline int fdwait_left(int64_t until)
{
	int64_t left = until < 0 ? -1 : until - fdwait_now();

	return until < 0 ? -1 : left < 0 ? 0 : left > 3600000 ? 3600000 : (int)left;
}

/* Like poll(2), through signals: 0 something is there, -ETIMEDOUT, or -errno. */
static inline int fdwait_any(struct pollfd *p, size_t n, int64_t until)
{
	for (;;) {
		int ret = poll(p, n, fdwait_left(until));

		if (ret > 0)
			return 0;
		if (ret < 0 && errno != EINTR)
			return -errno;
		if (until >= 0 && fdwait_now() >= until)
			return -ETIMEDOUT;
	}
}

static inline int fdwait(int fd, short events, int64_t until)
{
	struct pollfd p = { .fd = fd, .events = events };

	return fdwait_any(&p, 1, until);
}

#endif
