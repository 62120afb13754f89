/*
 * door_pool - threads that wait for calls. They wait for the sockets of all
 * sessions by epoll; but one that has just served a session may stay with it
 * ("parked"), where the next call finds it at less cost. At least one thread
 * that waits is never parked, so that nobody waits for a parked one.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/fd.h"

/**
 * door_pool_init - open a pool
 * @p: the pool
 *
 * Return: 0 or -errno.
 */
int door_pool_init(struct door_pool *p)
{
	cleanup_close int epfd = epoll_create1(EPOLL_CLOEXEC), stop = -1;
	struct epoll_event e = { .events = EPOLLIN };

	if (epfd < 0)
		return -errno;
	stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (stop < 0 || epoll_ctl(epfd, EPOLL_CTL_ADD, stop, &e) < 0)
		return -errno;
	pthread_mutex_init(&p->lock, NULL);
	p->idle = p->waiters = 0;
	list_init(&p->parked);
	p->epfd = take_fd(&epfd);
	p->stop = take_fd(&stop);
	return 0;
}

/* A parked thread is to leave its word; the pool is locked. */
static void kick(const struct door_thread *t)
{
	struct door_arena *a = door_arena_of(t->session->map);
	uint32_t asleep = CALL_ASLEEP, parked = CALL_PARKED;

	if (atomic_compare_exchange_strong(&a->call, &asleep, CALL_KICK))
		door_word_wake(&a->call);
	else
		atomic_compare_exchange_strong(&a->call, &parked, CALL_KICK);
}

/**
 * door_pool_stop - let the threads go that wait; there are no more calls
 * @p: the pool, private
 */
void door_pool_stop(struct door_pool *p)
{
	eventfd_write(p->stop, 1);
	door_pool_kick(p);
}

/**
 * door_pool_kick - let no thread stay with its session
 * @p: the pool
 */
void door_pool_kick(struct door_pool *p)
{
	struct door_thread *t;

	pthread_mutex_lock(&p->lock);
	list_for_each(t, &p->parked, parked)
		kick(t);
	pthread_mutex_unlock(&p->lock);
}

/**
 * door_pool_free - close a pool that has no threads
 * @p: the pool
 */
void door_pool_free(struct door_pool *p)
{
	close_owned(&p->epfd);
	close_owned(&p->stop);
	p->epfd = p->stop = -1;
}

/**
 * door_pool_enter - a thread begins to wait
 * @t: the thread; is_parked is set
 * @may_park: it has a session that it could stay with
 */
void door_pool_enter(struct door_thread *t, bool may_park)
{
	struct door_pool *p = t->pool;

	pthread_mutex_lock(&p->lock);
	p->idle++;
	t->waiting = true;
	t->is_parked = may_park && p->waiters;
	if (t->is_parked)
		list_add(&t->parked, &p->parked);
	else
		p->waiters++;
	pthread_mutex_unlock(&p->lock);
}

/**
 * door_pool_leave - a thread waits no more
 * @t: the thread
 *
 * Return: whether it was the last that waited.
 */
bool door_pool_leave(struct door_thread *t)
{
	struct door_pool *p = t->pool;
	bool last;

	pthread_mutex_lock(&p->lock);
	last = !--p->idle;
	t->waiting = false;
	if (t->is_parked)
		list_del(&t->parked);
	else if (!--p->waiters && !list_empty(&p->parked))
		kick(list_first(&p->parked, struct door_thread, parked));
	pthread_mutex_unlock(&p->lock);
	return last;
}
