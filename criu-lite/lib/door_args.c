/*
 * door_args - the arguments of a call, as the server gets them: copied out of
 * the session's memory, to which the client may write at any time, and then
 * looked at.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define HUGE_PAGE ((size_t)2 << 20)

/**
 * door_args_drop - close what came with a call that is refused
 * @s: the session
 */
void door_args_drop(struct door_session *s)
{
	for (unsigned int i = 0; i < s->nr_fds; i++)
		close(s->fds[i]);
	s->nr_fds = 0;
	s->full = false;
}

/**
 * door_args_judge - does the door take a call with such arguments?
 * @d: the door; the server's lock is held
 * @size: bytes
 * @descs: descriptors
 *
 * Return: 0, or a positive errno for the client.
 */
int door_args_judge(const struct door *d, size_t size, unsigned int descs)
{
	if (d->revoked)
		return EBADF;
	if (size > DOOR_DATA_LIMIT || descs > DOOR_DESCS_MAX)
		return E2BIG;
	if (size > d->data_max || size < d->data_min)
		return ENOBUFS;
	if (descs && d->attributes & DOOR_REFUSE_DESC)
		return ENOTSUP;
	return descs > d->desc_max ? ENFILE : 0;
}

/* Large ones are on large pages, where a switch of processes costs less. */
static char *make_buffer(size_t size)
{
	char *buf = aligned_alloc(size >= HUGE_PAGE / 2 ? HUGE_PAGE : 64, size);

	if (buf && size >= HUGE_PAGE / 2)
		madvise(buf, size, MADV_HUGEPAGE);
	return buf;
}

static int copy_in(struct door_thread *t, size_t size)
{
	if (size > t->buf_size) {
		const size_t unit = size >= HUGE_PAGE / 2 ? HUGE_PAGE : 4096;
		const size_t room = (size + unit - 1) & ~(unit - 1);
		char *buf = make_buffer(room);

		if (!buf)
			return EAGAIN;
		free(t->buf);
		t->buf = buf;
		t->buf_size = room;
	}
	if (size)
		memcpy(t->buf, t->session->map + DOOR_ARENA_DATA, size);
	return 0;
}

/* The descriptors that were announced: those that came before, and the rest. */
static int collect_fds(struct door_session *s, unsigned int descs)
{
	unsigned int n;
	int *fds, ret;

	if (s->nr_fds > descs || descs > DOOR_DESCS_MAX)
		return EBADMSG;
	if (s->full)
		return EMFILE;
	if (!descs)
		return 0;
	fds = realloc(s->fds, descs * sizeof(int));
	if (!fds)
		return EAGAIN;
	s->fds = fds;
	ret = door_desc_recv(s->sock, s->fds + s->nr_fds, descs - s->nr_fds, &n);
	s->nr_fds += n;
	if (ret)
		return ret == -EMFILE ? EMFILE : EBADMSG;
	return 0;
}

static int describe_fds(struct door_thread *t)
{
	struct door_session *s = t->session;
	door_desc_t *all = s->nr_fds ? realloc(t->descs, s->nr_fds * sizeof(*all)) : t->descs;

	if (s->nr_fds && !all)
		return EAGAIN;
	t->descs = all;
	door_desc_fill(t->descs, s->fds, s->nr_fds);
	t->nr_descs = s->nr_fds;
	s->nr_fds = 0;
	return 0;
}

/**
 * door_args_take - make the arguments of a call the thread's own
 * @t: the thread that has the call
 * @size: bytes
 * @descs: descriptors
 * @err: why the call is refused, or 0
 *
 * After an error descriptors that came are still the session's.
 *
 * Return: 0; @err, or another positive errno for the client; EBADMSG if it is
 * no client of this library.
 */
int door_args_take(struct door_thread *t, size_t size, unsigned int descs, int err)
{
	int ret;

	if (!err && door_session_fit(t->session, size, false))
		err = EBADMSG;
	if (!err)
		err = copy_in(t, size);
	if (err && !descs)
		return err;
	ret = collect_fds(t->session, descs);
	if (!err)
		err = ret ? ret : describe_fds(t);
	return err;
}
