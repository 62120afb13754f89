/*
 * eventpoll - restore. The descriptor exists at once; each file it watches is
 * added when that file is restored, or, for another epoll, when it exists: so
 * a cycle of them comes back. A file that the master's table does not have
 * comes as a fake fle. The other half is dump/types/eventpoll.c.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/eventpoll.pb-c.h"

struct eventpoll_priv {
	struct file_desc **watched; /* by entry; NULL: it is not there any more */
	int *number;                /* the slot it is added by, or -1: any of this process */
	size_t *order;              /* disarmed entries first */
	size_t done;                /* entries added */
	bool made;
};

static struct file_desc *in_table(const struct filedesc *fdt, int fd)
{
	struct fdinfo_list_entry *f;

	list_for_each(f, &fdt->fles, in_table)
		if (f->fd == fd)
			return f->desc;
	return NULL;
}

/* EPOLLONESHOT, and it has been reported: since then not even errors are. */
static bool disarmed(const EventpollTfdEntry *t)
{
	return (t->events & EPOLLONESHOT) &&
	       !(t->events & ~(uint32_t)(EPOLLONESHOT | EPOLLET | EPOLLWAKEUP));
}

static void plan_order(struct arena *a, struct eventpoll_priv *p, const EventpollFileEntry *e)
{
	size_t n = 0;

	p->order = arena_array(a, size_t, e->n_tfd);
	for (int first = 1; first >= 0; first--)
		for (size_t i = 0; i < e->n_tfd; i++)
			if (disarmed(e->tfd[i]) == first)
				p->order[n++] = i;
}

static int eventpoll_prepare(struct pstree *t, struct file_desc *d)
{
	const EventpollFileEntry *e = file_desc_entry(d);
	struct eventpoll_priv *p = file_desc_priv(d);
	struct pstree_item *who = engine_master(d);

	if (!who)
		return 0;
	p->watched = arena_array(t->arena, struct file_desc *, e->n_tfd);
	p->number = arena_array(t->arena, int, e->n_tfd);
	plan_order(t->arena, p, e);
	for (size_t i = 0; i < e->n_tfd; i++) {
		struct file_desc *there = in_table(who->fdt, (int)e->tfd[i]->tfd), *want;

		want = e->tfd[i]->has_file_id ? file_desc_find(t, e->tfd[i]->file_id) : there;
		p->watched[i] = want;
		p->number[i] = want == there ? (int)e->tfd[i]->tfd : -1;
		if (want && engine_need(t, want, who))
			continue;
		file_fail(d, EBADMSG, "it watches descriptor %u, which is not in the image",
			  e->tfd[i]->tfd);
		return -EBADMSG;
	}
	return 0;
}

static int add(struct file_desc *d, int epfd, size_t i, int fd)
{
	const EventpollFileEntry *e = file_desc_entry(d);
	struct epoll_event ev = { .events = e->tfd[i]->events, .data.u64 = e->tfd[i]->data };
	bool disarm = disarmed(e->tfd[i]);

	if (disarm)
		ev.events |= EPOLLIN | EPOLLOUT | EPOLLPRI;
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return file_fail(d, errno, "watch descriptor %d for %#x", fd, ev.events);
	/* Reporting it disarms it. A file that has nothing to report stays armed for errors. */
	if (!disarm || epoll_wait(epfd, &ev, 1, 0) == 1)
		return 0;
	ev = (struct epoll_event){ .events = e->tfd[i]->events, .data.u64 = e->tfd[i]->data };
	if (epoll_ctl(epfd, EPOLL_CTL_MOD, fd, &ev) < 0)
		return file_fail(d, errno, "watch descriptor %d for errors only", fd);
	return 0;
}

/* Under a number that was closed, or that another file has now: it is lent for the moment. */
static int add_as(struct file_desc *d, int epfd, size_t i, int fd)
{
	const EventpollFileEntry *e = file_desc_entry(d);
	int number = (int)e->tfd[i]->number, flags = fcntl(number, F_GETFD), ret;
	cleanup_close int saved = -1;

	if (number < 0 || number == epfd)
		return add(d, epfd, i, fd);
	if (flags >= 0) {
		saved = fcntl(number, F_DUPFD_CLOEXEC, 0);
		if (saved < 0)
			return file_fail(d, errno, "duplicate descriptor %d", number);
	}
	if (dup3(fd, number, O_CLOEXEC) < 0)
		return file_fail(d, errno, "lend descriptor %d", number);
	ret = add(d, epfd, i, number);
	if (saved < 0)
		close(number);
	else if (dup3(saved, number, flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0)
		return file_fail(d, errno, "give back descriptor %d", number);
	return ret;
}

static int watch(struct file_desc *d, size_t i)
{
	const EventpollFileEntry *e = file_desc_entry(d);
	struct eventpoll_priv *p = file_desc_priv(d);
	int fd = p->number[i] >= 0 ? p->number[i] : file_fd(p->watched[i]);

	return e->tfd[i]->has_number ? add_as(d, file_fd(d), i, fd) : add(d, file_fd(d), i, fd);
}

/* One after the other: one that is not ready lets the others wait. */
static int eventpoll_open(struct file_desc *d, int *new_fd)
{
	const EventpollFileEntry *e = file_desc_entry(d);
	struct eventpoll_priv *p = file_desc_priv(d);
	cleanup_close int fd = -1;

	if (!p->made) {
		fd = epoll_create1(EPOLL_CLOEXEC);
		if (fd < 0)
			return file_fail(d, errno, "epoll_create1()");
		if (file_params(d, fd, e->flags, e->fown) < 0)
			return -1;
		p->made = true;
		*new_fd = take_fd(&fd);
		return e->n_tfd ? 1 : 0;
	}
	for (; p->done < e->n_tfd; p->done++) {
		struct file_desc *w = p->watched[p->order[p->done]];
		bool epoll = w->kind == FILE_KIND_eventpoll;

		if (!file_stage_reached(w, epoll ? FLE_OPEN : FLE_RESTORED) || file_fd(w) < 0)
			return 1;
		if (watch(d, p->order[p->done]) < 0)
			return -1;
	}
	return 0;
}

const struct file_desc_ops eventpoll_desc_ops = {
	.open = eventpoll_open,
	.prepare = eventpoll_prepare,
	.priv_size = sizeof(struct eventpoll_priv),
};
