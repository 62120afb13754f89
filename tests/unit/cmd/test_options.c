/*
 * test_options - the words of the command line and of configuration files:
 * what is honoured, what is refused by name, and which one wins.
 */
#include <check.h>
#undef fail /* check.h has one of its own, long deprecated */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/report.h"
#include "cmd/options.h"
#include "tests/unit/run_tests.h"

struct parsed {
	struct options o;
	struct report *r;
	int ret;
};

static struct parsed parse(const char *line)
{
	struct parsed p = { .o.arena = arena_new(), .r = report_new() };
	char *copy = arena_strdup(p.o.arena, line), *save = NULL;
	static char *argv[64];
	int argc = 0;

	report_log_to(p.r, -1, LOG_MSG);
	argv[argc++] = (char *)"criu-lite";
	for (char *w = strtok_r(copy, " ", &save); w && argc < 63; w = strtok_r(NULL, " ", &save))
		argv[argc++] = w;
	argv[argc] = NULL;
	p.ret = options_parse(&p.o, p.r, argc, argv);
	return p;
}

static void drop(struct parsed *p)
{
	report_free(p->r);
	arena_free(p->o.arena);
}

static struct parsed good(const char *line)
{
	struct parsed p = parse(line);

	ck_assert_msg(p.ret == 0, "%s: %s", line,
		      report_count(p.r) ? report_cause(p.r, 0)->text : "");
	return p;
}

/* The line is refused with @count causes, the first of this id, and names @text. */
static void refused(const char *line, size_t count, const char *id, const char *text)
{
	struct parsed p = parse(line);

	ck_assert_msg(p.ret < 0, "%s: taken", line);
	ck_assert_uint_eq(report_count(p.r), count);
	ck_assert_str_eq(report_cause(p.r, 0)->id, id);
	ck_assert_msg(strstr(report_cause(p.r, 0)->text, text), "%s: %s", line,
		      report_cause(p.r, 0)->text);
	drop(&p);
}

START_TEST(criu_words)
{
	struct parsed p = good("dump --no-default-config --log-file dump.log --images-dir D "
			       "--verbosity=4 --tree 12 --pidfile P --timeout 10 "
			       "--pre-dump-mode splice --tcp-established --ghost-limit 3M");

	ck_assert_int_eq(p.o.verb, VERB_dump);
	ck_assert_uint_eq(p.o.tree, 12);
	ck_assert_uint_eq(p.o.timeout, 10);
	ck_assert_uint_eq(p.o.verbosity, 4);
	ck_assert_str_eq(p.o.log_file, "dump.log");
	ck_assert_str_eq(p.o.images_dir, "D");
	ck_assert_str_eq(p.o.pidfile, "P");
	ck_assert(p.o.tcp_established && !p.o.file_locks);
	ck_assert_uint_eq(p.o.ghost_limit, 3 << 20);
	drop(&p);

	p = good("check --no-default-config --no-default-config -verbosity=0 --feature uffd");
	ck_assert_int_eq(p.o.verb, VERB_check);
	ck_assert_uint_eq(p.o.verbosity, 0);
	ck_assert_str_eq(p.o.feature, "uffd");
	drop(&p);
}
END_TEST

START_TEST(letters_and_places)
{
	struct parsed p = good("-t 7 -D d -W w -o l -v -R -j dump -l -x");

	ck_assert_uint_eq(p.o.tree, 7);
	ck_assert_str_eq(p.o.work_dir, "w");
	ck_assert_uint_eq(p.o.verbosity, 3);
	ck_assert(p.o.leave_running && p.o.shell_job && p.o.file_locks && p.o.ext_unix_sk);
	drop(&p);
	p = good("dump -t 7 --ext-unix-sk=5,4000000000 -x7");
	ck_assert(p.o.ext_unix_sk);
	ck_assert_uint_eq(p.o.ext_unix_inos.n, 3);
	ck_assert_str_eq(p.o.ext_unix_inos.v[1], "4000000000");
	ck_assert_str_eq(p.o.ext_unix_inos.v[2], "7");
	drop(&p);
	p = good("restore -d -S -s -vvv --action-script a --action-script b");
	ck_assert(p.o.detach && p.o.sibling && p.o.leave_stopped);
	ck_assert_uint_eq(p.o.verbosity, 4);
	ck_assert_uint_eq(p.o.scripts.n, 2);
	ck_assert_str_eq(p.o.scripts.v[1], "b");
	drop(&p);
	p = good("diff -- -a b");
	ck_assert_uint_eq(p.o.nr_args, 2);
	ck_assert_str_eq(p.o.args[0], "-a");
	drop(&p);
}
END_TEST

START_TEST(verbosity)
{
	static const struct {
		const char *line;
		unsigned level;
	} rows[] = {
		{ "check", 2 },          { "check -v", 3 },          { "check -vv", 4 },
		{ "check -v0", 0 },      { "check -v1 -v", 2 },      { "check -v4 -v", 4 },
		{ "check -v99", 4 },     { "check --verbosity", 3 }, { "check --verbosity=1", 1 },
		{ "check -v -v -v", 4 },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct parsed p = good(rows[i].line);

		ck_assert_msg(p.o.verbosity == rows[i].level, "%s: %u", rows[i].line,
			      p.o.verbosity);
		drop(&p);
	}
	refused("check -vx", 1, "option-value", "--verbosity");
	refused("check -v4x", 1, "option-value", "--verbosity");
}
END_TEST

START_TEST(refusals)
{
	refused("dump -t 1 --nonsense", 1, "option-unknown", "--nonsense");
	refused("dump -t 1 -Z", 1, "option-unknown", "-Z");
	refused("dump -t", 1, "option-value", "--tree needs an argument");
	refused("dump -t 0x10", 1, "option-value", "'0x10'");
	refused("dump -t -5", 1, "option-value", "'-5'");
	refused("dump -t 99999999999", 1, "option-value", "--tree");
	refused("dump -t 1 --shell-job=yes", 1, "option-value", "takes no argument");
	refused("dump -t 1 --ghost-limit 1T", 1, "option-value", "1T");
	refused("dump -t 1 --ghost-limit 99999999999G", 1, "option-value", "G");
	refused("dump -t 1 --lazy-pages", 1, "option-unsupported", "--lazy-pages");
	refused("restore --inherit-fd", 1, "option-value", "--inherit-fd needs an argument");
	refused("dump -t 1 --manage-cgroups", 1, "option-unsupported", "--manage-cgroups soft");
	refused("dump -t 1 --manage-cgroups=full", 1, "option-unsupported", "full");
	refused("dump -t 1 --ext-unix-sk=5,", 1, "option-value", "'5,'");
	refused("dump -t 1 --ext-unix-sk=x", 1, "option-value", "--ext-unix-sk");
	refused("dump -t 1 --no-ext-unix-sk=5", 1, "option-value", "takes no argument");
	refused("dump -t 1 --network-lock tape", 1, "option-value", "tape");
	refused("dump -t 1 --network-lock nft", 1, "option-value", "nft");
	refused("dump --stream --lazy-pages --bad -t x", 4, "option-unknown", "--bad");
	refused("dump", 1, "option-missing", "-t PID");
	refused("dump -t 1 -R -s", 1, "option-conflict", "exclude");
	refused("dump -t 1 --verify", 1, "option-unknown", "--verify");
	refused("dump -t 1 extra", 1, "command-arguments", "dump");
	refused("restore -S", 1, "option-conflict", "--restore-detached");
	refused("diff a", 1, "command-arguments", "diff");
	refused("state 1 --leave-running", 1, "option-unknown", "state");
	refused("lazy-pages", 1, "command-unsupported", "lazy-pages");
	refused("nonsense", 1, "command-unknown", "nonsense");
}
END_TEST

START_TEST(negation)
{
	struct parsed p = good("dump -t 1 -R --no-leave-running --no-lazy-pages "
			       "--manage-cgroups=ignore --no-ghost-fiemap");

	ck_assert(!p.o.leave_running);
	drop(&p);
	refused("dump -t 1 --no-tree", 1, "option-unknown", "--no-tree");
}
END_TEST

static void put(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

START_TEST(configuration)
{
	char dir[] = "/tmp/cl-options-XXXXXX", line[256];
	struct parsed p;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	put("one", "# a comment\n\nleave-running # yes\n  work-dir \"/a \\\"b\\\" #c\"  # d\n"
		   "timeout 5\nrestore-detached\nno-restore-sibling\n");
	put("two", "timeout 6\nno-leave-running\n");
	setenv("CRIU_CONFIG_FILE", "one", 1);
	p = good("dump -t 1 --no-default-config");
	ck_assert(p.o.leave_running && !p.o.detach);
	ck_assert_str_eq(p.o.work_dir, "/a \"b\" #c");
	ck_assert_uint_eq(p.o.timeout, 5);
	drop(&p);
	p = good("dump -t 1 --no-default-config --config two");
	ck_assert(!p.o.leave_running);
	ck_assert_uint_eq(p.o.timeout, 6);
	drop(&p);
	p = good("dump -t 1 --no-default-config --config two --timeout 7 -R");
	ck_assert(p.o.leave_running);
	ck_assert_uint_eq(p.o.timeout, 7);
	drop(&p);
	put("bad", "nonsense\n--json\ntimeout\nlog-file \"x\nlog-file a b\nlazy-pages\nconfig x");
	refused("check --no-default-config --config bad", 6, "option-unknown", "bad:1: ");
	refused("dump -t 1 --no-default-config --config bad", 7, "option-unknown", "bad:1: ");
	refused("dump -t 1 --no-default-config --config none", 1, "config-file", "none");
	snprintf(line, sizeof(line), "rm -r %s", dir);
	ck_assert_int_eq(chdir("/"), 0);
	ck_assert_int_eq(system(line), 0);
	unsetenv("CRIU_CONFIG_FILE");
}
END_TEST

START_TEST(table)
{
	bool negated;

	for (size_t i = 0; i < option_rows_nr; i++) {
		const struct option_row *row = &option_rows[i];

		ck_assert_ptr_eq(option_find(row->name, &negated), row);
		ck_assert_msg(row->help || row->lacks, "%s: neither", row->name);
		ck_assert_msg((row->type == OPT_FLAG) == (row->no != NULL), "%s", row->name);
		if (row->no) {
			ck_assert_str_eq(row->no + 3, row->name);
			ck_assert_ptr_eq(option_find(row->no, &negated), row);
			ck_assert(negated);
		}
		for (size_t k = 0; row->letter && k < i; k++)
			ck_assert_msg(option_rows[k].letter != row->letter, "-%c twice",
				      row->letter);
	}
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("options");

	tcase_add_test(t, criu_words);
	tcase_add_test(t, letters_and_places);
	tcase_add_test(t, verbosity);
	tcase_add_test(t, refusals);
	tcase_add_test(t, negation);
	tcase_add_test(t, configuration);
	tcase_add_test(t, table);
	return run_tests("options", t);
}
