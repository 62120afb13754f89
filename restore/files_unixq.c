/*
 * files_unixq - what waits in the queues of Unix sockets is sent again: through
 * the other end where there is one, else to the name. Files in flight must be
 * open here first.
 */
#include "restore/files_unix.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "lib/fdcontrol.h"
#include "lib/fdpass.h"
#include "proto/sk-packet.pb-c.h"

#define ROOM 0x3fffffff /* of a send buffer while a queue is filled */

static int take_rights(const struct pstree *t, struct packet *k, const SkPacketEntry *e)
{
	for (size_t i = 0; i < e->n_scm; i++) {
		const ScmEntry *s = e->scm[i];

		if (s->type != SCM_RIGHTS)
			return fail(t->report, "image-queue", EBADMSG,
				    "sk-queues.img: control data of type %u for file %#x", s->type,
				    e->id_for);
		for (size_t j = 0; j < s->n_rights; j++) {
			struct file_desc *d = file_desc_find(t, s->rights[j]);

			if (!d || k->nr_rights == FD_MSG_MAX)
				return fail(t->report, "image-queue", EBADMSG,
					    "sk-queues.img: file %#x, queued to %#x, is missing or "
					    "one too many",
					    s->rights[j], e->id_for);
			arena_push(t->arena, k->rights, k->nr_rights) = d;
		}
	}
	return 0;
}

static const SkCredEntry *keep_cred(const struct pstree *t, const SkCredEntry *c)
{
	return c ? arena_memdup(t->arena, c, sizeof(*c)) : NULL;
}

static const ProtobufCBinaryData *keep_name(const struct pstree *t, const SkPacketEntry *e)
{
	ProtobufCBinaryData *b;

	if (!e->has_addr || !e->addr.len)
		return NULL;
	b = arena_new_of(t->arena, ProtobufCBinaryData);
	b->len = e->addr.len;
	b->data = arena_memdup(t->arena, e->addr.data, e->addr.len);
	return b;
}

static int each_packet(const struct pstree *t, struct image_reader *r, const ProtobufCMessage *m)
{
	const SkPacketEntry *e = (const SkPacketEntry *)m;
	struct file_desc *d = file_desc_find(t, e->id_for);
	struct unixsk_priv *p;
	struct packet *k;
	char *data = NULL;
	int ret;

	if (e->length <= image_rest(r))
		data = arena_alloc(t->arena, e->length + 1);
	ret = image_get_raw(r, data, e->length);
	if (ret)
		return ret;
	if (!d || d->kind != FILE_KIND_unixsk)
		return fail(t->report, "image-queue", EBADMSG,
			    "sk-queues.img: file %#x is no Unix socket of the image", e->id_for);
	p = unix_priv(d);
	k = arena_new_of(t->arena, struct packet);
	*k = (struct packet){ .data = data,
			      .len = e->length,
			      .cred = keep_cred(t, e->cred),
			      .from = keep_name(t, e) };
	ret = take_rights(t, k, e);
	if (!p->last)
		p->last = &p->queue;
	*p->last = k;
	p->last = &k->next;
	p->others |= k->nr_rights > 0;
	return ret;
}

/**
 * unix_queues_load - read sk-queues.img into the sockets
 * @t: the tree
 *
 * Return: 0 or -errno, recorded.
 */
int unix_queues_load(struct pstree *t)
{
	return file_side_load(t, IMAGE_SK_QUEUES, &sk_packet_entry__descriptor, each_packet);
}

static bool is_here(struct file_desc *d)
{
	return file_stage_reached(d, FLE_OPEN) && file_fd(d) >= 0;
}

/**
 * unix_others_here - is what filling a queue takes open in this process?
 * @d: the socket
 *
 * Return: true if its queue can be filled from here.
 */
bool unix_others_here(const struct file_desc *d)
{
	const struct unixsk_priv *p = unix_priv(d);

	if (!p->others)
		return true;
	for (const struct packet *k = p->queue; k; k = k->next) {
		for (size_t i = 0; i < k->nr_rights; i++)
			if (!is_here(k->rights[i]))
				return false;
		if (k->sender && !is_here(k->sender))
			return false;
	}
	return true;
}

/* What to send how; for run_as(). */
struct sending {
	const struct packet *k;
	size_t done; /* bytes of a stream that are sent */
	int through;
	const struct sockaddr_un *to; /* NULL: it is connected */
	socklen_t to_len;
};

static size_t put_control(void *control, const struct sending *s)
{
	int fds[FD_MSG_MAX];
	size_t len = 0;

	if (!s->done) {
		for (size_t i = 0; i < s->k->nr_rights; i++)
			fds[i] = file_fd(s->k->rights[i]);
		len = fd_control_put(control, fds, s->k->nr_rights);
	}
	if (s->k->cred) {
		struct cmsghdr *c = (struct cmsghdr *)((char *)control + len);
		struct ucred *u = (struct ucred *)CMSG_DATA(c);

		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_CREDENTIALS;
		c->cmsg_len = CMSG_LEN(sizeof(*u));
		u->pid = (pid_t)(s->k->cred->has_pid ? s->k->cred->pid : (uint32_t)getpid());
		u->uid = s->k->cred->uid;
		u->gid = s->k->cred->gid;
		len += CMSG_SPACE(sizeof(*u));
	}
	return len;
}

/* Bytes sent, or -errno. */
static ssize_t send_once(const struct sending *s)
{
	_Alignas(struct cmsghdr) char
		control[CMSG_SPACE(FD_MSG_MAX * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
	struct iovec iov = { (char *)s->k->data + s->done, s->k->len - s->done };
	struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	ssize_t n;

	m.msg_controllen = put_control(control, s);
	m.msg_name = (void *)s->to;
	m.msg_namelen = s->to_len;
	if (!m.msg_controllen)
		m.msg_control = NULL;
	n = sendmsg(s->through, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

static int send_whole(void *arg)
{
	const struct sending *s = arg;
	ssize_t n = send_once(s);

	return n < 0 ? (int)n : n == (ssize_t)(s->k->len - s->done) ? 0 : -EMSGSIZE;
}

static void make_room(int fd)
{
	int size = ROOM;

	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

static int send_packet(struct file_desc *d, struct sending *s)
{
	bool roomy = false;

	do {
		ssize_t n = send_once(s);

		/* Only a living process can be named as the sender, or one that does it itself. */
		if (n == -ESRCH) {
			make_room(s->through);
			n = run_as(d, s->k->cred, send_whole, s);
			n = n < 0 ? n : (ssize_t)(s->k->len - s->done);
		}
		if ((n == -EAGAIN || n == -ENOBUFS || n == -EMSGSIZE) && !roomy) {
			make_room(s->through);
			roomy = true;
			continue;
		}
		if (n < 0)
			return file_fail(d, (int)-n, "put %zu bytes with %zu files into its queue",
					 s->k->len, s->k->nr_rights);
		s->done += (size_t)n;
		if (!s->k->len)
			break;
	} while (s->done < s->k->len);
	return 0;
}

/**
 * unix_feed - fill the queue of a socket through the other end
 * @d: the socket
 * @through: a descriptor of the other end; its send buffer may be larger afterwards
 *
 * Return: 0, or -1, recorded.
 */
int unix_feed(struct file_desc *d, int through)
{
	struct unixsk_priv *p = unix_priv(d);

	for (const struct packet *k = p->queue; k; k = k->next) {
		struct sending s = { .k = k, .through = through };

		if (send_packet(d, &s) < 0)
			return -1;
	}
	atomic_store(&p->sh->filled, true);
	return 0;
}

static bool same_name(const ProtobufCBinaryData *a, const ProtobufCBinaryData *b)
{
	return a == b || (a && b && a->len == b->len && !memcmp(a->data, b->data, a->len));
}

/**
 * unix_feed_named - fill the queue of a datagram socket that is sent to by name
 * @d: the socket, bound, not connected yet
 *
 * Who sent a message and is in the tree sends it again; else a socket that has
 * the name for the moment does.
 *
 * Return: 0, or -1, recorded.
 */
int unix_feed_named(struct file_desc *d)
{
	struct unixsk_priv *p = unix_priv(d);
	const ProtobufCBinaryData *from = NULL;
	cleanup_close int fd = -1;
	struct unix_address to = { .dir = -1 };
	int ret = p->queue ? unix_address(d, d, &to) : 0;

	for (const struct packet *k = p->queue; k && !ret; k = k->next) {
		struct sending s = { .k = k, .to = &to.addr, .to_len = to.len };

		s.through = k->sender ? file_fd(k->sender) : fd;
		if (!k->sender && (fd < 0 || !same_name(from, k->from))) {
			close_owned(&fd);
			s.through = fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
			from = k->from;
			if (fd < 0)
				ret = file_fail(d, errno, "socket()");
			else if (from)
				ret = unix_bind_as(d, fd, from);
		}
		if (!ret)
			ret = send_packet(d, &s);
	}
	close_owned(&to.dir);
	atomic_store(&p->sh->filled, true);
	return ret;
}
