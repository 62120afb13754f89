/*
 * explain - what an error id means and what to do. Without an id it prints
 * all of them, as docs/ERRORS.md.
 */
#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/errors.h"
#include "model/file_desc.h"

static const char *class_text(enum error_class class)
{
	static const char *const text[] = {
		[CLASS_OTHER] = "other failure",
		[CLASS_USAGE] = "usage",
		[CLASS_REFUSED] = "cannot be dumped",
		[CLASS_DENIED] = "permission",
		[CLASS_HERE] = "does not fit this machine",
		[CLASS_IMAGE] = "damaged image",
		[CLASS_TIMEOUT] = "time limit",
		[CLASS_VETO] = "veto",
		[CLASS_DIFFERS] = "verification",
	};
	return text[class];
}

/* The rows of the file types are all alike: one stands for them. */
static const struct error_row any_type = {
	.id = "file-TYPE",
	.class = CLASS_HERE,
	.cause = "an open file, of the type TYPE (file-reg, file-pipe, ...), could not be restored",
	.cure = "put back what the line names, or see its errno",
};

static void explain_row(FILE *out, const struct error_row *row)
{
	fprintf(out, "\n## %s\n\nCause: %s.  \nCure: %s.  \nExit status: %d (%s)\n", row->id,
		row->cause, row->cure, row->class, class_text(row->class));
}

/**
 * explain_all - the whole table as a page
 * @out: where to
 */
void explain_all(FILE *out)
{
	fputs("# Errors\n\n"
	      "Every failure names its cause in one line that ends in an id in square brackets.\n"
	      "The same ids are in the result object of `--json` and in the log. This page is the\n"
	      "output of `criu-lite explain`; `criu-lite explain ID` prints one entry.\n\n"
	      "The exit status is 0 for success and 1 for any failure, with two exceptions: a "
	      "dump\n"
	      "that a post-dump action script refuses ends with the status of the script, and "
	      "`diff`\n"
	      "ends with 1 for different and 2 for trouble. With `--exit-codes` a failure ends "
	      "with\n"
	      "the number given below, that of its first cause.\n",
	      out);
	for (size_t i = 0; i < error_rows_nr - FILE_KINDS; i++)
		explain_row(out, &error_rows[i]);
	explain_row(out, &any_type);
}

/**
 * cmd_explain - `criu-lite explain [ID]`
 * @c: the run
 *
 * Return: 0 or -errno, recorded.
 */
int cmd_explain(struct cmd *c)
{
	const struct error_row *row;

	if (!c->o->nr_args) {
		explain_all(stdout);
		return 0;
	}
	row = error_find(c->o->args[0]);
	if (!row)
		return fail(c->r, "id-unknown", 0, "no error has the id %s", c->o->args[0]);
	printf("%s\n  cause: %s\n  cure:  %s\n  exit status with --exit-codes: %d (%s)\n", row->id,
	       row->cause, row->cure, row->class, class_text(row->class));
	return 0;
}
