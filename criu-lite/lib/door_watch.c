/*
 * door_watch - the one thread of a server that is the library's own. It lets
 * clients in, answers questions about doors, sees clients go while their calls
 * run, and counts references. It never waits for anybody.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/fdpass.h"

#define HELLO_FDS 2
#define FULL_PAUSE 10000 /* microseconds before connections are accepted again */

/* Beside the ids of sessions. New connections: the complement of their descriptor. */
enum { EV_LISTENER = 0, EV_WAKE = -1, EV_INOTIFY = -2, EV_NEW = -16 };

static int add(int fd, int64_t what)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP, .data.u64 = (uint64_t)what };

	return epoll_ctl(door_server.epfd, EPOLL_CTL_ADD, fd, &e) < 0 ? -errno : 0;
}

static void let_in(void)
{
	for (;;) {
		int fd = accept4(door_server.listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0) {
			if (add(fd, EV_NEW - fd))
				close(fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE)
			usleep(FULL_PAUSE);
		else if (errno != ECONNABORTED && errno != EINTR)
			return;
	}
}

static void fill_welcome(const struct door *d, struct door_welcome *w)
{
	door_info_t info;

	door_fill_info(d, &info);
	w->attributes = info.di_attributes;
	w->pid = info.di_target;
	w->id = info.di_uniquifier;
	w->proc = info.di_proc;
	w->data = info.di_data;
}

/* A ticket for a path that somebody will mount it on. Returns its handle, or -errno. */
static int attach_ticket(struct door *d, const struct door_hello *h)
{
	const struct stat like = { .st_mode = h->mode, .st_uid = h->uid, .st_gid = h->gid };
	struct door_ticket *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return -ENOMEM;
	*t = (struct door_ticket){ .handle = -1, .probe = -1, .watch = -1 };
	ret = d->revoked ? -EBADF : door_store_ticket(&door_server, d, t, &like);
	if (!ret)
		list_add_tail(&t->list, &d->tickets);
	if (!ret)
		ret = door_unref_watch(d, t);
	if (ret) {
		free(t);
		return ret;
	}
	return t->handle;
}

/* The lock is held; @d is the door of the descriptor that came. Returns 1 if @sock was taken. */
static int serve_hello(int sock, struct door *d, const struct door_hello *h, int *memfd)
{
	struct door_welcome w = { .magic = DOOR_WIRE_MAGIC };
	size_t param = 0;
	int handle = -1, ret = 0;

	if (!d)
		ret = -EBADF;
	else
		fill_welcome(d, &w);
	if (!ret && h->op == DOOR_OP_SESSION) {
		if (d->revoked)
			ret = -EBADF;
		else if (*memfd < 0)
			ret = -EBADMSG;
	} else if (!ret && h->op == DOOR_OP_GETPARAM) {
		ret = d->revoked ? -EBADF : door_param_of(d, (int)h->arg, &param);
		w.param = param;
	} else if (!ret && h->op == DOOR_OP_ATTACH) {
		handle = attach_ticket(d, h);
		ret = handle < 0 ? handle : 0;
	} else if (!ret && h->op == DOOR_OP_DETACHED) {
		door_unref_look(d);
	}
	w.err = -ret;
	if (fd_send_msg(sock, &w, sizeof(w), &handle, handle >= 0, MSG_DONTWAIT) || ret)
		return 0;
	if (h->op != DOOR_OP_SESSION)
		return 0;
	door_session_new(d, sock, take_fd(memfd));
	return 1;
}

static void hello(int sock)
{
	int fds[HELLO_FDS] = { -1, -1 };
	struct door_hello h;
	struct stat st;
	size_t len = 0, n;
	int ret = fd_recv_msg(sock, &h, sizeof(h), &len, fds, HELLO_FDS, &n, MSG_DONTWAIT);
	int taken = 0;

	if (ret == -EAGAIN)
		return;
	epoll_ctl(door_server.epfd, EPOLL_CTL_DEL, sock, NULL);
	if (!ret && len == sizeof(h) && h.magic == DOOR_WIRE_MAGIC &&
	    h.version == DOOR_WIRE_VERSION && n && fstat(fds[0], &st) == 0) {
		/* It counts as a reference while it is open. */
		close_owned(&fds[0]);
		fds[0] = -1;
		pthread_mutex_lock(&door_server.lock);
		/* Without an answer the client comes again, and to the one that serves. */
		if (!door_server.leaving)
			taken = serve_hello(sock, door_find_inode(st.st_dev, st.st_ino), &h,
					    &fds[1]);
		pthread_mutex_unlock(&door_server.lock);
	}
	close_owned(&fds[0]);
	close_owned(&fds[1]);
	if (!taken)
		close(sock);
}

/* A client has gone, or shut its connection: its call is of no use any more. */
static void gone(uint64_t id)
{
	struct door_session *s;

	pthread_mutex_lock(&door_server.lock);
	list_for_each(s, &door_server.sessions, list) {
		if (s->id != id)
			continue;
		s->gone = true;
		if (s->thread && !(s->door->attributes & DOOR_NO_CANCEL)) {
			s->thread->cancelled = true;
			pthread_cancel(s->thread->id);
		}
		break;
	}
	pthread_mutex_unlock(&door_server.lock);
}

static void handle(int64_t what)
{
	eventfd_t n;

	if (what == EV_LISTENER)
		let_in();
	else if (what == EV_WAKE)
		eventfd_read(door_server.wake, &n);
	else if (what == EV_INOTIFY)
		door_unref_event();
	else if (what < 0)
		hello((int)(EV_NEW - what));
	else
		gone((uint64_t)what);
}

static void *watch(void *arg)
{
	struct epoll_event e[16];
	int timeout = -1;

	(void)arg;
	prctl(PR_SET_NAME, "door");
	pthread_mutex_lock(&door_server.lock);
	door_server.watcher = gettid();
	pthread_mutex_unlock(&door_server.lock);
	for (;;) {
		int n = epoll_wait(door_server.epfd, e, 16, timeout);

		for (int i = 0; i < n; i++)
			handle((int64_t)e[i].data.u64);
		timeout = door_unref_pass();
	}
	return NULL;
}

/* Signals are for the program's own threads. */
static int start_thread(void)
{
	sigset_t all, old;
	int ret;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	ret = door_thread_spawn(watch, NULL);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return ret;
}

/**
 * door_watch_start - begin to watch
 *
 * The server's lock is held, its listener is open.
 *
 * Return: 0 or -errno.
 */
int door_watch_start(void)
{
	struct door_server *s = &door_server;
	int ret;

	s->epfd = epoll_create1(EPOLL_CLOEXEC);
	if (s->epfd < 0)
		return -errno;
	s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->wake < 0)
		return -errno;
	ret = add(s->listener, EV_LISTENER);
	if (!ret)
		ret = add(s->wake, EV_WAKE);
	return ret ? ret : start_thread();
}

/**
 * door_watch_inotify - hear of closed descriptors
 *
 * The server's lock is held.
 *
 * Return: 0 or -errno.
 */
int door_watch_inotify(void)
{
	return add(door_server.inotify, EV_INOTIFY);
}

/**
 * door_watch_wake - there is something to look at
 */
void door_watch_wake(void)
{
	eventfd_write(door_server.wake, 1);
}

/**
 * door_watch_leave - let no more clients in
 *
 * The server's lock is held.
 */
void door_watch_leave(void)
{
	epoll_ctl(door_server.epfd, EPOLL_CTL_DEL, door_server.listener, NULL);
}
