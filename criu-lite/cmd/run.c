/*
 * run - the table of subcommands, and one command line from its words to its
 * end.
 */
#include <stdio.h>
#include <unistd.h>

#include "cmd/cmd.h"

static int (*const verb_runs[VERBS])(struct cmd *c) = {
#define VERB(name, min, max, synopsis, summary) cmd_##name,
#include "cmd/verbs.def"
#undef VERB
};

static int print_version(void)
{
	puts("Version: " CL_CRIU_VERSION "\n"
	     "GitID: criu-lite-" CL_VERSION "\n"
	     "criu-lite " CL_VERSION
	     ", with the command line and the images of CRIU " CL_CRIU_VERSION);
	return 0;
}

/**
 * cmd_run - one command line, from its words to its end
 * @c: the run
 * @argc: as main() has it
 * @argv: as main() has it
 *
 * Return: what the command returns, -errno with the causes recorded.
 */
int cmd_run(struct cmd *c, int argc, char **argv)
{
	int ret = options_parse(c->o, c->r, argc, argv);

	c->argv = argv;
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
