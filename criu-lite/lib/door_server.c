/*
 * door_server - the process as a server: what all its doors have in common,
 * and who they are. A child that was forked starts anew: it has the
 * descriptors, the doors are its parent's.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"

/* The API has no handle: this is the process. */
struct door_server door_server = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.listener = -1,
	.epfd = -1,
	.wake = -1,
	.inotify = -1,
	.doors = LIST_HEAD_INIT(door_server.doors),
	.sessions = LIST_HEAD_INIT(door_server.sessions),
	.pool = { .lock = PTHREAD_MUTEX_INITIALIZER,
		  .epfd = -1,
		  .stop = -1,
		  .parked = LIST_HEAD_INIT(door_server.pool.parked) },
	.create = door_server_default,
};

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

/**
 * door_set_errno - the end of a call of the API
 * @ret: 0 or more, or -errno
 *
 * Return: @ret, or -1 with errno set.
 */
int door_set_errno(int ret)
{
	if (ret >= 0)
		return ret;
	errno = -ret;
	return -1;
}

static void fork_prepare(void)
{
	pthread_mutex_lock(&door_server.lock);
	door_conn_fork_prepare();
}

static void fork_parent(void)
{
	door_conn_fork_parent();
	pthread_mutex_unlock(&door_server.lock);
}

static void free_ticket(struct door_ticket *t)
{
	list_del(&t->list);
	close_owned(&t->handle);
	close_owned(&t->probe);
	free(t);
}

/**
 * door_free - a door that nobody holds goes
 * @d: the door; the server's lock is held
 */
void door_free(struct door *d)
{
	struct door_ticket *t, *next;

	list_for_each_safe(t, next, &d->tickets, list)
		free_ticket(t);
	list_del(&d->list);
	if (d->pool == &d->own_pool)
		door_pool_free(d->pool);
	free(d);
}

static void close_server(struct door_server *s)
{
	int *const fds[] = { &s->listener, &s->epfd, &s->wake, &s->inotify };

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++) {
		close_owned(fds[i]);
		*fds[i] = -1;
	}
	door_pool_free(&s->pool);
	s->pid = 0;
	s->first_made = false;
	s->leaving = false;
}

/* The threads are gone, the doors are the parent's. */
static void fork_child(void)
{
	struct door_server *s = &door_server;
	struct door *d, *next;

	door_conn_fork_child();
	door_session_fork();
	door_thread_forked();
	list_for_each_safe(d, next, &s->doors, list)
		door_free(d);
	close_server(s);
	pthread_mutex_unlock(&s->lock);
}

static void watch_forks(void)
{
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}

/**
 * door_up - be ready for fork(2)
 *
 * Return: 0 or -errno.
 */
int door_up(void)
{
	return -pthread_once(&fork_once, watch_forks);
}

/**
 * door_server_up - the process becomes a server, if it is none
 * @s: the server; its lock is held
 * @listener: that of the one it follows, or -1
 *
 * Return: 0 or -errno.
 */
int door_server_up(struct door_server *s, int listener)
{
	int ret;

	if (s->pid)
		return 0;
	ret = door_up();
	if (!ret)
		ret = door_store_make(&s->store);
	if (!ret)
		ret = door_pool_init(&s->pool);
	if (!ret)
		ret = listener < 0 ? door_store_listen(s) : door_store_adopt(s, listener);
	if (!ret)
		ret = door_watch_start();
	if (ret) {
		close_server(s);
		return ret;
	}
	s->pid = getpid();
	return 0;
}

/**
 * door_get - hold a door
 * @d: the door; the server's lock is held
 */
void door_get(struct door *d)
{
	d->refs++;
}

/**
 * door_put - let a door go
 * @d: the door; the server's lock is held
 */
void door_put(struct door *d)
{
	if (!--d->refs)
		door_free(d);
}

static struct door *look_up(dev_t dev, ino_t ino, struct door_ticket **ticket)
{
	struct door_ticket *t;
	struct door *d;

	list_for_each(d, &door_server.doors, list)
		list_for_each(t, &d->tickets, list)
			if (t->ino == ino && t->dev == dev) {
				*ticket = t;
				return d;
			}
	return NULL;
}

/**
 * door_find_inode - the door of a ticket
 * @dev: the ticket's device
 * @ino: its inode number
 *
 * The server's lock is held.
 *
 * Return: the door, or NULL if it is not one of this process.
 */
struct door *door_find_inode(dev_t dev, ino_t ino)
{
	struct door_ticket *t;
	struct door *d = look_up(dev, ino, &t), *each;

	if (d && !door_ticket_look(t))
		return d;
	list_for_each(each, &door_server.doors, list)
		list_for_each(t, &each->tickets, list)
			door_ticket_look(t);
	return look_up(dev, ino, &t);
}

/**
 * door_find - the door of a descriptor
 * @fd: any number; the server's lock is held
 *
 * Return: the door, or NULL if it is not one of this process.
 */
struct door *door_find(int fd)
{
	struct stat st;

	if (!door_server.pid || fstat(fd, &st) < 0)
		return NULL;
	return door_find_inode(st.st_dev, st.st_ino);
}
