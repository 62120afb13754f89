/*
 * guard_child - the service's guard of files: a process of its own, so that
 * whoever waits for an answer never waits for the service. It ends with the
 * service, and is started again if it ends before. The successor of a service
 * has started its own by the time that the old one goes.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/guard.h"
#include "daemon/server.h"

static int guard_files(struct server *s, int ready)
{
	const struct service_opts *o = s->o;
	struct report *r = s->report;
	cleanup_close int signals = -1;
	struct guard *g = NULL;
	int ret = guard_new(&g, r);
	sigset_t set;

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < o->nr_guards; i++)
		ret = guard_add(g, o->guards[i]) ?: ret;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (ret >= 0 && signals < 0)
		ret = fail(r, "guard-events", errno, "signalfd()");
	if (ret >= 0)
		ret = write_all(ready, "", 1);
	if (ret >= 0)
		ret = guard_run(g, signals);
	guard_free(g);
	return ret;
}

static const struct child_kind guard_kind = {
	.name = "criu-lite-locks",
	.what = "the guard of files",
	.error = "guard-events",
	.serve = guard_files,
};

/**
 * guard_child_start - guard the files that the service is to guard, if there are any
 * @s: the server
 *
 * Waits until they are guarded.
 *
 * Return: 0 or -errno, recorded.
 */
int guard_child_start(struct server *s)
{
	return s->o->nr_guards ? child_start(s, &guard_kind, &s->guard) : 0;
}

/**
 * guard_child_ended - a child of the service has ended: was it the guard?
 * @s: the server
 * @pid: the child
 *
 * Return: true if it was; then there is another by now.
 */
bool guard_child_ended(struct server *s, pid_t pid)
{
	if (pid != s->guard)
		return false;
	s->guard = 0;
	if (s->ending || s->leaving)
		return true;
	log_error(s->report, "the guard of files has ended; it is started again");
	if (guard_child_start(s) < 0)
		log_error(s->report, "files are not guarded any more");
	return true;
}
