/*
 * test_probe - each probe answers, quickly and without a trace: no child, no
 * descriptor and no change of the process that asks is left.
 */
#include <check.h>

#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "kernel/probe.h"
#include "tests/unit/run_tests.h"

static int count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int n = 0;

	ck_assert_ptr_nonnull(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

START_TEST(answers)
{
	int before = count_fds(), ret = probes[_i].run();

	ck_assert_msg(ret <= 0 && ret != -EFAULT && ret != -EPROTO, "%s: %s", probes[_i].name,
		      strerror(-ret));
	ck_assert_msg(count_fds() == before, "%s leaves a descriptor", probes[_i].name);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
}
END_TEST

START_TEST(names)
{
	for (size_t i = 0; i < probes_nr; i++)
		ck_assert_ptr_eq(probe_find(probes[i].name), &probes[i]);
	ck_assert_ptr_null(probe_find("nonsense"));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("probe");

	tcase_add_loop_test(t, answers, 0, (int)probes_nr);
	tcase_add_test(t, names);
	return run_tests("probe", t);
}
