/*
 * backoff - waiting for something that has no descriptor to poll. Yields at
 * first, since most waits end within microseconds, then naps that grow up to a
 * millisecond.
 */
#ifndef CL_KERNEL_BACKOFF_H
#define CL_KERNEL_BACKOFF_H

#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <time.h>

struct backoff {
	uint64_t start_ns;
	uint64_t limit_ns;
	uint64_t nap_ns;
};

static inline uint64_t backoff_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static inline void backoff_init(struct backoff *b, unsigned int limit_ms)
{
	b->start_ns = backoff_now();
	b->limit_ns = (uint64_t)limit_ms * 1000000u;
	b->nap_ns = 10000;
}

/* Gives way for a moment. Returns 0, or -ETIMEDOUT once the limit has passed. */
static inline int backoff_pause(struct backoff *b)
{
	uint64_t gone = backoff_now() - b->start_ns;

	if (gone >= b->limit_ns)
		return -ETIMEDOUT;
	if (gone < 150000) {
		sched_yield();
		return 0;
	}
	nanosleep(&(struct timespec){ .tv_nsec = (long)b->nap_ns }, NULL);
	if (b->nap_ns < 1000000)
		b->nap_ns += b->nap_ns / 2;
	return 0;
}

#endif
