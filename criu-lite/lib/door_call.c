/*
 * door_call - the client's side of a call. A call that a server thread has
 * taken is made once: when the connection ends after that, the caller is
 * interrupted. One that nobody has taken is made again on a new connection,
 * which is what happens when either side has been dumped and restored, and when
 * the server is followed by another process.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fdpass.h"

/*
 * On the word, before the socket is waited for. No less than a tick of the
 * kernel: it need not program the timer then, which costs as much as a call.
 */
#define ASLEEP_US 5000

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static int check(const door_arg_t *p)
{
	int ret;

	if (p->data_size > DOOR_DATA_LIMIT)
		return -E2BIG;
	ret = door_check_range(p->data_ptr, p->data_size);
	if (!ret)
		ret = door_check_range(p->rbuf, p->rbuf ? p->rsize : 0);
	return ret ? ret : door_desc_check(p->desc_ptr, p->desc_num);
}

static int post(struct door_conn *c, const door_arg_t *p)
{
	const struct door_note ring = { .type = DOOR_NOTE_RING };
	struct door_arena *a;
	uint32_t is;
	int ret = door_conn_fit(c, p->data_size);

	if (ret)
		return ret;
	a = door_arena_of(c->map);
	ret = door_copy(c->map + DOOR_ARENA_DATA, p->data_ptr, p->data_size);
	if (ret)
		return ret;
	if (p->desc_num) {
		ret = door_desc_send(c->sock, p->desc_ptr, p->desc_num, 0);
		if (ret)
			return ret;
	}
	a->arg_size = p->data_size;
	a->arg_descs = p->desc_num;
	door_say_cpu(&a->client_cpu);
	atomic_store(&a->ret, RET_LOOKING);
	is = atomic_load(&a->call);
	do
		if (is == CALL_CLOSED)
			return -ECONNRESET;
	while (!atomic_compare_exchange_weak(&a->call, &is, CALL_POSTED));
	switch (is) {
	case CALL_NONE:
		return fd_send_msg(c->sock, &ring, sizeof(ring), NULL, 0, 0);
	case CALL_ASLEEP:
		door_word_wake(&a->call);
		return 0;
	default:
		return 0;
	}
}

/* What comes by the socket while it is waited for. Returns 1 at the ring that ends the wait. */
static int read_note(struct door_conn *c)
{
	struct door_note note;
	size_t len, n, room = DOOR_DESCS_MAX - c->nr_fds;
	int ret = fd_recv_msg(c->sock, &note, sizeof(note), &len, c->fds + c->nr_fds,
			      room < FD_MSG_MAX ? room : FD_MSG_MAX, &n, MSG_DONTWAIT);

	c->nr_fds += (unsigned int)n;
	c->full = c->full || ret == -EMFILE;
	if (ret)
		return ret == -EAGAIN || ret == -EMFILE ? 0 : ret;
	if (len != sizeof(note) || (note.type != DOOR_NOTE_RING && note.type != DOOR_NOTE_FDS))
		return -EBADMSG;
	return note.type == DOOR_NOTE_RING;
}

static bool is_done(struct door_conn *c)
{
	return atomic_load(&door_arena_of(c->map)->ret) == RET_DONE;
}

/* Every signal with a handler ends a poll(). A ring that is left of an earlier call means nothing.
 */
static int wait_socket(struct door_conn *c)
{
	int ret = 0;

	while (ret >= 0) {
		struct pollfd p = { .fd = c->sock, .events = POLLIN };

		ret = poll(&p, 1, -1) < 0 ? -errno : read_note(c);
		if (ret && is_done(c))
			return 0;
	}
	return ret;
}

static int wait_answer(struct door_conn *c)
{
	struct door_arena *a = door_arena_of(c->map);
	uint32_t is = RET_LOOKING;
	int ret;

	if (door_spin(&a->ret, RET_LOOKING, &a->server_cpu))
		return 0;
	ret = door_same_cpu(&a->server_cpu) ? door_turns_call(&c->turns, a) : 0;
	if (ret)
		return ret < 0 ? ret : 0;
	if (!atomic_compare_exchange_strong(&a->ret, &is, RET_ASLEEP))
		return 0;
	ret = door_word_wait(&a->ret, RET_ASLEEP, ASLEEP_US);
	is = RET_ASLEEP;
	if (ret == -EINTR)
		return is_done(c) ? 0 : -EINTR;
	if (!atomic_compare_exchange_strong(&a->ret, &is, RET_SOCKET))
		return 0;
	return wait_socket(c);
}

/* A buffer that results fit into: the caller's, or a new one that becomes the caller's. */
static int fit_results(door_arg_t *p, size_t need)
{
	char *buf;

	if (need <= p->rsize && p->rbuf)
		return 0;
	if (!need)
		return 0;
	need = round_up(need, 4096);
	buf = mmap(NULL, need, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (buf == MAP_FAILED)
		return -EOVERFLOW;
	p->rbuf = buf;
	p->rsize = need;
	return 0;
}

/* Descriptors are described behind the results. */
static int describe_fds(struct door_conn *c, char *to, unsigned int descs)
{
	door_desc_t *all = calloc(descs, sizeof(*all));
	int ret = all ? 0 : -EAGAIN;

	if (!ret) {
		door_desc_fill(all, c->fds, descs);
		ret = door_copy(to, all, descs * sizeof(*all));
	}
	free(all);
	return ret;
}

static int copy_results(struct door_conn *c, door_arg_t *p, size_t size, unsigned int descs)
{
	size_t at = round_up(size, sizeof(door_desc_t));
	int ret = fit_results(p, descs ? at + descs * sizeof(door_desc_t) : size);

	if (!ret)
		ret = door_copy(p->rbuf, c->map + DOOR_ARENA_DATA, size);
	if (!ret && descs)
		ret = describe_fds(c, p->rbuf + at, descs);
	if (ret)
		return ret;
	p->data_ptr = p->rbuf;
	p->data_size = size;
	p->desc_ptr = descs ? (door_desc_t *)(void *)(p->rbuf + at) : NULL;
	p->desc_num = descs;
	c->nr_fds = 0;
	return 0;
}

/* The file has what the server says, and not only the server's word for it. */
static int map_results(struct door_conn *c, size_t size)
{
	struct stat st;

	if (DOOR_ARENA_DATA + size <= c->map_size)
		return 0;
	if (size > DOOR_DATA_LIMIT || fstat(c->memfd, &st) < 0 ||
	    (size_t)st.st_size < DOOR_ARENA_DATA + size)
		return -EBADMSG;
	return door_conn_fit(c, size);
}

/* Returns what the server says, -EBADMSG for nonsense. */
static int take_results(struct door_conn *c, door_arg_t *p)
{
	const struct door_arena *a = door_arena_of(c->map);
	const size_t size = *(const volatile uint64_t *)&a->res_size;
	const unsigned int descs = *(const volatile uint32_t *)&a->res_descs;
	const int err = *(const volatile int32_t *)&a->res_err;
	unsigned int n;
	int ret;

	if (err)
		return err > 0 && err < 4096 ? -err : -EBADMSG;
	if (c->full)
		return -EMFILE;
	if (descs > DOOR_DESCS_MAX || descs < c->nr_fds)
		return -EBADMSG;
	ret = door_desc_recv(c->sock, c->fds + c->nr_fds, descs - c->nr_fds, &n);
	c->nr_fds += n;
	if (!ret)
		ret = map_results(c, size);
	return ret ? ret : copy_results(c, p, size, descs);
}

/* Was it left before a server thread had it? */
static bool untaken(struct door_conn *c)
{
	return atomic_load(&door_arena_of(c->map)->call) == CALL_POSTED;
}

static void abandon(void *arg)
{
	door_conn_drop(arg);
}

/* Cancelled while it waits, a thread leaves nothing behind. */
static int send_and_wait(struct door_conn *c, const door_arg_t *p, bool *sent)
{
	int ret;

	pthread_cleanup_push(abandon, c);
	ret = post(c, p);
	*sent = !ret;
	if (!ret)
		ret = wait_answer(c);
	pthread_cleanup_pop(0);
	return ret;
}

/*
 * One attempt. Returns 1 if the connection ended before the call was taken; 2
 * if it was one of an earlier call, of which there may be many.
 */
static int call_once(int fd, door_arg_t *p)
{
	struct door_conn *c;
	int ret = door_conn_get(fd, &c);
	bool sent;

	if (ret)
		return ret == -ECONNRESET ? 1 : ret;
	ret = send_and_wait(c, p, &sent);
	if (!ret) {
		ret = take_results(c, p);
		if (!c->nr_fds && ret != -EBADMSG && ret != -EMFILE && ret != -ECONNRESET) {
			door_conn_put(c);
			return ret;
		}
	}
	if (ret == -ECONNRESET || ret == -EPIPE)
		ret = sent && !untaken(c) ? -EINTR : c->kept ? 2 : 1;
	else if (ret == -EBADMSG)
		ret = -EINTR;
	door_conn_drop(c);
	return ret;
}

/* Results that the caller does not want, or cannot have, are thrown away. @own: the caller's
 * buffer. */
static int give_results(door_arg_t *params, const door_arg_t *a, const char *own)
{
	int ret = params ? door_copy(params, a, sizeof(*a)) : 0;

	if (params && !ret)
		return 0;
	for (unsigned int i = 0; i < a->desc_num; i++)
		close(a->desc_ptr[i].d_data.d_desc.d_descriptor);
	if (a->rbuf != own)
		munmap(a->rbuf, a->rsize);
	return ret;
}

/**
 * door_call - call a door
 * @fd: a descriptor of it
 * @params: arguments; results when it returns. Results that do not fit into
 * rbuf are in a new mapping, which rbuf and rsize say then, and which the
 * caller unmaps. NULL: there are neither.
 *
 * A signal that is caught interrupts the call, with SA_RESTART, too.
 * Descriptors with DOOR_RELEASE are closed here, also after an error other than
 * EFAULT and EBADF.
 *
 * Return: 0; or -1: E2BIG, EAGAIN, EBADF, EFAULT, EINTR, EINVAL, EMFILE, ENFILE,
 * ENOBUFS, ENOTSUP, EOVERFLOW.
 */
int door_call(int fd, door_arg_t *params)
{
	door_arg_t a = { .data_ptr = NULL };
	const door_desc_t *desc;
	const char *own;
	unsigned int n;
	int ret = params ? door_check_range(params, sizeof(a)) : 0;

	if (!ret && params)
		ret = door_copy(&a, params, sizeof(a));
	if (ret)
		return door_set_errno(ret);
	desc = a.desc_ptr;
	n = a.desc_num;
	own = a.rbuf;
	ret = check(&a);
	if (!ret) {
		ret = 1;
		for (int i = 0; ret > 0 && i < DOOR_ATTEMPTS; i += ret == 1)
			ret = call_once(fd, &a);
		if (ret > 0)
			ret = -EBADF;
	}
	if (n && n <= DOOR_DESCS_MAX && ret != -EFAULT && ret != -EBADF)
		door_desc_release(desc, n);
	if (!ret)
		ret = give_results(params, &a, own);
	return door_set_errno(ret);
}
