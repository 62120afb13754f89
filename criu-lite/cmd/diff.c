/*
 * diff - two snapshots compared. Ends with 0 for the same, 1 for different,
 * and 2 for trouble.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <json-c/json.h>

#include "cmd/cmd.h"
#include "model/state.h"

static void print_result(struct cmd *c, char *text, size_t n)
{
	struct json_object *o = json_object_new_object(), *list = json_object_new_array();
	char *save = NULL;

	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		json_object_array_add(list, json_object_new_string(l));
	json_object_object_add(o, "ok", json_object_new_boolean(true));
	json_object_object_add(o, "command", json_object_new_string("diff"));
	json_object_object_add(o, "same", json_object_new_boolean(n == 0));
	json_object_object_add(o, "differences", list);
	print_json(o);
	json_object_put(o);
	c->answered = true;
}

static int compare(struct cmd *c, struct json_object *a, struct json_object *b)
{
	char *text = NULL;
	size_t len, n = 0;
	FILE *out = c->o->json ? open_memstream(&text, &len) : stdout;
	int ret;

	if (!out)
		return -errno;
	ret = state_diff(a, b, out, &n);
	if (c->o->json)
		fclose(out);
	if (ret >= 0 && c->o->json)
		print_result(c, text, n);
	free(text);
	return ret < 0 ? ret : n != 0;
}

/**
 * cmd_diff - `criu-lite diff A B`
 * @c: the run
 *
 * Return: 0 the same, 1 different, or -errno, recorded.
 */
int cmd_diff(struct cmd *c)
{
	struct json_object *a = NULL, *b = NULL;
	int ret;

	session_log_stderr(c);
	ret = source_state(c, c->o->args[0], &a);
	if (ret >= 0)
		ret = source_state(c, c->o->args[1], &b);
	if (ret >= 0)
		ret = compare(c, a, b);
	json_object_put(a);
	json_object_put(b);
	return ret;
}
