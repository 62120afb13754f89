/*
 * rpc-run - requests that become a command line: their descriptors are taken
 * from the caller, its credentials taken on, what they may not do refused, and
 * the rest is the host's.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fd.h"
#include "base/report.h"
#include "daemon/caller.h"
#include "daemon/rpc-internal.h"
#include "daemon/words.h"
#include "dump/dump.h"
#include "kernel/procfs.h"

/* A descriptor that the request names: one that came with it, or the caller's own. */
static int take_named(struct rpc_work *w, const char *what, int nr, int *out)
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
static int open_images_dir(struct rpc_work *w, const char *path, int *out)
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
static bool was_inherited(const struct rpc_work *w, int nr)
{
	int flags = w->call->caller->trusted ? fcntl(nr, F_GETFD) : -1;

	return flags >= 0 && !(flags & FD_CLOEXEC);
}

/*
 * Everything that takes the caller's descriptors: before its credentials are
 * taken on, as these need not suffice to reach into it.
 */
static int take_fds(struct rpc_work *w, struct words *words, const CriuOpts *o)
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
	struct rpc_work *w = arg;

	return caller_may_have(w->call->caller, w->report, image);
}

static int on_action(void *arg, const char *name, pid_t root)
{
	struct rpc_work *w = arg;
	int ret = w->call->notify(w->call->arg, name, root);

	if (ret == -ECANCELED)
		return fail(w->report, "rpc-notify", 0, "the caller has refused at %s", name);
	return ret < 0 ? fail(w->report, "rpc-notify", -ret, "the caller did not answer at %s",
			      name)
		       : 0;
}

/* What is done for a caller is done outside of what confines it; so it is not done. */
static int check_caller(struct rpc_work *w)
{
	const struct rpc_caller *c = w->call->caller;

	if (c->confined)
		return fail(w->report, "rpc-namespace", 0,
			    "the caller (pid %d) has %s that the service has not", c->pid,
			    c->confined);
	return 0;
}

static int check_opts(struct rpc_work *w, bool restores)
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

/*
 * A container is told of as such, once, before anything else that it would
 * take. Every one has one of the first three; a dump looks at all of them for
 * each process.
 */
static int check_tree(struct rpc_work *w, pid_t pid)
{
	cleanup_close int proc = proc_open(pid);
	struct proc_namespaces its;
	char list[64];

	proc_namespaces(proc, 1 << NS_PID | 1 << NS_NET | 1 << NS_MNT, &its);
	if (!proc_namespaces_differ(&its, w->job.own_ns, list, sizeof(list)))
		return 0;
	proc_namespaces(proc, NS_ALL, &its);
	proc_namespaces_differ(&its, w->job.own_ns, list, sizeof(list));
	return fail(w->report, "task-namespace", EOPNOTSUPP,
		    "pid %d: in another namespace (%s) than this program", pid, list);
}

/* Dump and pre-dump. Without a pid it is the caller itself. */
static int add_tree(struct rpc_work *w, struct words *words, const CriuOpts *o)
{
	pid_t pid = o->has_pid && o->pid > 0 ? o->pid : w->call->caller->pid;
	const struct rpc_caller *caller = w->call->caller;
	/* Of root, with all that we may, no other judgement is to be had. */
	bool is_root = caller->uid == 0 && caller_is_us(caller);
	int ret = is_root ? 0 : caller_may_trace(caller, w->report, pid);

	if (!w->job.own_ns) {
		proc_namespaces_own(&w->own_ns);
		w->job.own_ns = &w->own_ns;
	}
	if (ret >= 0)
		ret = check_tree(w, pid);
	words_add(words, "--tree=%d", pid);
	return ret;
}

static int run_words(struct rpc_work *w, struct words *words)
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

static struct words words_begin(struct rpc_work *w, const char *command)
{
	struct words words = {
		.arena = w->arena, .host = w->host, .report = w->report, .command = command
	};

	words_add(&words, "criu-lite");
	words_add(&words, "%s", command);
	return words;
}

/* Who reads the log of a request finds there why it came to nothing. */
static void log_refusal(struct rpc_work *w, const CriuOpts *o, bool restores)
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

/* The caller's descriptors, its credentials, and the directory. */
static int begin_in_dir(struct rpc_work *w, struct words *words, const CriuOpts *o)
{
	int ret = take_fds(w, words, o);

	if (ret >= 0)
		ret = caller_become(w->call->caller, w->report);
	if (ret >= 0 && w->job.images_fd < 0)
		ret = open_images_dir(w, o->images_dir, &w->job.images_fd);
	return ret;
}

/**
 * rpc_do_images - a request that is about images and processes
 * @w: the request
 * @command: of the command line
 * @restores: it makes processes; else it is about one that runs
 *
 * Return: 0 or -errno, recorded.
 */
int rpc_do_images(struct rpc_work *w, const char *command, bool restores)
{
	const CriuOpts *o = w->call->req->opts;
	struct words words = words_begin(w, command);
	int ret = check_caller(w);

	if (ret >= 0)
		ret = check_opts(w, restores);
	/* It would be a child that a restore does not expect, or one with other rights. */
	if (restores || !caller_is_us(w->call->caller))
		dump_guardian_end(w->job.guardian);
	if (ret >= 0)
		ret = begin_in_dir(w, &words, o);
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

/**
 * rpc_do_dir - a request that is about a directory alone
 * @w: the request
 * @command: of the command line
 * @argument: of the command
 *
 * Return: 0 or -errno, recorded.
 */
int rpc_do_dir(struct rpc_work *w, const char *command, const char *argument)
{
	const CriuOpts *o = w->call->req->opts;
	struct words words = words_begin(w, command);
	int ret = check_caller(w);

	words_add(&words, "%s", argument);
	if (ret >= 0 && !o)
		ret = fail(w->report, "rpc-request", 0, "the request has no options");
	if (ret >= 0)
		ret = begin_in_dir(w, &words, o);
	if (ret < 0)
		return ret;
	words_of_opts(&words, o);
	return run_words(w, &words);
}

/**
 * rpc_do_command - a request that is about neither processes nor a directory
 * @w: the request
 * @command: of the command line
 *
 * Return: 0 or -errno, recorded.
 */
int rpc_do_command(struct rpc_work *w, const char *command)
{
	struct words words = words_begin(w, command);
	int ret = caller_become(w->call->caller, w->report);

	return ret < 0 ? ret : run_words(w, &words);
}
