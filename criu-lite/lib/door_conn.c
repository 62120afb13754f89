/*
 * door_conn - the client's connections to doors. They are made when a door is
 * called, kept between calls, and known by the file that the caller's
 * descriptor is at the time of the call; so nothing needs to be told when a
 * descriptor is closed or its number used again.
 *
 * What file it is costs as much to ask as the rest of a call on two processors.
 * So a descriptor that was seen to be a door gets a random number as its
 * position, which a door has no other use for: whatever is found there again is
 * the same open file, since who else knows the number had it from that file.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/fd.h"

#define IDLE_MAX 64            /* connections that are kept */
#define MARK_TRIES 8           /* marks in a row that nothing has come of */
#define MARK_AGAIN 64          /* calls to the next try after that */
#define KEEP_MAP (8u << 20)    /* bytes of memory that a kept one may have */
#define FIRST_DATA (60u << 10) /* bytes for arguments to begin with */

struct door_client {
	pthread_mutex_t lock;
	struct list_head idle; /* used last is first */
	struct list_head busy;
	unsigned int nr_idle;
};

static struct door_client client = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.idle = LIST_HEAD_INIT(client.idle),
	.busy = LIST_HEAD_INIT(client.busy),
};

static void destroy(struct door_conn *c)
{
	for (unsigned int i = 0; i < c->nr_fds; i++)
		close(c->fds[i]);
	close_owned(&c->sock);
	close_owned(&c->memfd);
	if (c->map)
		munmap(c->map, c->map_size);
	free(c);
}

static int make_memory(struct door_conn *c)
{
	c->memfd = memfd_create("door", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (c->memfd < 0 || ftruncate(c->memfd, DOOR_ARENA_DATA + FIRST_DATA) < 0 ||
	    fcntl(c->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return -errno;
	return door_conn_fit(c, 0);
}

static bool is_for(const struct door_conn *c, const struct stat *st)
{
	return c->ino == st->st_ino && c->dev == st->st_dev &&
	       c->stamp.tv_nsec == st->st_mtim.tv_nsec && c->stamp.tv_sec == st->st_mtim.tv_sec;
}

static off_t new_mark(void)
{
	uint64_t random;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		return 0;
	return (off_t)(random >> 2 | 1);
}

/* All connections of a file have the same mark. The lists are locked. */
static off_t mark_of(const struct stat *st)
{
	const struct door_conn *c;

	list_for_each(c, &client.busy, list)
		if (is_for(c, st))
			return c->mark;
	list_for_each(c, &client.idle, list)
		if (is_for(c, st))
			return c->mark;
	return new_mark();
}

static int open_conn(int fd, const struct stat *st, struct door_conn **out)
{
	const struct door_hello h = { .op = DOOR_OP_SESSION };
	struct door_conn *c = calloc(1, sizeof(*c));
	struct door_welcome w;
	int ret;

	if (!c)
		return -ENOMEM;
	c->sock = c->memfd = -1;
	c->dev = st->st_dev;
	c->ino = st->st_ino;
	c->stamp = st->st_mtim;
	c->turns.skip = DOOR_TURNS_AFTER;
	ret = door_up();
	if (!ret)
		ret = door_connect(st, &c->sock);
	if (!ret)
		ret = make_memory(c);
	if (!ret)
		ret = door_greet(c->sock, fd, &h, c->memfd, &w, NULL, -1);
	if (ret) {
		destroy(c);
		return ret == -ENXIO ? -EBADF : ret;
	}
	pthread_mutex_lock(&client.lock);
	c->mark = mark_of(st);
	list_add(&c->list, &client.busy);
	pthread_mutex_unlock(&client.lock);
	*out = c;
	return 0;
}

/* A connection nobody uses, by the file, or where that is NULL by mark. */
static struct door_conn *take_idle(const struct stat *st, off_t mark)
{
	struct door_conn *c, *found = NULL;

	pthread_mutex_lock(&client.lock);
	list_for_each(c, &client.idle, list)
		if (st ? is_for(c, st) : c->mark == mark) {
			found = c;
			break;
		}
	if (found) {
		list_del(&found->list);
		list_add(&found->list, &client.busy);
		client.nr_idle--;
	}
	pthread_mutex_unlock(&client.lock);
	return found;
}

/* Another process may have the descriptor too, and marks of its own: then it is not worth the call.
 */
static void mark(int fd, struct door_conn *c)
{
	if (c->mark && (c->unmarked++ < MARK_TRIES || !(c->unmarked % MARK_AGAIN)))
		lseek(fd, c->mark, SEEK_SET);
}

/**
 * door_conn_get - a connection for one call
 * @fd: a descriptor of the door
 * @out: set
 *
 * Return: 0; -EBADF if it is no door, or a dead one; -ECONNRESET if it ended
 * before it was there; -EINTR; -EMFILE and whatever else keeps it from being
 * made.
 */
int door_conn_get(int fd, struct door_conn **out)
{
	const off_t at = lseek(fd, 0, SEEK_CUR);
	struct door_conn *c = at > 0 ? take_idle(NULL, at) : NULL;
	struct stat st;
	int ret;

	if (at < 0)
		return -EBADF;
	if (c) {
		c->unmarked = 0;
		*out = c;
		return 0;
	}
	ret = door_file(fd, &st);
	if (ret)
		return ret;
	c = take_idle(&st, 0);
	if (!c)
		ret = open_conn(fd, &st, &c);
	if (ret)
		return ret;
	mark(fd, c);
	*out = c;
	return 0;
}

/**
 * door_conn_put - keep a connection for the next call
 * @c: the connection
 */
void door_conn_put(struct door_conn *c)
{
	struct door_conn *old = NULL;

	if (c->map_size > KEEP_MAP) {
		door_conn_drop(c);
		return;
	}
	pthread_mutex_lock(&client.lock);
	list_del(&c->list);
	list_add(&c->list, &client.idle);
	c->kept = true;
	if (++client.nr_idle > IDLE_MAX) {
		old = container_of(client.idle.prev, struct door_conn, list);
		list_del(&old->list);
		client.nr_idle--;
	}
	pthread_mutex_unlock(&client.lock);
	if (old)
		destroy(old);
}

/**
 * door_conn_drop - close a connection; a call on it is abandoned
 * @c: the connection, busy
 */
void door_conn_drop(struct door_conn *c)
{
	pthread_mutex_lock(&client.lock);
	list_del(&c->list);
	pthread_mutex_unlock(&client.lock);
	destroy(c);
}

/**
 * door_conn_fit - make sure that arguments or results are mapped
 * @c: the connection
 * @data: their bytes
 *
 * Return: 0; -errno.
 */
int door_conn_fit(struct door_conn *c, size_t data)
{
	size_t need = DOOR_ARENA_DATA + data;
	struct stat st;
	char *map;

	if (need <= c->map_size)
		return 0;
	if (fstat(c->memfd, &st) < 0)
		return -errno;
	if ((size_t)st.st_size < need) {
		/* Doubled, so that growing costs little. */
		size_t size = (size_t)st.st_size * 2 > need ? (size_t)st.st_size * 2 : need;

		if (ftruncate(c->memfd, (off_t)size) < 0)
			return -errno;
		st.st_size = (off_t)size;
	}
	map = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, c->memfd, 0);
	if (map == MAP_FAILED)
		return -errno;
	if (c->map)
		munmap(c->map, c->map_size);
	c->map = map;
	c->map_size = (size_t)st.st_size;
	return 0;
}

/**
 * door_conn_fork_prepare - before fork(2): the lists are whole
 */
void door_conn_fork_prepare(void)
{
	pthread_mutex_lock(&client.lock);
}

/**
 * door_conn_fork_parent - after fork(2)
 */
void door_conn_fork_parent(void)
{
	pthread_mutex_unlock(&client.lock);
}

static void drop_all(struct list_head *h)
{
	struct door_conn *c, *next;

	list_for_each_safe(c, next, h, list) {
		list_del(&c->list);
		destroy(c);
	}
}

/**
 * door_conn_fork_child - in a child: the connections are the parent's
 */
void door_conn_fork_child(void)
{
	drop_all(&client.idle);
	drop_all(&client.busy);
	client.nr_idle = 0;
	pthread_mutex_unlock(&client.lock);
}
