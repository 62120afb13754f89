/*
 * measure - what programs that measure calls share: the time, a processor of
 * their own, percentiles.
 */
#ifndef CL_TESTS_BENCH_MEASURE_H
#define CL_TESTS_BENCH_MEASURE_H

#include <sched.h>
#include <stdlib.h>
#include <time.h>

static inline double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static inline void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static inline int compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of @n figures, which are sorted by it. */
static inline double percentile(double *v, size_t n, double p)
{
	qsort(v, n, sizeof(*v), compare);
	return v[(size_t)((double)(n - 1) * p)];
}

#endif
