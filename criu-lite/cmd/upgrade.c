/*
 * upgrade - a new program is started beside a running one with duplicates of
 * its descriptors. Only when the new one has said that it is ready is the old
 * one told to end; before that nothing is done to it, and whatever goes wrong
 * ends the new one, also when this program is killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fd.h"
#include "cmd/cmd.h"
#include "cmd/fdset.h"
#include "cmd/keeper.h"
#include "cmd/reach.h"
#include "lib/fdlisten.h"
#include "lib/fdupgrade.h"
#include "lib/fdwait.h"

#define DEFAULT_TIMEOUT 10 /* seconds */

struct upgrade {
	struct cmd *c;
	struct fd_upgrade_opts o;
	struct fdset set;
	struct reach reach;
	struct keeper keeper;
	int old;  /* pidfd */
	int stop; /* signal, 0 for none */
};

static int parse_hand(struct upgrade *u)
{
	const char *text = u->c->o->hand, *eq;

	u->o.hand = FD_HAND_LISTEN;
	if (!text || !strcmp(text, "LISTEN_FDS"))
		return 0;
	eq = strchr(text, '=');
	if (!eq || eq == text || !strstr(eq, "%d"))
		return fail(u->c->r, "option-value", 0,
			    "--env %s: neither LISTEN_FDS nor NAME=PATTERN with %%d in it", text);
	u->o.hand = FD_HAND_ENV;
	u->o.env_name = arena_printf(u->c->o->arena, "%.*s", (int)(eq - text), text);
	u->o.env_pattern = eq + 1;
	return 0;
}

static int ask(void *arg, pid_t successor)
{
	return reach_look(&((struct upgrade *)arg)->reach, successor);
}

static void started(void *arg, pid_t successor)
{
	keeper_tell(&((struct upgrade *)arg)->keeper, successor);
}

static int parse_ready(struct upgrade *u)
{
	const char *text = u->c->o->ready ? u->c->o->ready : "notify";

	u->o.ready = FD_READY_NOTIFY;
	if (!strcmp(text, "notify"))
		return 0;
	if (!strcmp(text, "offer")) {
		if (u->c->o->hand)
			return fail(
				u->c->r, "option-conflict", 0,
				"--ready offer hands the descriptors over itself, without --env");
		u->o.ready = FD_READY_OFFER;
		u->o.hand = FD_HAND_OFFER;
		return 0;
	}
	if (strncmp(text, "probe:", 6) || reach_begin(&u->reach, text + 6) < 0)
		return fail(u->c->r, "option-value", 0,
			    "--ready %s: not notify, offer or probe: and an address such as "
			    "127.0.0.1:80, [::1]:80, /path or @name",
			    text);
	u->o.ready = FD_READY_ASK;
	u->o.ask = ask;
	return 0;
}

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
	pid_t pid = (pid_t)c->o->old_pid;
	int ret;

	u->old = (int)syscall(SYS_pidfd_open, pid, 0);
	if (u->old < 0)
		return fail(c->r, "no-process", errno, "pid %d", pid);
	ret = fdset_of_process(c, &u->set, pid, c->o->fds);
	if (ret < 0)
		return ret;
	if (!u->set.n)
		return fail(c->r, "upgrade-nothing", 0,
			    "pid %d has no descriptor that is to be "
			    "handed over",
			    pid);
	u->o.items = u->set.items;
	u->o.n = u->set.n;
	u->o.at = u->set.from;
	u->o.old = pid;
	for (size_t i = 0; i < u->set.n; i++)
		log_info(c->r, "pid %d: %s is its descriptor %d", pid, u->set.items[i].name,
			 u->set.from[i]);
	return 0;
}

/* Processes of the new program that have left its session have come to us, as a subreaper. */
static void end_children(void)
{
	char path[64];
	int child;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	for (int tries = 0; tries < 100; tries++) {
		size_t n = 0;

		f = fopen(path, "re");
		while (f && fscanf(f, "%d", &child) == 1) {
			kill(child, SIGKILL);
			waitpid(child, NULL, 0);
			n++;
		}
		if (f)
			fclose(f);
		if (!n)
			return;
	}
}

static int failed(struct upgrade *u, int ret, const char *why)
{
	static const struct {
		int err;
		const char *id;
	} ids[] = {
		{ -ECHILD, "upgrade-died" },
		{ -ETIMEDOUT, "upgrade-timeout" },
		{ -ECONNREFUSED, "upgrade-refused" },
	};
	const char *id = "upgrade-start";

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++)
		if (ids[i].err == ret)
			id = ids[i].id;
	fail(u->c->r, id, 0, "%s; pid %u serves on", why, u->c->o->old_pid);
	return ret;
}

/* The number is replaced at once: a reader sees the old or the new one. */
static int write_pidfile(struct cmd *c, pid_t pid)
{
	const char *path = c->o->pidfile;
	char *next = arena_printf(c->o->arena, "%s.new", path);
	FILE *f = fopen(next, "we");
	int err = 0;

	if (!f)
		return fail(c->r, "pidfile", errno, "%s", next);
	if (fprintf(f, "%d\n", pid) < 0)
		err = EIO;
	if (fclose(f) != 0 || (!err && rename(next, path) < 0))
		err = errno;
	if (!err)
		return 0;
	unlink(next);
	return fail(c->r, "pidfile", err, "%s", path);
}

/* The upgrade is done: what fails from here on is told, and undoes nothing. */
static int stop_old(struct upgrade *u)
{
	struct cmd *c = u->c;
	pid_t pid = (pid_t)c->o->old_pid;
	unsigned limit = c->o->timeout ? c->o->timeout : DEFAULT_TIMEOUT;

	if (u->stop && syscall(SYS_pidfd_send_signal, u->old, u->stop, NULL, 0) < 0 &&
	    errno != ESRCH)
		return fail(c->r, "upgrade-stop", errno,
			    "pid %d: send signal %d; the new program, "
			    "pid %d, serves beside it",
			    pid, u->stop, c->pid);
	if (!c->o->pidfile)
		return 0;
	/* Many programs remove their pidfile as the last thing. */
	if (u->stop && fdwait(u->old, POLLIN, fdwait_until((int)limit * 1000)))
		cmd_warn("pid %d has not ended within %u s; the pidfile is written all the same",
			 pid, limit);
	return write_pidfile(c, c->pid);
}

static int run(struct upgrade *u)
{
	struct cmd *c = u->c;
	struct fd_upgrade up;
	int ret = keeper_begin(&u->keeper);

	if (ret < 0)
		return fail(c->r, "upgrade-start", -ret, "start a keeper");
	ret = fd_upgrade_start(&up, &u->o);
	reach_end(&u->reach);
	if (!ret)
		ret = fd_upgrade_commit(&up);
	keeper_end(&u->keeper);
	if (ret) {
		end_children();
		return failed(u, ret, up.why);
	}
	c->pid = up.pid;
	log_info(c->r, "pid %d has taken over from pid %d", up.pid, u->o.old);
	/* A service manager that has started us wants to know whom to look after. */
	fd_notify(arena_printf(c->o->arena, "MAINPID=%d\nREADY=1", up.pid), NULL, 0);
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
	struct upgrade u = { .c = c, .old = -1, .o = { .arg = &u, .started = started } };
	const char **argv = NULL;
	size_t n = 0;
	int ret;

	session_log_stderr(c);
	for (size_t i = 0; i < c->o->nr_args; i++)
		arena_push(c->o->arena, argv, n) = c->o->args[i];
	arena_push(c->o->arena, argv, n) = NULL;
	u.o.argv = argv;
	u.o.timeout_ms = 1000 * (c->o->timeout ? c->o->timeout : DEFAULT_TIMEOUT);
	for (int i = 0; i < REACH_MAX; i++)
		u.reach.fds[i] = -1;
	ret = parse_hand(&u);
	if (ret >= 0)
		ret = parse_ready(&u);
	if (ret >= 0)
		ret = parse_stop(&u);
	if (ret >= 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		ret = fail(c->r, "subreaper", errno, "become a subreaper");
	if (ret >= 0)
		ret = take_old(&u);
	if (ret >= 0)
		ret = run(&u);
	fdset_close(&u.set);
	close_owned(&u.old);
	return ret;
}
