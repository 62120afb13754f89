/*
 * result - what a run says at its end: each cause once on standard error, one
 * JSON object if asked for, and the exit status.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <json-c/json.h>

#include "cmd/cmd.h"
#include "cmd/errors.h"

/**
 * cmd_warn - one line of warning on standard error
 * @fmt: as for printf(3), without a newline
 */
void cmd_warn(const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "criu-lite: Warn: %s\n", text);
}

/**
 * print_json - print an object on standard output
 * @o: the object
 *
 * Return: 0 or -EIO.
 */
int print_json(struct json_object *o)
{
	const char *text = json_object_to_json_string_ext(
		o,
		JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);

	return text && puts(text) >= 0 && fflush(stdout) == 0 ? 0 : -EIO;
}

/* The log has the causes too; on one standard error they need not stand twice. */
static void print_causes(const struct cmd *c)
{
	bool logged = c->log_fd == STDERR_FILENO && c->o->verbosity >= LOG_ERROR;
	const struct error_row *last = NULL;

	for (size_t i = 0; i < report_count(c->r); i++) {
		const struct cause *k = report_cause(c->r, i);
		const struct error_row *row;

		if (!k)
			continue;
		row = error_find(k->id);
		if (!logged)
			fprintf(stderr, "criu-lite: Error: %s%s%s [%s]\n", k->text,
				k->err ? ": " : "", k->err ? strerror(k->err) : "", k->id);
		if (row && row != last)
			fprintf(stderr, "criu-lite: Hint: %s\n", row->cure);
		last = row;
	}
}

static struct json_object *causes_json(const struct cmd *c)
{
	struct json_object *list = json_object_new_array();

	for (size_t i = 0; i < report_count(c->r); i++) {
		const struct cause *k = report_cause(c->r, i);
		struct json_object *e;
		const struct error_row *row;

		if (!k)
			continue;
		row = error_find(k->id);
		e = json_object_new_object();
		json_object_object_add(e, "id", json_object_new_string(k->id));
		json_object_object_add(e, "errno", json_object_new_int(k->err));
		json_object_object_add(e, "text", json_object_new_string(k->text));
		if (k->err)
			json_object_object_add(e, "strerror",
					       json_object_new_string(strerror(k->err)));
		if (row)
			json_object_object_add(e, "hint", json_object_new_string(row->cure));
		json_object_array_add(list, e);
	}
	return list;
}

/**
 * result_answer - print the JSON result now, if it was asked for
 * @c: the run
 * @ret: what the command returns
 */
void result_answer(struct cmd *c, int ret)
{
	struct json_object *o;

	if (!c->o->json || c->answered)
		return;
	c->answered = true;
	o = json_object_new_object();
	json_object_object_add(o, "ok", json_object_new_boolean(ret == 0));
	json_object_object_add(o, "command", json_object_new_string(verb_name(c->o->verb)));
	if (c->pid)
		json_object_object_add(o, "pid", json_object_new_int(c->pid));
	json_object_object_add(o, "errors", causes_json(c));
	if (c->stats)
		json_object_object_add(o, "stats", json_object_get(c->stats));
	print_json(o);
	json_object_put(o);
}

static int exit_status(const struct cmd *c, int ret)
{
	const struct cause *k = report_cause(c->r, 0);
	const struct error_row *row = k ? error_find(k->id) : NULL;

	if (ret >= 0)
		return ret;
	if (c->veto)
		return c->veto;
	if (c->o->verb == VERB_diff)
		return 2;
	if (!c->o->exit_codes)
		return 1;
	return row ? (int)row->class : CLASS_OTHER;
}

/**
 * result_finish - print what there is to say and choose the exit status
 * @c: the run
 * @ret: what the command has returned
 *
 * Return: the exit status.
 */
int result_finish(struct cmd *c, int ret)
{
	if (ret < 0 && !report_count(c->r))
		fail(c->r, "internal", -ret, "%s failed without a cause", verb_name(c->o->verb));
	if (ret < 0)
		print_causes(c);
	result_answer(c, ret);
	if (fflush(stdout) != 0 && ret == 0) {
		fprintf(stderr, "criu-lite: Error: cannot write to standard output\n");
		ret = -EIO;
	}
	json_object_put(c->stats);
	c->stats = NULL;
	return exit_status(c, ret);
}
