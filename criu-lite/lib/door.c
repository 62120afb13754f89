/*
 * door - doors of this process are made and revoked.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fd.h"

#define USER_ATTRIBUTES \
	(DOOR_UNREF | DOOR_PRIVATE | DOOR_UNREF_MULTI | DOOR_REFUSE_DESC | DOOR_NO_CANCEL)

/* Its ticket, and the user's descriptor of it, an open file of its own. */
static int make_ticket(struct door_server *s, struct door *d)
{
	const struct stat like = { .st_mode = 0777, .st_uid = geteuid(), .st_gid = getegid() };
	struct door_ticket *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return -ENOMEM;
	*t = (struct door_ticket){ .handle = -1, .probe = -1, .watch = -1 };
	/* Nobody else comes to it by name, and whoever was given it may open it again. */
	ret = door_store_ticket(s, d, t, &like);
	if (ret) {
		free(t);
		return ret;
	}
	list_add_tail(&t->list, &d->tickets);
	d->fd = door_reopen(t->handle, O_RDWR);
	if (d->fd >= 0)
		ret = door_unref_watch(d, t);
	if (d->fd >= 0 && !ret)
		return 0;
	ret = d->fd < 0 ? d->fd : ret;
	close_owned(&d->fd);
	door_store_drop(s, t);
	return ret;
}

/**
 * door_alloc - a door of this process that nobody knows yet
 * @like: procedure, cookie, attributes, limits and how threads are made
 * @out: set; door_free() undoes it
 *
 * The server's lock is held.
 *
 * Return: 0 or -errno.
 */
int door_alloc(const struct door *like, struct door **out)
{
	struct door *d = malloc(sizeof(*d));
	int ret = 0;

	if (!d)
		return -ENOMEM;
	*d = *like;
	d->refs = 1;
	list_init(&d->list);
	list_init(&d->tickets);
	d->pool = d->attributes & DOOR_PRIVATE ? &d->own_pool : &door_server.pool;
	d->own_pool = (struct door_pool){ .epfd = -1, .stop = -1 };
	if (d->pool == &d->own_pool)
		ret = door_pool_init(d->pool);
	if (ret)
		door_free(d);
	else
		*out = d;
	return ret;
}

static int create(struct door_server *s, const struct door *like, struct door **out)
{
	struct door *d;
	int ret = door_alloc(like, &d);

	if (ret)
		return ret;
	if (getrandom(&d->id, sizeof(d->id), 0) != sizeof(d->id))
		ret = -EAGAIN;
	d->id >>= 1; /* many print it as a long */
	if (!ret)
		ret = make_ticket(s, d);
	if (ret) {
		door_free(d);
		return ret;
	}
	list_add_tail(&d->list, &s->doors);
	*out = d;
	return 0;
}

/* Of the process once, of a private pool with every door. */
static void first_threads(struct door *d)
{
	struct door_server *s = &door_server;
	const bool private = d->attributes & DOOR_PRIVATE;
	door_server_func_t *fn;
	bool first;

	pthread_mutex_lock(&s->lock);
	fn = s->create;
	first = !private && !s->first_made;
	if (first)
		s->first_made = true;
	pthread_mutex_unlock(&s->lock);
	if (first)
		fn(NULL);
	else if (private)
		fn(&d->info);
}

/**
 * door_open_up - a new door gets its threads, and its maker lets go of it
 * @d: the door, held; the server's lock is not held
 *
 * Return: its descriptor.
 */
int door_open_up(struct door *d)
{
	int fd = d->fd;

	first_threads(d);
	door_release(d);
	return fd;
}

/**
 * door_new - make a door without threads
 * @like: procedure, cookie, attributes, limits and how threads are made
 * @out: set to the door, held: door_release()
 *
 * Return: 0; -EINVAL; -errno.
 */
int door_new(const struct door *like, struct door **out)
{
	struct door_server *s = &door_server;
	struct door *d = NULL;
	unsigned int attr = like->attributes;
	int ret;

	if (attr & ~USER_ATTRIBUTES || !like->proc ||
	    ((attr & DOOR_UNREF) && (attr & DOOR_UNREF_MULTI)))
		return -EINVAL;
	pthread_mutex_lock(&s->lock);
	ret = door_server_up(s, -1);
	if (!ret)
		ret = create(s, like, &d);
	if (!ret) {
		door_fill_info(d, &d->info);
		door_get(d);
		*out = d;
	}
	pthread_mutex_unlock(&s->lock);
	return ret;
}

/**
 * door_release - let a door go
 * @d: the door; the server's lock is not held
 */
void door_release(struct door *d)
{
	pthread_mutex_lock(&door_server.lock);
	door_put(d);
	pthread_mutex_unlock(&door_server.lock);
}

/**
 * door_create - make a door
 * @proc: what a call runs
 * @cookie: its first argument
 * @attributes: DOOR_UNREF or DOOR_UNREF_MULTI, DOOR_PRIVATE,
 * DOOR_REFUSE_DESC, DOOR_NO_CANCEL
 *
 * Return: a descriptor, close-on-exec; or -1: EINVAL, EMFILE, ENOMEM, or what
 * the making of a file or thread says.
 */
int door_create(door_server_procedure_t *proc, void *cookie, unsigned int attributes)
{
	const struct door like = { .proc = proc,
				   .cookie = cookie,
				   .attributes = attributes,
				   .desc_max = attributes & DOOR_REFUSE_DESC ? 0 : INT_MAX,
				   .data_max = SIZE_MAX };
	struct door *d;
	int ret = door_new(&like, &d);

	if (ret)
		return door_set_errno(ret);
	return door_open_up(d);
}

/**
 * door_revoke - end a door
 * @fd: a descriptor of it, which is closed
 *
 * Calls that are under way finish.
 *
 * Return: 0; or -1: EBADF, EPERM if another process made it.
 */
int door_revoke(int fd)
{
	struct door_server *s = &door_server;
	struct door_ticket *t;
	door_info_t info;
	struct door *d;

	pthread_mutex_lock(&s->lock);
	d = door_find(fd);
	if (!d) {
		pthread_mutex_unlock(&s->lock);
		return door_set_errno(door_info(fd, &info) < 0 ? -EBADF : -EPERM);
	}
	close(fd);
	if (!d->revoked) {
		d->revoked = true;
		list_for_each(t, &d->tickets, list)
			door_store_drop(s, t);
		door_session_end_idle(d);
		if (d->xcreate)
			door_pool_stop(d->pool);
		door_put(d);
	}
	pthread_mutex_unlock(&s->lock);
	return 0;
}

/**
 * door_server_create - say how threads are made
 * @create: called with NULL for one of the process, with the door for one of
 * a private pool; NULL: as in the beginning
 *
 * Return: what it was before.
 */
door_server_func_t *door_server_create(door_server_func_t *create)
{
	door_server_func_t *old;

	pthread_mutex_lock(&door_server.lock);
	old = door_server.create;
	door_server.create = create ? create : door_server_default;
	pthread_mutex_unlock(&door_server.lock);
	return old;
}
