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
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fd.h"
#include "base/report.h"
#include "daemon/caller.h"
#include "daemon/words.h"
#include "kernel/probe.h"

/* One request on its way. */
struct work {
	const struct rpc_host *host;
	const struct rpc_call *call;
	struct report *report;
	struct arena *arena;
	struct rpc_job job;
	CriuResp *resp;
};

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

static int do_nothing(struct work *w)
{
	return fail(w->report, "rpc-request", 0, "a request of type %d asks for nothing",
		    w->call->req ? (int)w->call->req->type : -1);
}

static int do_version(struct work *w)
{
	CriuVersion *v = arena_new_of(w->arena, CriuVersion);

	criu_version__init(v);
	v->major_number = w->host->major;
	v->minor_number = w->host->minor;
	v->name = arena_strdup(w->arena, w->host->name);
	w->resp->version = v;
	return 0;
}

static bool probed(const char *name)
{
	const struct probe *p = probe_find(name);

	return p && p->run() == 0;
}

/* A feature is there if the kernel has it and this version makes use of it. */
static int do_features(struct work *w)
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

static int do_wait(struct work *w)
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

/* A descriptor that the request names: one that came with it, or the caller's own. */
static int take_named(struct work *w, const char *what, int nr, int *out)
{
	const struct rpc_call *call = w->call;
	int ret = -EBADF;

	if (!call->nr_fds)
		ret = caller_fd(call->caller, nr, out);
	else if (nr >= 0 && (size_t)nr < call->nr_fds)
		ret = (*out = fcntl(call->fds[nr], F_DUPFD_CLOEXEC, 3)) < 0 ? -errno : 0;
	if (ret < 0)
		return fail(w->report, "rpc-fd", -ret, "%s: descriptor %d of the caller (pid %d)",
			    what, nr, call->caller->pid);
	return 0;
}

/* A path of the caller counts from where the caller is. */
static int open_images_dir(struct work *w, const char *path, int *out)
{
	char cwd[32];
	cleanup_close int at = -1;

	snprintf(cwd, sizeof(cwd), "/proc/%d/cwd", w->call->caller->pid);
	if (path[0] != '/')
		at = open(cwd, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*out = openat(at, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *out < 0 ? fail(w->report, "images-dir", errno,
			       "cannot open the images directory %s", path)
			: 0;
}

/* Did who started swrk leave it open under this very number? Our own are all close-on-exec. */
static bool was_inherited(const struct work *w, int nr)
{
	int flags = w->call->caller->trusted ? fcntl(nr, F_GETFD) : -1;

	return flags >= 0 && !(flags & FD_CLOEXEC);
}

/*
 * Everything that takes the caller's descriptors: before its credentials are
 * taken on, as these need not suffice to reach into it.
 */
static int take_fds(struct work *w, struct words *words, const CriuOpts *o)
{
	int ret = 0, fd = -1;

	if (o->images_dir_fd >= 0 || !o->images_dir)
		ret = take_named(w, "images_dir_fd", o->images_dir_fd, &w->job.images_fd);
	if (ret >= 0 && o->has_work_dir_fd && o->work_dir_fd >= 0)
		ret = take_named(w, "work_dir_fd", o->work_dir_fd, &w->job.work_fd);
	if (ret >= 0 && o->has_status_fd && o->status_fd >= 0) {
		ret = take_named(w, "status_fd", o->status_fd, &fd);
		words_add(words, "--status-fd=%d", fd);
	}
	for (size_t i = 0; ret >= 0 && i < o->n_inherit_fd; i++) {
		if (was_inherited(w, o->inherit_fd[i]->fd))
			fd = o->inherit_fd[i]->fd;
		else
			ret = take_named(w, "inherit_fd", o->inherit_fd[i]->fd, &fd);
		words_add(words, "--inherit-fd=fd[%d]:%s", fd, o->inherit_fd[i]->key);
	}
	return ret;
}

static int on_admit(void *arg, struct pstree *image)
{
	struct work *w = arg;

	return caller_may_have(w->call->caller, w->report, image);
}

static int on_action(void *arg, const char *name, pid_t root)
{
	struct work *w = arg;
	int ret = w->call->notify(w->call->arg, name, root);

	if (ret == -ECANCELED)
		return fail(w->report, "rpc-notify", 0, "the caller has refused at %s", name);
	return ret < 0 ? fail(w->report, "rpc-notify", -ret, "the caller did not answer at %s",
			      name)
		       : 0;
}

static int check_caller(struct work *w)
{
	const struct rpc_caller *c = w->call->caller;

	if (c->elsewhere)
		return fail(w->report, "rpc-namespace", 0,
			    "the caller (pid %d) is in another pid namespace than the service",
			    c->pid);
	return 0;
}

static int check_opts(struct work *w, bool restores)
{
	const CriuOpts *o = w->call->req->opts;

	if (!o)
		return fail(w->report, "rpc-request", 0, "the request has no options");
	if (restores && o->has_rst_sibling && o->rst_sibling && !w->call->caller->trusted)
		return fail(w->report, "rpc-request", 0,
			    "rst_sibling: only swrk can make a child of its caller");
	if (!restores && (!o->has_pid || o->pid <= 0) && w->call->caller->trusted)
		return fail(w->report, "rpc-request", 0, "the request names no process");
	if (o->has_pidfd_store_sk)
		return fail(w->report, "option-unsupported", 0,
			    "pidfd_store_sk is not supported by this version: incremental dumps");
	return 0;
}

/* A container is told of as such, before anything else that it would take. */
static int check_tree(struct work *w, pid_t pid)
{
	static const char *const names[] = { "pid", "net", "mnt",    "user",
					     "uts", "ipc", "cgroup", "time" };
	char path[48], own[32], list[64] = "";
	struct stat a, b;
	size_t len = 0;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, names[i]);
		snprintf(own, sizeof(own), "/proc/self/ns/%s", names[i]);
		if (stat(path, &a) == 0 && stat(own, &b) == 0 && a.st_ino != b.st_ino)
			len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s",
						len ? ", " : "", names[i]);
	}
	if (len)
		return fail(w->report, "task-namespace", EOPNOTSUPP,
			    "pid %d: in another namespace (%s) than this program", pid, list);
	return 0;
}

/* Dump and pre-dump. Without a pid it is the caller itself. */
static int add_tree(struct work *w, struct words *words, const CriuOpts *o)
{
	pid_t pid = o->has_pid && o->pid > 0 ? o->pid : w->call->caller->pid;
	int ret = caller_may_trace(w->call->caller, w->report, pid);

	if (ret >= 0)
		ret = check_tree(w, pid);
	words_add(words, "--tree=%d", pid);
	return ret;
}

static int run_words(struct work *w, struct words *words)
{
	const CriuOpts *o = w->call->req->opts;

	if (w->call->caller->uid != 0 && !w->call->caller->trusted)
		log_debug(w->report, "for user %u", w->call->caller->uid);
	w->job.report = w->report;
	w->job.argc = (int)words->n;
	arena_push(w->arena, words->argv, words->n) = NULL;
	w->job.argv = words->argv;
	if (o && o->config_file && *o->config_file)
		w->job.config = o->config_file;
	if (o && o->has_notify_scripts && o->notify_scripts && w->call->notify)
		w->job.action = on_action;
	if (!w->call->caller->trusted)
		w->job.admit = on_admit;
	w->job.arg = w;
	return w->host->run(&w->job);
}

static struct words words_begin(struct work *w, const char *command)
{
	struct words words = {
		.arena = w->arena, .host = w->host, .report = w->report, .command = command
	};

	words_add(&words, "criu-lite");
	words_add(&words, "%s", command);
	return words;
}

/* Who reads the log of a request finds there why it came to nothing. */
static void log_refusal(struct work *w, const CriuOpts *o, bool restores)
{
	const char *name = o->log_file && *o->log_file ? o->log_file : RPC_LOG;
	int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW;
	cleanup_close int fd =
		openat(w->job.work_fd >= 0 ? w->job.work_fd : w->job.images_fd, name, flags, 0600);

	report_log_to(w->report, fd, LOG_ERROR);
	for (size_t i = 0; fd >= 0 && i < report_count(w->report); i++)
		if (report_cause(w->report, i))
			log_error(w->report, "%s [%s]", report_cause(w->report, i)->text,
				  report_cause(w->report, i)->id);
	log_error(w->report, restores ? "Restoring FAILED." : "Dumping FAILED.");
	report_log_to(w->report, -1, LOG_MSG);
}

static int do_images(struct work *w, const char *command, bool restores)
{
	const CriuOpts *o = w->call->req->opts;
	struct words words = words_begin(w, command);
	int ret = check_caller(w);

	if (ret >= 0)
		ret = check_opts(w, restores);
	if (ret >= 0)
		ret = take_fds(w, &words, o);
	if (ret >= 0)
		ret = caller_become(w->call->caller, w->report);
	if (ret >= 0 && w->job.images_fd < 0)
		ret = open_images_dir(w, o->images_dir, &w->job.images_fd);
	if (ret < 0)
		return ret;
	if (!restores)
		ret = add_tree(w, &words, o);
	if (ret < 0) {
		log_refusal(w, o, restores);
		return ret;
	}
	if (restores)
		words_add(&words, "--restore-detached");
	words_of_opts(&words, o);
	return run_words(w, &words);
}

static int do_dump(struct work *w)
{
	w->resp->dump = arena_new_of(w->arena, CriuDumpResp);
	criu_dump_resp__init(w->resp->dump);
	w->resp->dump->has_restored = 1;
	return do_images(w, "dump", false);
}

static int do_pre_dump(struct work *w)
{
	return do_images(w, "pre-dump", false);
}

static int do_restore(struct work *w)
{
	int ret = do_images(w, "restore", true);

	if (ret < 0)
		return ret;
	w->resp->restore = arena_new_of(w->arena, CriuRestoreResp);
	criu_restore_resp__init(w->resp->restore);
	w->resp->restore->pid = w->job.root;
	return 0;
}

static int do_command(struct work *w, const char *command, const char *argument)
{
	struct words words = words_begin(w, command);
	int ret = caller_become(w->call->caller, w->report);

	if (ret < 0)
		return ret;
	if (argument)
		words_add(&words, "%s", argument);
	return run_words(w, &words);
}

static int do_check(struct work *w)
{
	return do_command(w, "check", NULL);
}

static int do_page_server(struct work *w)
{
	return do_command(w, "page-server", NULL);
}

static int do_cpuinfo_dump(struct work *w)
{
	return do_command(w, "cpuinfo", "dump");
}

static int do_cpuinfo_check(struct work *w)
{
	return do_command(w, "cpuinfo", "check");
}

static int (*const types[])(struct work *w) = {
	[CRIU_REQ_TYPE__EMPTY] = do_nothing,
	[CRIU_REQ_TYPE__DUMP] = do_dump,
	[CRIU_REQ_TYPE__RESTORE] = do_restore,
	[CRIU_REQ_TYPE__CHECK] = do_check,
	[CRIU_REQ_TYPE__PRE_DUMP] = do_pre_dump,
	[CRIU_REQ_TYPE__PAGE_SERVER] = do_page_server,
	[CRIU_REQ_TYPE__NOTIFY] = do_nothing,
	[CRIU_REQ_TYPE__CPUINFO_DUMP] = do_cpuinfo_dump,
	[CRIU_REQ_TYPE__CPUINFO_CHECK] = do_cpuinfo_check,
	[CRIU_REQ_TYPE__FEATURE_CHECK] = do_features,
	[CRIU_REQ_TYPE__VERSION] = do_version,
	[CRIU_REQ_TYPE__WAIT_PID] = do_wait,
	[CRIU_REQ_TYPE__PAGE_SERVER_CHLD] = do_page_server,
	[CRIU_REQ_TYPE__SINGLE_PRE_DUMP] = do_pre_dump,
};

#define MESSAGE_MAX 8192 /* bytes of cr_errmsg */

/* Every cause in a line of its own, as the command prints them. */
static void add_causes(struct work *w)
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

static int answer(struct work *w, int ret)
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

/**
 * rpc_dispatch - serve one request
 * @host: does the work
 * @call: the request; unless it is quick, its caller's credentials are taken on
 *
 * Return: what the carrier's reply() has returned.
 */
int rpc_dispatch(const struct rpc_host *host, const struct rpc_call *call)
{
	CriuResp resp = CRIU_RESP__INIT;
	struct work w = {
		.host = host,
		.call = call,
		.report = report_new(),
		.arena = arena_new(),
		.job = { .images_fd = -1, .work_fd = -1 },
		.resp = &resp,
	};
	bool known = call->req && call->req->type <= CRIU_REQ_TYPE__SINGLE_PRE_DUMP;
	int ret;

	report_log_to(w.report, -1, LOG_MSG);
	resp.type = known && call->req->type != CRIU_REQ_TYPE__NOTIFY ? call->req->type
								      : CRIU_REQ_TYPE__EMPTY;
	ret = known ? types[call->req->type](&w) : do_nothing(&w);
	if (ret < 0 && !report_count(w.report))
		fail(w.report, "internal", -ret, "request of type %d", resp.type);
	ret = answer(&w, ret);
	close_owned(&w.job.images_fd);
	close_owned(&w.job.work_fd);
	report_free(w.report);
	arena_free(w.arena);
	return ret;
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
	struct work w = {
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
