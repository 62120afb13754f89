/*
 * options - the words of the command line, by the table of option_rows.c.
 * Whatever is wrong is recorded, all of it at once; nothing is left out in
 * silence. Configuration files come first, so that the command line wins.
 */
#include "cmd/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/report.h"

/* One option as found on the command line. */
struct given {
	const struct option_row *row;
	bool negated;
	const char *arg;
};

static bool takes_arg(const struct option_row *row)
{
	return row->arg && row->arg[0] != '[';
}

static bool may_take_arg(const struct option_row *row)
{
	return row->arg && row->arg[0] == '[';
}

/**
 * option_find - look up an option by its long name
 * @name: without dashes, perhaps with "no-" before a flag
 * @negated: set to whether it was
 *
 * Return: its row, or NULL.
 */
const struct option_row *option_find(const char *name, bool *negated)
{
	for (size_t i = 0; i < option_rows_nr; i++) {
		const struct option_row *row = &option_rows[i];

		if (!strcmp(name, row->name)) {
			*negated = false;
			return row;
		}
		if (row->type == OPT_FLAG && !strcmp(name, row->no)) {
			*negated = true;
			return row;
		}
	}
	return NULL;
}

static int parse_number(const char *arg, unsigned long max, unsigned long *out, const char **end)
{
	char *stop;
	unsigned long n;

	if (arg[0] < '0' || arg[0] > '9')
		return -EINVAL;
	errno = 0;
	n = strtoul(arg, &stop, 10);
	if (errno || n > max)
		return -ERANGE;
	*out = n;
	*end = stop;
	return 0;
}

static int set_number(struct options *o, const struct option_row *row, const char *arg)
{
	unsigned long n;
	const char *end;

	if (parse_number(arg, INT_MAX, &n, &end) < 0 || *end)
		return -EINVAL;
	*(unsigned *)((char *)o + row->field) = (unsigned)n;
	return 0;
}

static int set_size(struct options *o, const struct option_row *row, const char *arg)
{
	static const char units[] = "KMG";
	unsigned long n;
	const char *end, *unit;
	unsigned shift = 0;

	if (parse_number(arg, ULONG_MAX, &n, &end) < 0)
		return -EINVAL;
	if (*end) {
		unit = strchr(units, *end & ~0x20);
		if (!unit || !*unit || end[1])
			return -EINVAL;
		shift = 10 * (unsigned)(unit - units + 1);
	}
	if (n > ULONG_MAX >> shift)
		return -ERANGE;
	*(uint64_t *)((char *)o + row->field) = (uint64_t)n << shift;
	return 0;
}

/*
 * -v is one more, -v3 three, -vvv three more. "-verbosity=0" with one dash is
 * -v with the argument "erbosity=0": scripts do write it.
 */
static int set_verbosity(struct options *o, const char *arg)
{
	unsigned long n;
	const char *end;
	size_t more;

	if (!arg) {
		o->verbosity++;
	} else if (more = strspn(arg, "v"), more && !arg[more]) {
		o->verbosity += (unsigned)more + 1;
	} else {
		if (!strncmp(arg, "erbosity=", 9))
			arg += 9;
		if (parse_number(arg, INT_MAX, &n, &end) < 0 || *end)
			return -EINVAL;
		o->verbosity = (unsigned)n;
	}
	if (o->verbosity > 4)
		o->verbosity = 4;
	return 0;
}

static bool word_in(const char *words, const char *word)
{
	size_t len = strlen(word);

	for (const char *p = words; len && (p = strstr(p, word)); p += len)
		if (p > words && p[-1] == ' ' && p[len] == ' ')
			return true;
	return false;
}

static int set_numbers(struct options *o, const struct option_row *row, const char *arg)
{
	struct option_list *list = (struct option_list *)((char *)o + row->list);
	const char *end;
	unsigned long n;

	do {
		if (parse_number(arg, UINT32_MAX, &n, &end) < 0 || (*end && *end != ','))
			return -EINVAL;
		arena_push(o->arena, list->v, list->n) = arena_printf(o->arena, "%lu", n);
		arg = end + 1;
	} while (*end);
	return 0;
}

static int set_value(struct options *o, const struct option_row *row, const char *arg)
{
	char *field = (char *)o + row->field;
	struct option_list *list;

	switch (row->type) {
	case OPT_TEXT:
		*(const char **)field = arg;
		return *arg ? 0 : -EINVAL;
	case OPT_LIST:
		list = (struct option_list *)field;
		arena_push(o->arena, list->v, list->n) = arg;
		return *arg ? 0 : -EINVAL;
	case OPT_NUMBER:
	case OPT_FD:
		return set_number(o, row, arg);
	case OPT_SIZE:
		return set_size(o, row, arg);
	case OPT_VERBOSITY:
		return set_verbosity(o, arg);
	default:
		return -EINVAL;
	}
}

static int refuse(struct report *r, const struct option_row *row, const char *arg,
		  const char *where)
{
	return fail(r, "option-unsupported", 0, "%s--%s%s%s is not supported by this version: %s",
		    where, row->name, arg ? " " : "", arg ? arg : "", row->lacks);
}

/**
 * option_apply - set one option
 * @o: what is set
 * @r: where a refusal is recorded
 * @row: the option
 * @negated: it was given as --no-NAME
 * @arg: its argument or NULL; stays referenced
 * @where: put before the name in a refusal: "" or "FILE:LINE: "
 *
 * Return: 0 or -errno, recorded.
 */
int option_apply(struct options *o, struct report *r, const struct option_row *row, bool negated,
		 const char *arg, const char *where)
{
	if (row->type == OPT_FLAG && negated && arg)
		return fail(r, "option-value", 0, "%s--no-%s takes no argument", where, row->name);
	if (!row->help)
		return negated ? 0 : refuse(r, row, NULL, where);
	if (row->type == OPT_FLAG) {
		if (arg && !row->list)
			return refuse(r, row, arg, where);
		if (arg && set_numbers(o, row, arg) < 0)
			return fail(r, "option-value", 0, "%s--%s: '%s' is not a valid %s", where,
				    row->name, arg, row->arg);
		*(bool *)((char *)o + row->field) = !negated;
		return 0;
	}
	if (row->type == OPT_WORD) {
		if (!arg)
			arg = "soft"; /* what --manage-cgroups means by itself */
		if (word_in(row->words, arg)) {
			if (row->field)
				*(const char **)((char *)o + row->field) = arg;
			return 0;
		}
		if (row->lacks)
			return refuse(r, row, arg, where);
		return fail(r, "option-value", 0, "%s--%s: '%s' is not one of%s", where, row->name,
			    arg, row->words);
	}
	if (!arg && row->type != OPT_VERBOSITY)
		return fail(r, "option-value", 0, "%s--%s needs an argument: %s", where, row->name,
			    row->arg);
	if (set_value(o, row, arg) < 0)
		return fail(r, "option-value", 0, "%s--%s: '%s' is not a valid %s", where,
			    row->name, arg, row->arg);
	return 0;
}

/* What getopt_long() wants: long options, two for a flag, and the letters. */
static struct option *getopt_table(struct arena *a, char *letters)
{
	struct option *table = arena_array(a, struct option, 2 * option_rows_nr + 1), *p = table;

	letters += sprintf(letters, "-:");
	for (size_t i = 0; i < option_rows_nr; i++) {
		const struct option_row *row = &option_rows[i];
		int has = takes_arg(row)      ? required_argument
			  : may_take_arg(row) ? optional_argument
					      : no_argument;

		*p++ = (struct option){ row->name, has, NULL, 256 + (int)i };
		if (row->type == OPT_FLAG)
			*p++ = (struct option){ row->no, has, NULL, 65536 + (int)i };
		if (row->letter)
			letters += sprintf(letters, "%c%s", row->letter,
					   has == required_argument   ? ":"
					   : has == optional_argument ? "::"
								      : "");
	}
	*p = (struct option){ 0 };
	return table;
}

static const struct option_row *row_of(int c, bool *negated)
{
	*negated = c >= 65536;
	if (c >= 256)
		return &option_rows[(c - 256) % (65536 - 256)];
	for (size_t i = 0; i < option_rows_nr; i++)
		if (option_rows[i].letter == c)
			return &option_rows[i];
	return NULL;
}

static void bad_word(struct report *r, int c, char **argv)
{
	bool negated;
	const struct option_row *row = row_of(optopt, &negated);
	const char *word = argv[optind - 1];

	if (c == ':' && row)
		fail(r, "option-value", 0, "--%s needs an argument: %s", row->name, row->arg);
	else if (row && optopt >= 256)
		fail(r, "option-value", 0, "--%s%s takes no argument", negated ? "no-" : "",
		     row->name);
	else if (optopt)
		fail(r, "option-unknown", 0, "unknown option -%c", optopt);
	else
		fail(r, "option-unknown", 0, "unknown or ambiguous option %s", word);
}

static void take_verb(struct options *o, struct report *r, const char *word)
{
	static const char *const criu[] = { "pre-dump", "page-server", "dedup", "lazy-pages",
					    "exec" };

	for (o->verb = 0; o->verb < VERBS; o->verb++)
		if (!strcmp(word, verb_name(o->verb)))
			return;
	for (size_t i = 0; i < sizeof(criu) / sizeof(criu[0]); i++)
		if (!strcmp(word, criu[i])) {
			fail(r, "command-unsupported", 0,
			     "the command %s is not supported by this version", word);
			return;
		}
	fail(r, "command-unknown", 0, "unknown command %s", word);
}

/*
 * Options of another command: CRIU takes them and they do nothing, so they are
 * told of. --verify is not CRIU's.
 */
static void check_verb(const struct options *o, struct report *r, const struct given *g)
{
	const char *name = g->row->name, *verb = verb_name(o->verb);

	if (o->verb == VERB_NONE || (g->row->verbs & (1u << o->verb)))
		return;
	if (((1u << o->verb) & VERBS_OF_CRIU) && (g->row->verbs & VERBS_OF_CRIU) &&
	    g->row->field != offsetof(struct options, verify))
		fprintf(stderr, "criu-lite: Warn: --%s has no meaning for %s\n", name, verb);
	else
		fail(r, "option-unknown", 0, "--%s is not an option of %s", name, verb);
}

static void check_whole(const struct options *o, struct report *r)
{
	static const struct {
		size_t min, max;
		const char *synopsis;
	} takes[VERBS] = {
#define VERB(name, min, max, synopsis, summary) { min, max, synopsis },
#include "cmd/verbs.def"
#undef VERB
	};

	if (o->help || o->version || o->verb == VERB_NONE)
		return;
	if (o->nr_args < takes[o->verb].min || o->nr_args > takes[o->verb].max)
		fail(r, "command-arguments", 0, "usage: criu-lite %s %s", verb_name(o->verb),
		     takes[o->verb].synopsis);
	if (o->verb == VERB_dump && !o->tree)
		fail(r, "option-missing", 0, "dump needs -t PID, the root of the tree");
	if (o->verb == VERB_dump && o->leave_running && o->leave_stopped)
		fail(r, "option-conflict", 0,
		     "--leave-running and --leave-stopped exclude each other");
	if (o->verb == VERB_upgrade && (!o->old_pid || o->program))
		fail(r, "option-missing", 0,
		     "upgrade needs --pid PID, and -- before the new program");
	if (o->verb == VERB_restore && (o->files_only != (o->nr_args > 0) || o->program))
		fail(r, "command-arguments", 0, "--files-only and a program behind -- go together");
	if (o->verb == VERB_restore && o->sibling && !o->detach)
		fail(r, "option-conflict", 0, "--restore-sibling needs --restore-detached");
}

/**
 * options_parse - read configuration files and the command line
 * @o: filled; o->arena is the caller's
 * @r: where everything wrong is recorded
 * @argc: as main() has it
 * @argv: as main() has it; stays referenced
 *
 * Return: 0, or -EINVAL with at least one cause recorded.
 */
int options_parse(struct options *o, struct report *r, int argc, char **argv)
{
	size_t nr = 0, before = report_count(r);
	struct given *list = NULL;
	char letters[256];
	struct option *table = getopt_table(o->arena, letters);
	int c;

	o->verb = VERB_NONE;
	o->verbosity = LOG_WARN;
	o->default_config = true;
	o->images_dir = ".";
	o->status_fd = o->close_fd = -1;
	o->cycles = 1;
	optind = 0;
	opterr = 0;
	while ((c = getopt_long(argc, argv, letters, table, NULL)) != -1) {
		struct given g = { .arg = optarg };

		if (c == '?' || c == ':') {
			bad_word(r, c, argv);
		} else if (c == 1 && o->verb == VERB_NONE) {
			take_verb(o, r, optarg);
		} else if (c == 1) {
			arena_push(o->arena, o->args, o->nr_args) = optarg;
		} else {
			g.row = row_of(c, &g.negated);
			arena_push(o->arena, list, nr) = g;
			if (!strcmp(g.row->name, "config") ||
			    !strcmp(g.row->name, "default-config"))
				option_apply(o, r, g.row, g.negated, g.arg, "");
		}
	}
	o->program = o->nr_args;
	for (; optind < argc; optind++) {
		if (o->verb == VERB_NONE)
			take_verb(o, r, argv[optind]);
		else
			arena_push(o->arena, o->args, o->nr_args) = argv[optind];
	}
	config_apply(o, r);
	for (size_t i = 0; i < nr; i++) {
		check_verb(o, r, &list[i]);
		option_apply(o, r, list[i].row, list[i].negated, list[i].arg, "");
	}
	if (o->rpc_config)
		config_apply_last(o, r);
	if (report_count(r) == before)
		check_whole(o, r);
	return report_count(r) > before ? -EINVAL : 0;
}
