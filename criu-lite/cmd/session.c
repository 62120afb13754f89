/*
 * session - where a run works: the image directory, the work directory with
 * its log and pidfile, and the descriptor on which it says that it is ready.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "cmd/cmd.h"
#include "daemon/rpc.h"

static int open_dir(struct cmd *c, const char *id, const char *what, const char *path, int *out)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return fail(c->r, id, errno, "cannot open the %s %s", what, path);
	*out = fd;
	return 0;
}

/* A request of the RPC has them open already; its configuration file may choose another place. */
static int open_dirs(struct cmd *c)
{
	const struct options *o = c->o;
	int ret = 0;

	if (c->job && c->images_fd < 0)
		c->images_fd = fcntl(c->job->images_fd, F_DUPFD_CLOEXEC, 3);
	if (c->job && c->work_fd < 0 && !o->work_dir)
		c->work_fd = fcntl(c->job->work_fd >= 0 ? c->job->work_fd : c->images_fd,
				   F_DUPFD_CLOEXEC, 3);
	if (c->images_fd < 0)
		ret = open_dir(c, "images-dir", "images directory", o->images_dir, &c->images_fd);
	if (ret >= 0 && c->work_fd < 0)
		ret = open_dir(c, "work-dir", "work directory",
			       o->work_dir ? o->work_dir : o->images_dir, &c->work_fd);
	return ret;
}

static int open_log_file(struct cmd *c, const char *name)
{
	int flags = O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC | O_NOCTTY;

	if (c->o->log_file)
		name = c->o->log_file;
	else
		flags |= O_NOFOLLOW;
	return strcmp(name, "-") ? openat(c->work_fd, name, flags, 0600) : STDERR_FILENO;
}

/* A log that cannot be made is no reason to give up: it goes to standard error. */
static void open_log(struct cmd *c, const char *name)
{
	int fd = open_log_file(c, name);

	if (fd < 0)
		cmd_warn("cannot create the log file %s: %s; the log goes to standard error",
			 c->o->log_file ? c->o->log_file : name, strerror(errno));
	c->log_fd = fd < 0 ? STDERR_FILENO : fd;
	report_log_to(c->r, c->log_fd, (enum log_level)c->o->verbosity);
}

/**
 * session_open - open the directories, enter the work directory, start the log
 * @c: the run; its descriptors are set
 * @log_name: the log's name unless -o gives one
 *
 * As with CRIU, relative paths of later options count from the work directory.
 *
 * Return: 0 or -errno, recorded.
 */
int session_open(struct cmd *c, const char *log_name)
{
	const struct options *o = c->o;
	int ret = open_dirs(c);

	if (ret < 0)
		return ret;
	if (fchdir(c->work_fd) < 0)
		return fail(c->r, "work-dir", errno, "cannot enter the work directory");
	if (o->status_fd >= 0 && fcntl(o->status_fd, F_SETFD, FD_CLOEXEC) < 0)
		return fail(c->r, "option-value", errno, "--status-fd %d", o->status_fd);
	open_log(c, log_name);
	log_info(c->r, "criu-lite " CL_VERSION ": %s in %s", verb_name(o->verb), o->images_dir);
	return 0;
}

/**
 * session_log_refusal - leave a log of a request that was refused at once
 * @c: the run, with the causes recorded
 * @log_name: the log's name unless -o gives one
 * @end: its last line
 *
 * Whoever starts the program from a script looks there.
 */
void session_log_refusal(struct cmd *c, const char *log_name, const char *end)
{
	const struct options *o = c->o;
	int fd;

	if (c->job)
		c->work_fd = fcntl(c->job->work_fd >= 0 ? c->job->work_fd : c->job->images_fd,
				   F_DUPFD_CLOEXEC, 3);
	else
		c->work_fd = open(o->work_dir ? o->work_dir : o->images_dir,
				  O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (c->work_fd < 0)
		return;
	fd = open_log_file(c, log_name);
	close_owned(&c->work_fd);
	c->work_fd = -1;
	if (fd <= STDERR_FILENO)
		return;
	report_log_to(c->r, fd, LOG_ERROR);
	for (size_t i = 0; i < report_count(c->r); i++)
		if (report_cause(c->r, i))
			log_error(c->r, "%s [%s]", report_cause(c->r, i)->text,
				  report_cause(c->r, i)->id);
	log_error(c->r, "%s", end);
	report_log_to(c->r, -1, LOG_MSG);
	close(fd);
}

/**
 * session_log_stderr - for commands without a log file: -v3 and more on standard error
 * @c: the run
 */
void session_log_stderr(struct cmd *c)
{
	if (c->o->verbosity <= LOG_WARN)
		return;
	c->log_fd = STDERR_FILENO;
	report_log_to(c->r, c->log_fd, (enum log_level)c->o->verbosity);
}

/**
 * session_pidfile - write the pidfile, if one was asked for, once
 * @c: the run
 * @pid: what to write; decimal, without a newline, into a new file
 *
 * Return: 0 or -errno, recorded.
 */
int session_pidfile(struct cmd *c, pid_t pid)
{
	const char *name = c->o->pidfile;
	cleanup_close int fd = -1;
	char text[16];
	int ret;

	if (!name || c->pidfile_written)
		return 0;
	fd = openat(c->work_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return fail(c->r, "pidfile", errno, "cannot create the pidfile %s", name);
	c->pidfile_written = true;
	ret = write_all(fd, text, (size_t)snprintf(text, sizeof(text), "%d", pid));
	if (ret < 0)
		return fail(c->r, "pidfile", -ret, "cannot write the pidfile %s", name);
	return 0;
}

/**
 * session_pidfile_undo - remove the pidfile that this run has written
 * @c: the run
 */
void session_pidfile_undo(struct cmd *c)
{
	if (c->pidfile_written)
		unlinkat(c->work_fd, c->o->pidfile, 0);
	c->pidfile_written = false;
}

/**
 * session_ready - tell the reader of --status-fd that the work is done
 * @c: the run
 */
void session_ready(struct cmd *c)
{
	int fd = c->o->status_fd, ret;

	if (fd < 0)
		return;
	ret = write_all(fd, "", 1);
	if (ret < 0)
		log_warn(c->r, "--status-fd %d: %s", fd, strerror(-ret));
	close(fd);
	c->o->status_fd = -1;
}

/**
 * session_close - close what session_open() has opened
 * @c: the run
 */
void session_close(struct cmd *c)
{
	close_owned(&c->images_fd);
	close_owned(&c->work_fd);
	if (c->log_fd > STDERR_FILENO)
		close(c->log_fd);
	report_log_to(c->r, -1, LOG_MSG);
	c->images_fd = c->work_fd = c->log_fd = -1;
}
