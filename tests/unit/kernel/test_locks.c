/*
 * test_locks - the lines of /proc/locks and of fdinfo, as kernels write them,
 * cut short, and those of ourselves.
 */
#include <check.h>
#undef fail

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

static size_t count_own(const struct lock_line *list, size_t n, int fd, bool waits)
{
	struct stat st;
	size_t found = 0;

	ck_assert_int_eq(fstat(fd, &st), 0);
	for (size_t i = 0; i < n; i++)
		found += list[i].ino == st.st_ino && list[i].waits == waits;
	return found;
}

static void range_locks(int fd, short type, int n)
{
	for (int i = 0; i < n; i++) {
		struct flock range = { .l_type = type, .l_start = 20L * i, .l_len = 10 };

		ck_assert_int_eq(fcntl(fd, F_SETLK, &range), 0);
	}
}

START_TEST(own_list)
{
	cleanup_close int fd = memfd_create("locks", MFD_CLOEXEC);
	struct lock_line *list = NULL;
	struct proc_text t = { 0 };
	size_t n = 0;

	range_locks(fd, F_WRLCK, 300);
	ck_assert_int_eq(lock_list(&t, &list, &n), LOCK_LIST_PARTIAL);
	ck_assert_uint_eq(count_own(list, n, fd, false), 300);
	free(list);
	proc_text_free(&t);
}
END_TEST

/* Takes and drops @n locks that are newer, and so read before those of the caller. */
static pid_t churner(int n)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		int fd = memfd_create("churn", MFD_CLOEXEC);

		range_locks(fd, F_WRLCK, n);
		usleep(1000);
		close(fd);
	}
}

/* What is read while others change theirs; returns how often it was whole. */
static int read_often(int fd, size_t locks)
{
	struct proc_text t = { 0 };
	int whole = 0;

	for (int i = 0; i < 100; i++) {
		struct lock_line *list = NULL;
		size_t n = 0;
		int ret = lock_list(&t, &list, &n);

		ck_assert_int_ge(ret, 0);
		if (ret == 0) {
			ck_assert_uint_eq(count_own(list, n, fd, false), locks);
			whole++;
		}
		free(list);
	}
	proc_text_free(&t);
	return whole;
}

/* Locks that stay are never missed while others come and go, unless it is said. */
START_TEST(list_while_others_change)
{
	static const int churned[] = { 8, 150 };
	cleanup_close int fd = memfd_create("locks", MFD_CLOEXEC);
	pid_t pids[2];

	range_locks(fd, F_WRLCK, 20);
	for (int i = 0; i < 2; i++)
		pids[i] = churner(churned[_i]);
	ck_assert_int_gt(read_often(fd, 20), _i ? -1 : 0);
	for (int i = 0; i < 2; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
}
END_TEST

/* The lines of one lock can be more than the kernel gives in its place. */
START_TEST(list_many_wait)
{
	cleanup_close int fd = memfd_create("older", MFD_CLOEXEC);
	cleanup_close int wanted = memfd_create("wanted", MFD_CLOEXEC);
	struct flock all = { .l_type = F_WRLCK };
	struct lock_line *list = NULL;
	struct proc_text t = { 0 };
	size_t n = 0, waiting = 0;
	pid_t pids[120];

	range_locks(fd, F_WRLCK, 50);
	ck_assert_int_eq(fcntl(wanted, F_SETLK, &all), 0);
	for (int i = 0; i < 120; i++) {
		pids[i] = fork();
		if (!pids[i]) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			fcntl(wanted, F_SETLKW, &all);
			_exit(0);
		}
	}
	for (int i = 0; i < 1000 && waiting < 120; i++) {
		usleep(5000);
		free(list);
		ck_assert_int_ge(lock_list(&t, &list, &n), 0);
		waiting = count_own(list, n, wanted, true);
	}
	ck_assert_uint_eq(waiting, 120);
	ck_assert_uint_eq(count_own(list, n, wanted, false), 1);
	ck_assert_uint_eq(count_own(list, n, fd, false), 50);
	for (int i = 0; i < 120; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
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
	tcase_add_loop_test(tc, list_while_others_change, 0, 2);
	tcase_add_test(tc, list_many_wait);
	tcase_set_timeout(tc, 60);
	suite_add_tcase(s, tc);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
