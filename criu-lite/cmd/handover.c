/*
 * handover - a new program that takes descriptors over. Until the commit it is
 * ended with all that it has started when something goes wrong: by us, or by
 * the keeper if we are killed.
 */
#include "cmd/handover.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "cmd/cmd.h"
#include "lib/fdlisten.h"

#define DEFAULT_TIMEOUT 10 /* seconds */

static int parse_hand(struct handover *h)
{
	const char *text = h->c->o->hand, *eq;

	h->o.hand = FD_HAND_LISTEN;
	if (!text || !strcmp(text, "LISTEN_FDS"))
		return 0;
	eq = strchr(text, '=');
	if (!eq || eq == text || !strstr(eq, "%d"))
		return fail(h->c->r, "option-value", 0,
			    "--env %s: neither LISTEN_FDS nor NAME=PATTERN with %%d in it", text);
	h->o.hand = FD_HAND_ENV;
	h->o.env_name = arena_printf(h->c->o->arena, "%.*s", (int)(eq - text), text);
	h->o.env_pattern = eq + 1;
	return 0;
}

static int ask_reach(void *arg, pid_t successor)
{
	return reach_look(&((struct handover *)arg)->reach, successor);
}

/* That it was executed is enough. */
static int ask_nothing(void *arg, pid_t successor)
{
	(void)arg;
	(void)successor;
	return 1;
}

static void started(void *arg, pid_t successor)
{
	keeper_tell(&((struct handover *)arg)->keeper, successor);
}

static int parse_ready(struct handover *h, const char *text)
{
	h->o.ready = FD_READY_ASK;
	if (!strcmp(text, "notify")) {
		h->o.ready = FD_READY_NOTIFY;
		return 0;
	}
	if (!strcmp(text, "exec")) {
		h->o.ask = ask_nothing;
		return 0;
	}
	if (!strcmp(text, "offer")) {
		if (h->c->o->hand)
			return fail(
				h->c->r, "option-conflict", 0,
				"--ready offer hands the descriptors over itself, without --env");
		h->o.ready = FD_READY_OFFER;
		h->o.hand = FD_HAND_OFFER;
		return 0;
	}
	if (strncmp(text, "probe:", 6) || reach_begin(&h->reach, text + 6) < 0)
		return fail(h->c->r, "option-value", 0,
			    "--ready %s: not notify, offer, exec, or probe: and an address such as "
			    "127.0.0.1:80, [::1]:80, /path or @name",
			    text);
	h->o.ask = ask_reach;
	return 0;
}

/**
 * handover_parse - what the options and the words behind -- say
 * @c: the run
 * @h: filled
 * @ready: what --ready is without the option
 *
 * Makes this process a subreaper: what the new program starts stays below it.
 *
 * Return: 0 or -errno, recorded.
 */
int handover_parse(struct cmd *c, struct handover *h, const char *ready)
{
	const struct options *o = c->o;
	const char **argv = NULL;
	size_t n = 0;
	int ret;

	*h = (struct handover){ .c = c, .o = { .arg = h, .started = started } };
	for (int i = 0; i < REACH_MAX; i++)
		h->reach.fds[i] = -1;
	for (size_t i = o->program; i < o->nr_args; i++)
		arena_push(o->arena, argv, n) = o->args[i];
	arena_push(o->arena, argv, n) = NULL;
	h->o.argv = argv;
	h->o.timeout_ms = 1000 * (o->timeout ? o->timeout : DEFAULT_TIMEOUT);
	ret = parse_hand(h);
	if (ret >= 0)
		ret = parse_ready(h, o->ready ? o->ready : ready);
	if (ret >= 0 && prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		ret = fail(c->r, "subreaper", errno, "become a subreaper");
	return ret;
}

/* One look at who our children are; those of @others are left out. */
static size_t children(struct arena *a, const pid_t *others, size_t nr_others, pid_t **out)
{
	char path[64];
	size_t n = 0;
	int child;
	FILE *f;

	*out = NULL;
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	f = fopen(path, "re");
	while (f && fscanf(f, "%d", &child) == 1) {
		bool known = false;

		for (size_t i = 0; i < nr_others; i++)
			known |= others[i] == child;
		if (!known)
			arena_push(a, *out, n) = child;
	}
	if (f)
		fclose(f);
	return n;
}

/* Processes of the new program that have left its session have come to us, as a subreaper. */
static void end_children(struct handover *h)
{
	pid_t *list;
	size_t n;

	for (int tries = 0; tries < 100; tries++) {
		n = children(h->c->o->arena, h->others, h->nr_others, &list);
		if (!n)
			return;
		for (size_t i = 0; i < n; i++) {
			kill(list[i], SIGKILL);
			waitpid(list[i], NULL, 0);
		}
	}
}

static int failed(struct handover *h, int ret)
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
	fail(h->c->r, id, 0, "%s; %s", h->up.why, h->instead);
	return ret;
}

/**
 * handover_start - start the new program and wait until it is ready
 * @h: the handover
 * @items: descriptors, which stay open here
 * @at: their numbers in the new program where a variable names them
 * @n: how many
 *
 * Return: 0, and handover_commit() or handover_cancel() is to be called; or
 * -errno, recorded, and nothing is left.
 */
int handover_start(struct handover *h, const struct fd_item *items, const int *at, size_t n)
{
	int ret;

	h->nr_others = children(h->c->o->arena, NULL, 0, &h->others);
	ret = keeper_begin(&h->keeper, h->stays);
	if (ret < 0)
		return fail(h->c->r, "upgrade-start", -ret, "start a keeper; %s", h->instead);
	h->o.items = items;
	h->o.at = at;
	h->o.n = n;
	ret = fd_upgrade_start(&h->up, &h->o);
	reach_end(&h->reach);
	if (!ret) {
		h->running = true;
		return 0;
	}
	keeper_end(&h->keeper);
	end_children(h);
	return failed(h, ret);
}

/**
 * handover_commit - the new program stays
 * @h: the handover, started
 *
 * Return: 0, or -errno, recorded: it has died.
 */
int handover_commit(struct handover *h)
{
	int ret = fd_upgrade_commit(&h->up);

	h->running = false;
	keeper_end(&h->keeper);
	if (ret) {
		end_children(h);
		return failed(h, ret);
	}
	h->c->pid = h->up.pid;
	/* A service manager that has started us wants to know whom to look after. */
	fd_notify(arena_printf(h->c->o->arena, "MAINPID=%d\nREADY=1", h->up.pid), NULL, 0);
	return 0;
}

/**
 * handover_cancel - end the new program, if it runs
 * @h: the handover
 */
void handover_cancel(struct handover *h)
{
	if (!h->running)
		return;
	fd_upgrade_cancel(&h->up);
	h->running = false;
	keeper_end(&h->keeper);
	end_children(h);
}

/**
 * handover_pidfile - write a pid to the file of --pidfile
 * @c: the run
 * @pid: the pid
 *
 * A reader sees the old content or the new one.
 *
 * Return: 0 or -errno, recorded.
 */
int handover_pidfile(struct cmd *c, pid_t pid)
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
