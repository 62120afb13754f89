/*
 * help - what --help prints, from the tables of verbs and options, and the
 * names of the verbs.
 */
#include <stdio.h>
#include <string.h>

#include "cmd/cmd.h"

/**
 * verb_name - the word of a subcommand
 * @verb: which one
 *
 * Return: its name; "" for VERB_NONE.
 */
const char *verb_name(enum verb verb)
{
	static const char *const names[VERBS + 1] = {
#define VERB(name, min, max, synopsis, summary) #name,
#include "cmd/verbs.def"
#undef VERB
		""
	};
	return names[verb];
}

/* The options with a meaning for @verb, or all of them. */
static void print_options(enum verb verb)
{
	for (size_t i = 0; i < option_rows_nr; i++) {
		const struct option_row *row = &option_rows[i];
		bool may = row->arg && row->arg[0] == '[';
		char name[64], arg[32] = "";

		if (!row->help || (verb != VERB_NONE && !(row->verbs & (1u << verb))))
			continue;
		if (row->arg)
			snprintf(arg, sizeof(arg), may ? "[=%.*s]" : " %.*s",
				 (int)strcspn(row->arg + may, "]"), row->arg + may);
		snprintf(name, sizeof(name), "--%s%s",
			 row->field == offsetof(struct options, default_config)
				 ? "no-default-config"
				 : row->name,
			 arg);
		if (row->letter)
			printf("  -%c, %-26s %s\n", row->letter, name, row->help);
		else
			printf("      %-26s %s\n", name, row->help);
	}
}

/**
 * print_help - the summary, or that of one command
 * @verb: the command, or VERB_NONE
 *
 * Return: 0.
 */
int print_help(enum verb verb)
{
	static const struct {
		const char *synopsis, *summary;
	} verbs[VERBS] = {
#define VERB(name, min, max, synopsis, summary) { synopsis, summary },
#include "cmd/verbs.def"
#undef VERB
	};

	if (verb != VERB_NONE) {
		printf("Usage: criu-lite %s %s [options]\n\n%s\n\nOptions:\n", verb_name(verb),
		       verbs[verb].synopsis, verbs[verb].summary);
		print_options(verb);
		return 0;
	}
	puts("Usage: criu-lite COMMAND [options]\n\nCommands:");
	for (size_t i = 0; i < VERBS; i++)
		printf("  %-8s %-18s %s\n", verb_name(i), verbs[i].synopsis, verbs[i].summary);
	puts("\nOptions (--no-NAME turns a switch off):");
	print_options(VERB_NONE);
	return 0;
}
