/*
 * config - configuration files: one option per line, as on the command line
 * without the dashes, an argument after white space, in double quotes if it
 * has some itself. `#` starts a comment. The order, each overriding what came
 * before: /etc/criu/default.conf, ~/.criu/default.conf, $CRIU_CONFIG_FILE,
 * --config. The file that a request of the RPC names overrides the request. An option that means
 * nothing to the command in hand is left out: the files serve all commands.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/report.h"
#include "cmd/options.h"

/* Ends the line where a comment starts: at the first # outside quotes. */
static void cut_comment(char *line)
{
	bool quoted = false;

	for (char *p = line; *p; p++) {
		if (p[0] == '\\' && p[1] == '"')
			p++;
		else if (*p == '"')
			quoted = !quoted;
		else if (*p == '#' && !quoted)
			*p = '\0';
		if (!*p)
			return;
	}
}

/*
 * The next word of a line, cut in place; *p moves behind it.
 * Return: the word, or NULL at the end or at a quote without its end (*p then
 * stands on the quote).
 */
static char *next_word(char **p)
{
	char *s = *p + strspn(*p, " \t\r\n"), *word, *to;

	*p = s;
	if (!*s)
		return NULL;
	if (*s != '"') {
		word = s;
		s += strcspn(s, " \t\r\n");
		*p = *s ? s + 1 : s;
		*s = '\0';
		return word;
	}
	for (word = to = ++s; *s && *s != '"'; s++) {
		if (s[0] == '\\' && s[1] == '"')
			s++;
		*to++ = *s;
	}
	if (!*s)
		return NULL;
	*to = '\0';
	*p = s + 1;
	return word;
}

static int apply_line(struct options *o, struct report *r, char *line, const char *where)
{
	char *p = line, *name, *arg;
	const struct option_row *row;
	bool negated;

	cut_comment(line);
	name = next_word(&p);
	if (!name)
		return *p == '"' ? fail(r, "config-syntax", 0, "%sa quote without its end", where)
				 : 0;
	arg = next_word(&p);
	if (*p == '"')
		return fail(r, "config-syntax", 0, "%sa quote without its end", where);
	if (arg && (next_word(&p) || *p == '"'))
		return fail(r, "config-syntax", 0, "%smore than one argument after %s", where,
			    name);
	if (name[0] == '-')
		return fail(r, "config-syntax", 0, "%s%s: options are written without dashes here",
			    where, name);
	row = option_find(name, &negated);
	if (!row)
		return fail(r, "option-unknown", 0, "%sunknown option %s", where, name);
	if (!strcmp(row->name, "config") || !strcmp(row->name, "default-config") ||
	    !strcmp(row->name, "help") || !strcmp(row->name, "version"))
		return fail(r, "config-syntax", 0, "%s%s belongs on the command line", where, name);
	if (o->verb != VERB_NONE && !(row->verbs & (1u << o->verb)))
		return 0;
	return option_apply(o, r, row, negated, arg ? arena_strdup(o->arena, arg) : NULL, where);
}

static void apply_file(struct options *o, struct report *r, const char *path, bool must_exist)
{
	FILE *f = fopen(path, "re");
	char *line = NULL;
	size_t size = 0;
	unsigned nr = 0;

	if (!f) {
		if (must_exist)
			fail(r, "config-file", errno, "cannot open the configuration file %s",
			     path);
		else if (errno != ENOENT && errno != ENOTDIR)
			fprintf(stderr, "criu-lite: Warn: %s left out: %s\n", path,
				strerror(errno));
		return;
	}
	while (getline(&line, &size, f) >= 0)
		apply_line(o, r, line, arena_printf(o->arena, "%s:%u: ", path, ++nr));
	if (ferror(f))
		fail(r, "config-file", errno, "cannot read the configuration file %s", path);
	free(line);
	fclose(f);
}

/**
 * config_apply - read every configuration file that applies
 * @o: o->default_config and o->config say which; set from them
 * @r: where everything wrong is recorded
 *
 * Return: 0, or -EINVAL with causes recorded.
 */
int config_apply(struct options *o, struct report *r)
{
	size_t before = report_count(r);
	const char *home = getenv("HOME"), *env = getenv("CRIU_CONFIG_FILE");

	if (o->default_config) {
		apply_file(o, r, "/etc/criu/default.conf", false);
		if (home && *home)
			apply_file(o, r, arena_printf(o->arena, "%s/.criu/default.conf", home),
				   false);
	}
	if (env && *env)
		apply_file(o, r, env, true);
	if (o->config)
		apply_file(o, r, o->config, true);
	return report_count(r) > before ? -EINVAL : 0;
}

/**
 * config_apply_last - read the configuration file of a request
 * @o: o->rpc_config names it; set from it
 * @r: where everything wrong is recorded
 *
 * Runtimes name one whether or not it is there.
 */
void config_apply_last(struct options *o, struct report *r)
{
	apply_file(o, r, o->rpc_config, access(o->rpc_config, F_OK) == 0);
}
