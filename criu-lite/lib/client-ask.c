/*
 * client-ask - a request is sent and its answer received, with the
 * notifications in between.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/client-internal.h"
#include "lib/fdpass.h"

#define ANSWER_MAX (256u << 10)

/* For a socket that does not block: this call waits all the same. */
static int wait_for(int sock, short events)
{
	struct pollfd p = { .fd = sock, .events = events };

	while (poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			return -errno;
	return 0;
}

static int say(int sock, const CriuReq *req)
{
	size_t len = criu_req__get_packed_size(req);
	void *buf = malloc(len);
	int ret = buf ? 0 : -ENOMEM;

	if (!ret) {
		criu_req__pack(req, buf);
		while (!ret && send(sock, buf, len, MSG_NOSIGNAL) < 0)
			ret = errno == EINTR    ? 0
			      : errno == EAGAIN ? wait_for(sock, POLLOUT)
						: -errno;
	}
	free(buf);
	return ret;
}

/* -EBADMSG: it is no answer. *fd: what came with it, or -1. */
static int hear(int sock, CriuResp **out, int *fd)
{
	unsigned char *buf = malloc(ANSWER_MAX);
	size_t len, n = 0;
	int ret = buf ? -EAGAIN : -ENOMEM;

	while (ret == -EAGAIN) {
		ret = wait_for(sock, POLLIN);
		if (!ret)
			ret = fd_recv_msg(sock, buf, ANSWER_MAX, &len, fd, 1, &n, MSG_DONTWAIT);
	}
	if (!ret) {
		*out = criu_resp__unpack(NULL, len, buf);
		ret = *out ? 0 : -EBADMSG;
	} else if (n) {
		close(*fd);
		*fd = -1;
	}
	free(buf);
	return ret;
}

static int consent(const struct cl_request *q, int sock, const CriuResp *resp, int fd)
{
	CriuReq req = CRIU_REQ__INIT;
	const CriuNotify *n = resp->notify;
	const char *action = n && n->script ? n->script : "";
	pid_t root = n && n->has_pid ? n->pid : 0;

	req.type = CRIU_REQ_TYPE__NOTIFY;
	req.has_notify_success = 1;
	req.notify_success = !q->notify || q->notify(q->arg, action, root, fd) == 0;
	if (!q->notify && fd >= 0)
		close(fd);
	return say(sock, &req);
}

static int take_features(const CriuFeatures *f)
{
	return f ? (f->mem_track ? CL_MEM_TRACK : 0) | (f->lazy_pages ? CL_LAZY_PAGES : 0) |
			       (f->pidfd_store ? CL_PIDFD_STORE : 0)
		 : 0;
}

static int take(const CriuResp *r, enum cl_type type, struct cl_reply *a)
{
	a->error = r->has_cr_errno ? r->cr_errno : 0;
	if (r->cr_errmsg) {
		free(a->message);
		a->message = strdup(r->cr_errmsg);
	}
	a->pid = r->restore ? r->restore->pid : 0;
	a->restored = r->dump && r->dump->has_restored && r->dump->restored;
	if (r->version) {
		a->major = r->version->major_number;
		a->minor = r->version->minor_number;
		a->sublevel = r->version->has_sublevel ? r->version->sublevel : 0;
		a->has_gitid = r->version->gitid != NULL;
	}
	a->features = (unsigned)take_features(r->features);
	a->status = r->has_status ? r->status : 0;
	if (r->ps) {
		a->port = r->ps->has_port ? r->ps->port : 0;
		a->server = r->ps->has_pid ? r->ps->pid : 0;
	}
	/* CRIU answers a type that it does not know as an empty one. */
	if (r->type == CRIU_REQ_TYPE__EMPTY)
		return -EINVAL;
	if ((int)r->type != (int)type)
		return -EBADMSG;
	return r->success ? 0 : -EBADE;
}

/* 0 or the error of cl_request_do(); errno says what is behind it. */
static int ask(const struct cl_request *q, int sock, enum cl_type type, struct cl_reply *a)
{
	int ret = say(sock, &q->req);

	while (!ret) {
		CriuResp *resp = NULL;
		int fd = -1;

		ret = hear(sock, &resp, &fd);
		if (ret || !resp)
			break;
		if (resp->type == CRIU_REQ_TYPE__NOTIFY) {
			ret = consent(q, sock, resp, fd);
			criu_resp__free_unpacked(resp, NULL);
			continue;
		}
		if (fd >= 0)
			close(fd);
		ret = take(resp, type, a);
		criu_resp__free_unpacked(resp, NULL);
		errno = ret == -EBADE ? a->error : -ret;
		return ret;
	}
	errno = -ret;
	return ret == -EBADMSG ? -EBADMSG : -ECOMM;
}

static const char *explain(int ret)
{
	switch (ret) {
	case -ECONNREFUSED:
		return "the service cannot be reached";
	case -ECOMM:
		return "the service has gone before it answered";
	case -EINVAL:
		return "the service does not know this type of request";
	case -EBADMSG:
		return "the answer of the service makes no sense";
	default:
		return ret ? "the service has failed without a cause" : "";
	}
}

int cl_request_do(struct cl_request *q, enum cl_type type, struct cl_reply *a)
{
	struct cl_link l;
	int ret, err;

	*a = (struct cl_reply){ 0 };
	q->req.type = (CriuReqType)type;
	/* A connection of the caller's can be used again. */
	q->req.has_keep_open = q->way == CL_WAY_FD;
	q->req.keep_open = q->req.has_keep_open;
	ret = client_link(q, &l);
	if (ret < 0) {
		errno = -ret;
		ret = -ECONNREFUSED;
	} else {
		ret = ask(q, l.sock, type, a);
	}
	err = errno;
	client_unlink(q, &l);
	if (!a->message)
		a->message = strdup(explain(ret));
	errno = err;
	return ret;
}

/**
 * cl_reply_free - give a reply back
 * @a: from cl_request_do()
 */
void cl_reply_free(struct cl_reply *a)
{
	free(a->message);
	a->message = NULL;
}
