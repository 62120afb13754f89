/*
 * door - doors of this process: made, revoked, asked about. A child that was
 * forked starts anew: it has the descriptors, the doors are its parent's.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fd.h"

#define USER_ATTRIBUTES \
	(DOOR_UNREF | DOOR_PRIVATE | DOOR_UNREF_MULTI | DOOR_REFUSE_DESC | DOOR_NO_CANCEL)
#define KNOWN_PAGES 8
#define FIRST_PAGES 65536ul /* below vm.mmap_min_addr nothing is mapped */

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

/* A program calls with the same buffers again and again: pages that were there are remembered. */
static bool is_there(uintptr_t addr)
{
	static __thread uintptr_t known[KNOWN_PAGES];
	static __thread unsigned int next;
	const uintptr_t page = addr & ~(uintptr_t)4095;
	unsigned char in;

	for (int i = 0; i < KNOWN_PAGES; i++)
		if (known[i] == page)
			return true;
	/* NOLINTNEXTLINE(performance-no-int-to-ptr) */
	if (mincore((void *)page, 1, &in) < 0)
		return false;
	known[next++ % KNOWN_PAGES] = page;
	return true;
}

/**
 * door_check_range - is there memory?
 * @p: its address
 * @len: its bytes
 *
 * Only the ends are looked at, and those that cannot be right at once.
 *
 * Return: 0 or -EFAULT.
 */
int door_check_range(const void *p, size_t len)
{
	const uintptr_t first = (uintptr_t)p, last = first + len - 1;

	if (!len)
		return 0;
	if (first < FIRST_PAGES || last < first)
		return -EFAULT;
	return is_there(first) && is_there(last) ? 0 : -EFAULT;
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

static void free_door(struct door *d)
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
		free_door(d);
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

/* The process becomes a server. The lock is held. */
static int server_up(struct door_server *s)
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
		ret = door_store_listen(s);
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
		free_door(d);
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
	struct door *d = look_up(dev, ino, &t);

	if (d && !door_ticket_look(t))
		return d;
	list_for_each(d, &door_server.doors, list)
		list_for_each(t, &d->tickets, list)
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

/* Its ticket, and the user's descriptor of it, an open file of its own. */
static int make_ticket(struct door_server *s, struct door *d)
{
	const struct stat like = { .st_mode = 0777, .st_uid = geteuid(), .st_gid = getegid() };
	struct door_ticket *t = calloc(1, sizeof(*t));
	int ret;

	if (!t)
		return -ENOMEM;
	*t = (struct door_ticket){ .handle = -1, .probe = -1, .watch = -1 };
	/* Nobody else comes to it by name, and whoever was given it may open it again. */
	ret = door_store_ticket(s, d, t, &like);
	if (ret) {
		free(t);
		return ret;
	}
	list_add_tail(&t->list, &d->tickets);
	d->fd = door_reopen(t->handle, O_RDWR);
	if (d->fd >= 0)
		ret = door_unref_watch(d, t);
	if (d->fd >= 0 && !ret)
		return 0;
	ret = d->fd < 0 ? d->fd : ret;
	close_owned(&d->fd);
	door_store_drop(s, t);
	return ret;
}

static int create(struct door_server *s, const struct door *like, struct door **out)
{
	struct door *d = malloc(sizeof(*d));
	int ret = 0;

	if (!d)
		return -ENOMEM;
	*d = *like;
	d->refs = 1;
	list_init(&d->list);
	list_init(&d->tickets);
	d->pool = d->attributes & DOOR_PRIVATE ? &d->own_pool : &s->pool;
	d->own_pool = (struct door_pool){ .epfd = -1, .stop = -1 };
	if (getrandom(&d->id, sizeof(d->id), 0) != sizeof(d->id))
		ret = -EAGAIN;
	d->id >>= 1; /* many print it as a long */
	if (!ret && d->pool == &d->own_pool)
		ret = door_pool_init(d->pool);
	if (!ret)
		ret = make_ticket(s, d);
	if (ret) {
		free_door(d);
		return ret;
	}
	list_add_tail(&d->list, &s->doors);
	*out = d;
	return 0;
}

/* The first threads: of the process once, of a private pool with every door. */
static void first_threads(struct door_server *s, struct door *d)
{
	const bool private = d->attributes & DOOR_PRIVATE;
	door_server_func_t *fn;
	bool first;

	pthread_mutex_lock(&s->lock);
	fn = s->create;
	first = !private && !s->first_made;
	if (first)
		s->first_made = true;
	pthread_mutex_unlock(&s->lock);
	if (first)
		fn(NULL);
	else if (private)
		fn(&d->info);
}

static int door_new(const struct door *like, struct door **out)
{
	struct door_server *s = &door_server;
	struct door *d = NULL;
	unsigned int attr = like->attributes;
	int ret;

	if (attr & ~USER_ATTRIBUTES || !like->proc ||
	    ((attr & DOOR_UNREF) && (attr & DOOR_UNREF_MULTI)))
		return -EINVAL;
	pthread_mutex_lock(&s->lock);
	ret = server_up(s);
	if (!ret)
		ret = create(s, like, &d);
	if (!ret) {
		door_fill_info(d, &d->info);
		door_get(d);
		*out = d;
	}
	pthread_mutex_unlock(&s->lock);
	return ret;
}

static void door_release(struct door *d)
{
	pthread_mutex_lock(&door_server.lock);
	door_put(d);
	pthread_mutex_unlock(&door_server.lock);
}

/**
 * door_create - make a door
 * @proc: what a call runs
 * @cookie: its first argument
 * @attributes: DOOR_UNREF or DOOR_UNREF_MULTI, DOOR_PRIVATE,
 * DOOR_REFUSE_DESC, DOOR_NO_CANCEL
 *
 * Return: a descriptor, close-on-exec; or -1: EINVAL, EMFILE, ENOMEM, or what
 * the making of a file or thread says.
 */
int door_create(door_server_procedure_t *proc, void *cookie, unsigned int attributes)
{
	const struct door like = { .proc = proc,
				   .cookie = cookie,
				   .attributes = attributes,
				   .desc_max = attributes & DOOR_REFUSE_DESC ? 0 : INT_MAX,
				   .data_max = SIZE_MAX };
	struct door *d;
	int ret = door_new(&like, &d), fd;

	if (ret)
		return door_set_errno(ret);
	fd = d->fd;
	first_threads(&door_server, d);
	door_release(d);
	return fd;
}

/* What a thread of door_xcreate() and its maker tell each other. */
struct xstart {
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int fd;
	door_xcreate_thrsetup_func_t *setup;
	void *cookie;
	unsigned int refs, bound, failed;
};

static void xstart_put(struct xstart *x, bool bound, bool failed)
{
	bool last;

	pthread_mutex_lock(&x->lock);
	x->bound += bound;
	x->failed += failed;
	last = !--x->refs;
	pthread_cond_broadcast(&x->cond);
	pthread_mutex_unlock(&x->lock);
	if (last)
		free(x);
}

static void *xthread(void *arg)
{
	struct xstart *x = arg;
	struct door_thread *t = door_thread_self();
	bool ok;

	if (x->setup)
		x->setup(x->cookie);
	else
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	ok = t && door_bind(x->fd) == 0;
	if (ok)
		t->leave = true;
	xstart_put(x, ok, !ok);
	if (ok)
		door_return(NULL, 0, NULL, 0);
	return NULL;
}

/*
 * Asks for @n threads, and waits for them. One that was reported as not made
 * may come all the same, so what it would use is left to it.
 */
static int xthreads(struct door *d, int n)
{
	struct xstart *x = calloc(1, sizeof(*x));
	int made = 0, ret = 1;

	if (!x)
		return -ENOMEM;
	pthread_mutex_init(&x->lock, NULL);
	pthread_cond_init(&x->cond, NULL);
	x->fd = d->fd;
	x->setup = d->xsetup;
	x->cookie = d->xcookie;
	x->refs = (unsigned int)n + 1;
	while (made < n && ret == 1) {
		ret = d->xcreate(&d->info, xthread, x, d->xcookie);
		made += ret == 1;
	}
	pthread_mutex_lock(&x->lock);
	while (x->bound + x->failed < (unsigned int)made)
		pthread_cond_wait(&x->cond, &x->lock);
	if (ret == 1)
		ret = x->failed ? -EBADF : 0;
	else
		ret = ret ? -EINVAL : -EPIPE;
	pthread_mutex_unlock(&x->lock);
	xstart_put(x, false, false);
	return ret;
}

/**
 * door_xcreate - make a private door with its threads
 * @proc: what a call runs
 * @cookie: its first argument
 * @attributes: as door_create(); DOOR_PRIVATE is implied
 * @create: makes one thread that runs what it is given; returns 1, or 0 if
 * there shall be none, or -1
 * @setup: run first in each thread, or NULL: cancellation is off
 * @create_cookie: for both
 * @nthread: threads that must be there before this returns
 *
 * Return: a descriptor, close-on-exec; or -1: EINVAL, EPIPE if @create made
 * none, EBADF, E2BIG, and as door_create().
 */
int door_xcreate(door_server_procedure_t *proc, void *cookie, unsigned int attributes,
		 door_xcreate_server_func_t *create, door_xcreate_thrsetup_func_t *setup,
		 void *create_cookie, int nthread)
{
	const struct door like = { .proc = proc,
				   .cookie = cookie,
				   .attributes = attributes | DOOR_PRIVATE,
				   .desc_max = attributes & DOOR_REFUSE_DESC ? 0 : INT_MAX,
				   .data_max = SIZE_MAX,
				   .xcreate = create,
				   .xsetup = setup,
				   .xcookie = create_cookie };
	struct door *d;
	int ret, fd;

	if (!create || nthread < 1)
		return door_set_errno(-EINVAL);
	if (nthread > SHRT_MAX)
		return door_set_errno(-E2BIG);
	ret = door_new(&like, &d);
	if (ret)
		return door_set_errno(ret);
	fd = d->fd;
	ret = xthreads(d, nthread);
	door_release(d);
	if (!ret)
		return fd;
	door_revoke(fd);
	return door_set_errno(ret);
}

/**
 * door_deplete - the last thread that waited has got a call
 * @t: this thread
 * @d: the call's door, held
 *
 * Asks for one more.
 */
void door_deplete(struct door_thread *t, struct door *d)
{
	bool private = t->pool == &d->own_pool;
	door_server_func_t *fn;

	pthread_mutex_lock(&door_server.lock);
	fn = door_server.create;
	pthread_mutex_unlock(&door_server.lock);
	if (private && d->xcreate)
		xthreads(d, 1);
	else
		fn(private ? &d->info : NULL);
}

/**
 * door_revoke - end a door
 * @fd: a descriptor of it, which is closed
 *
 * Calls that are under way finish.
 *
 * Return: 0; or -1: EBADF, EPERM if another process made it.
 */
int door_revoke(int fd)
{
	struct door_server *s = &door_server;
	struct door_ticket *t;
	door_info_t info;
	struct door *d;

	pthread_mutex_lock(&s->lock);
	d = door_find(fd);
	if (!d) {
		pthread_mutex_unlock(&s->lock);
		return door_set_errno(door_info(fd, &info) < 0 ? -EBADF : -EPERM);
	}
	close(fd);
	if (!d->revoked) {
		d->revoked = true;
		list_for_each(t, &d->tickets, list)
			door_store_drop(s, t);
		door_session_end_idle(d);
		if (d->xcreate)
			door_pool_stop(d->pool);
		door_put(d);
	}
	pthread_mutex_unlock(&s->lock);
	return 0;
}

/**
 * door_fill_info - describe a door of this process
 * @d: the door; the server's lock is held
 * @info: filled; DOOR_LOCAL is not in it
 */
void door_fill_info(const struct door *d, door_info_t *info)
{
	memset(info, 0, sizeof(*info));
	info->di_target = d->revoked ? -1 : getpid();
	info->di_proc = (uintptr_t)d->proc;
	info->di_data = (uintptr_t)d->cookie;
	info->di_attributes = d->attributes | (d->revoked ? DOOR_REVOKED : 0);
	info->di_uniquifier = d->id;
}

static int info_local(int fd, door_info_t *info)
{
	struct door_thread *t = fd == DOOR_QUERY ? door_thread_self() : NULL;
	struct door *d;

	pthread_mutex_lock(&door_server.lock);
	d = fd == DOOR_QUERY ? (t ? t->bound : NULL) : door_find(fd);
	if (d) {
		door_fill_info(d, info);
		info->di_attributes |= DOOR_LOCAL | (door_unref_is(d) ? DOOR_IS_UNREF : 0);
	}
	pthread_mutex_unlock(&door_server.lock);
	return d ? 0 : -ENOENT;
}

static int info_remote(int fd, door_info_t *info, int limit)
{
	const struct door_hello h = { .op = DOOR_OP_INFO };
	struct door_welcome w;
	int ret = door_ask(fd, &h, &w, NULL, limit);

	if (ret && ret != -ENXIO)
		return ret;
	memset(info, 0, sizeof(*info));
	if (ret) {
		info->di_target = -1;
		info->di_attributes = DOOR_REVOKED;
		return 0;
	}
	info->di_target = w.attributes & DOOR_REVOKED ? -1 : w.pid;
	info->di_proc = w.proc;
	info->di_data = w.data;
	info->di_attributes = w.attributes;
	info->di_uniquifier = w.id;
	return 0;
}

/**
 * door_info_of - door_info() for this library
 * @fd: a descriptor of the door, or DOOR_QUERY
 * @info: filled
 * @limit: milliseconds that its server is waited for, or -1
 *
 * Return: 0 or -errno; -ETIMEDOUT.
 */
int door_info_of(int fd, door_info_t *info, int limit)
{
	int ret = info_local(fd, info);

	if (ret != -ENOENT)
		return ret;
	return fd == DOOR_QUERY ? -EBADF : info_remote(fd, info, limit);
}

/**
 * door_info - describe a door
 * @fd: a descriptor of it, or DOOR_QUERY for that of this thread
 * @info: filled
 *
 * Return: 0; or -1: EBADF, EFAULT; EINTR.
 */
int door_info(int fd, door_info_t *info)
{
	int ret = door_check_range(info, sizeof(*info));

	return door_set_errno(ret ? ret : door_info_of(fd, info, -1));
}

/**
 * door_server_create - say how threads are made
 * @create: called with NULL for one of the process, with the door for one of
 * a private pool; NULL: as in the beginning
 *
 * Return: what it was before.
 */
door_server_func_t *door_server_create(door_server_func_t *create)
{
	door_server_func_t *old;

	pthread_mutex_lock(&door_server.lock);
	old = door_server.create;
	door_server.create = create ? create : door_server_default;
	pthread_mutex_unlock(&door_server.lock);
	return old;
}
