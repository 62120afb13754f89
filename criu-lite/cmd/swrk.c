/*
 * swrk - the subcommand: serve the program that has started us, over a socket
 * that it has left open. Container runtimes and libcriu come this way.
 */
#include <errno.h>
#include <stdlib.h>

#include "cmd/cmd.h"
#include "daemon/service.h"

/**
 * cmd_swrk - `criu-lite swrk FD`
 * @c: the run
 *
 * Return: 0 or -errno, recorded.
 */
int cmd_swrk(struct cmd *c)
{
	const char *arg = c->o->args[0];
	char *end;
	long fd;

	errno = 0;
	fd = strtol(arg, &end, 10);
	if (*end || end == arg || errno || fd < 0 || fd > INT32_MAX)
		return fail(c->r, "option-value", 0, "%s is not a descriptor", arg);
	return swrk_run((int)fd, &rpc_host, c->r);
}
