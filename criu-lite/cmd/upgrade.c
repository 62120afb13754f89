/*
 * upgrade - a new program is started beside a running one with duplicates of
 * its descriptors. Only when the new one has said that it is ready is the old
 * one told to end; before that nothing is done to it, and whatever goes wrong
 * ends the new one, also when this program is killed.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fd.h"
#include "cmd/cmd.h"
#include "cmd/fdset.h"
#include "cmd/handover.h"
#include "lib/fdwait.h"

struct upgrade {
	struct cmd *c;
	struct handover h;
	struct fdset set;
	pid_t pid; /* of the old one */
	int old;   /* its pidfd */
	int stop;  /* signal, 0 for none */
};

/* A number, or a name with or without SIG. */
static int parse_stop(struct upgrade *u)
{
	const char *text = u->c->o->stop ? u->c->o->stop : "TERM", *name = text;
	char *end;
	long nr;

	if (!strcmp(text, "none"))
		return 0;
	nr = strtol(text, &end, 10);
	if (!*end && end != text && nr > 0 && nr <= SIGRTMAX) {
		u->stop = (int)nr;
		return 0;
	}
	if (!strncmp(name, "SIG", 3))
		name += 3;
	for (int sig = 1; sig < NSIG; sig++) {
		const char *abbrev = sigabbrev_np(sig);

		if (abbrev && !strcmp(abbrev, name)) {
			u->stop = sig;
			return 0;
		}
	}
	return fail(u->c->r, "option-value", 0, "--stop %s: no such signal", text);
}

static int take_old(struct upgrade *u)
{
	struct cmd *c = u->c;
	int ret;

	u->old = (int)syscall(SYS_pidfd_open, u->pid, 0);
	if (u->old < 0)
		return fail(c->r, "no-process", errno, "pid %d", u->pid);
	ret = fdset_of_process(c, &u->set, u->pid, c->o->fds);
	if (ret < 0)
		return ret;
	if (!u->set.n)
		return fail(c->r, "upgrade-nothing", 0,
			    "pid %d has no descriptor that is to be handed over", u->pid);
	u->h.o.old = u->pid;
	for (size_t i = 0; i < u->set.n; i++)
		log_info(c->r, "pid %d: %s is its descriptor %d", u->pid, u->set.items[i].name,
			 u->set.from[i]);
	return 0;
}

/* The upgrade is done: what fails from here on is told, and undoes nothing. */
static int stop_old(struct upgrade *u)
{
	struct cmd *c = u->c;
	int limit = (int)u->h.o.timeout_ms;

	if (u->stop && syscall(SYS_pidfd_send_signal, u->old, u->stop, NULL, 0) < 0 &&
	    errno != ESRCH)
		return fail(c->r, "upgrade-stop", errno,
			    "pid %d: send signal %d; the new program, pid %d, serves beside it",
			    u->pid, u->stop, c->pid);
	if (!c->o->pidfile)
		return 0;
	/* Many programs remove their pidfile as the last thing. */
	if (u->stop && fdwait(u->old, POLLIN, fdwait_until(limit)))
		cmd_warn("pid %d has not ended within %d s; the pidfile is written all the same",
			 u->pid, limit / 1000);
	return handover_pidfile(c, c->pid);
}

static int run(struct upgrade *u)
{
	int ret = handover_start(&u->h, u->set.items, u->set.from, u->set.n);

	if (!ret)
		ret = handover_commit(&u->h);
	if (ret)
		return ret;
	log_info(u->c->r, "pid %d has taken over from pid %d", u->c->pid, u->pid);
	return stop_old(u);
}

/**
 * cmd_upgrade - `criu-lite upgrade --pid OLD -- PROGRAM`
 * @c: the run
 *
 * Return: 0 or -errno, recorded.
 */
int cmd_upgrade(struct cmd *c)
{
	struct upgrade u = { .c = c, .old = -1, .pid = (pid_t)c->o->old_pid };
	int ret;

	session_log_stderr(c);
	ret = handover_parse(c, &u.h, "notify");
	u.h.instead = arena_printf(c->o->arena, "pid %d serves on", u.pid);
	if (ret >= 0)
		ret = parse_stop(&u);
	if (ret >= 0)
		ret = take_old(&u);
	if (ret >= 0)
		ret = run(&u);
	fdset_close(&u.set);
	close_owned(&u.old);
	return ret;
}
