/*
 * batch - remote calls collected, run in one go, and judged: all must succeed.
 */
#include "restore/batch.h"

#include <errno.h>
#include <unistd.h>

#define RETRY_US 10000

/**
 * batch_add - append a call
 * @b: the batch
 * @what: what it does, for the error; a literal
 * @nr: system call number
 * @a0: first argument
 * @a1: second
 * @a2: third
 * @a3: fourth
 * @a4: fifth
 * @a5: sixth
 */
void batch_add(struct batch *b, const char *what, long nr, unsigned long a0, unsigned long a1,
	       unsigned long a2, unsigned long a3, unsigned long a4, unsigned long a5)
{
	if (b->n == b->room) {
		size_t room = b->room ? 2 * b->room : 32;

		b->calls = arena_grow(b->arena, b->calls, b->n * sizeof(*b->calls),
				      room * sizeof(*b->calls));
		b->what = arena_grow(b->arena, b->what, b->n * sizeof(*b->what),
				     room * sizeof(*b->what));
		b->room = room;
	}
	b->what[b->n] = what;
	b->calls[b->n++] = (struct remote_call){ .nr = nr, .args = { a0, a1, a2, a3, a4, a5 } };
}

static int batch_lost(struct restore_ctx *ctx, pid_t tid, int ret)
{
	return fail(ctx->report, "remote-call", -ret, "thread %d: run system calls in it", tid);
}

/* The first call that has failed, or the end. */
static size_t succeeded(const struct batch *b)
{
	size_t i = 0;

	while (i < b->n && !(b->calls[i].ret < 0 && b->calls[i].ret > -4096))
		i++;
	return i;
}

static int judge(struct restore_ctx *ctx, pid_t tid, const struct batch *b)
{
	const size_t i = succeeded(b);
	const struct remote_call *c = &b->calls[i];

	if (i == b->n)
		return 0;
	return fail(ctx->report, "remote-call", (int)-c->ret,
		    "thread %d: %s (%#lx, %#lx, %#lx, %#lx)", tid, b->what[i], c->args[0],
		    c->args[1], c->args[2], c->args[3]);
}

/**
 * batch_start - let a thread begin to run a batch
 * @ctx: the run
 * @r: its address space
 * @tid: the thread
 * @b: the calls
 *
 * Return: 0 or -errno, recorded. batch_finish() must follow.
 */
int batch_start(struct restore_ctx *ctx, struct remote *r, pid_t tid, struct batch *b)
{
	int ret = remote_start(r, tid, b->calls, b->n, REMOTE_STOP_ON_ERROR);

	return ret < 0 ? batch_lost(ctx, tid, ret) : 0;
}

/**
 * batch_finish - wait for a batch and judge it
 * @ctx: the run
 * @r: its address space
 * @tid: the thread
 * @b: the calls, which get their results
 *
 * Return: 0 or -errno, recorded.
 */
int batch_finish(struct restore_ctx *ctx, struct remote *r, pid_t tid, struct batch *b)
{
	int ret = remote_finish(r, tid, b->calls, b->n, REMOTE_STOP_ON_ERROR);

	return ret < 0 ? batch_lost(ctx, tid, ret) : judge(ctx, tid, b);
}

/**
 * batch_run - run a batch to its end
 * @ctx: the run
 * @r: its address space
 * @tid: the thread
 * @b: the calls, which get their results
 *
 * Return: 0 or -errno, recorded.
 */
int batch_run(struct restore_ctx *ctx, struct remote *r, pid_t tid, struct batch *b)
{
	struct batch rest = *b;
	int ret;

	for (unsigned tries = 0; rest.n; tries++) {
		size_t ok;

		ret = batch_start(ctx, r, tid, &rest);
		if (ret < 0)
			return ret;
		ret = remote_finish(r, tid, rest.calls, rest.n, REMOTE_STOP_ON_ERROR);
		if (ret < 0)
			return batch_lost(ctx, tid, ret);
		ok = succeeded(&rest);
		if (ok == rest.n || rest.calls[ok].ret != -EEXIST || tries >= b->retries)
			return judge(ctx, tid, &rest);
		usleep(RETRY_US);
		rest.calls += ok;
		rest.what += ok;
		rest.n -= ok;
	}
	return 0;
}

/* Alignment of what one call refers to may cost so much. */
#define ROOM_SLACK 64

/**
 * batch_room - see that batch_data() has room for what the next call refers to
 * @ctx: the run
 * @r: the address space; no other thread of it has a batch with data under way
 * @tid: the thread
 * @b: the calls so far; if there is no room they are run, and it begins anew
 * @size: bytes
 *
 * Return: 0 or -errno, recorded.
 */
int batch_room(struct restore_ctx *ctx, struct remote *r, pid_t tid, struct batch *b, size_t size)
{
	int ret;

	size += ROOM_SLACK;
	if (remote_left(r) >= size)
		return 0;
	ret = batch_run(ctx, r, tid, b);
	if (ret < 0)
		return ret;
	b->n = 0;
	remote_reset(r);
	if (remote_left(r) < size)
		return fail(
			ctx->report, "no-room", E2BIG,
			"thread %d: %zu bytes for one system call are more than there is room for",
			tid, size);
	return 0;
}

/**
 * batch_data - bytes that a call refers to, put into the remote work area
 * @r: the address space
 * @data: the bytes
 * @size: how many
 *
 * Return: their remote address, or 0.
 */
unsigned long batch_data(struct remote *r, const void *data, size_t size)
{
	unsigned long at = remote_alloc(r, size, 16);

	return at && remote_write(r, at, data, size) < 0 ? 0 : at;
}
