/*
 * fdframe - frames. A frame goes in pieces, each a head, up to FD_MSG_MAX
 * descriptors and up to PIECE bytes of data. The data of all pieces together
 * is the catalogue, one entry per descriptor, and then the payload. Byte order
 * is the machine's: both ends are on it.
 *
 * On a stream the head is read by itself, because a read that goes on beyond
 * it could take the descriptors of the next piece along. It is too short to be
 * torn when it is written.
 */
#include "lib/fdframe.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fdpass.h"
#include "lib/fdwait.h"

#define MAGIC 0x31664c43u /* "CLf1" */
#define PIECE 16384u

/* How long a sender waits for descriptors in flight to be taken, in all, and a nap of it. */
#define REFS_MS 5000
#define REFS_NAP_MS 2

/* Of a frame without a limit of its own: what calloc() is asked for at most. */
#define MOST_FDS (1u << 20)

struct head {
	uint32_t magic;
	uint32_t piece;        /* from 0 */
	uint64_t id;           /* the same in all pieces of a frame, and in no other frame */
	uint32_t fds, all_fds; /* in this piece, in the frame */
	uint32_t bytes, all_bytes;
};

struct piece {
	struct head head;
	unsigned char data[PIECE];
};

/* One entry of the catalogue; the name follows it, without a zero byte. */
struct entry {
	uint8_t kind, name_len;
};

static int is_stream(int sock, bool *yes)
{
	int type;
	socklen_t len = sizeof(type);

	if (getsockopt(sock, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return -errno;
	*yes = type == SOCK_STREAM;
	return 0;
}

/* One message, waiting for room. */
static int send_one(int sock, const void *data, size_t len, const int *fds, size_t n, int64_t until)
{
	int64_t refs = fdwait_until(REFS_MS);

	for (;;) {
		int ret = fd_send_msg(sock, data, len, fds, n, MSG_DONTWAIT);

		if (ret == -ETOOMANYREFS && fdwait_now() < refs) {
			/* Nothing tells when it passes; a peer that is gone does show. */
			ret = fdwait(sock, 0, fdwait_until(REFS_NAP_MS));
			if (ret == -ETIMEDOUT && (until < 0 || fdwait_now() < until))
				continue;
			return ret ? ret : -EPIPE;
		}
		if (ret != -EAGAIN)
			return ret;
		ret = fdwait(sock, POLLOUT, until);
		if (ret)
			return ret;
	}
}

static int send_rest(int sock, const unsigned char *p, size_t len, int64_t until)
{
	while (len) {
		ssize_t n = send(sock, p, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		int ret;

		if (n > 0) {
			p += n;
			len -= (size_t)n;
			continue;
		}
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != EAGAIN)
			return -errno;
		ret = fdwait(sock, POLLOUT, until);
		if (ret)
			return ret;
	}
	return 0;
}

static int send_piece(int sock, bool stream, const struct piece *p, const int *fds, int64_t until)
{
	size_t whole = sizeof(p->head) + p->head.bytes;
	int ret;

	if (!stream)
		return send_one(sock, p, whole, fds, p->head.fds, until);
	ret = send_one(sock, &p->head, sizeof(p->head), fds, p->head.fds, until);
	return ret ? ret : send_rest(sock, p->data, p->head.bytes, until);
}

/* Catalogue and payload in one piece of memory. */
static int pack(const struct fd_frame *f, unsigned char **out, size_t *len)
{
	size_t size = f->len;
	unsigned char *p;

	for (size_t i = 0; i < f->n; i++) {
		if (f->items[i].name[0] && !fd_name_ok(f->items[i].name))
			return -EINVAL;
		size += sizeof(struct entry) + strlen(f->items[i].name);
	}
	if (size > UINT32_MAX || f->n > UINT32_MAX)
		return -EINVAL;
	*out = p = malloc(size + 1);
	if (!p)
		return -ENOMEM;
	for (size_t i = 0; i < f->n; i++) {
		int kind = fd_kind_of(f->items[i].fd);
		struct entry e = { (uint8_t)kind, (uint8_t)strlen(f->items[i].name) };

		if (kind < 0) {
			free(*out);
			return kind;
		}
		memcpy(p, &e, sizeof(e));
		memcpy(p + sizeof(e), f->items[i].name, e.name_len);
		p += sizeof(e) + e.name_len;
	}
	if (f->len)
		memcpy(p, f->payload, f->len);
	*len = size;
	return 0;
}

static uint64_t new_id(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return ((uint64_t)getpid() << 40) ^
	       ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec);
}

static int send_pieces(int sock, const struct fd_frame *f, const unsigned char *data, size_t len,
		       int64_t until)
{
	struct piece p = { .head = { .magic = MAGIC, .id = new_id() } };
	size_t fd_at = 0, at = 0;
	int fds[FD_MSG_MAX];
	bool stream = false;
	int ret = is_stream(sock, &stream);

	p.head.all_fds = (uint32_t)f->n;
	p.head.all_bytes = (uint32_t)len;
	while (!ret) {
		p.head.fds = f->n - fd_at < FD_MSG_MAX ? (uint32_t)(f->n - fd_at) : FD_MSG_MAX;
		p.head.bytes = len - at < PIECE ? (uint32_t)(len - at) : PIECE;
		for (size_t i = 0; i < p.head.fds; i++)
			fds[i] = f->items[fd_at + i].fd;
		memcpy(p.data, data + at, p.head.bytes);
		ret = send_piece(sock, stream, &p, fds, until);
		fd_at += p.head.fds;
		at += p.head.bytes;
		if (fd_at == f->n && at == len)
			return ret;
		p.head.piece++;
	}
	return ret;
}

int fd_frame_send(int sock, const struct fd_frame *f, int timeout_ms)
{
	unsigned char *data = NULL;
	size_t len = 0;
	int ret = pack(f, &data, &len);

	if (ret)
		return ret;
	ret = send_pieces(sock, f, data, len, fdwait_until(timeout_ms));
	free(data);
	return ret;
}

/* What has arrived so far. */
struct arrival {
	struct head first;
	int *fds;
	size_t n;
	unsigned char *data;
	size_t len;
};

/* @exact: that many bytes of a stream; else one message. */
static int recv_some(int sock, void *buf, size_t size, bool exact, struct arrival *a, size_t room,
		     size_t *got, int64_t until)
{
	int fds[FD_MSG_MAX];

	*got = 0;
	for (;;) {
		size_t n, len = 0;
		int ret = fd_recv_msg(sock, (char *)buf + *got, size - *got, &len, fds,
				      a->fds ? room : FD_MSG_MAX, &n, MSG_DONTWAIT);

		if (ret == -EAGAIN) {
			ret = fdwait(sock, POLLIN, until);
			if (ret)
				return ret;
			continue;
		}
		/* Before the first head nobody knows how many there will be. */
		if (!a->fds && n)
			a->fds = malloc(FD_MSG_MAX * sizeof(*a->fds));
		for (size_t i = 0; i < n; i++) {
			if (a->fds)
				a->fds[a->n++] = fds[i];
			else
				close(fds[i]);
		}
		room -= n < room ? n : room;
		if (ret)
			return ret;
		*got += len;
		if (!exact || *got == size)
			return 0;
	}
}

static int recv_piece(int sock, bool stream, struct piece *p, struct arrival *a, int64_t until)
{
	size_t room = a->first.all_fds - a->n, got;
	int ret;

	if (a->first.magic && room > FD_MSG_MAX)
		room = FD_MSG_MAX;
	ret = recv_some(sock, p, stream ? sizeof(p->head) : sizeof(*p), stream, a, room, &got,
			until);
	if (ret)
		return ret;
	if (got < sizeof(p->head) || p->head.magic != MAGIC || p->head.bytes > PIECE)
		return -EBADMSG;
	if (!stream)
		return got == sizeof(p->head) + p->head.bytes ? 0 : -EBADMSG;
	return p->head.bytes ? recv_some(sock, p->data, p->head.bytes, true, a, 0, &got, until) : 0;
}

/* The first head says how much there will be: room for all of it. */
static int begin(struct arrival *a, const struct head *h, size_t max_fds, size_t max_len)
{
	size_t most = max_len + (sizeof(struct entry) + FD_NAME_MAX) * (size_t)h->all_fds;
	int *fds;

	if (h->piece || h->fds > h->all_fds || h->bytes > h->all_bytes)
		return -EBADMSG;
	if (h->all_fds > max_fds || h->all_fds > MOST_FDS || h->all_bytes > most)
		return -EMSGSIZE;
	a->first = *h;
	fds = realloc(a->fds, (h->all_fds + FD_MSG_MAX) * sizeof(*fds));
	if (fds)
		a->fds = fds;
	a->data = malloc((size_t)h->all_bytes + 1);
	return fds && a->data ? 0 : -ENOMEM;
}

static int recv_pieces(int sock, struct arrival *a, size_t max_fds, size_t max_len, int64_t until)
{
	struct piece p;
	bool stream = false;
	int ret = is_stream(sock, &stream);

	for (uint32_t i = 0; !ret; i++) {
		size_t before = a->n;

		ret = recv_piece(sock, stream, &p, a, until);
		if (!ret && i == 0)
			ret = begin(a, &p.head, max_fds, max_len);
		if (ret)
			return ret;
		if (p.head.piece != i || p.head.id != a->first.id ||
		    p.head.all_fds != a->first.all_fds || p.head.all_bytes != a->first.all_bytes ||
		    p.head.fds != a->n - before || a->len + p.head.bytes > a->first.all_bytes)
			return -EBADMSG;
		memcpy(a->data + a->len, p.data, p.head.bytes);
		a->len += p.head.bytes;
		if (a->n == a->first.all_fds && a->len == a->first.all_bytes)
			return 0;
		if (!p.head.fds && !p.head.bytes)
			return -EBADMSG;
	}
	return ret;
}

/* The catalogue, checked against what the descriptors are. */
static int unpack(const struct arrival *a, struct fd_frame *f, size_t max_len)
{
	size_t at = 0;

	f->items = calloc(a->n + 1, sizeof(*f->items));
	if (!f->items)
		return -ENOMEM;
	for (size_t i = 0; i < a->n; i++) {
		struct fd_item *it = &f->items[i];
		struct entry e;

		if (a->len - at < sizeof(e))
			return -EBADMSG;
		memcpy(&e, a->data + at, sizeof(e));
		at += sizeof(e);
		if (a->len - at < e.name_len)
			return -EBADMSG;
		memcpy(it->name, a->data + at, e.name_len);
		at += e.name_len;
		if (strlen(it->name) != e.name_len || (e.name_len && !fd_name_ok(it->name)))
			return -EBADMSG;
		it->fd = a->fds[i];
		if (fd_kind_of(it->fd) != e.kind)
			return -EBADMSG;
		it->kind = (enum fd_kind)e.kind;
	}
	f->len = a->len - at;
	if (f->len > max_len)
		return -EMSGSIZE;
	memmove(a->data, a->data + at, f->len);
	a->data[f->len] = '\0';
	return 0;
}

int fd_frame_recv(int sock, struct fd_frame *f, size_t max_fds, size_t max_len, int timeout_ms)
{
	struct arrival a = { 0 };
	int ret = recv_pieces(sock, &a, max_fds, max_len, fdwait_until(timeout_ms));

	memset(f, 0, sizeof(*f));
	if (!ret)
		ret = unpack(&a, f, max_len);
	if (ret) {
		for (size_t i = 0; i < a.n; i++)
			close(a.fds[i]);
		free(f->items);
		free(a.data);
		memset(f, 0, sizeof(*f));
	} else {
		f->n = a.n;
		f->payload = a.data;
	}
	free(a.fds);
	return ret;
}

void fd_frame_free(struct fd_frame *f)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->items[i].fd >= 0)
			close(f->items[i].fd);
	free(f->items);
	free(f->payload);
	memset(f, 0, sizeof(*f));
}
