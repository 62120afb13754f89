/*
 * progress - a bar on standard error for work that lasts.
 */
#ifndef CL_CMD_PROGRESS_H
#define CL_CMD_PROGRESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct progress {
	const char *what;
	bool on;    /* standard error is a terminal */
	bool plain; /* NO_COLOR, or a terminal without colours */
	bool shown;
	uint64_t start, last; /* ms of CLOCK_MONOTONIC */
	pthread_mutex_t lock;
};

void progress_start(struct progress *p, const char *what);
void progress_step(struct progress *p, uint64_t done, uint64_t total);
void progress_end(struct progress *p);

#endif
