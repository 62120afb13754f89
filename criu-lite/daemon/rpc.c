/*
 * rpc - the dispatcher: what each type of request means.
 *
 * EMPTY, VERSION and what makes no sense are answered on the spot. The others
 * become a command line for the host, done with the caller's credentials, in
 * the image directory that the caller has open. The response has every cause
 * of a failure, as the command prints them.
 */
#include "daemon/rpc.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/arena.h"
#include "base/fd.h"
#include "base/report.h"
#include "daemon/rpc-internal.h"
#include "dump/dump.h"
#include "kernel/probe.h"

/**
 * rpc_parse - a message as a request
 * @msg: the message
 * @len: its bytes
 *
 * Return: the request for rpc_free(), or NULL if it is none.
 */
CriuReq *rpc_parse(const void *msg, size_t len)
{
	return len && len <= RPC_MESSAGE_MAX ? criu_req__unpack(NULL, len, msg) : NULL;
}

/**
 * rpc_free - give back a request
 * @req: from rpc_parse(), or NULL
 */
void rpc_free(CriuReq *req)
{
	if (req)
		criu_req__free_unpacked(req, NULL);
}

/**
 * rpc_is_quick - is it answered on the spot?
 * @req: the request, or NULL for what is none
 *
 * Return: true if it may be dispatched where other callers are served too.
 */
bool rpc_is_quick(const CriuReq *req)
{
	return !req || req->type == CRIU_REQ_TYPE__EMPTY || req->type == CRIU_REQ_TYPE__VERSION ||
	       req->type == CRIU_REQ_TYPE__NOTIFY || req->type > CRIU_REQ_TYPE__SINGLE_PRE_DUMP;
}

static bool probed(const char *name)
{
	const struct probe *p = probe_find(name);

	return p && p->run() == 0;
}

/* A feature is there if the kernel has it and this version makes use of it. */
static int do_features(struct rpc_work *w)
{
	const CriuFeatures *asked = w->call->req->features;
	CriuFeatures *f = arena_new_of(w->arena, CriuFeatures);

	criu_features__init(f);
	if (!asked)
		return fail(w->report, "rpc-request", 0, "FEATURE_CHECK names no feature");
	f->has_mem_track = asked->has_mem_track;
	f->mem_track = asked->mem_track && w->host->honours("dump", "track-mem", NULL) &&
		       probed("mem_dirty_track");
	f->has_lazy_pages = asked->has_lazy_pages;
	f->lazy_pages = asked->lazy_pages && w->host->honours("restore", "lazy-pages", NULL) &&
			probed("uffd-noncoop");
	f->has_pidfd_store = asked->has_pidfd_store;
	w->resp->features = f;
	return 0;
}

static int do_wait(struct rpc_work *w)
{
	pid_t pid = (pid_t)w->call->req->pid;
	int status;

	if (!w->call->req->has_pid || pid <= 0)
		return fail(w->report, "rpc-request", 0, "WAIT_PID names no process");
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return fail(w->report, "status-wait", errno,
				    "pid %d is no child of this program", pid);
	w->resp->has_status = 1;
	w->resp->status = status;
	return 0;
}

static int do_dump(struct rpc_work *w)
{
	w->resp->dump = arena_new_of(w->arena, CriuDumpResp);
	criu_dump_resp__init(w->resp->dump);
	w->resp->dump->has_restored = 1;
	return rpc_do_images(w, "dump", false);
}

static int do_pre_dump(struct rpc_work *w)
{
	return rpc_do_images(w, "pre-dump", false);
}

static int do_restore(struct rpc_work *w)
{
	int ret = rpc_do_images(w, "restore", true);

	if (ret < 0)
		return ret;
	w->resp->restore = arena_new_of(w->arena, CriuRestoreResp);
	criu_restore_resp__init(w->resp->restore);
	w->resp->restore->pid = w->job.root;
	return 0;
}

static int do_check(struct rpc_work *w)
{
	return rpc_do_command(w, "check");
}

static int do_page_server(struct rpc_work *w)
{
	return rpc_do_command(w, "page-server");
}

static int do_cpuinfo_dump(struct rpc_work *w)
{
	return rpc_do_dir(w, "cpuinfo", "dump");
}

static int do_cpuinfo_check(struct rpc_work *w)
{
	return rpc_do_dir(w, "cpuinfo", "check");
}

/* Those that are not quick. */
static int (*const types[])(struct rpc_work *w) = {
	[CRIU_REQ_TYPE__DUMP] = do_dump,
	[CRIU_REQ_TYPE__RESTORE] = do_restore,
	[CRIU_REQ_TYPE__CHECK] = do_check,
	[CRIU_REQ_TYPE__PRE_DUMP] = do_pre_dump,
	[CRIU_REQ_TYPE__PAGE_SERVER] = do_page_server,
	[CRIU_REQ_TYPE__CPUINFO_DUMP] = do_cpuinfo_dump,
	[CRIU_REQ_TYPE__CPUINFO_CHECK] = do_cpuinfo_check,
	[CRIU_REQ_TYPE__FEATURE_CHECK] = do_features,
	[CRIU_REQ_TYPE__WAIT_PID] = do_wait,
	[CRIU_REQ_TYPE__PAGE_SERVER_CHLD] = do_page_server,
	[CRIU_REQ_TYPE__SINGLE_PRE_DUMP] = do_pre_dump,
};

#define MESSAGE_MAX 8192 /* bytes of cr_errmsg */

/* Every cause in a line of its own, as the command prints them. */
static void add_causes(struct rpc_work *w)
{
	char *text = arena_alloc(w->arena, MESSAGE_MAX);
	size_t len = 0;

	*text = '\0';
	for (size_t i = 0; i < report_count(w->report) && len < MESSAGE_MAX - 600; i++) {
		const struct cause *k = report_cause(w->report, i);

		if (!k)
			continue;
		if (!w->resp->has_cr_errno && k->err) {
			w->resp->has_cr_errno = 1;
			w->resp->cr_errno = k->err;
		}
		len += (size_t)snprintf(text + len, MESSAGE_MAX - len, "%s%s%s%s [%s]",
					len ? "\n" : "", k->text, k->err ? ": " : "",
					k->err ? strerror(k->err) : "", k->id);
	}
	w->resp->cr_errmsg = text;
}

static int answer(struct rpc_work *w, int ret)
{
	size_t len;
	void *buf;

	w->resp->success = ret >= 0;
	if (ret < 0)
		add_causes(w);
	len = criu_resp__get_packed_size(w->resp);
	buf = arena_alloc(w->arena, len);
	criu_resp__pack(w->resp, buf);
	return w->call->reply(w->call->arg, buf, len);
}

/* Without a report or memory: the loop that does it serves everybody. */
static int answer_quick(const struct rpc_host *host, const struct rpc_call *call)
{
	CriuResp resp = CRIU_RESP__INIT;
	CriuVersion v = CRIU_VERSION__INIT;
	unsigned char buf[512];
	char text[80];

	resp.type = CRIU_REQ_TYPE__EMPTY;
	if (call->req && call->req->type == CRIU_REQ_TYPE__VERSION) {
		resp.type = CRIU_REQ_TYPE__VERSION;
		resp.success = 1;
		resp.version = &v;
		v.major_number = host->major;
		v.minor_number = host->minor;
		v.name = (char *)host->name;
	} else {
		snprintf(text, sizeof(text), "a request of type %d asks for nothing [rpc-request]",
			 call->req ? (int)call->req->type : -1);
		resp.cr_errmsg = text;
	}
	if (criu_resp__get_packed_size(&resp) > sizeof(buf))
		return -EMSGSIZE;
	return call->reply(call->arg, buf, criu_resp__pack(&resp, buf));
}

static int serve(const struct rpc_host *host, const struct rpc_call *call)
{
	CriuResp resp = CRIU_RESP__INIT;
	struct rpc_work w = {
		.host = host,
		.call = call,
		.report = report_new(),
		.arena = arena_new(),
		.job = { .images_fd = -1, .work_fd = -1, .waits = call->caller->pid },
		.resp = &resp,
	};
	struct dump_guardian own = { 0 };
	int ret;

	w.job.guardian = call->guardian ?: &own;
	w.job.own_ns = call->own_ns;
	report_log_to(w.report, -1, LOG_MSG);
	resp.type = call->req->type;
	ret = types[call->req->type](&w);
	if (ret < 0 && !report_count(w.report))
		fail(w.report, "internal", -ret, "request of type %d", resp.type);
	ret = answer(&w, ret);
	close_owned(&w.job.images_fd);
	close_owned(&w.job.work_fd);
	dump_guardian_end(w.job.guardian);
	report_free(w.report);
	arena_free(w.arena);
	return ret;
}

/**
 * rpc_dispatch - serve one request
 * @host: does the work
 * @call: the request; unless it is quick, its caller's credentials are taken on
 *
 * Return: what the carrier's reply() has returned.
 */
int rpc_dispatch(const struct rpc_host *host, const struct rpc_call *call)
{
	return rpc_is_quick(call->req) ? answer_quick(host, call) : serve(host, call);
}

/**
 * rpc_refuse - answer a request that is not dispatched at all
 * @call: the request; call->req is not looked at
 * @type: its type
 * @id: the error id
 * @err: an errno value, or 0
 * @text: why
 *
 * Return: what the carrier's reply() has returned.
 */
int rpc_refuse(const struct rpc_call *call, CriuReqType type, const char *id, int err,
	       const char *text)
{
	CriuResp resp = CRIU_RESP__INIT;
	struct rpc_work w = {
		.call = call, .report = report_new(), .arena = arena_new(), .resp = &resp
	};
	int ret;

	report_log_to(w.report, -1, LOG_MSG);
	resp.type = type;
	ret = answer(&w, report_fail(w.report, __FILE_NAME__, __LINE__, id, err, "%s", text));
	report_free(w.report);
	arena_free(w.arena);
	return ret;
}
