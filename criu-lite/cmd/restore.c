/*
 * restore - the subcommand: images to a running process tree. Without -d it
 * stays until the root of the tree is gone, and then succeeds whatever the
 * root's own status was.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "cmd/cmd.h"
#include "cmd/files_only.h"
#include "cmd/progress.h"
#include "cmd/stats.h"
#include "daemon/rpc.h"
#include "restore/restore.h"

struct restore_run {
	struct cmd *c;
	struct progress bar;
};

static int on_action(void *arg, const char *name, pid_t root)
{
	struct restore_run *run = arg;
	int ret = action_run(run->c, name, root);

	/* Before the tree runs, so that a pidfile that cannot be written undoes it all. */
	if (!ret && root > 0 && !strcmp(name, "post-restore"))
		ret = session_pidfile(run->c, root);
	return ret;
}

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
	progress_step(&((struct restore_run *)arg)->bar, done, total);
}

static int on_verify(void *arg, struct pstree *image)
{
	return verify_tree(((struct restore_run *)arg)->c, image);
}

static int on_admit(void *arg, struct pstree *image)
{
	const struct rpc_job *job = ((struct restore_run *)arg)->c->job;

	return job->admit(job->arg, image);
}

static int wait_for(struct cmd *c, pid_t root)
{
	cleanup_close int fd = (int)syscall(SYS_pidfd_open, root, 0);
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (fd < 0 && errno != ESRCH)
		return fail(c->r, "status-wait", errno, "pid %d: pidfd_open", root);
	while (fd >= 0 && poll(&p, 1, -1) < 0)
		if (errno != EINTR)
			return fail(c->r, "status-wait", errno, "pid %d: poll", root);
	while (waitpid(root, NULL, 0) < 0 && errno == EINTR)
		;
	return 0;
}

/**
 * cmd_restore - `criu-lite restore`
 * @c: the run
 *
 * Return: 0 or -errno, recorded.
 */
int cmd_restore(struct cmd *c)
{
	const struct options *o = c->o;
	struct restore_run run = { .c = c };
	struct restore_stats stats = { 0 };
	struct restore_opts opts = {
		.detach = o->detach,
		.sibling = o->sibling,
		.shell_job = o->shell_job,
		.leave_stopped = o->leave_stopped,
		.tcp_established = o->tcp_established,
		.tcp_close = o->tcp_close,
		.network_lock = network_lock_method(c),
		.nr_tcp_rules = o->tcp_rules.n,
		.file_locks = o->file_locks,
		.ext_unix_sk = o->ext_unix_sk,
		.evasive_devices = o->evasive_devices,
		.externals = o->externals.v,
		.nr_externals = o->externals.n,
		.timeout = o->timeout,
		.admit = c->job && c->job->admit ? on_admit : NULL,
		.verify = o->verify ? on_verify : NULL,
		.progress = on_progress,
		.action = on_action,
		.arg = &run,
	};
	/* First of all: a number that is not open must not become one of ours. */
	int ret = outside_parse(c, &opts);

	if (ret >= 0 && o->files_only)
		return files_only_run(c);
	if (ret >= 0)
		ret = session_open(c, "restore.log");
	if (ret < 0)
		return ret;
	opts.images_fd = c->images_fd;
	progress_start(&run.bar, "restore");
	ret = restore_tree(&opts, c->r, &c->pid, &stats);
	progress_end(&run.bar);
	if (ret < 0) {
		session_pidfile_undo(c);
		log_error(c->r, "Restoring FAILED.");
		return ret;
	}
	log_info(c->r, "Restore finished successfully. Tasks resumed.");
	stats_restore(c, &stats);
	session_ready(c);
	if (o->detach)
		return 0;
	result_answer(c, 0);
	session_close(c);
	return wait_for(c, c->pid);
}
