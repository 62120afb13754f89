/*
 * door_serve - the life of a server thread: it waits for a call, runs the
 * door's procedure, and is back here by door_return(), which jumps over
 * whatever the procedure has on the stack.
 *
 * A thread that stays with its session looks at the word of the next call
 * there, see door_pool.c.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fdpass.h"

/* That a thread stays with its session: no less than a tick, see door_call.c. */
#define PARK_US 20000

static void run(struct door_thread *t, struct door *d, size_t size)
{
	char *args = size ? t->buf : NULL;
	door_desc_t *descs = t->nr_descs ? t->descs : NULL;

	pthread_setcancelstate(t->cancel_state, NULL);
	d->proc(d->cookie, args, size, descs, t->nr_descs);
	/* It returned, which ends the thread; its client is interrupted. */
	pthread_exit(NULL);
}

/* The call in the session of @t, which is this thread's by CALL_TAKEN. */
static void serve_call(struct door_thread *t, bool last)
{
	struct door_session *s = t->session;
	struct door_arena *a = door_arena_of(s->map);
	const size_t size = *(volatile uint64_t *)&a->arg_size;
	const unsigned int descs = *(volatile uint32_t *)&a->arg_descs;
	struct door *d = s->door;
	int err;

	door_say_cpu(&a->server_cpu);
	pthread_mutex_lock(&door_server.lock);
	s->thread = t;
	t->taken = true;
	d->active++;
	err = door_args_judge(d, size, descs);
	pthread_mutex_unlock(&door_server.lock);
	if (last)
		door_deplete(t, d);
	err = door_args_take(t, size, descs, err);
	if (err == EBADMSG) {
		/* Not a client of this library. */
		door_forget_session(t);
		return;
	}
	if (!err)
		run(t, d, size);
	door_args_drop(s);
	door_answer(s, 0, 0, err);
	door_end_call(t);
}

/* Leaves the words of the session. Returns whether there is a call after all. */
static bool leave_word(struct door_arena *a, uint32_t from)
{
	uint32_t is = from;

	if (atomic_compare_exchange_strong(&a->call, &is, CALL_NONE))
		return false;
	if (is == CALL_KICK && atomic_compare_exchange_strong(&a->call, &is, CALL_NONE))
		return false;
	is = CALL_POSTED;
	return atomic_compare_exchange_strong(&a->call, &is, CALL_TAKEN);
}

/* Parked: waits for the next call of the session. Returns whether there is one. */
static bool stay(struct door_session *s)
{
	struct door_arena *a = door_arena_of(s->map);
	uint32_t is = CALL_TAKEN;

	if (!atomic_compare_exchange_strong(&a->call, &is, CALL_PARKED))
		return leave_word(a, CALL_PARKED);
	if (door_spin(&a->call, CALL_PARKED, &a->client_cpu) || door_turns_serve(a))
		return leave_word(a, CALL_PARKED);
	is = CALL_PARKED;
	if (!atomic_compare_exchange_strong(&a->call, &is, CALL_ASLEEP))
		return leave_word(a, CALL_PARKED);
	door_word_wait(&a->call, CALL_ASLEEP, PARK_US);
	return leave_word(a, CALL_ASLEEP);
}

/* A server that leaves keeps no session. The lock orders this after the look at all of them. */
static bool close_session(struct door_thread *t)
{
	bool closed;

	pthread_mutex_lock(&door_server.lock);
	closed = door_server.leaving && door_session_close(t->session);
	pthread_mutex_unlock(&door_server.lock);
	return closed;
}

/* Waits with a session, or gives it to the pool. Returns 1 if it has a call again. */
static int wait_session(struct door_thread *t)
{
	struct door_session *s = t->session;
	bool call;

	door_pool_enter(t, !door_server.leaving);
	call = t->is_parked ? stay(s) : leave_word(door_arena_of(s->map), CALL_TAKEN);
	if (call)
		return 1;
	if (t->is_parked) {
		door_pool_leave(t);
		door_pool_enter(t, false);
	}
	if (!door_server.leaving || !close_session(t)) {
		t->session = NULL;
		if (!door_session_arm(s, false))
			return 0;
		t->session = s;
	}
	door_forget_session(t);
	return 0;
}

/* Something has come by the socket of a session. Returns 1 if that is a call. */
static int look(struct door_thread *t, uint32_t events)
{
	struct door_session *s = t->session;
	int fds[FD_MSG_MAX], ret, *all;
	struct door_note note;
	size_t len, n;
	uint32_t posted = CALL_POSTED;

	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		return -ECONNRESET;
	ret = fd_recv_msg(s->sock, &note, sizeof(note), &len, fds, FD_MSG_MAX, &n, MSG_DONTWAIT);
	all = n ? realloc(s->fds, (s->nr_fds + n) * sizeof(int)) : NULL;
	if (n && (!all || s->nr_fds + n > DOOR_DESCS_MAX)) {
		s->fds = all ?: s->fds;
		for (size_t i = 0; i < n; i++)
			close(fds[i]);
		return -EBADMSG;
	}
	if (n) {
		s->fds = all;
		memcpy(s->fds + s->nr_fds, fds, n * sizeof(int));
		s->nr_fds += (unsigned int)n;
	}
	s->full = s->full || ret == -EMFILE;
	if (ret && ret != -EAGAIN && ret != -EMFILE)
		return ret;
	if (atomic_compare_exchange_strong(&door_arena_of(s->map)->call, &posted, CALL_TAKEN))
		return 1;
	return door_session_arm(s, false);
}

/* Waits for any session of the pool. Returns 1 if the pool is closed. */
static int wait_pool(struct door_thread *t, uint32_t *events)
{
	struct epoll_event e;
	int n;

	pthread_setcancelstate(t->cancel_state, NULL);
	n = epoll_wait(t->pool->epfd, &e, 1, -1);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	if (n < 1)
		return 0;
	t->session = e.data.ptr;
	*events = e.events;
	if (!t->session)
		return 1;
	/* After the thread that had it before. */
	pthread_mutex_lock(&t->pool->lock);
	pthread_mutex_unlock(&t->pool->lock);
	return 0;
}

/* Until there is a call, which *@last says was got by the last that waited. */
static int next_call(struct door_thread *t, bool *last)
{
	uint32_t events = 0;
	int ret;

	for (;;) {
		if (t->session && wait_session(t) == 1)
			break;
		if (!t->waiting)
			door_pool_enter(t, false);
		if (wait_pool(t, &events)) {
			door_pool_leave(t);
			return -EBADF;
		}
		if (!t->session)
			continue;
		ret = look(t, events);
		if (ret == 1)
			break;
		if (ret < 0)
			door_forget_session(t);
		t->session = NULL;
	}
	*last = door_pool_leave(t);
	return 0;
}

/* The thread belongs to a pool no more. */
static void leave_pool(struct door_thread *t)
{
	struct door_pool *p = t->pool;

	pthread_mutex_lock(&door_server.lock);
	if (!--p->threads && t->bound && p == &t->bound->own_pool && t->bound->revoked)
		door_session_free_all(t->bound);
	pthread_mutex_unlock(&door_server.lock);
	t->pool = NULL;
}

/* The thread ends: by cancellation, pthread_exit(), or the return of a procedure. */
static void thread_gone(void *arg)
{
	struct door_thread *t = arg;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	if (!t->pool)
		return;
	if (t->waiting)
		door_pool_leave(t);
	if (t->session)
		door_forget_session(t);
	leave_pool(t);
}

/* To the pool that the thread is to be of. */
static int join_pool(struct door_thread *t)
{
	struct door_server *s = &door_server;
	int ret = 0;

	pthread_mutex_lock(&s->lock);
	if (!s->pid)
		ret = -EINVAL;
	else
		t->pool = t->bound ? &t->bound->own_pool : &s->pool;
	if (!ret)
		t->pool->threads++;
	pthread_mutex_unlock(&s->lock);
	return ret;
}

/* A call that was cancelled may have left a cancellation for the next one: a new thread. */
static void replace_cancelled(struct door_thread *t)
{
	if (!t->cancelled || !t->own)
		return;
	door_server_default(NULL);
	pthread_exit(NULL);
}

static bool wrong_pool(const struct door_thread *t)
{
	return t->pool && t->pool != (t->bound ? &t->bound->own_pool : &door_server.pool);
}

/* Between two calls. Returns only if there will be none. */
static int serve_next(struct door_thread *t)
{
	bool last;
	int ret = 0;

	if (t->session && wrong_pool(t)) {
		struct door_session *s = t->session;

		t->session = NULL;
		/* A call that is there by now was not begun: its client makes it again. */
		if (leave_word(door_arena_of(s->map), CALL_TAKEN))
			atomic_store(&door_arena_of(s->map)->call, CALL_POSTED);
		else if (!door_session_arm(s, false))
			s = NULL;
		t->session = s;
		if (s)
			door_forget_session(t);
	}
	if (wrong_pool(t))
		leave_pool(t);
	replace_cancelled(t);
	if (!t->pool)
		ret = join_pool(t);
	if (!ret)
		ret = next_call(t, &last);
	if (!ret)
		serve_call(t, last);
	return ret;
}

static int serve(struct door_thread *t)
{
	volatile int ret = 0; /* survives the jump */

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &t->cancel_state);
	while (!ret) {
		/* Anew for every call: what the procedure had pushed is forgotten by it. */
		pthread_cleanup_push(thread_gone, t);
		if (!sigsetjmp(t->base, 0)) {
			t->serving = true;
			t->nr_descs = 0;
			ret = serve_next(t);
		}
		pthread_cleanup_pop(0);
	}
	t->serving = false;
	if (t->pool)
		leave_pool(t);
	pthread_setcancelstate(t->cancel_state, NULL);
	if (t->leave)
		pthread_exit(NULL);
	return ret;
}

/**
 * door_return_to_base - end the procedure that runs in this thread
 * @t: this thread, serving
 */
void door_return_to_base(struct door_thread *t)
{
	siglongjmp(t->base, 1);
}

/**
 * door_return - answer the call that this thread has, and wait for the next
 * @data: results
 * @size: their bytes
 * @desc: descriptors
 * @num: how many
 *
 * In a thread that has none this makes it one that serves: of the private door
 * it is bound to, or of the process. Without a client, because it is gone,
 * results are dropped; descriptors with DOOR_RELEASE are closed all the same.
 *
 * Return: not; or -1, and the call is still there: E2BIG, EFAULT, EMFILE;
 * EINVAL, also in a child for a thread that is bound to a door of its parent.
 */
int door_return(char *data, size_t size, door_desc_t *desc, unsigned int num)
{
	struct door_thread *t = door_thread_self();
	int ret = size > DOOR_DATA_LIMIT ? -E2BIG : door_check_range(data, size);

	if (!t)
		ret = -ENOMEM;
	if (!ret)
		ret = door_desc_check(desc, num);
	if (!ret && t->orphan)
		ret = -EINVAL;
	if (ret)
		return door_set_errno(ret);
	if (t->serving)
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &t->cancel_state);
	if (!t->taken) {
		door_desc_release(desc, num);
	} else {
		ret = door_reply(t, data, size, desc, num);
		if (ret) {
			pthread_setcancelstate(t->cancel_state, NULL);
			return door_set_errno(ret);
		}
	}
	if (t->serving)
		door_return_to_base(t);
	return door_set_errno(serve(t));
}
