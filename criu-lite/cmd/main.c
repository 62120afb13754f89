/*
 * main - criu-lite: the table of subcommands, and the only place that leaves
 * the process.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/arena.h"
#include "cmd/cmd.h"

static int (*const verb_runs[VERBS])(struct cmd *c) = {
#define VERB(name, min, max, synopsis, summary) cmd_##name,
#include "cmd/verbs.def"
#undef VERB
};

/*
 * The standard descriptors exist, so that no image lands on their numbers; a
 * reader that goes away is an error of write(), not the end of a dump.
 */
static void prepare_process(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
	signal(SIGPIPE, SIG_IGN);
}

static int print_version(void)
{
	puts("Version: " CL_CRIU_VERSION "\n"
	     "GitID: criu-lite-" CL_VERSION "\n"
	     "criu-lite " CL_VERSION
	     ", with the command line and the images of CRIU " CL_CRIU_VERSION);
	return 0;
}

static int run(struct cmd *c, int argc, char **argv)
{
	int ret = options_parse(c->o, c->r, argc, argv);

	if (ret < 0 && c->o->verb == VERB_dump)
		session_log_refusal(c, "dump.log", "Dumping FAILED.");
	if (ret < 0 && c->o->verb == VERB_restore)
		session_log_refusal(c, "restore.log", "Restoring FAILED.");
	if (ret < 0)
		return ret;
	if (c->o->version)
		return print_version();
	if (c->o->help)
		return print_help(c->o->verb);
	if (c->o->verb == VERB_NONE)
		return fail(c->r, "command-arguments", 0, "no command was given");
	if (c->o->close_fd >= 0)
		close(c->o->close_fd);
	return verb_runs[c->o->verb](c);
}

int main(int argc, char **argv)
{
	struct options o = { .arena = arena_new() };
	struct cmd c = { .o = &o, .images_fd = -1, .work_fd = -1, .log_fd = -1 };
	int status;

	prepare_process();
	c.r = report_new();
	report_log_to(c.r, -1, LOG_MSG);
	status = result_finish(&c, run(&c, argc, argv));
	report_free(c.r);
	arena_free(o.arena);
	return status;
}
