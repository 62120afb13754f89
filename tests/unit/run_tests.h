/* run_tests - the end of every main() whose program has one test case. */
#ifndef CL_TESTS_RUN_TESTS_H
#define CL_TESTS_RUN_TESTS_H

#include <check.h>

/* Runs @t as the suite @name; returns the exit status. */
static inline int run_tests(const char *name, TCase *t)
{
	Suite *s = suite_create(name);
	SRunner *r;
	int failed;

	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

#endif
