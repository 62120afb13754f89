/*
 * door_thread - what the library knows of a thread, and how threads are made.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <stdlib.h>

static pthread_key_t key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static __thread struct door_thread *self;

static void unbind(struct door_thread *t)
{
	pthread_mutex_lock(&door_server.lock);
	if (t->bound && !t->orphan)
		door_put(t->bound);
	t->bound = NULL;
	t->orphan = false;
	pthread_mutex_unlock(&door_server.lock);
}

static void thread_end(void *arg)
{
	struct door_thread *t = arg;

	unbind(t);
	self = NULL;
	free(t->buf);
	free(t->descs);
	free(t);
}

static void make_key(void)
{
	pthread_key_create(&key, thread_end);
}

/**
 * door_thread_self - this thread
 *
 * Return: what is known of it, or NULL without memory.
 */
struct door_thread *door_thread_self(void)
{
	struct door_thread *t = self;

	if (t)
		return t;
	pthread_once(&key_once, make_key);
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	list_init(&t->parked);
	t->id = pthread_self();
	if (pthread_setspecific(key, t)) {
		free(t);
		return NULL;
	}
	self = t;
	return t;
}

/**
 * door_thread_forked - in a child: this thread has no call, and its door is not here
 */
void door_thread_forked(void)
{
	struct door_thread *t = self;

	if (!t)
		return;
	t->session = NULL;
	t->taken = false;
	t->cancelled = false;
	t->orphan = t->bound != NULL;
	t->id = pthread_self();
}

/**
 * door_thread_spawn - make a thread that nobody waits for
 * @fn: what it runs
 * @arg: its argument
 *
 * Return: 0 or -errno.
 */
int door_thread_spawn(void *(*fn)(void *), void *arg)
{
	pthread_attr_t a;
	pthread_t id;
	int ret = pthread_attr_init(&a);

	if (ret)
		return -ret;
	pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	ret = pthread_create(&id, &a, fn, arg);
	pthread_attr_destroy(&a);
	return -ret;
}

static void *serve(void *arg)
{
	struct door_thread *t = door_thread_self();

	(void)arg;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	if (!t)
		return NULL;
	t->own = true;
	door_return(NULL, 0, NULL, 0);
	return NULL;
}

/**
 * door_server_default - makes a thread of the process, until door_server_create()
 * @info: not looked at: threads that are not bound serve no private door
 */
void door_server_default(door_info_t *info)
{
	(void)info;
	door_thread_spawn(serve, NULL);
}

/**
 * door_bind - this thread shall serve a private door
 * @fd: a descriptor of it
 *
 * Return: 0; or -1: EBADF; EINVAL if it is not private, or not of this process.
 */
int door_bind(int fd)
{
	struct door_thread *t = door_thread_self();
	door_info_t info;
	struct door *d;
	int ret = 0;

	if (!t)
		return door_set_errno(-ENOMEM);
	pthread_mutex_lock(&door_server.lock);
	d = door_find(fd);
	if (d && (d->revoked || !(d->attributes & DOOR_PRIVATE)))
		ret = d->revoked ? -EBADF : -EINVAL;
	if (d && !ret) {
		door_get(d);
		if (t->bound && !t->orphan)
			door_put(t->bound);
		t->bound = d;
		t->orphan = false;
	}
	pthread_mutex_unlock(&door_server.lock);
	if (!d)
		ret = door_info(fd, &info) < 0 ? -EBADF : -EINVAL;
	return door_set_errno(ret);
}

/**
 * door_unbind - this thread shall serve no private door any more
 *
 * Return: 0; or -1: EBADF if it does not.
 */
int door_unbind(void)
{
	struct door_thread *t = door_thread_self();

	if (!t || !t->bound)
		return door_set_errno(-EBADF);
	unbind(t);
	return 0;
}
