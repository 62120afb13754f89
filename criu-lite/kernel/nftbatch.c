/*
 * nftbatch - a transaction is one datagram: a mark, messages, a mark. It is done
 * or undone as a whole, and the last message asks for the answer.
 */
#include "kernel/nftbatch.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/msg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/fd.h"

#define MSG_ROOM 65536 /* bytes of one message */
#define ANSWER_WAIT 10 /* seconds */

static struct nl_msg *msg_new(struct nft_batch *b, int type, int flags, uint8_t family,
			      uint16_t res)
{
	struct nfgenmsg g = { .nfgen_family = family,
			      .version = NFNETLINK_V0,
			      .res_id = htons(res) };
	struct nl_msg *m = nlmsg_alloc_size(MSG_ROOM);

	if (!m || !nlmsg_put(m, 0, ++b->seq, type, 0, NLM_F_REQUEST | flags) ||
	    nlmsg_append(m, &g, sizeof(g), NLMSG_ALIGNTO) < 0)
		abort();
	return m;
}

/**
 * nft_msg - a new message
 * @b: the transaction
 * @type: NFT_MSG_
 * @flags: NLM_F_
 *
 * Return: the message; what is put into it must fit into 64 KiB.
 */
struct nl_msg *nft_msg(struct nft_batch *b, int type, int flags)
{
	return msg_new(b, NFNL_SUBSYS_NFTABLES << 8 | type, flags,
		       b->family ? b->family : NFPROTO_INET, 0);
}

/**
 * nft_batch_add - put a message into the transaction
 * @b: the transaction
 * @m: the message; freed
 */
void nft_batch_add(struct nft_batch *b, struct nl_msg *m)
{
	const struct nlmsghdr *h = nlmsg_hdr(m);
	size_t len = NLMSG_ALIGN(h->nlmsg_len);

	if (b->len + len > b->room) {
		b->room = 2 * b->room + len;
		b->buf = realloc(b->buf, b->room);
		if (!b->buf)
			abort();
	}
	memcpy(b->buf + b->len, h, h->nlmsg_len);
	memset(b->buf + b->len + h->nlmsg_len, 0, len - h->nlmsg_len);
	b->len += len;
	nlmsg_free(m);
}

/**
 * nft_batch_begin - the mark at the beginning of a transaction
 * @b: the transaction, empty
 */
void nft_batch_begin(struct nft_batch *b)
{
	nft_batch_add(b, msg_new(b, NFNL_MSG_BATCH_BEGIN, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
}

/**
 * nft_put - an attribute
 * @m: the message
 * @attr: its number
 * @data: its value
 * @len: bytes
 */
void nft_put(struct nl_msg *m, int attr, const void *data, size_t len)
{
	if (nla_put(m, attr, (int)len, data) < 0)
		abort();
}

/**
 * nft_put_str - an attribute that is a name
 * @m: the message
 * @attr: its number
 * @s: the name
 */
void nft_put_str(struct nl_msg *m, int attr, const char *s)
{
	nft_put(m, attr, s, strlen(s) + 1);
}

/**
 * nft_put_be - an attribute that is a number
 * @m: the message
 * @attr: its number
 * @v: its value
 */
void nft_put_be(struct nl_msg *m, int attr, uint32_t v)
{
	v = htonl(v);
	nft_put(m, attr, &v, sizeof(v));
}

/**
 * nft_nest - begin an attribute that consists of others
 * @m: the message
 * @attr: its number
 *
 * Return: for nla_nest_end().
 */
struct nlattr *nft_nest(struct nl_msg *m, int attr)
{
	struct nlattr *a = nla_nest_start(m, attr | NLA_F_NESTED);

	if (!a)
		abort();
	return a;
}

static int nft_open(void)
{
	cleanup_close int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
	const struct timeval wait = { .tv_sec = ANSWER_WAIT };

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) < 0)
		return -errno;
	return take_fd(&fd);
}

/* Which answers are waited for, and what is done with those that are no errors. */
struct answers {
	uint32_t first, last;
	void (*each)(void *arg, struct nlmsghdr *h);
	void *arg;
	int err;
};

/* True for the last one. */
static bool take_answer(struct answers *a, struct nlmsghdr *h)
{
	const struct nlmsgerr *e = nlmsg_data(h);

	if (h->nlmsg_type == NLMSG_DONE)
		return true;
	if (h->nlmsg_type != NLMSG_ERROR) {
		if (a->each)
			a->each(a->arg, h);
		return false;
	}
	a->err = a->err ? a->err : e->error;
	return e->msg.nlmsg_seq == a->last || (a->err && e->msg.nlmsg_seq == a->first);
}

/* The first error is the result. */
static int read_answers(int fd, struct answers *a)
{
	static const size_t room = 1 << 17;
	uint8_t *buf = malloc(room);
	bool last = false;

	if (!buf)
		abort();
	while (!last) {
		ssize_t n = recv(fd, buf, room, 0);
		int left = (int)n;

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			a->err = n < 0 ? -errno : -EIO;
			break;
		}
		for (struct nlmsghdr *h = (struct nlmsghdr *)buf; nlmsg_ok(h, left) && !last;
		     h = nlmsg_next(h, &left))
			last = take_answer(a, h);
	}
	free(buf);
	return a->err;
}

/*
 * Whoever closes such a socket waits until the kernel has freed all that was
 * removed in its namespace, some 10 ms of grace periods, although the rules
 * have gone when the answer is there. So the kernel's own collector does it: a
 * socket that is only to be found in its own queue, and all that lies there
 * with it, is closed by a kernel thread (Linux 6.8; before, here and now).
 */
static void close_aside(int *fd)
{
	union {
		struct cmsghdr h;
		char room[CMSG_SPACE(2 * sizeof(int))];
	} u = { 0 };
	struct iovec iov = { .iov_base = "", .iov_len = 1 };
	const struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &u, .msg_controllen = sizeof(u)
	};
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair) == 0) {
		u.h.cmsg_level = SOL_SOCKET;
		u.h.cmsg_type = SCM_RIGHTS;
		u.h.cmsg_len = CMSG_LEN(2 * sizeof(int));
		memcpy(CMSG_DATA(&u.h), (const int[]){ *fd, pair[1] }, 2 * sizeof(int));
		/* If it is not taken it is closed here. */
		sendmsg(pair[0], &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
		close(pair[1]);
		close(pair[0]);
	}
	close_owned(fd);
}

static int send_all(struct nft_batch *b, struct answers *a)
{
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	int fd = nft_open();
	int room = (int)b->len + 65536, ret = fd < 0 ? fd : 0;

	if (!ret) {
		/* All of it is one datagram. */
		setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof(room));
		if (sendto(fd, b->buf, b->len, 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
			ret = -errno;
	}
	if (!ret)
		ret = read_answers(fd, a);
	if (fd >= 0)
		close_aside(&fd);
	free(b->buf);
	b->buf = NULL;
	return ret;
}

/**
 * nft_batch_send - do the transaction
 * @b: the transaction; empty afterwards
 * @last: one message more
 *
 * Return: 0 or -errno: then nothing has changed.
 */
int nft_batch_send(struct nft_batch *b, struct nl_msg *last)
{
	struct answers a = { .first = 1, .last = b->seq };

	nlmsg_hdr(last)->nlmsg_flags |= NLM_F_ACK;
	nft_batch_add(b, last);
	nft_batch_add(b, msg_new(b, NFNL_MSG_BATCH_END, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES));
	return send_all(b, &a);
}

/**
 * nft_ask - a question, which is no transaction
 * @b: empty before and afterwards
 * @m: the question; with NLM_F_DUMP it has many answers
 * @each: called for each answer that is no error, or NULL
 * @arg: for @each
 *
 * Return: 0 or -errno.
 */
int nft_ask(struct nft_batch *b, struct nl_msg *m, void (*each)(void *arg, struct nlmsghdr *h),
	    void *arg)
{
	struct answers a = { .first = b->seq, .last = b->seq, .each = each, .arg = arg };

	if (!(nlmsg_hdr(m)->nlmsg_flags & NLM_F_DUMP))
		nlmsg_hdr(m)->nlmsg_flags |= NLM_F_ACK;
	nft_batch_add(b, m);
	return send_all(b, &a);
}
