/*
 * door_session - the server's end of a session: the connection of one client,
 * its memory, and what has come by the socket so far. The memory is the
 * client's to write at any time; it cannot be made shorter.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

/* Maps as much as the file has; of a file that can only grow. */
static int map_all(struct door_session *s)
{
	struct stat st;
	char *map;

	if (fstat(s->memfd, &st) < 0)
		return -errno;
	if (st.st_size < DOOR_ARENA_DATA || (size_t)st.st_size > DOOR_ARENA_DATA + DOOR_DATA_LIMIT)
		return -EBADMSG;
	if ((size_t)st.st_size <= s->map_size)
		return 0;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, s->memfd, 0);
	if (map == MAP_FAILED)
		return -errno;
	if (s->map)
		munmap(s->map, s->map_size);
	s->map = map;
	s->map_size = (size_t)st.st_size;
	return 0;
}

/**
 * door_session_fit - make sure that arguments or results are mapped
 * @s: the session; its thread is the caller
 * @data: their bytes
 * @grow: make the file larger if it is too small
 *
 * Return: 0; -EBADMSG if the file does not have them; -errno.
 */
int door_session_fit(struct door_session *s, size_t data, bool grow)
{
	size_t need = DOOR_ARENA_DATA + data;
	int ret;

	if (need <= s->map_size)
		return 0;
	ret = map_all(s);
	if (ret || need <= s->map_size)
		return ret;
	if (!grow)
		return -EBADMSG;
	if (ftruncate(s->memfd, (off_t)need) < 0)
		return -errno;
	ret = map_all(s);
	return !ret && need > s->map_size ? -EBADMSG : ret;
}

/**
 * door_session_arm - wait for the session's socket
 * @s: the session; any thread of the pool may have it from then on
 * @first: it was never armed
 *
 * Return: 0 or -errno.
 */
int door_session_arm(struct door_session *s, bool first)
{
	struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP | EPOLLONESHOT, .data.ptr = s };
	struct door_pool *p = s->door->pool;
	int ret;

	/* Who has it next takes this lock before a look at it. */
	pthread_mutex_lock(&p->lock);
	ret = epoll_ctl(p->epfd, first ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, s->sock, &e);
	ret = ret < 0 ? -errno : 0;
	pthread_mutex_unlock(&p->lock);
	return ret;
}

static void destroy(struct door_session *s)
{
	for (unsigned int i = 0; i < s->nr_fds; i++)
		close(s->fds[i]);
	free(s->fds);
	close_owned(&s->sock);
	close_owned(&s->memfd);
	if (s->map)
		munmap(s->map, s->map_size);
	list_del(&s->list);
	free(s);
}

/**
 * door_session_new - begin a session
 * @d: the door; the server's lock is held
 * @sock: its connection; taken over, whatever is returned
 * @memfd: its memory; taken over, whatever is returned
 *
 * Return: 0; -EBADMSG for memory that is not as it must be; -errno.
 */
int door_session_new(struct door *d, int sock, int memfd)
{
	struct door_server *srv = &door_server;
	struct epoll_event e = { .events = EPOLLRDHUP | EPOLLONESHOT };
	struct door_session *s = calloc(1, sizeof(*s));
	int seals = fcntl(memfd, F_GET_SEALS), ret;

	if (!s) {
		close(sock);
		close(memfd);
		return -ENOMEM;
	}
	list_add_tail(&s->list, &srv->sessions);
	s->sock = sock;
	s->memfd = memfd;
	s->door = d;
	s->id = ++srv->last_session;
	ret = seals < 0 || !(seals & F_SEAL_SHRINK) ? -EBADMSG : map_all(s);
	/* Never 0, which is the watching thread's own. */
	e.data.u64 = s->id;
	if (!ret && epoll_ctl(srv->epfd, EPOLL_CTL_ADD, sock, &e) < 0)
		ret = -errno;
	if (!ret)
		ret = door_session_arm(s, true);
	if (ret) {
		destroy(s);
		return ret;
	}
	door_get(d);
	return 0;
}

/**
 * door_session_free - end a session
 * @s: the session; the server's lock is held, and no other thread has it
 */
void door_session_free(struct door_session *s)
{
	struct door *d = s->door;

	destroy(s);
	door_put(d);
}

/**
 * door_session_close - end a session if it has no call
 * @s: the session; the server's lock is held, and no thread serves it
 *
 * Its client begins a new one when it calls next. A thread that waits for the
 * session's socket frees it then.
 *
 * Return: whether that is so.
 */
bool door_session_close(struct door_session *s)
{
	uint32_t none = CALL_NONE;

	if (!atomic_compare_exchange_strong(&door_arena_of(s->map)->call, &none, CALL_CLOSED))
		return false;
	shutdown(s->sock, SHUT_RDWR);
	return true;
}

/**
 * door_session_end_idle - let clients know that there will be no more answers
 * @d: the door; the server's lock is held
 *
 * Calls under way go on. The sessions are freed by the thread that hears of it.
 */
void door_session_end_idle(struct door *d)
{
	struct door_session *s;

	list_for_each(s, &door_server.sessions, list)
		if (s->door == d && !s->thread)
			shutdown(s->sock, SHUT_RDWR);
}

/**
 * door_session_free_all - end the sessions of a door that has no threads
 * @d: the door, held; the server's lock is held
 */
void door_session_free_all(struct door *d)
{
	struct door_session *s, *next;

	list_for_each_safe(s, next, &door_server.sessions, list)
		if (s->door == d)
			door_session_free(s);
}

/**
 * door_session_fork - in a child: the sessions are the parent's
 *
 * The doors go at once, so that they are not counted.
 */
void door_session_fork(void)
{
	struct door_session *s, *next;

	list_for_each_safe(s, next, &door_server.sessions, list)
		destroy(s);
}
