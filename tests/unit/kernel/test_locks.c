/*
 * test_locks - the lines of /proc/locks and of fdinfo, as kernels write them,
 * cut short, and those of ourselves.
 */
#include <check.h>
#undef fail

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/locks.h"

static const struct {
	const char *line;
	struct lock_line want;
} lines[] = {
	{ "12: POSIX  ADVISORY  WRITE 4711 fe:00:1171841 0 19",
	  { LOCK_POSIX, F_WRLCK, false, false, 4711, 0xfe, 0, 1171841, 0, 19 } },
	{ "1: POSIX  ADVISORY  READ 5 08:01:131 100 EOF\n2: POSIX",
	  { LOCK_POSIX, F_RDLCK, false, false, 5, 8, 1, 131, 100, UINT64_MAX } },
	{ "3: -> FLOCK  ADVISORY  READ  6 08:01:131 0 EOF",
	  { LOCK_FLOCK, F_RDLCK, false, true, 6, 8, 1, 131, 0, UINT64_MAX } },
	{ "3:     -> OFDLCK ADVISORY  WRITE -1 00:2a:7 1 2",
	  { LOCK_OFD, F_WRLCK, false, true, -1, 0, 0x2a, 7, 1, 2 } },
	{ "4: LEASE  BREAKING  UNLCK 7 00:01:9 0 EOF",
	  { LOCK_LEASE, F_UNLCK, true, false, 7, 0, 1, 9, 0, UINT64_MAX } },
	{ "4: LEASE  BREAKING  READ 7 00:01:9 0 EOF",
	  { LOCK_LEASE, F_RDLCK, true, false, 7, 0, 1, 9, 0, UINT64_MAX } },
	{ "4: -> LEASE  BREAKER   WRITE 8 00:01:9 0 EOF",
	  { LOCK_LEASE, F_WRLCK, false, true, 8, 0, 1, 9, 0, UINT64_MAX } },
	{ "4: LEASE  ACTIVE    WRITE 0 00:01:9 0 EOF",
	  { LOCK_LEASE, F_WRLCK, false, false, 0, 0, 1, 9, 0, UINT64_MAX } },
	{ "5: DELEG  ACTIVE    READ 0 00:01:9 0 EOF",
	  { LOCK_OTHER, F_RDLCK, false, false, 0, 0, 1, 9, 0, UINT64_MAX } },
};

START_TEST(line)
{
	const struct lock_line *w = &lines[_i].want;
	struct lock_line l;

	ck_assert_int_eq(lock_parse(lines[_i].line, &l), 0);
	ck_assert_int_eq(l.kind, w->kind);
	ck_assert_int_eq(l.type, w->type);
	ck_assert_int_eq(l.breaking, w->breaking);
	ck_assert_int_eq(l.waits, w->waits);
	ck_assert_int_eq(l.pid, w->pid);
	ck_assert_uint_eq(l.major, w->major);
	ck_assert_uint_eq(l.minor, w->minor);
	ck_assert_uint_eq(l.ino, w->ino);
	ck_assert_uint_eq(l.start, w->start);
	ck_assert_uint_eq(l.end, w->end);
}
END_TEST

START_TEST(cut_short)
{
	const char *whole = lines[0].line;
	struct lock_line l;
	char text[80];

	for (size_t n = 0; n + 2 < strlen(whole); n++) {
		snprintf(text, sizeof(text), "%.*s\n99: POSIX", (int)n, whole);
		ck_assert_msg(lock_parse(text, &l) == -EINVAL, "%zu bytes", n);
	}
	ck_assert_int_eq(lock_parse("pos:\t0", &l), -EINVAL);
	ck_assert_int_eq(lock_parse("", &l), -EINVAL);
}
END_TEST

START_TEST(own_fdinfo)
{
	cleanup_close int fd = memfd_create("locks", MFD_CLOEXEC);
	struct flock range = { .l_type = F_WRLCK, .l_start = 5, .l_len = 10 };
	struct proc_text t = { 0 };
	struct lock_line l;
	struct stat st;
	const char *at;
	char name[64];
	int seen = 0;

	ck_assert_int_eq(fstat(fd, &st), 0);
	ck_assert_int_eq(flock(fd, LOCK_SH), 0);
	ck_assert_int_eq(fcntl(fd, F_SETLK, &range), 0);
	range.l_start = 20;
	ck_assert_int_eq(fcntl(fd, F_OFD_SETLK, &range), 0);
	snprintf(name, sizeof(name), "/proc/self/fdinfo/%d", fd);
	ck_assert_int_eq(proc_read(AT_FDCWD, name, &t), 0);
	for (at = t.p; (at = lock_next(at, &l)); seen |= 1 << l.kind) {
		ck_assert_uint_eq(l.ino, st.st_ino);
		if (l.kind == LOCK_POSIX)
			ck_assert_int_eq(l.pid, getpid());
		if (l.kind == LOCK_OFD)
			ck_assert_uint_eq(l.end, 29);
	}
	ck_assert_int_eq(seen, 1 << LOCK_POSIX | 1 << LOCK_FLOCK | 1 << LOCK_OFD);
	proc_text_free(&t);
}
END_TEST

START_TEST(own_list)
{
	cleanup_close int fd = memfd_create("locks", MFD_CLOEXEC);
	struct lock_line *list = NULL;
	struct proc_text t = { 0 };
	struct stat st;
	size_t n = 0, mine = 0;

	ck_assert_int_eq(fstat(fd, &st), 0);
	for (int i = 0; i < 300; i++) {
		struct flock range = { .l_type = F_WRLCK, .l_start = 20L * i, .l_len = 10 };

		ck_assert_int_eq(fcntl(fd, F_SETLK, &range), 0);
	}
	ck_assert_int_eq(lock_list(&t, &list, &n), 0);
	for (size_t i = 0; i < n; i++)
		mine += list[i].ino == st.st_ino && list[i].pid == getpid();
	ck_assert_uint_eq(mine, 300);
	free(list);
	proc_text_free(&t);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("locks");
	TCase *tc = tcase_create("locks");
	SRunner *sr = srunner_create(s);
	int failed;

	tcase_add_loop_test(tc, line, 0, (int)(sizeof(lines) / sizeof(*lines)));
	tcase_add_test(tc, cut_short);
	tcase_add_test(tc, own_fdinfo);
	tcase_add_test(tc, own_list);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
