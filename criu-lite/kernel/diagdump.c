/*
 * diagdump - NETLINK_SOCK_DIAG over libnl: sends a request, and hands on every
 * socket of the answer.
 */
#include "kernel/diagdump.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>
#include <netlink/socket.h>

#define RECV_BUF 65536 /* bytes of one batch of messages */

/* Negative, what the kernel said. */
static int take_error(struct sockaddr_nl *from, struct nlmsgerr *e, void *arg)
{
	(void)from;
	*(int *)arg = e->error;
	return NL_STOP;
}

static int send_request(struct nl_sock *sk, const void *req, size_t len)
{
	struct nl_msg *msg = nlmsg_alloc_simple(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP | NLM_F_REQUEST);
	int ret = -ENOMEM;

	if (msg && nlmsg_append(msg, (void *)req, len, NLMSG_ALIGNTO) == 0)
		ret = nl_send_auto(sk, msg) < 0 ? -EIO : 0;
	nlmsg_free(msg);
	return ret;
}

/**
 * diag_dump - ask for sockets of our network namespace
 * @req: the request: struct unix_diag_req, inet_diag_req_v2 or packet_diag_req
 * @len: its bytes
 * @take: called for each socket; returns NL_OK or NL_SKIP
 * @arg: for it
 *
 * Return: 0 or -errno: the kernel's (-ENOENT: it lacks this family's part), -EIO when netlink
 * fails, -EPROTONOSUPPORT without NETLINK_SOCK_DIAG, -ENOMEM.
 */
int diag_dump(const void *req, size_t len, int (*take)(struct nl_msg *msg, void *arg), void *arg)
{
	struct nl_sock *sk = nl_socket_alloc();
	int ret = -ENOMEM, err = 0;

	if (!sk)
		return ret;
	ret = nl_connect(sk, NETLINK_SOCK_DIAG) < 0 ? -EPROTONOSUPPORT : 0;
	if (!ret) {
		nl_socket_set_msg_buf_size(sk, RECV_BUF);
		nl_socket_modify_cb(sk, NL_CB_VALID, NL_CB_CUSTOM, take, arg);
		nl_socket_modify_err_cb(sk, NL_CB_CUSTOM, take_error, &err);
		ret = send_request(sk, req, len);
	}
	if (!ret && nl_recvmsgs_default(sk) < 0)
		ret = -EIO;
	nl_socket_free(sk);
	return err ? err : ret;
}
