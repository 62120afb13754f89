/*
 * door_answer - the end of a call: results go into the session's memory, the
 * client is told, and the session is ready for the next call or ends.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fdpass.h"

#define KEEP_BUFFER (8u << 20) /* bytes for arguments that a thread keeps */

/**
 * door_forget_session - end the session of a thread, with the call that it has
 * @t: the thread
 */
void door_forget_session(struct door_thread *t)
{
	struct door_session *s = t->session;

	pthread_mutex_lock(&door_server.lock);
	if (t->taken)
		s->door->active--;
	t->taken = false;
	t->session = NULL;
	s->thread = NULL;
	door_session_free(s);
	pthread_mutex_unlock(&door_server.lock);
}

/* The answer is there: wakes the client, however it waits. */
static void announce(struct door_session *s)
{
	struct door_arena *a = door_arena_of(s->map);
	const struct door_note ring = { .type = DOOR_NOTE_RING };

	switch (atomic_exchange(&a->ret, RET_DONE)) {
	case RET_ASLEEP:
		door_word_wake(&a->ret);
		break;
	case RET_SOCKET:
		fd_send_msg(s->sock, &ring, sizeof(ring), NULL, 0, MSG_DONTWAIT);
		break;
	default:
		break;
	}
}

/**
 * door_answer - the results lie in the session: tell the client
 * @s: the session
 * @size: their bytes
 * @descs: descriptors that have been sent
 * @err: positive errno, or 0
 */
void door_answer(struct door_session *s, size_t size, unsigned int descs, int err)
{
	struct door_arena *a = door_arena_of(s->map);

	a->res_size = size;
	a->res_descs = descs;
	a->res_err = err;
	announce(s);
}

/**
 * door_end_call - the call is over
 * @t: its thread; the session is still its own, or freed with its client
 */
void door_end_call(struct door_thread *t)
{
	struct door_session *s = t->session;
	struct door *d = s->door;
	bool look;

	pthread_mutex_lock(&door_server.lock);
	s->thread = NULL;
	t->taken = false;
	look = !--d->active && d->unref_look;
	if (s->gone || d->revoked) {
		t->session = NULL;
		door_session_free(s);
	}
	pthread_mutex_unlock(&door_server.lock);
	if (look)
		door_watch_wake();
	if (t->buf_size > KEEP_BUFFER) {
		free(t->buf);
		t->buf = NULL;
		t->buf_size = 0;
	}
}

static int send_results(struct door_session *s, const char *data, size_t size,
			const door_desc_t *desc, unsigned int n)
{
	int ret = door_session_fit(s, size, true);

	if (ret)
		return -E2BIG;
	ret = door_copy(s->map + DOOR_ARENA_DATA, data, size);
	if (ret)
		return ret;
	return door_desc_send(s->sock, desc, n, MSG_DONTWAIT);
}

/**
 * door_reply - give the results of a call; a client that is gone needs none
 * @t: the thread that has the call
 * @data: results
 * @size: their bytes
 * @desc: descriptors, checked
 * @n: how many
 *
 * Return: 0: the call is over; -E2BIG, -EFAULT, -EMFILE: it is not.
 */
int door_reply(struct door_thread *t, const char *data, size_t size, const door_desc_t *desc,
	       unsigned int n)
{
	struct door_session *s = t->session;
	int ret;

	if (!s->gone) {
		ret = send_results(s, data, size, desc, n);
		if (ret == -ETOOMANYREFS)
			ret = -EMFILE;
		if (ret == -E2BIG || ret == -EMFILE || ret == -EFAULT)
			return ret;
		if (ret)
			shutdown(s->sock, SHUT_RDWR);
		else
			door_answer(s, size, n, 0);
	}
	door_desc_release(desc, n);
	door_end_call(t);
	return 0;
}
