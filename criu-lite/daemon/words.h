/*
 * words - a request as the command line that asks for the same.
 */
#ifndef CL_DAEMON_WORDS_H
#define CL_DAEMON_WORDS_H

#include "daemon/rpc.h"

struct arena;

/* The words so far; argv is the arena's. */
struct words {
	struct arena *arena;
	const struct rpc_host *host;
	struct report *report;
	const char *command;
	char **argv;
	size_t n;
};

void words_add(struct words *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void words_of_opts(struct words *w, const CriuOpts *o);
char *words_line(const struct words *w);

#endif
