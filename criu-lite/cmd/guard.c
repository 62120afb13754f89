/*
 * guard - the subcommand: guards files until it is told to end.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "cmd/cmd.h"
#include "daemon/guard.h"

static int serve(struct guard *g, struct cmd *c, int signals)
{
	struct pollfd p[] = { { .fd = guard_fd(g), .events = POLLIN },
			      { .fd = signals, .events = POLLIN } };
	int ret = 0;

	while (ret >= 0 && !(p[1].revents & POLLIN)) {
		if (poll(p, 2, guard_timeout(g)) < 0 && errno != EINTR)
			return fail(c->r, "guard-events", errno, "poll()");
		ret = guard_serve(g);
	}
	return ret;
}

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
		ret = serve(g, c, signals);
	}
	guard_free(g);
	return ret;
}
