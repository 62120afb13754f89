/*
 * service - the subcommand: serve the requests of other programs.
 */
#include "daemon/service.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "cmd/cmd.h"

/* The log goes to standard error unless -o says otherwise. */
static int open_log(struct cmd *c)
{
	const struct options *o = c->o;
	const char *name = o->log_file;

	if (o->work_dir && chdir(o->work_dir) < 0)
		return fail(c->r, "work-dir", errno, "cannot enter the work directory %s",
			    o->work_dir);
	c->log_fd = STDERR_FILENO;
	if (name && strcmp(name, "-"))
		c->log_fd = open(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0600);
	if (c->log_fd < 0)
		return fail(c->r, "log-file", errno, "cannot open the log file %s", name);
	report_log_to(c->r, c->log_fd, (enum log_level)o->verbosity);
	return 0;
}

/**
 * cmd_service - `criu-lite service`
 * @c: the run
 *
 * Return: 0 when it was told to end, or -errno, recorded.
 */
int cmd_service(struct cmd *c)
{
	const struct options *o = c->o;
	cleanup_close int start_dir = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct service_opts opts = {
		.address = o->address,
		.attach = o->attach_doors,
		.door = o->door,
		.pidfile = o->pidfile,
		.detach = o->detach || o->daemon,
		.max_clients = o->max_clients,
		.max_requests = o->max_requests,
		.time_limit = o->time_limit,
		.memory_limit = o->memory_limit,
		.guards = o->guards.v,
		.nr_guards = o->guards.n,
		.ready_fd = o->status_fd,
		.argv = c->argv,
		.start_dir = start_dir,
	};
	int ret = open_log(c);

	return ret < 0 ? ret : service_run(&opts, &rpc_host, c->r);
}
