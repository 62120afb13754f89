/*
 * test_errors - the table of error ids against the sources: every id that is
 * recorded somewhere is in the table, every row is recorded somewhere, and
 * docs/ERRORS.md is what `explain` prints.
 */
#include <check.h>
#undef fail /* check.h has one of its own, long deprecated */

#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/errors.h"
#include "tests/unit/run_tests.h"

/* Rows of errors.def; those after them are made from the file types. */
enum {
	OWN_ROWS = 0
#define ERROR(id, class, cause, cure) +1
#include "cmd/errors.def"
#undef ERROR
};

static char used[512]; /* by row */
static char missing[2000];

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = NULL;
	size_t size = 0;

	ck_assert_msg(f != NULL, "%s", path);
	if (getdelim(&text, &size, '\0', f) < 0) {
		free(text);
		text = strdup("");
	}
	fclose(f);
	return text;
}

/* Goes to the top of the sources: the run starts somewhere else. */
static void go_home(void)
{
	const char *build = getenv("BUILD");

	if (build)
		ck_assert_int_eq(chdir(build), 0);
	while (access("criu-lite/cmd/errors.def", R_OK) < 0) {
		char cwd[PATH_MAX];

		ck_assert_ptr_nonnull(getcwd(cwd, sizeof(cwd)));
		ck_assert_msg(strcmp(cwd, "/"), "the sources are not above %s", build);
		ck_assert_int_eq(chdir(".."), 0);
	}
}

/* A string literal at @p that can be an id: lower case, digits, dashes. */
static size_t id_at(const char *p, char *id, size_t size)
{
	size_t len;

	if (*p != '"')
		return 0;
	len = strspn(p + 1, "abcdefghijklmnopqrstuvwxyz0123456789-");
	if (!len || p[1 + len] != '"' || len >= size)
		return 0;
	memcpy(id, p + 1, len);
	id[len] = '\0';
	return len;
}

static void see(const char *id, const char *path)
{
	const struct error_row *row = error_find(id);
	size_t len = strlen(missing);

	if (row)
		used[row - error_rows] = 1;
	else
		snprintf(missing + len, sizeof(missing) - len, "%s (%s) ", id, path);
}

/* Every quoted word of a file: one that is an id of the table is in use. */
static void scan_words(const char *text)
{
	char id[64];

	for (const char *p = text; (p = strchr(p, '"')); p++)
		if (id_at(p, id, sizeof(id)) && error_find(id))
			used[error_find(id) - error_rows] = 1;
}

/* Every call of a macro that records a cause: its first literal is an id. */
static void scan_calls(const char *text, const char *path)
{
	static const char *const calls[] = { " fail(",       "\tfail(",       "(fail(",
					     "report_fail(", "file_blocker(", "reader_fail(",
					     "engine_judge(" };
	char id[64];

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		for (const char *p = text; (p = strstr(p, calls[i])); p++) {
			const char *q = p + strcspn(p, "\";");

			if (id_at(q, id, sizeof(id)))
				see(id, path);
		}
}

static int visit(const char *path, const struct stat *st, int type, struct FTW *at)
{
	size_t len = strlen(path);
	char *text;

	if (type != FTW_F || len < 2 ||
	    (strcmp(path + len - 2, ".c") && strcmp(path + len - 2, ".h")))
		return 0;
	text = slurp(path);
	scan_words(text);
	scan_calls(text, path);
	free(text);
	return 0;
}

START_TEST(ids_of_the_sources)
{
	char unused[2000] = "";

	go_home();
	ck_assert_uint_le(error_rows_nr, sizeof(used));
	ck_assert_int_eq(nftw("criu-lite", visit, 16, FTW_PHYS), 0);
	ck_assert_int_eq(nftw("dump", visit, 16, FTW_PHYS), 0);
	ck_assert_int_eq(nftw("restore", visit, 16, FTW_PHYS), 0);
	ck_assert_msg(!*missing, "not in errors.def: %s", missing);
	for (size_t i = 0; i < OWN_ROWS; i++)
		if (!used[i]) {
			strncat(unused, error_rows[i].id, sizeof(unused) - strlen(unused) - 2);
			strcat(unused, " ");
		}
	ck_assert_msg(!*unused, "in errors.def, but never recorded: %s", unused);
}
END_TEST

START_TEST(table)
{
	for (size_t i = 0; i < error_rows_nr; i++) {
		const struct error_row *row = &error_rows[i];

		ck_assert_msg(!i || i >= OWN_ROWS || strcmp(error_rows[i - 1].id, row->id) < 0,
			      "%s is not in its place", row->id);
		ck_assert_uint_lt(strlen(row->id), 32);
		ck_assert_msg(*row->cause && *row->cure, "%s", row->id);
		ck_assert_int_ge(row->class, CLASS_OTHER);
		ck_assert_int_le(row->class, CLASS_DIFFERS);
	}
	ck_assert_ptr_null(error_find("no-such-id"));
}
END_TEST

START_TEST(page)
{
	char *text = NULL, *file;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	go_home();
	explain_all(out);
	fclose(out);
	file = slurp("docs/ERRORS.md");
	ck_assert_msg(!strcmp(file, text),
		      "docs/ERRORS.md is out of date: criu-lite explain > docs/ERRORS.md");
	free(file);
	free(text);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("errors");

	tcase_add_test(t, ids_of_the_sources);
	tcase_add_test(t, table);
	tcase_add_test(t, page);
	return run_tests("errors", t);
}
