/*
 * door_conn - the client's connections to doors. They are made when a door is
 * called, kept between calls, and known by the file that the caller's
 * descriptor is at the time of the call; so nothing needs to be told when a
 * descriptor is closed or its number used again.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/fdpass.h"

#define IDLE_MAX 64            /* connections that are kept */
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

/*
 * Connects to the server of a ticket. Waiting for that ends with a signal, even
 * one with SA_RESTART, because there is a time limit.
 */
static int connect_to(const struct stat *st, int *out)
{
	const struct timeval limit = { .tv_sec = 1000000 };
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	cleanup_close int sock = -1;
	char path[DOOR_PATH_MAX];
	struct door_name n;
	int ret = door_name_find(st, &n);

	if (ret)
		return ret;
	door_name_listener(&n, path);
	snprintf(a.sun_path, sizeof(a.sun_path), "%.100s", path);
	sock = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (sock < 0)
		return -errno;
	if (setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) < 0)
		return -errno;
	if (connect(sock, (struct sockaddr *)&a, sizeof(a)) < 0)
		return errno == ECONNREFUSED || errno == ENOENT ? -ENXIO : -errno;
	*out = take_fd(&sock);
	return 0;
}

static int wait_readable(int sock, int limit)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };

	int n = poll(&p, 1, limit);

	if (n < 0)
		return -errno;
	return n ? 0 : -ETIMEDOUT;
}

/*
 * Says hello with the caller's descriptor, and reads the answer. The server's
 * pid is as this process sees it. -ECONNRESET: it ends while it is asked, and
 * may have been followed by another one.
 */
static int greet(int sock, int fd, const struct door_hello *h, int memfd, struct door_welcome *w,
		 int *out, int limit)
{
	struct door_hello full = *h;
	const int fds[] = { fd, memfd };
	struct ucred cred;
	socklen_t cred_len = sizeof(cred);
	int got = -1, ret;
	size_t len, n;

	full.magic = DOOR_WIRE_MAGIC;
	full.version = DOOR_WIRE_VERSION;
	ret = fd_send_msg(sock, &full, sizeof(full), fds, memfd >= 0 ? 2 : 1, 0);
	if (!ret)
		ret = wait_readable(sock, limit);
	if (!ret)
		ret = fd_recv_msg(sock, w, sizeof(*w), &len, &got, 1, &n, MSG_DONTWAIT);
	if (!ret && (len != sizeof(*w) || w->magic != DOOR_WIRE_MAGIC))
		ret = -EBADF;
	if (!ret && w->err)
		ret = w->err > 0 && w->err < 4096 ? -w->err : -EBADF;
	if (!ret && getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &cred_len) == 0)
		w->pid = cred.pid;
	if (ret || !out) {
		close_owned(&got);
		got = -1;
	}
	if (!ret && out)
		*out = got;
	return ret == -EPIPE ? -ECONNRESET : ret;
}

/* The file of a descriptor. O_PATH ones are no reference, and no file for fstat() alone. */
static int file_of(int fd, struct stat *st)
{
	if (fstat(fd, st) < 0)
		return -EBADF;
	return S_ISREG(st->st_mode) ? 0 : -EBADF;
}

/**
 * door_ask - ask the server of a door
 * @fd: a descriptor of the door
 * @h: the question; op and what belongs to it
 * @w: the answer
 * @out: a descriptor that comes with it, or -1; NULL: none is wanted
 * @limit: milliseconds to wait for the answer, or -1
 *
 * Return: 0; -EBADF if it is no door; -ENXIO if its server is gone; -EINTR;
 * -ETIMEDOUT; what the server says.
 */
int door_ask(int fd, const struct door_hello *h, struct door_welcome *w, int *out, int limit)
{
	struct stat st;
	int ret = file_of(fd, &st);

	if (ret)
		return ret;
	for (int i = 0; i < DOOR_ATTEMPTS; i++) {
		cleanup_close int sock = -1;

		ret = connect_to(&st, &sock);
		if (!ret)
			ret = greet(sock, fd, h, -1, w, out, limit);
		if (ret != -ECONNRESET)
			return ret;
	}
	return -ENXIO;
}

static int make_memory(struct door_conn *c)
{
	c->memfd = memfd_create("door", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (c->memfd < 0 || ftruncate(c->memfd, DOOR_ARENA_DATA + FIRST_DATA) < 0 ||
	    fcntl(c->memfd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
		return -errno;
	return door_conn_fit(c, 0);
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
	ret = door_up();
	if (!ret)
		ret = connect_to(st, &c->sock);
	if (!ret)
		ret = make_memory(c);
	if (!ret)
		ret = greet(c->sock, fd, &h, c->memfd, &w, NULL, -1);
	if (ret) {
		destroy(c);
		return ret == -ENXIO ? -EBADF : ret;
	}
	pthread_mutex_lock(&client.lock);
	list_add(&c->list, &client.busy);
	pthread_mutex_unlock(&client.lock);
	*out = c;
	return 0;
}

static bool is_for(const struct door_conn *c, const struct stat *st)
{
	return c->ino == st->st_ino && c->dev == st->st_dev &&
	       c->stamp.tv_nsec == st->st_mtim.tv_nsec && c->stamp.tv_sec == st->st_mtim.tv_sec;
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
	struct door_conn *c, *found = NULL;
	struct stat st;
	int ret = file_of(fd, &st);

	if (ret)
		return ret;
	pthread_mutex_lock(&client.lock);
	list_for_each(c, &client.idle, list)
		if (is_for(c, &st)) {
			found = c;
			break;
		}
	if (found) {
		list_del(&found->list);
		list_add(&found->list, &client.busy);
		client.nr_idle--;
	}
	pthread_mutex_unlock(&client.lock);
	if (!found)
		return open_conn(fd, &st, out);
	*out = found;
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
