/*
 * rpc_host - the commands, as the service sees them: a request comes as the
 * words of a command line, and is done by the same code.
 */
#include <string.h>

#include <json-c/json.h>

#include "base/arena.h"
#include "cmd/cmd.h"
#include "daemon/rpc.h"

static int host_run(struct rpc_job *job)
{
	struct options o = { .arena = arena_new(), .rpc_config = job->config };
	struct cmd c = {
		.o = &o, .r = job->report, .images_fd = -1, .work_fd = -1, .log_fd = -1, .job = job
	};
	int ret = cmd_run(&c, job->argc, job->argv);

	job->root = c.pid;
	session_close(&c);
	json_object_put(c.stats);
	arena_free(o.arena);
	return ret;
}

static bool host_honours(const char *command, const char *option, const char *arg)
{
	struct options o = { .arena = arena_new() };
	struct report *r = report_new();
	const struct option_row *row;
	bool negated, yes;

	report_log_to(r, -1, LOG_MSG);
	row = option_find(option, &negated);
	yes = row && option_apply(&o, r, row, negated, arg, "") >= 0;
	for (unsigned v = 0; yes && v < VERBS; v++)
		if (!strcmp(verb_name(v), command))
			yes = row->verbs & (1u << v);
	report_free(r);
	arena_free(o.arena);
	return yes;
}

const struct rpc_host rpc_host = {
	.run = host_run,
	.honours = host_honours,
	.major = CL_CRIU_MAJOR,
	.minor = CL_CRIU_MINOR,
	.name = "criu-lite " CL_VERSION,
};
