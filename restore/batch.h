/*
 * batch - a list of remote calls being put together, each with a word for
 * what it is, so that the one that fails is named.
 */
#ifndef CL_RESTORE_BATCH_H
#define CL_RESTORE_BATCH_H

#include "restore/ctx.h"

struct batch {
	struct arena *arena;
	struct remote_call *calls;
	const char **what;
	size_t n, room;
	unsigned retries; /* of a call that says EEXIST, 10 ms apart, by batch_run() */
};

void batch_add(struct batch *b, const char *what, long nr, unsigned long a0, unsigned long a1,
	       unsigned long a2, unsigned long a3, unsigned long a4, unsigned long a5);
int batch_run(struct restore_ctx *ctx, struct remote *r, pid_t tid, struct batch *b);
int batch_start(struct restore_ctx *ctx, struct remote *r, pid_t tid, struct batch *b);
int batch_finish(struct restore_ctx *ctx, struct remote *r, pid_t tid, struct batch *b);
int batch_room(struct restore_ctx *ctx, struct remote *r, pid_t tid, struct batch *b, size_t size);
unsigned long batch_data(struct remote *r, const void *data, size_t size);

#endif
