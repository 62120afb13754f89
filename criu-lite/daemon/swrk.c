/*
 * swrk - the service for one caller: the program that has started us, over the
 * socket that it has left open. Requests are done in this very process, so that
 * a restored tree can be a child of the caller. The descriptors that we were
 * started with stay as they are: the tree may be to inherit any of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/report.h"
#include "daemon/caller.h"
#include "daemon/service.h"
#include "daemon/wire.h"

#define REPLY_MS 60000

static int reply(void *arg, const void *msg, size_t len)
{
	return wire_send(*(int *)arg, msg, len, REPLY_MS);
}

static int notify(void *arg, const char *action, pid_t root)
{
	return wire_notify(*(int *)arg, action, root);
}

/* 1: another request may follow; 0: that was all; -errno. */
static int serve_one(int *sock, const struct rpc_host *host, const struct rpc_caller *caller)
{
	struct rpc_call call = { .caller = caller, .notify = notify, .reply = reply, .arg = sock };
	struct wire_request *m;
	int err = 0, ret;

	m = wire_recv(*sock, 0, &err);
	if (!m)
		return err == -ECONNRESET ? 0 : err;
	call.req = m->req;
	call.fds = m->fds;
	call.nr_fds = m->nr_fds;
	ret = rpc_dispatch(host, &call);
	if (ret >= 0)
		ret = m->req && m->req->has_keep_open && m->req->keep_open;
	wire_free(m);
	return ret;
}

/**
 * swrk_run - serve the program at the other end of a socket
 * @sock: the socket, inherited
 * @host: does the work
 * @r: gets the cause of a failure
 *
 * Return: 0 when the caller has been served, whatever its requests came to;
 * -errno, recorded.
 */
int swrk_run(int sock, const struct rpc_host *host, struct report *r)
{
	cleanup_close int own = fcntl(sock, F_DUPFD_CLOEXEC, 3);
	struct rpc_caller caller;
	int ret, type;
	socklen_t len = sizeof(type);

	if (own < 0 || getsockopt(own, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return fail(r, "swrk-socket", errno, "descriptor %d", sock);
	if (type != SOCK_SEQPACKET)
		return fail(r, "swrk-socket", EPROTOTYPE,
			    "descriptor %d is no SOCK_SEQPACKET socket", sock);
	close(sock);
	caller_of_parent(own, &caller);
	do
		ret = serve_one(&own, host, &caller);
	while (ret > 0);
	caller_free(&caller);
	return ret < 0 ? fail(r, "swrk-socket", -ret, "the caller cannot be served") : 0;
}
