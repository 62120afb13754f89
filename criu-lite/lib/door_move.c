/*
 * door_move - see door_move.h. A session is one of a process: the one that
 * leaves ends those that have no call, and each of the others after its call,
 * by the word of the session; so a client knows whether its call was begun.
 */
#include "lib/door_move.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/door_priv.h"

#define NAP_MS 2
#define IDLE_MS 2000 /* without a call: who has a session still is no client of this library */

/**
 * door_move_listener - what this server's successor needs
 *
 * Return: a descriptor of the listener, close-on-exec; or -1: EBADF if this
 * process has no door, EMFILE.
 */
int door_move_listener(void)
{
	int fd = -EBADF;

	pthread_mutex_lock(&door_server.lock);
	if (door_server.pid && !list_empty(&door_server.doors)) {
		fd = fcntl(door_server.listener, F_DUPFD_CLOEXEC, 0);
		fd = fd < 0 ? -errno : fd;
	}
	pthread_mutex_unlock(&door_server.lock);
	return door_set_errno(fd);
}

/* The door's own was the first, and has the lowest number. */
static void insert(struct door *d, struct door_ticket *t)
{
	struct door_ticket *at;

	list_for_each(at, &d->tickets, list)
		if (at->number > t->number)
			break;
	list_add_tail(&t->list, &at->list);
}

static int take_ticket(void *arg, int dir, const char *name)
{
	struct door *d = arg;
	struct door_name n = { 0 };
	struct door_ticket *t;
	uint64_t number;
	struct stat st;
	int ret;

	if (sscanf(name, "t.%" SCNu64, &number) != 1)
		return 0;
	t = malloc(sizeof(*t));
	if (!t)
		return -ENOMEM;
	*t = (struct door_ticket){ .number = number, .probe = -1, .watch = -1 };
	t->handle = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	insert(d, t);
	if (t->handle < 0 || fstat(t->handle, &st) < 0)
		return -errno;
	t->dev = st.st_dev;
	t->ino = st.st_ino;
	ret = door_name_find(&st, &n);
	if (ret)
		return ret;
	if (n.number != number || (d->id && d->id != n.id))
		return -EINVAL;
	d->id = n.id;
	d->attributes = n.attributes;
	d->desc_max = n.desc_max;
	d->data_max = n.data_max;
	d->data_min = n.data_min;
	return 0;
}

static int take(struct door_server *s, int listener, const struct door *like, struct door **out)
{
	struct door_ticket *t;
	struct door *d;
	int ret;

	if (s->pid) {
		close(listener);
		return -EBUSY;
	}
	ret = door_server_up(s, listener);
	if (ret)
		return ret;
	ret = door_alloc(like, &d);
	if (ret)
		return ret;
	ret = door_store_tickets(s, take_ticket, d);
	if (!ret && list_empty(&d->tickets))
		ret = -ENOENT;
	/* Nobody could tell the new process's threads of it, or its pool. */
	if (!ret && d->attributes & DOOR_PRIVATE)
		ret = -ENOTSUP;
	if (!ret)
		ret = d->fd = door_reopen(list_first(&d->tickets, struct door_ticket, list)->handle,
					  O_RDWR);
	list_for_each(t, &d->tickets, list)
		if (ret >= 0)
			ret = door_unref_watch(d, t);
	if (ret < 0) {
		door_free(d);
		return ret;
	}
	list_add_tail(&d->list, &s->doors);
	door_fill_info(d, &d->info);
	door_get(d);
	*out = d;
	return 0;
}

/**
 * door_move_take - serve the door of another process
 * @listener: of that; the library's from then on, whatever is returned
 * @proc: as door_create(); so is @cookie
 * @cookie: for @proc
 *
 * In a process that has no doors. Attributes and parameters are as they were.
 *
 * Return: a descriptor of the door, close-on-exec; or -1: EBUSY; EINVAL if it
 * is no listener of a server with one door; ENOENT if the door is gone; ENOTSUP
 * for a private one; what the making of a door says.
 */
int door_move_take(int listener, door_server_procedure_t *proc, void *cookie)
{
	const struct door like = { .proc = proc, .cookie = cookie, .fd = -1 };
	struct door *d;
	int ret;

	/* The watching thread, which runs by then, waits for it: there is no door as yet. */
	pthread_mutex_lock(&door_server.lock);
	ret = take(&door_server, listener, &like, &d);
	pthread_mutex_unlock(&door_server.lock);
	if (ret)
		return door_set_errno(ret);
	return door_open_up(d);
}

/* Is nobody served any more? *@active: whether a call runs. */
static bool is_over(struct door_server *s, bool *active)
{
	struct door *d;
	bool over;

	*active = false;
	pthread_mutex_lock(&s->lock);
	over = list_empty(&s->sessions);
	list_for_each(d, &s->doors, list)
		*active = *active || d->active;
	pthread_mutex_unlock(&s->lock);
	return over;
}

/**
 * door_move_leave - serve no more, without a call lost
 *
 * Returns when the calls that this process has are done; then it may end. Its
 * successor, if there is one, has the doors with their names in the store.
 */
void door_move_leave(void)
{
	struct door_server *s = &door_server;
	struct door_session *one;
	struct door *d;
	bool active;

	pthread_mutex_lock(&s->lock);
	s->leaving = true;
	door_watch_leave();
	list_for_each(one, &s->sessions, list)
		if (!one->thread)
			door_session_close(one);
	door_pool_kick(&s->pool);
	list_for_each(d, &s->doors, list)
		if (d->pool == &d->own_pool)
			door_pool_kick(d->pool);
	pthread_mutex_unlock(&s->lock);
	for (int idle = 0; !is_over(s, &active) && idle < IDLE_MS;) {
		usleep(NAP_MS * 1000);
		idle = active ? 0 : idle + NAP_MS;
	}
}
