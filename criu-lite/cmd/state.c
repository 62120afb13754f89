/*
 * state - the subcommand: a canonical snapshot of a live tree or of an image.
 */
#include <stdio.h>
#include <stdlib.h>

#include <json-c/json.h>

#include "cmd/cmd.h"
#include "model/state.h"

/**
 * cmd_state - `criu-lite state PID|DIR`
 * @c: the run
 *
 * Return: 0 or -errno, recorded.
 */
int cmd_state(struct cmd *c)
{
	struct json_object *state = NULL;
	int ret;

	session_log_stderr(c);
	ret = source_state(c, c->o->args[0], &state);
	if (ret < 0)
		return ret;
	ret = c->o->json ? print_json(state) : state_print(stdout, state);
	c->answered = true;
	json_object_put(state);
	return ret ? fail(c->r, "tables", abs(ret), "print the tables") : 0;
}
