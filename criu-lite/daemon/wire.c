/*
 * wire - messages of the RPC over a socket.
 */
#include "daemon/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fdpass.h"

#define SEND_MS 10000 /* a client that does not read is given up */

/**
 * wire_recv - take one request from a socket
 * @sock: the socket
 * @flags: MSG_DONTWAIT or 0
 * @err: set when NULL is returned: -EAGAIN, -ECONNRESET if the peer is gone, or -errno
 *
 * Return: the request for wire_free(), with ->req NULL for a packet that is
 * none; or NULL.
 */
struct wire_request *wire_recv(int sock, int flags, int *err)
{
	ssize_t size = recv(sock, NULL, 0, flags | MSG_PEEK | MSG_TRUNC);
	struct wire_request *m = calloc(1, sizeof(*m));
	size_t room = size < 0 || size > RPC_MESSAGE_MAX ? 1 : (size_t)size + 1, len = 0;
	unsigned char *buf = malloc(room);
	int ret = -ENOMEM;

	if (buf && m)
		ret = fd_recv_msg(sock, buf, room, &len, m->fds, RPC_FDS_MAX, &m->nr_fds, flags);
	if (!ret) {
		m->req = rpc_parse(buf, len);
		m->raw = buf;
		m->len = len;
		buf = NULL;
	} else if (ret != -EMSGSIZE) {
		*err = ret;
		wire_free(m);
		m = NULL;
	}
	free(buf);
	return m;
}

/**
 * wire_free - give back a request and close its descriptors
 * @m: from wire_recv(), or NULL
 */
void wire_free(struct wire_request *m)
{
	if (!m)
		return;
	rpc_free(m->req);
	free(m->raw);
	for (size_t i = 0; i < m->nr_fds; i++)
		close(m->fds[i]);
	free(m);
}

/**
 * wire_send - send one message
 * @sock: the socket
 * @msg: the message
 * @len: its bytes
 * @timeout_ms: how long to wait for room; 0: not at all
 *
 * Return: 0, -EAGAIN if there was no room in time, or -errno.
 */
int wire_send(int sock, const void *msg, size_t len, int timeout_ms)
{
	struct pollfd p = { .fd = sock, .events = POLLOUT };

	while (send(sock, msg, len, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		if (errno == EINTR)
			continue;
		if (errno != EAGAIN)
			return -errno;
		if (poll(&p, 1, timeout_ms) == 0)
			return -EAGAIN;
	}
	return 0;
}

/* The answer to a notification, with whatever it takes: the caller may do long work. */
static int wait_consent(int sock)
{
	struct wire_request *m;
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int err = 0, ret;

	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			return -errno;
	m = wire_recv(sock, 0, &err);
	if (!m)
		return err;
	if (!m->req || m->req->type != CRIU_REQ_TYPE__NOTIFY)
		ret = -EBADMSG;
	else
		ret = m->req->has_notify_success && m->req->notify_success ? 0 : -ECANCELED;
	wire_free(m);
	return ret;
}

/**
 * wire_notify - tell the peer what happens and wait for its consent
 * @sock: the socket
 * @action: CRIU's name of the stage
 * @root: the root of the tree, 0 while there is none
 *
 * Return: 0; -ECANCELED if the peer says no; -EBADMSG if it says something
 * else; -errno.
 */
int wire_notify(int sock, const char *action, pid_t root)
{
	CriuNotify n = CRIU_NOTIFY__INIT;
	CriuResp resp = CRIU_RESP__INIT;
	unsigned char buf[256];
	int ret;

	n.script = (char *)action;
	n.has_pid = root > 0;
	n.pid = root;
	resp.type = CRIU_REQ_TYPE__NOTIFY;
	resp.success = 1;
	resp.notify = &n;
	if (criu_resp__get_packed_size(&resp) > sizeof(buf))
		return -EMSGSIZE;
	ret = wire_send(sock, buf, criu_resp__pack(&resp, buf), SEND_MS);
	return ret < 0 ? ret : wait_consent(sock);
}
