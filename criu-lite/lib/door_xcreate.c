/*
 * door_xcreate - private doors whose threads the program makes, all of which
 * must be there before the door is; and one more thread when all have calls.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>

/* What a thread of door_xcreate() and its maker tell each other. */
struct xstart {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int fd;
	door_xcreate_thrsetup_func_t *setup;
	void *cookie;
	unsigned int refs, bound, failed;
};

static void xstart_put(struct xstart *x, bool bound, bool failed)
{
	bool last;

	pthread_mutex_lock(&x->lock);
	x->bound += bound;
	x->failed += failed;
	last = !--x->refs;
	pthread_cond_broadcast(&x->cond);
	pthread_mutex_unlock(&x->lock);
	if (last)
		free(x);
}

static void *xthread(void *arg)
{
	struct xstart *x = arg;
	struct door_thread *t = door_thread_self();
	bool ok;

	if (x->setup)
		x->setup(x->cookie);
	else
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	ok = t && door_bind(x->fd) == 0;
	if (ok)
		t->leave = true;
	xstart_put(x, ok, !ok);
	if (ok)
		door_return(NULL, 0, NULL, 0);
	return NULL;
}

/*
 * Asks for @n threads, and waits for them. One that was reported as not made
 * may come all the same, so what it would use is left to it.
 */
static int xthreads(struct door *d, int n)
{
	struct xstart *x = calloc(1, sizeof(*x));
	int made = 0, ret = 1;

	if (!x)
		return -ENOMEM;
	pthread_mutex_init(&x->lock, NULL);
	pthread_cond_init(&x->cond, NULL);
	x->fd = d->fd;
	x->setup = d->xsetup;
	x->cookie = d->xcookie;
	x->refs = (unsigned int)n + 1;
	while (made < n && ret == 1) {
		ret = d->xcreate(&d->info, xthread, x, d->xcookie);
		made += ret == 1;
	}
	pthread_mutex_lock(&x->lock);
	while (x->bound + x->failed < (unsigned int)made)
		pthread_cond_wait(&x->cond, &x->lock);
	if (ret == 1)
		ret = x->failed ? -EBADF : 0;
	else
		ret = ret ? -EINVAL : -EPIPE;
	pthread_mutex_unlock(&x->lock);
	xstart_put(x, false, false);
	return ret;
}

/**
 * door_xcreate - make a private door with its threads
 * @proc: what a call runs
 * @cookie: its first argument
 * @attributes: as door_create(); DOOR_PRIVATE is implied
 * @create: makes one thread that runs what it is given; returns 1, or 0 if
 * there shall be none, or -1
 * @setup: run first in each thread, or NULL: cancellation is off
 * @create_cookie: for both
 * @nthread: threads that must be there before this returns
 *
 * Return: a descriptor, close-on-exec; or -1: EINVAL, EPIPE if @create made
 * none, EBADF, E2BIG, and as door_create().
 */
int door_xcreate(door_server_procedure_t *proc, void *cookie, unsigned int attributes,
		 door_xcreate_server_func_t *create, door_xcreate_thrsetup_func_t *setup,
		 void *create_cookie, int nthread)
{
	const struct door like = { .proc = proc,
				   .cookie = cookie,
				   .attributes = attributes | DOOR_PRIVATE,
				   .desc_max = attributes & DOOR_REFUSE_DESC ? 0 : INT_MAX,
				   .data_max = SIZE_MAX,
				   .xcreate = create,
				   .xsetup = setup,
				   .xcookie = create_cookie };
	struct door *d;
	int ret, fd;

	if (!create || nthread < 1)
		return door_set_errno(-EINVAL);
	if (nthread > SHRT_MAX)
		return door_set_errno(-E2BIG);
	ret = door_new(&like, &d);
	if (ret)
		return door_set_errno(ret);
	fd = d->fd;
	ret = xthreads(d, nthread);
	door_release(d);
	if (!ret)
		return fd;
	door_revoke(fd);
	return door_set_errno(ret);
}

/**
 * door_deplete - the last thread that waited has got a call
 * @t: this thread
 * @d: the call's door, held
 *
 * Asks for one more.
 */
void door_deplete(struct door_thread *t, struct door *d)
{
	bool private = t->pool == &d->own_pool;
	door_server_func_t *fn;

	pthread_mutex_lock(&door_server.lock);
	fn = door_server.create;
	pthread_mutex_unlock(&door_server.lock);
	if (private && d->xcreate)
		xthreads(d, 1);
	else
		fn(private ? &d->info : NULL);
}
