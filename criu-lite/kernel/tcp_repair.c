/*
 * tcp_repair - a socket option of Linux 3.5 that makes a connection's inner
 * state readable and settable. While it is on nothing that is queued is sent,
 * and closing the socket tells the peer nothing. It takes CAP_NET_ADMIN, and
 * it outlives whoever set it. Turning it off clears SO_REUSEADDR.
 */
#include "kernel/tcp_repair.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#ifndef TCP_REPAIR_OFF_NO_WP
#define TCP_REPAIR_OFF_NO_WP (-1)
#endif

/* Option kinds of RFC 9293 and RFC 7323, as TCP_REPAIR_OPTIONS takes them. */
enum { OPT_MSS = 2, OPT_WINDOW = 3, OPT_SACK = 4, OPT_TIMESTAMP = 8 };

static int set_int(int fd, int name, int val)
{
	return setsockopt(fd, IPPROTO_TCP, name, &val, sizeof(val)) < 0 ? -errno : 0;
}

static int get_u32(int fd, int name, uint32_t *val)
{
	socklen_t len = sizeof(*val);

	return getsockopt(fd, IPPROTO_TCP, name, val, &len) < 0 ? -errno : 0;
}

/**
 * tcp_repair_on - enter repair mode
 * @fd: a TCP socket that does not listen
 *
 * Return: 0 or -errno; -EPERM without CAP_NET_ADMIN.
 */
int tcp_repair_on(int fd)
{
	return set_int(fd, TCP_REPAIR, 1);
}

/**
 * tcp_repair_off - leave repair mode
 * @fd: the socket
 * @probe: ask the peer for a sign of life, which sets the connection going
 *
 * SO_REUSEADDR is off afterwards, whatever it was.
 *
 * Return: 0 or -errno.
 */
int tcp_repair_off(int fd, bool probe)
{
	return set_int(fd, TCP_REPAIR, probe ? 0 : TCP_REPAIR_OFF_NO_WP);
}

/**
 * tcp_repair_is_on - is it in repair mode?
 * @fd: any socket
 *
 * Return: true if so.
 */
bool tcp_repair_is_on(int fd)
{
	uint32_t v = 0;

	return get_u32(fd, TCP_REPAIR, &v) == 0 && v == 1;
}

/**
 * tcp_repair_select - choose the queue that the next calls are about
 * @fd: the socket, in repair mode
 * @q: the queue
 *
 * Return: 0 or -errno.
 */
int tcp_repair_select(int fd, enum tcp_queue q)
{
	return set_int(fd, TCP_REPAIR_QUEUE, (int)q);
}

/**
 * tcp_state_of - the state of a TCP socket
 * @fd: the socket
 *
 * Return: TCP_ESTABLISHED, ..., or -errno.
 */
int tcp_state_of(int fd)
{
	uint8_t state = 0;
	socklen_t len = sizeof(state);

	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &state, &len) < 0 ? -errno : state;
}

/**
 * tcp_fin_sent - has this end closed its direction?
 * @state: of the socket
 *
 * Return: true if its sequence numbers count a FIN.
 */
bool tcp_fin_sent(uint32_t state)
{
	return state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING ||
	       state == TCP_LAST_ACK;
}

/**
 * tcp_fin_received - has the peer closed its direction?
 * @state: of the socket
 *
 * Return: true if the numbers that are expected count a FIN.
 */
bool tcp_fin_received(uint32_t state)
{
	return state == TCP_CLOSE_WAIT || state == TCP_CLOSING || state == TCP_LAST_ACK;
}

static int get_queues(int fd, struct tcp_repair_state *s)
{
	int in = 0, out = 0, unsent = 0, ret;

	ret = tcp_repair_select(fd, TCP_QUEUE_SEND);
	if (!ret)
		ret = get_u32(fd, TCP_QUEUE_SEQ, &s->outq_seq);
	if (!ret)
		ret = tcp_repair_select(fd, TCP_QUEUE_RECV);
	if (!ret)
		ret = get_u32(fd, TCP_QUEUE_SEQ, &s->inq_seq);
	if (!ret)
		ret = tcp_repair_select(fd, TCP_QUEUE_NONE);
	if (ret)
		return ret;
	if (ioctl(fd, SIOCINQ, &in) < 0 || ioctl(fd, SIOCOUTQ, &out) < 0 ||
	    ioctl(fd, SIOCOUTQNSD, &unsent) < 0)
		return -errno;
	/* A FIN that is not acknowledged is counted as a byte. */
	if (tcp_fin_sent(s->state) && s->state != TCP_FIN_WAIT2) {
		out -= out > 0;
		unsent -= unsent > 0;
	}
	/* What had been sent went with the connection, but not its count. */
	if (s->state == TCP_CLOSE)
		out = unsent = 0;
	s->inq_len = (uint32_t)in;
	s->outq_len = (uint32_t)out;
	s->unsq_len = (uint32_t)unsent;
	return 0;
}

/**
 * tcp_repair_get - read the state of a connection
 * @fd: the socket, in repair mode; no packet may reach it meanwhile
 * @s: its state
 *
 * Return: 0 or -errno.
 */
int tcp_repair_get(int fd, struct tcp_repair_state *s)
{
	struct tcp_repair_window w = { 0 };
	struct tcp_info info = { 0 };
	socklen_t len = sizeof(info);
	int ret;

	memset(s, 0, sizeof(*s));
	if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return -errno;
	s->state = info.tcpi_state;
	s->opt_mask = info.tcpi_options & (TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE);
	s->snd_wscale = info.tcpi_snd_wscale;
	s->rcv_wscale = info.tcpi_rcv_wscale;
	ret = get_queues(fd, s);
	if (!ret)
		ret = get_u32(fd, TCP_MAXSEG, &s->mss_clamp);
	if (!ret && s->opt_mask & TCPI_OPT_TIMESTAMPS)
		ret = get_u32(fd, TCP_TIMESTAMP, &s->timestamp);
	if (ret)
		return ret;
	len = sizeof(w);
	if (getsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &w, &len) < 0)
		return -errno;
	s->has_window = true;
	s->snd_wl1 = w.snd_wl1;
	s->snd_wnd = w.snd_wnd;
	s->max_window = w.max_window;
	s->rcv_wnd = w.rcv_wnd;
	s->rcv_wup = w.rcv_wup;
	return 0;
}

/**
 * tcp_repair_peek - the bytes of a queue, which stay in it
 * @fd: the socket, in repair mode
 * @q: the queue
 * @buf: room for all of it
 * @len: its bytes, as tcp_repair_get() says
 *
 * Return: 0; -EIO if there are fewer; else -errno.
 */
int tcp_repair_peek(int fd, enum tcp_queue q, void *buf, uint32_t len)
{
	ssize_t n = 0;
	int ret;

	if (!len)
		return 0;
	ret = tcp_repair_select(fd, q);
	if (ret)
		return ret;
	n = recv(fd, buf, len, MSG_PEEK | MSG_DONTWAIT);
	ret = n < 0 ? -errno : (uint32_t)n != len ? -EIO : 0;
	tcp_repair_select(fd, TCP_QUEUE_NONE);
	return ret;
}

/**
 * tcp_repair_set_seq - where a queue begins
 * @fd: the socket, in repair mode, not connected yet
 * @q: the queue
 * @seq: the number of the first byte that will be put in
 *
 * Return: 0 or -errno.
 */
int tcp_repair_set_seq(int fd, enum tcp_queue q, uint32_t seq)
{
	int ret = tcp_repair_select(fd, q);

	if (!ret && setsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, &seq, sizeof(seq)) < 0)
		ret = -errno;
	return ret;
}

/**
 * tcp_repair_set_options - what the two ends have negotiated
 * @fd: the socket, in repair mode, connected
 * @s: its state
 *
 * Return: 0 or -errno.
 */
int tcp_repair_set_options(int fd, const struct tcp_repair_state *s)
{
	struct tcp_repair_opt o[4];
	size_t n = 0;

	if (s->opt_mask & TCPI_OPT_SACK)
		o[n++] = (struct tcp_repair_opt){ OPT_SACK, 0 };
	if (s->opt_mask & TCPI_OPT_WSCALE)
		o[n++] = (struct tcp_repair_opt){ OPT_WINDOW,
						  s->snd_wscale | (uint32_t)s->rcv_wscale << 16 };
	if (s->opt_mask & TCPI_OPT_TIMESTAMPS)
		o[n++] = (struct tcp_repair_opt){ OPT_TIMESTAMP, 0 };
	o[n++] = (struct tcp_repair_opt){ OPT_MSS, s->mss_clamp };
	if (setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, o, (socklen_t)(n * sizeof(*o))) < 0)
		return -errno;
	if (s->opt_mask & TCPI_OPT_TIMESTAMPS &&
	    setsockopt(fd, IPPROTO_TCP, TCP_TIMESTAMP, &s->timestamp, sizeof(s->timestamp)) < 0)
		return -errno;
	return 0;
}

/**
 * tcp_repair_set_mss - let the size of segments follow what was negotiated
 * @fd: the socket, in repair mode, connected, with its options; the windows bound it, too
 *
 * connect(2) takes 536 bytes for the peer's limit, and TCP_REPAIR_OPTIONS changes
 * only the limit: the size stays what it is until the route has another MTU.
 * Setting IP_OPTIONS, to what they are, makes the kernel choose anew, for IPv6, too.
 *
 * Return: 0 or -errno.
 */
int tcp_repair_set_mss(int fd)
{
	uint8_t opts[40];
	socklen_t len = sizeof(opts);

	if (getsockopt(fd, IPPROTO_IP, IP_OPTIONS, opts, &len) < 0 ||
	    setsockopt(fd, IPPROTO_IP, IP_OPTIONS, opts, len) < 0)
		return -errno;
	return 0;
}

/**
 * tcp_repair_set_window - the windows of both directions
 * @fd: the socket, in repair mode, connected, its queues full
 * @s: its state
 *
 * Return: 0 or -errno.
 */
int tcp_repair_set_window(int fd, const struct tcp_repair_state *s)
{
	struct tcp_repair_window w = {
		.snd_wl1 = s->snd_wl1,
		.snd_wnd = s->snd_wnd,
		.max_window = s->max_window,
		.rcv_wnd = s->rcv_wnd,
		.rcv_wup = s->rcv_wup,
	};

	if (!s->has_window)
		return 0;
	return setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, &w, sizeof(w)) < 0 ? -errno : 0;
}
