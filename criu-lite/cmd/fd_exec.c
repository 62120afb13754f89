/*
 * fd_exec - a program in the place of this one, with descriptors where it
 * looks for them.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "cmd/cmd.h"
#include "cmd/fdcmd.h"
#include "cmd/fdset.h"
#include "lib/fdlisten.h"
#include "lib/fdstart.h"

/* --at: numbers with commas between, or from 3 on. */
static int parse_numbers(struct cmd *c, const struct fd_item *items, size_t n, struct fd_place *p)
{
	const char *text = c->o->at;

	for (size_t i = 0; i < n; i++) {
		unsigned long nr = FD_LISTEN_START + i;
		char *end = NULL;

		if (text) {
			errno = 0;
			nr = strtoul(text, &end, 10);
			if (*text < '0' || *text > '9' || errno || nr > INT_MAX ||
			    *end != (i + 1 < n ? ',' : '\0'))
				return fail(c->r, "option-value", 0,
					    "--at %s: not %zu numbers with commas between",
					    c->o->at, n);
			text = end + 1;
		}
		p[i] = (struct fd_place){ items[i].fd, (int)nr };
		for (size_t k = 0; k < i; k++)
			if (p[k].to == (int)nr)
				return fail(c->r, "option-value", 0, "--at %s: %lu twice", c->o->at,
					    nr);
	}
	return 0;
}

/* The variable of --env, for descriptors at their numbers. */
static int set_variable(struct cmd *c, const struct fd_place *p, size_t n)
{
	const char *text = c->o->hand, *eq = text ? strchr(text, '=') : NULL;
	char *name, *whole;
	int ret;

	if (!text)
		return 0;
	if (!eq || eq == text || !strstr(eq, "%d"))
		return fail(c->r, "option-value", 0,
			    "--env %s: neither LISTEN_FDS nor NAME=PATTERN with %%d in it", text);
	name = arena_printf(c->o->arena, "%.*s", (int)(eq - text), text);
	whole = fdstart_numbers(name, eq + 1, p, n);
	ret = whole ? setenv(name, whole + strlen(name) + 1, 1) : -1;
	free(whole);
	return ret < 0 ? fail(c->r, "no-memory", ENOMEM, "the variable of --env") : 0;
}

static int place(struct cmd *c, const struct fd_item *items, size_t n)
{
	struct fd_place *p = arena_array(c->o->arena, struct fd_place, n + 1);
	int ret;

	if (!c->o->at && (!c->o->hand || !strcmp(c->o->hand, "LISTEN_FDS"))) {
		ret = fd_listen_give(items, n);
	} else {
		ret = parse_numbers(c, items, n, p);
		if (ret >= 0)
			ret = set_variable(c, p, n);
		if (ret < 0)
			return ret;
		ret = fd_place(p, n);
	}
	return ret ? fail(c->r, "fd-exec", -ret, "put %zu descriptors at their numbers", n) : 0;
}

/**
 * fdcmd_program - execute the program behind --
 * @c: the run
 * @items: its descriptors
 * @n: how many
 *
 * Return: -errno, recorded: it cannot be executed.
 */
int fdcmd_program(struct cmd *c, const struct fd_item *items, size_t n)
{
	const struct options *o = c->o;
	const char **argv = arena_array(o->arena, const char *, o->nr_args + 1);
	int ret = place(c, items, n);

	if (ret < 0)
		return ret;
	memcpy(argv, o->args + o->program, (o->nr_args - o->program) * sizeof(*argv));
	signal(SIGPIPE, SIG_DFL);
	execvp(argv[0], (char *const *)argv);
	return fail(c->r, "fd-exec", errno, "execute %s", argv[0]);
}

static int run(struct cmd *c, const char **args, size_t n, bool from_others)
{
	struct fdset s = { 0 };
	int ret = 0;

	for (size_t i = 0; ret >= 0 && i < n; i++) {
		if (from_others && (!strchr(args[i], ':') || strstr(args[i], "listen:")))
			ret = fail(c->r, "option-value", 0, "'%s' is not [NAME=]PID:NUMBER",
				   args[i]);
		else
			ret = fdset_spec(c, &s, args[i]);
	}
	if (ret >= 0 && c->o->program < c->o->nr_args)
		ret = fdcmd_program(c, s.items, s.n);
	else if (ret >= 0)
		fdset_print(c, s.items, s.n, "");
	fdset_close(&s);
	return ret;
}

/**
 * fd_exec - `fd exec [DESCRIPTOR]... -- PROGRAM`
 * @c: the run
 * @args: the words
 * @n: how many
 *
 * Return: 0 or -errno, recorded.
 */
int fd_exec(struct cmd *c, const char **args, size_t n)
{
	if (c->o->program == c->o->nr_args)
		return fail(c->r, "command-arguments", 0, "fd exec needs a program behind --");
	return run(c, args, n, false);
}

/**
 * fd_take_words - `fd take PID:NUMBER... [-- PROGRAM]`
 * @c: the run
 * @args: the words
 * @n: how many
 *
 * Return: 0 or -errno, recorded.
 */
int fd_take_words(struct cmd *c, const char **args, size_t n)
{
	return run(c, args, n, true);
}
