/*
 * files_only - `restore --files-only`: a program is started afresh with
 * descriptors of an image.
 */
#include "cmd/files_only.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "cmd/cmd.h"
#include "cmd/handover.h"
#include "lib/fdframe.h"
#include "restore/restore.h"

struct files_only {
	struct handover h;
	int cwd; /* the caller's: a session works in the directory of the images */
};

static int start(void *arg, const struct fd_item *items, const int *numbers, size_t n,
		 const atomic_bool *committed)
{
	struct files_only *f = arg;

	f->h.stays = committed;

	if (fchdir(f->cwd) < 0)
		return fail(f->h.c->r, "work-dir", errno, "go back to where we were called");
	return handover_start(&f->h, items, numbers, n);
}

static int commit(void *arg)
{
	return handover_commit(&((struct files_only *)arg)->h);
}

/**
 * files_only_run - the image's descriptors to the program behind --
 * @c: the run
 *
 * Return: 0 or -errno, recorded.
 */
int files_only_run(struct cmd *c)
{
	const struct options *o = c->o;
	cleanup_close int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct files_only f = { .cwd = cwd };
	struct restore_files_opts opts = {
		.pid = (pid_t)o->old_pid,
		.fds = o->fds,
		.tcp_close = o->tcp_close,
		.network_lock = network_lock_method(c),
		.timeout = o->timeout,
		.start = start,
		.commit = commit,
		.arg = &f,
	};
	int ret = handover_parse(c, &f.h, "exec");

	f.h.instead = "the image is as it was";
	if (ret >= 0)
		ret = session_open(c, "restore.log");
	opts.images_fd = c->images_fd;
	if (ret >= 0)
		ret = restore_files_only(&opts, c->r);
	handover_cancel(&f.h);
	if (ret < 0) {
		log_error(c->r, "Restoring FAILED.");
		return ret;
	}
	log_info(c->r, "pid %d has the descriptors of the image", c->pid);
	/* Paths of options count from the work directory. */
	if (o->pidfile && fchdir(c->work_fd) == 0)
		ret = handover_pidfile(c, c->pid);
	session_ready(c);
	return ret;
}
