/*
 * progress - a bar on standard error: only on a terminal, only after a second,
 * ten times a second at most. Any thread may step it; one that finds another
 * drawing does not wait.
 */
#include "cmd/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BAR 30 /* columns */

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/**
 * progress_start - begin to measure
 * @p: the bar
 * @what: the word before it
 */
void progress_start(struct progress *p, const char *what)
{
	const char *term = getenv("TERM"), *none = getenv("NO_COLOR");

	*p = (struct progress){
		.what = what,
		.on = isatty(STDERR_FILENO),
		.plain = (none && *none) || !term || !strcmp(term, "dumb"),
		.start = now_ms(),
		.lock = PTHREAD_MUTEX_INITIALIZER,
	};
}

static void draw(const struct progress *p, uint64_t done, uint64_t total)
{
	unsigned full = (unsigned)(done * BAR / total), percent = (unsigned)(done * 100 / total);
	char bar[BAR + 1];

	memset(bar, '.', BAR);
	memset(bar, '#', full);
	bar[BAR] = '\0';
	fprintf(stderr, "\r%s [%s%.*s%s%s] %3u%% of %llu MiB", p->what, p->plain ? "" : "\033[32m",
		(int)full, bar, p->plain ? "" : "\033[0m", bar + full, percent,
		(unsigned long long)(total >> 20));
	fflush(stderr);
}

/**
 * progress_step - so much is done
 * @p: the bar
 * @done: bytes done
 * @total: bytes in all
 */
void progress_step(struct progress *p, uint64_t done, uint64_t total)
{
	uint64_t now;

	if (!p->on || !total || pthread_mutex_trylock(&p->lock))
		return;
	now = now_ms();
	if (now - p->start >= 1000 && now - p->last >= 100) {
		p->last = now;
		p->shown = true;
		draw(p, done < total ? done : total, total);
	}
	pthread_mutex_unlock(&p->lock);
}

/**
 * progress_end - remove the bar
 * @p: the bar
 */
void progress_end(struct progress *p)
{
	if (p->shown)
		fprintf(stderr, "\r%*s\r", (int)strlen(p->what) + BAR + 30, "");
	p->shown = false;
}
