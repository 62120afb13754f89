/*
 * guard - the subcommand: guards files until it is told to end.
 */
#include <errno.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "cmd/cmd.h"
#include "daemon/guard.h"

/**
 * cmd_guard - `criu-lite guard FILE...`
 * @c: the run
 *
 * Return: 0 when it was told to end by SIGTERM or SIGINT, or -errno, recorded.
 */
int cmd_guard(struct cmd *c)
{
	cleanup_close int signals = -1;
	struct guard *g = NULL;
	sigset_t set;
	int ret = 0;

	session_log_stderr(c);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (signals < 0)
		return fail(c->r, "guard-events", errno, "signalfd()");
	ret = guard_new(&g, c->r);
	if (ret < 0)
		return ret;
	/* All files that cannot be guarded are told, not the first. */
	for (size_t i = 0; i < c->o->nr_args; i++)
		ret = guard_add(g, c->o->args[i]) ?: ret;
	if (ret >= 0) {
		session_ready(c);
		ret = guard_run(g, signals);
	}
	guard_free(g);
	return ret;
}
