/*
 * show - the subcommand: one side of a live tree or of an image, by a table of
 * views. Memory is not looked at.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "cmd/cmd.h"
#include "model/state.h"

static const struct view {
	const char *name;
	int (*rows)(struct json_object *state, struct json_object **rows);
	int (*print)(FILE *f, struct json_object *rows);
} views[] = {
	{ "locks", state_show_locks, state_print_locks },
	{ "doors", state_show_doors, state_print_doors },
};

static const struct view *view_find(const char *name)
{
	for (size_t i = 0; i < sizeof(views) / sizeof(*views); i++)
		if (!strcmp(views[i].name, name))
			return &views[i];
	return NULL;
}

static int show(struct cmd *c, const struct view *v, struct json_object *state)
{
	struct json_object *rows = NULL;
	int ret = v->rows(state, &rows);

	if (ret < 0)
		return fail(c->r, "state-file", -ret, "%s is not a snapshot", c->o->args[1]);
	ret = c->o->json ? print_json(rows) : v->print(stdout, rows);
	c->answered = true;
	json_object_put(rows);
	return ret ? fail(c->r, "tables", abs(ret), "print the table of %s", v->name) : 0;
}

/**
 * cmd_show - `criu-lite show VIEW PID|DIR`
 * @c: the run
 *
 * Return: 0 or -errno, recorded.
 */
int cmd_show(struct cmd *c)
{
	const struct view *v = view_find(c->o->args[0]);
	struct json_object *state = NULL;
	int ret;

	session_log_stderr(c);
	if (!v)
		return fail(c->r, "option-value", EINVAL,
			    "show %s: there is no such view; there are: locks, doors",
			    c->o->args[0]);
	ret = source_outline(c, c->o->args[1], &state);
	if (ret >= 0)
		ret = show(c, v, state);
	json_object_put(state);
	return ret;
}
