/*
 * door_unref - telling a server that nobody else has its door open. References
 * are open file descriptions of its tickets. inotify says when one is closed;
 * whether others are left, a lease tells that can be had only without them.
 *
 * The server's own description, which a path that it is attached to has too,
 * is one reference; when clients have had others and the last of these goes,
 * that is told, once no call is active. The server's close of its own is not,
 * unless one client is left then.
 */
#include "lib/door_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fd.h"

/* A file is heard to be closed a moment before it counts no more: milliseconds between looks. */
static const int look_again[] = { 0, 1, 5, 25, 200 };

#define LOOKS (sizeof(look_again) / sizeof(look_again[0]))

static bool is_told(const struct door *d)
{
	return d->attributes & (DOOR_UNREF | DOOR_UNREF_MULTI);
}

/**
 * door_unref_watch - hear when a ticket is closed
 * @d: its door; nothing is done if that does not want to be told
 * @t: the ticket
 *
 * The server's lock is held.
 *
 * Return: 0 or -errno.
 */
int door_unref_watch(struct door *d, struct door_ticket *t)
{
	struct door_server *s = &door_server;
	char path[32];
	int ret;

	if (!is_told(d))
		return 0;
	if (s->inotify < 0) {
		s->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		if (s->inotify < 0)
			return -errno;
		ret = door_watch_inotify();
		if (ret)
			return ret;
	}
	d->had_fd = true;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", t->handle);
	t->watch = inotify_add_watch(s->inotify, path, IN_CLOSE);
	return t->watch < 0 ? -errno : 0;
}

/* Is @fd the only open file description of its file? */
static bool is_alone(int fd)
{
	const struct f_owner_ex nobody = { .type = F_OWNER_TID },
				owner = { .type = F_OWNER_TID, .pid = door_server.watcher };
	bool alone;

	/* Who opens it meanwhile waits, and breaks the lease: a signal that this thread blocks. */
	fcntl(fd, F_SETOWN_EX, &owner);
	fcntl(fd, F_SETSIG, SIGURG);
	alone = fcntl(fd, F_SETLEASE, F_WRLCK) == 0;
	if (alone)
		fcntl(fd, F_SETLEASE, F_UNLCK);
	fcntl(fd, F_SETSIG, 0);
	fcntl(fd, F_SETOWN_EX, &nobody);
	return alone;
}

static bool is_file(int fd, const struct door_ticket *t)
{
	struct stat st;

	/* The program may close it at any time. */
	return fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 && st.st_ino == t->ino &&
	       st.st_dev == t->dev;
}

static bool is_hidden(int fd, const struct door_ticket *t)
{
	return fd == t->handle || fd == t->probe;
}

/* How many descriptors of process @pid are the ticket; *@one is set to one of them. */
static unsigned int count_in(const char *pid, const struct door_ticket *t, bool mine, int *one)
{
	char path[PATH_MAX];
	unsigned int n = 0;
	struct dirent *e;
	struct stat st;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%.16s/fd", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		int fd = atoi(e->d_name);

		if (e->d_name[0] == '.' || (mine && is_hidden(fd, t)) ||
		    fstatat(dirfd(dir), e->d_name, &st, 0) < 0 || st.st_ino != t->ino ||
		    st.st_dev != t->dev)
			continue;
		n++;
		if (one)
			*one = fd;
	}
	if (dir)
		closedir(dir);
	return n;
}

/* The program's own descriptor of the door, duplicated; or -1. */
static int dup_own(struct door *d, const struct door_ticket *t)
{
	int fd;

	/* Its number may be the library's by now. */
	if ((is_hidden(d->fd, t) || !is_file(d->fd, t)) && !count_in("self", t, true, &d->fd))
		return -1;
	fd = fcntl(d->fd, F_DUPFD_CLOEXEC, 0);
	if (fd >= 0 && is_file(fd, t))
		return fd;
	close_owned(&fd);
	return -1;
}

/* Has nobody but the library the ticket open? */
static bool is_closed(struct door_ticket *t)
{
	/* Kept open: its closing would be heard of. */
	if (t->probe < 0)
		t->probe = door_reopen(t->handle, O_RDONLY | O_NONBLOCK);
	return t->probe >= 0 && is_alone(t->probe);
}

/* Descriptors of it in all processes that can be looked into. */
static unsigned int count_all(const struct door_ticket *t)
{
	DIR *dir = opendir("/proc");
	unsigned int n = 0;
	struct dirent *e;

	while (dir && (e = readdir(dir)))
		if (e->d_name[0] >= '0' && e->d_name[0] <= '9')
			n += count_in(e->d_name, t, atoi(e->d_name) == getpid(), NULL);
	if (dir)
		closedir(dir);
	return n;
}

/**
 * door_unref_is - is one reference left?
 * @d: a door of this process; the server's lock is held
 *
 * Return: that; false for a door that does not want to be told.
 */
bool door_unref_is(struct door *d)
{
	struct door_ticket *t, *first = list_first(&d->tickets, struct door_ticket, list);
	bool attached = false;
	cleanup_close int own = -1;
	unsigned int open = 0;

	if (!is_told(d) || d->revoked)
		return false;
	list_for_each(t, &d->tickets, list)
		door_ticket_look(t);
	own = dup_own(d, first);
	d->had_fd = own >= 0;
	list_for_each(t, &d->tickets, list) {
		bool alone = t == first && own >= 0 && t->probe < 0 ? is_alone(own) : is_closed(t);

		if (alone && t == first && own >= 0 && t->probe >= 0)
			alone = false;
		open += !alone;
		attached = attached || (t != first && door_ticket_mounted(t));
	}
	if (own >= 0 || attached)
		return !open;
	if (open != 1)
		return false;
	open = 0;
	list_for_each(t, &d->tickets, list)
		open += count_all(t);
	return open == 1;
}

/* Runs the procedure in a thread of its own. */
static void *deliver(void *arg)
{
	struct door *d = arg;
	struct door_thread *t = door_thread_self();

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	if (t && !sigsetjmp(t->base, 0)) {
		t->serving = true;
		t->own = true;
		d->proc(d->cookie, DOOR_UNREF_DATA, 0, NULL, 0);
	}
	if (t)
		t->serving = false;
	pthread_mutex_lock(&door_server.lock);
	door_put(d);
	pthread_mutex_unlock(&door_server.lock);
	return NULL;
}

static void tell(struct door *d)
{
	d->unref_look = false;
	d->unref_told = true;
	door_get(d);
	if (door_thread_spawn(deliver, d))
		door_put(d);
}

/* Looks at one door. Returns milliseconds to the next look, or -1. */
static int pass(struct door *d)
{
	bool had_fd = d->had_fd, is;

	if (d->revoked || (d->unref_told && d->attributes & DOOR_UNREF)) {
		d->unref_look = false;
		return -1;
	}
	/* The end of the last call wakes this thread. */
	if (d->active)
		return -1;
	is = door_unref_is(d);
	if (is && had_fd && !d->had_fd) {
		/* The server has closed its own: a path is what is left, or one client. */
		is = count_all(list_first(&d->tickets, struct door_ticket, list)) == 1;
		d->unref_look = is;
	}
	if (is)
		tell(d);
	if (!d->unref_look)
		return -1;
	if (++d->unref_try >= LOOKS) {
		d->unref_look = false;
		return -1;
	}
	return look_again[d->unref_try];
}

/**
 * door_unref_pass - look at the doors of which something was closed
 *
 * Return: milliseconds until it is to be called again, or -1.
 */
int door_unref_pass(void)
{
	struct door_server *s = &door_server;
	struct door *d;
	int timeout = -1;

	pthread_mutex_lock(&s->lock);
	list_for_each(d, &s->doors, list) {
		int next = d->unref_look ? pass(d) : -1;

		if (next >= 0 && (timeout < 0 || next < timeout))
			timeout = next;
	}
	pthread_mutex_unlock(&s->lock);
	return timeout;
}

/**
 * door_unref_look - references may have become fewer
 * @d: the door; the server's lock is held
 */
void door_unref_look(struct door *d)
{
	if (!is_told(d))
		return;
	d->unref_look = true;
	d->unref_try = 0;
	door_watch_wake();
}

/* After an overflow it may have been any. */
static void closed(const struct inotify_event *e)
{
	struct door *d;
	struct door_ticket *t;

	list_for_each(d, &door_server.doors, list)
		list_for_each(t, &d->tickets, list)
			if (t->watch >= 0 && (t->watch == e->wd || e->mask & IN_Q_OVERFLOW)) {
				d->unref_look = true;
				d->unref_try = 0;
			}
}

/**
 * door_unref_event - read what inotify has to say
 */
void door_unref_event(void)
{
	_Alignas(struct inotify_event) char buf[4096];
	ssize_t n;

	while ((n = read(door_server.inotify, buf, sizeof(buf))) > 0) {
		pthread_mutex_lock(&door_server.lock);
		for (char *p = buf; p < buf + n;) {
			const struct inotify_event *e = (const void *)p;

			closed(e);
			p += sizeof(*e) + e->len;
		}
		pthread_mutex_unlock(&door_server.lock);
	}
}
