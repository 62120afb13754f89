/*
 * files_tcp - a TCP connection made again: in repair mode it is connected
 * without a packet, gets its sequence numbers, options, queues and windows, and
 * is brought into its state. A FIN or an acknowledgement that the peer had sent
 * is put into our own stack in its name, since no call does that.
 *
 * The socket stays in repair mode, so that a restore that fails closes it
 * without a word to the peer; restore/network.c lets it go.
 */
#include "restore/files_sock.h"
#include "restore/files_tcp.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kernel/tcp_segment.h"
#include "model/tcp_conn.h"

#define QUEUE_MAX (1u << 30) /* bytes; more than the kernel lets a buffer have */
#define CHUNK 32768          /* bytes of one segment in the receive queue */
#define STATE_WAIT_US 2000000
#define NAP_US 200

/* tcp-stream-*.img of one connection. */
struct tcp_stream {
	struct tcp_repair_state st;
	const char *in, *out;
	bool cork, nodelay;
};

static enum tcp_policy policy_of(struct pstree *t, const struct file_desc *d)
{
	const struct restore_opts *o = engine_ctx(t)->opts;
	const struct tcp_rule *r = tcp_rule_find(o->tcp_rules, o->nr_tcp_rules, d);

	if (r)
		return r->policy;
	return o->tcp_close || t->inventory->tcp_close ? TCP_CLOSED : TCP_REPAIRED;
}

static void from_entry(const InetSkEntry *e, const TcpStreamEntry *s, struct tcp_stream *out)
{
	out->st = (struct tcp_repair_state){
		.state = (uint8_t)e->state,
		.opt_mask = (uint8_t)s->opt_mask,
		.snd_wscale = (uint8_t)s->snd_wscale,
		.rcv_wscale = (uint8_t)s->rcv_wscale,
		.mss_clamp = s->mss_clamp,
		.timestamp = s->timestamp,
		.inq_len = s->inq_len,
		.inq_seq = s->inq_seq,
		.outq_len = s->outq_len,
		.outq_seq = s->outq_seq,
		.unsq_len = s->unsq_len,
		.has_window = s->has_snd_wnd,
		.snd_wl1 = s->snd_wl1,
		.snd_wnd = s->snd_wnd,
		.max_window = s->max_window,
		.rcv_wnd = s->rcv_wnd,
		.rcv_wup = s->rcv_wup,
	};
	out->cork = s->cork;
	out->nodelay = s->nodelay;
}

static int read_stream(struct pstree *t, struct file_desc *d, struct image_reader *r)
{
	const InetSkEntry *e = file_desc_entry(d);
	struct tcp_stream *s = arena_new_of(t->arena, struct tcp_stream);
	const TcpStreamEntry *m;
	ProtobufCMessage *msg;
	char *buf;
	int ret = image_get(r, &tcp_stream_entry__descriptor, &msg);

	if (ret <= 0)
		return ret < 0 ? ret
			       : (file_fail(d, EBADMSG, "its tcp-stream image is empty"), -EBADMSG);
	m = (const TcpStreamEntry *)msg;
	if (m->inq_len > QUEUE_MAX || m->outq_len > QUEUE_MAX || m->unsq_len > m->outq_len ||
	    m->snd_wscale > 14 || m->rcv_wscale > 14 ||
	    (uint64_t)m->inq_len + m->outq_len > image_rest(r)) {
		file_fail(d, EBADMSG, "impossible numbers in its tcp-stream image");
		return -EBADMSG;
	}
	from_entry(e, m, s);
	buf = arena_alloc(t->arena, (size_t)m->inq_len + m->outq_len + 1);
	ret = m->inq_len + m->outq_len ? image_get_raw(r, buf, (size_t)m->inq_len + m->outq_len)
				       : 0;
	s->in = buf;
	s->out = buf + m->inq_len;
	rfile_see(t, FILE_KIND_inetsk, d->id, s);
	return ret;
}

/**
 * tcp_prepare - read the image of a connection
 * @t: the tree
 * @d: a TCP socket, its addresses checked
 *
 * Return: 0 or -errno, recorded.
 */
int tcp_prepare(struct pstree *t, struct file_desc *d)
{
	InetSkEntry *e = (InetSkEntry *)d->msg;
	struct image_reader *r;
	int ret;

	if (!tcp_has_stream(e))
		return 0;
	switch (policy_of(t, d)) {
	case TCP_CLOSED:
		tcp_make_closed(e);
		return 0;
	case TCP_REFUSE:
		file_fail(d, EOPNOTSUPP, "a TCP connection, and --tcp says fail");
		return -EOPNOTSUPP;
	default:
		break;
	}
	ret = image_open(&r, engine_ctx(t)->images, IMAGE_TCP_STREAM, e->ino);
	/* Without a stream it has ended before it was dumped, or was dumped to be closed. */
	if (ret == -ENOENT) {
		tcp_make_closed(e);
		return 0;
	}
	if (ret)
		return ret;
	ret = read_stream(t, d, r);
	image_close(&r);
	return ret;
}

/* Room for what is in the queues, whatever the buffers are in the end. */
static void widen(int fd, int name, uint32_t len)
{
	uint64_t want = 4ull * len + (1u << 20);
	int val = want > INT32_MAX / 2 ? INT32_MAX / 2 : (int)want;

	if (len)
		setsockopt(fd, SOL_SOCKET, name, &val, sizeof(val));
}

static int put_bytes(struct file_desc *d, int fd, const char *p, uint32_t len, uint32_t most)
{
	while (len) {
		ssize_t n = send(fd, p, len < most ? len : most, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n <= 0)
			return file_fail(d, n ? errno : EIO, "%u bytes do not fit into its queue",
					 len);
		p += n;
		len -= (uint32_t)n;
	}
	return 0;
}

static int put_queue(struct file_desc *d, int fd, enum tcp_queue q, const char *p, uint32_t len)
{
	int ret;

	if (!len)
		return 0;
	ret = tcp_repair_select(fd, q);
	if (ret)
		return file_fail(d, -ret, "TCP_REPAIR_QUEUE");
	return put_bytes(d, fd, p, len, q == TCP_QUEUE_RECV ? CHUNK : UINT32_MAX);
}

static int wait_state(struct file_desc *d, int fd, int want)
{
	int us = 0, state;

	while ((state = tcp_state_of(fd)) != want && us < STATE_WAIT_US) {
		usleep(NAP_US);
		us += NAP_US;
	}
	if (state == want)
		return 0;
	return file_fail(d, EPROTO, "its state is %d and does not become %d", state, want);
}

/* What the peer had said before the dump is said again in its name. */
static int say(struct file_desc *d, int fd, const struct tcp_segment *s, int want)
{
	struct tcp_tuple t;
	int ret;

	tcp_tuple_of(file_desc_entry(d), &t);
	ret = tcp_segment_send(&t, s);
	if (ret)
		return file_fail(d, -ret, "a segment in the name of its peer");
	return wait_state(d, fd, want);
}

/* The peer's FIN; it acknowledges nothing new and leaves the window as it is. */
static int say_fin(struct file_desc *d, int fd, const struct tcp_repair_state *st, int want)
{
	const struct tcp_segment s = {
		.seq = st->inq_seq - 1,
		.ack = st->outq_seq - st->outq_len - tcp_fin_sent(st->state),
		.window = (uint16_t)(st->unsq_len ? 0 : st->snd_wnd >> st->snd_wscale),
		.flags = TCP_SEG_FIN | TCP_SEG_ACK,
	};

	return say(d, fd, &s, want);
}

static int say_ack(struct file_desc *d, int fd, const struct tcp_repair_state *st, int want)
{
	const struct tcp_segment s = {
		.seq = st->inq_seq,
		.ack = st->outq_seq,
		.window = (uint16_t)(st->snd_wnd >> st->snd_wscale),
		.flags = TCP_SEG_ACK,
	};

	return say(d, fd, &s, want);
}

/* A connection that has ended: what it has received can still be read. */
static int say_reset(struct file_desc *d, int fd, const struct tcp_repair_state *st)
{
	const struct tcp_segment s = { .seq = st->inq_seq, .flags = TCP_SEG_RST };
	const InetSkEntry *e = file_desc_entry(d);
	socklen_t len = sizeof(int);
	int err;

	if (say(d, fd, &s, TCP_CLOSE) < 0)
		return -1;
	if (!e->reset)
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len);
	return 0;
}

static int send_fin(struct file_desc *d, int fd)
{
	return shutdown(fd, SHUT_WR) < 0 ? file_fail(d, errno, "shutdown()") : 0;
}

/*
 * What had not been sent is queued by ordinary means, behind a window that is
 * closed, so that it is not sent now either.
 */
static int put_unsent(struct file_desc *d, int fd, const struct tcp_stream *s)
{
	struct tcp_repair_state closed = s->st;
	int ret;

	closed.has_window = true;
	closed.snd_wnd = 0;
	/* The peer's FIN, which counts there, comes after ours. */
	closed.rcv_wup -= s->st.state == TCP_CLOSING;
	ret = tcp_repair_set_window(fd, &closed);
	if (!ret)
		ret = tcp_repair_off(fd, false);
	if (ret)
		return file_fail(d, -ret, "close the window");
	if (put_bytes(d, fd, s->out + s->st.outq_len - s->st.unsq_len, s->st.unsq_len, UINT32_MAX) <
	    0)
		return -1;
	if (tcp_fin_sent(s->st.state) && send_fin(d, fd) < 0)
		return -1;
	ret = tcp_repair_on(fd);
	return ret ? file_fail(d, -ret, "TCP_REPAIR") : 0;
}

/* From an established connection to the state that it had, with all that is in the send queue. */
static int finish(struct file_desc *d, int fd, const struct tcp_stream *s)
{
	const struct tcp_repair_state *st = &s->st;
	const int state = st->state;

	if ((state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK) &&
	    say_fin(d, fd, st, TCP_CLOSE_WAIT) < 0)
		return -1;
	if (st->unsq_len && put_unsent(d, fd, s) < 0)
		return -1;
	if (!st->unsq_len && tcp_fin_sent(st->state)) {
		/* In this queue a FIN counts as sent. */
		if (tcp_repair_select(fd, TCP_QUEUE_SEND) < 0 || send_fin(d, fd) < 0)
			return -1;
	}
	if (tcp_repair_select(fd, TCP_QUEUE_NONE) < 0)
		return file_fail(d, errno, "TCP_REPAIR_QUEUE");
	switch (state) {
	case TCP_ESTABLISHED:
		return 0;
	case TCP_CLOSING:
		return say_fin(d, fd, st, TCP_CLOSING);
	case TCP_FIN_WAIT2:
		return say_ack(d, fd, st, TCP_FIN_WAIT2);
	case TCP_CLOSE:
		return say_reset(d, fd, st);
	default:
		return wait_state(d, fd, state);
	}
}

static int begin(struct file_desc *d, int fd, const struct tcp_repair_state *st,
		 const union inet_addr *src, socklen_t len)
{
	const uint32_t out = st->outq_seq - st->outq_len - tcp_fin_sent(st->state);
	const uint32_t in = st->inq_seq - st->inq_len - tcp_fin_received(st->state);
	int ret = tcp_repair_on(fd);

	if (ret)
		return file_fail(d, -ret, "TCP_REPAIR, which takes CAP_NET_ADMIN");
	ret = tcp_repair_set_seq(fd, TCP_QUEUE_SEND, st->state == TCP_SYN_SENT ? out - 1 : out);
	if (!ret)
		ret = tcp_repair_set_seq(fd, TCP_QUEUE_RECV, in);
	if (ret)
		return file_fail(d, -ret, "TCP_QUEUE_SEQ");
	ret = sock_name(bind, fd, &src->sa, len);
	if (ret)
		return file_fail(d, -ret, "bind to its address, port %u",
				 ((const InetSkEntry *)file_desc_entry(d))->src_port);
	return 0;
}

/* The attempt goes on with the same numbers. */
static int connect_again(struct file_desc *d, int fd, const union inet_addr *dst, socklen_t len)
{
	int ret = tcp_repair_off(fd, false);

	if (ret)
		return file_fail(d, -ret, "TCP_REPAIR");
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return file_fail(d, errno, "F_SETFL");
	if (connect(fd, &dst->sa, len) < 0 && errno != EINPROGRESS)
		return file_fail(d, errno, "connect to its peer");
	return 0;
}

static int fill(struct file_desc *d, int fd, const struct tcp_stream *s)
{
	int ret = tcp_repair_set_options(fd, &s->st);

	/* What is queued is cut into segments of that size. */
	if (!ret && s->st.inq_len + s->st.outq_len)
		ret = tcp_repair_set_mss(fd);
	if (ret)
		return file_fail(d, -ret, "TCP_REPAIR_OPTIONS");
	widen(fd, SO_RCVBUFFORCE, s->st.inq_len);
	widen(fd, SO_SNDBUFFORCE, s->st.outq_len);
	if (put_queue(d, fd, TCP_QUEUE_RECV, s->in, s->st.inq_len) < 0 ||
	    put_queue(d, fd, TCP_QUEUE_SEND, s->out, s->st.outq_len - s->st.unsq_len) < 0 ||
	    finish(d, fd, s) < 0)
		return -1;
	if (s->st.state == TCP_CLOSE)
		return 0;
	ret = tcp_repair_set_window(fd, &s->st);
	if (!ret)
		ret = tcp_repair_set_mss(fd);
	return ret ? file_fail(d, -ret, "TCP_REPAIR_WINDOW") : 0;
}

/**
 * tcp_restore - make a connection
 * @d: its description; tcp_prepare() has seen it
 * @fd: a new socket with its options
 * @e: its message
 * @src: its own address
 * @dst: the peer's
 * @len: bytes of an address
 *
 * Return: 0, the socket is in repair mode then; or -1, recorded.
 */
int tcp_restore(struct file_desc *d, int fd, const InetSkEntry *e, const union inet_addr *src,
		const union inet_addr *dst, socklen_t len)
{
	const struct tcp_stream *s = rfile_seen(d->tree, FILE_KIND_inetsk, d->id);
	int ret;

	if (begin(d, fd, &s->st, src, len) < 0)
		return -1;
	if (e->state == TCP_SYN_SENT)
		return connect_again(d, fd, dst, len);
	ret = sock_name(connect, fd, &dst->sa, len);
	if (ret)
		return file_fail(d, -ret, "connect to its peer, port %u", e->dst_port);
	if (fill(d, fd, s) < 0)
		return -1;
	if (e->has_shutdown && e->shutdown & SK_SHUTDOWN__READ && !tcp_fin_received(e->state) &&
	    e->state != TCP_CLOSE && shutdown(fd, SHUT_RD) < 0)
		return file_fail(d, errno, "shutdown()");
	if ((s->cork && sock_set(d, fd, IPPROTO_TCP, TCP_CORK, 1, "TCP_CORK") < 0) ||
	    (s->nodelay && sock_set(d, fd, IPPROTO_TCP, TCP_NODELAY, 1, "TCP_NODELAY") < 0))
		return -1;
	return sock_restore_buffers(d, fd, e->opts);
}
