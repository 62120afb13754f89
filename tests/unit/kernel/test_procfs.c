/*
 * test_procfs - the parsers of /proc/PID, on texts as kernels write them, on
 * names made to confuse, on texts cut short, and on ourselves.
 */
#include <check.h>
#undef fail

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/pagemap.h"
#include "kernel/procfs.h"
#include "kernel/smaps.h"

static const char stat_text[] =
	"77 (a) S (b)) Z 12 77 70 0 -1 4194624 0 0 0 0 1 2 3 4 20 0 3 0 99 0 0 "
	"18446744073709551615 "
	"10 20 30 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 40 50 60 70 80 90 100 1792\n";

START_TEST(stat_fields)
{
	struct proc_stat s;

	ck_assert_int_eq(proc_parse_stat(stat_text, &s), 0);
	ck_assert_int_eq(s.pid, 77);
	ck_assert_str_eq(s.comm, "a) S (b)");
	ck_assert_int_eq(s.state, 'Z');
	ck_assert_int_eq(s.ppid, 12);
	ck_assert_int_eq(s.pgrp, 77);
	ck_assert_int_eq(s.session, 70);
	ck_assert_uint_eq(s.flags, 4194624);
	ck_assert_uint_eq(s.threads, 3);
	ck_assert_uint_eq(s.start_time, 99);
	ck_assert_uint_eq(s.start_code, 10);
	ck_assert_uint_eq(s.start_stack, 30);
	ck_assert_uint_eq(s.start_data, 40);
	ck_assert_uint_eq(s.start_brk, 60);
	ck_assert_uint_eq(s.env_end, 100);
	ck_assert_uint_eq(s.exit_code, 7 << 8);
}
END_TEST

START_TEST(stat_cut)
{
	struct proc_stat s = { .pid = 5 };
	char cut[sizeof(stat_text)];

	for (size_t n = 0; n + 5 < sizeof(stat_text) - 1; n++) {
		memcpy(cut, stat_text, n);
		cut[n] = '\0';
		ck_assert_int_eq(proc_parse_stat(cut, &s), -EINVAL);
		ck_assert_int_eq(s.pid, 5);
	}
	ck_assert_int_eq(proc_parse_stat(")(", &s), -EINVAL);
}
END_TEST

START_TEST(status_fields)
{
	static const char text[] =
		"Name:\tx\\ny\nUmask:\t0027\nState:\tT (stopped)\nTgid:\t9\nPPid:\t3\n"
		"TracerPid:\t44\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t8\n"
		"Groups:\t10 20 4294967294 \nSomethingNew:\t1 2 3\n"
		"SigPnd:\t0000000000000800\nShdPnd:\t8000000000000000\n"
		"SigBlk:\t0000000000000001\nCapInh:\t0000000000000000\n"
		"CapPrm:\t000001ffffffffff\nCapEff:\t0000000000000001\n"
		"CapBnd:\t0000000000000002\nCapAmb:\t0000000000000003\n"
		"NoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n";
	struct proc_status s;

	ck_assert_int_eq(proc_parse_status(text, &s), 0);
	ck_assert_uint_eq(s.umask, 027);
	ck_assert_int_eq(s.state, 'T');
	ck_assert_int_eq(s.tgid, 9);
	ck_assert_int_eq(s.tracer, 44);
	ck_assert_uint_eq(s.uid[3], 4);
	ck_assert_uint_eq(s.gid[0], 5);
	ck_assert_uint_eq(s.nr_groups, 3);
	ck_assert_uint_eq(s.groups[2], 4294967294u);
	ck_assert_uint_eq(s.sig_pending, 0x800);
	ck_assert_uint_eq(s.shared_pending, 1ull << 63);
	ck_assert_uint_eq(s.cap_prm, 0x1ffffffffffull);
	ck_assert_uint_eq(s.cap_amb, 3);
	ck_assert_uint_eq(s.no_new_privs, 1);
	ck_assert_uint_eq(s.seccomp, 2);
	ck_assert_uint_eq(s.seccomp_filters, 3);
	proc_status_free(&s);
	ck_assert_int_eq(proc_parse_status("Uid:\t1\t2\t3\n", &s), -EINVAL);
	ck_assert_int_eq(proc_parse_status("no colon\n", &s), -EINVAL);
	ck_assert_int_eq(proc_parse_status("", &s), -EINVAL);
}
END_TEST

START_TEST(own_files)
{
	cleanup_close int dir = proc_open(getpid());
	struct rlimit64 file[RLIM_NLIMITS], call;
	struct proc_text t = { 0 };
	struct proc_status status;
	struct proc_stat stat;

	ck_assert_int_ge(dir, 0);
	ck_assert_int_eq(proc_read(dir, "stat", &t), 0);
	ck_assert_int_eq(proc_parse_stat(t.p, &stat), 0);
	ck_assert_int_eq(stat.pid, getpid());
	ck_assert_int_eq(stat.ppid, getppid());
	ck_assert_int_eq(proc_read(dir, "status", &t), 0);
	ck_assert_int_eq(proc_parse_status(t.p, &status), 0);
	ck_assert_int_eq(status.tgid, getpid());
	ck_assert_uint_eq(status.uid[1], geteuid());
	proc_status_free(&status);
	ck_assert_int_eq(proc_read(dir, "limits", &t), 0);
	ck_assert_int_eq(proc_parse_limits(t.p, file), 0);
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		ck_assert_int_eq(prlimit64(0, (enum __rlimit_resource)i, NULL, &call), 0);
		ck_assert_uint_eq(call.rlim_cur, file[i].rlim_cur);
		ck_assert_uint_eq(call.rlim_max, file[i].rlim_max);
	}
	ck_assert_int_eq(proc_read(dir, "no-such-file", &t), -ENOENT);
	ck_assert_int_eq(proc_parse_limits("Max cpu time  unlimited", file), -EINVAL);
	proc_text_free(&t);
}
END_TEST

START_TEST(timers)
{
	static const char text[] = "ID: 3\nsignal: 34/0000deadbeef0001\nnotify: signal/tid.77\n"
				   "ClockID: 1\nID: 0\nsignal: 14/0000000000000000\n"
				   "notify: none/pid.70\nClockID: -6\n";
	static const char cut_text[] = "ID: 3\nsignal: 34/1\nnotify: signal/tid.7\nClockID: ";
	struct proc_timer *t = NULL;
	size_t n;

	ck_assert_int_eq(proc_parse_timers(text, &t, &n), 0);
	ck_assert_uint_eq(n, 2);
	ck_assert_uint_eq(t[0].id, 3);
	ck_assert_uint_eq(t[0].signo, 34);
	ck_assert_uint_eq(t[0].sival, 0xdeadbeef0001ull);
	ck_assert_uint_eq(t[0].notify, SIGEV_THREAD_ID);
	ck_assert_int_eq(t[0].notify_tid, 77);
	ck_assert_int_eq(t[0].clock, 1);
	ck_assert_uint_eq(t[1].notify, SIGEV_NONE);
	ck_assert_int_eq(t[1].notify_tid, 0);
	ck_assert_int_eq(t[1].clock, -6);
	free(t);
	t = NULL;
	ck_assert_int_eq(proc_parse_timers("", &t, &n), 0);
	ck_assert_uint_eq(n, 0);
	ck_assert_ptr_null(t);
	for (size_t len = 1; len < strlen(cut_text); len++) {
		char *cut = strndup(cut_text, len);

		ck_assert_int_eq(proc_parse_timers(cut, &t, &n), -EINVAL);
		free(cut);
	}
}
END_TEST

START_TEST(pids)
{
	pid_t *list = NULL;
	size_t n = 0;

	ck_assert_int_eq(proc_parse_pids("12 13 ", &list, &n), 0);
	ck_assert_int_eq(proc_parse_pids("", &list, &n), 0);
	ck_assert_int_eq(proc_parse_pids("2147483647\n", &list, &n), 0);
	ck_assert_uint_eq(n, 3);
	ck_assert_int_eq(list[2], 2147483647);
	ck_assert_int_eq(proc_parse_pids("0", &list, &n), -EINVAL);
	ck_assert_int_eq(proc_parse_pids("-1", &list, &n), -EINVAL);
	ck_assert_int_eq(proc_parse_pids("2147483648", &list, &n), -EINVAL);
	ck_assert_int_eq(proc_parse_pids("x", &list, &n), -EINVAL);
	free(list);
}
END_TEST

START_TEST(task_list)
{
	cleanup_close int dir = open("/proc/self/task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	size_t n = 0, room = 0;
	pid_t *list = NULL;

	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(proc_list_tasks(dir, &list, &n, &room), 0);
		ck_assert_uint_eq(n, 1);
		ck_assert_int_eq(list[0], (pid_t)syscall(SYS_gettid));
	}
	free(list);
}
END_TEST

struct seen {
	struct smaps_vma v[8];
	char name[8][64];
	size_t n;
	int ret;
};

static int see(void *arg, const struct smaps_vma *v)
{
	struct seen *s = arg;

	ck_assert_uint_lt(s->n, 8);
	snprintf(s->name[s->n], sizeof(s->name[0]), "%s", v->name);
	s->v[s->n++] = *v;
	return s->ret;
}

static const char smaps_text[] =
	"55d0-55e0 r-xp 00001000 fe:1f 10953220                   /bin/a b (deleted)\n"
	"Size:                  4 kB\nKernelPageSize:        4 kB\nRss:                   8 kB\n"
	"Anonymous:            12 kB\nSwap:                 16 kB\n"
	"VmFlags: rd ex mr mw me zz \n"
	"7ff0000-7ff1000 rw-s 00000000 00:01 4077 /with\\012newline\n"
	"VmFlags: rd wr sh mr mw me ms sd \n"
	"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"
	"VmFlags: ex \n";

START_TEST(smaps_fields)
{
	char *text = strdup(smaps_text);
	struct seen s = { 0 };

	ck_assert_int_eq(smaps_parse(text, see, &s), 0);
	ck_assert_uint_eq(s.n, 3);
	ck_assert_uint_eq(s.v[0].start, 0x55d0);
	ck_assert_uint_eq(s.v[0].end, 0x55e0);
	ck_assert_uint_eq(s.v[0].pgoff, 0x1000);
	ck_assert_uint_eq(s.v[0].prot, PROT_READ | PROT_EXEC);
	ck_assert_uint_eq(s.v[0].dev_major, 0xfe);
	ck_assert_uint_eq(s.v[0].dev_minor, 0x1f);
	ck_assert_uint_eq(s.v[0].ino, 10953220);
	ck_assert_str_eq(s.name[0], "/bin/a b (deleted)");
	ck_assert_uint_eq(s.v[0].page_size, 4096);
	ck_assert_uint_eq(s.v[0].rss, 8192);
	ck_assert_uint_eq(s.v[0].anon, 12288);
	ck_assert_uint_eq(s.v[0].swap, 16384);
	ck_assert(s.v[0].flags & SMAPS_FLAG(ex));
	ck_assert(s.v[0].flags & SMAPS_UNKNOWN);
	ck_assert(!(s.v[0].flags & SMAPS_FLAG(wr)));
	ck_assert(s.v[1].shared);
	ck_assert_str_eq(s.name[1], "/with\nnewline");
	ck_assert(s.v[1].flags & SMAPS_FLAG(sd));
	ck_assert_uint_eq(s.v[2].start, 0xffffffffff600000ull);
	free(text);
}
END_TEST

START_TEST(smaps_bad)
{
	static const char *const bad[] = {
		"VmFlags: rd\n",
		"55d0 r-xp 0 fe:0 1\n",
		"55e0-55d0 r-xp 0 fe:0 1\n",
		"55d0-55e0 r-x\n",
		"55d0-55e0 r-xp 0 fe 1\n",
		"55d0-55e0 r-xp 0 fe:0 \n",
		"11111111155d0555550-55e0 r-xp 0 fe:0 1\n",
		"2000-3000 r-xp 0 0:0 0\n1000-2000 r-xp 0 0:0 0\n",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		char *text = strdup(bad[i]);
		struct seen s = { 0 };

		ck_assert_msg(smaps_parse(text, see, &s) == -EINVAL, "%s", bad[i]);
		free(text);
	}
	/* Cut anywhere it is an error or less of the same, and never reads on. */
	for (size_t n = 0; n < sizeof(smaps_text); n++) {
		char *text = strndup(smaps_text, n);
		struct seen s = { 0 };

		smaps_parse(text, see, &s);
		free(text);
	}
}
END_TEST

START_TEST(smaps_stop)
{
	char *text = strdup(smaps_text);
	struct seen s = { .ret = 7 };

	ck_assert_int_eq(smaps_parse(text, see, &s), 7);
	ck_assert_uint_eq(s.n, 1);
	free(text);
}
END_TEST

struct ranges {
	struct pagemap_range r[8];
	size_t n;
};

static int keep(void *arg, const struct pagemap_range *r)
{
	struct ranges *s = arg;

	ck_assert_uint_lt(s->n, 8);
	s->r[s->n++] = *r;
	return 0;
}

START_TEST(pages)
{
	cleanup_close int dir = proc_open(getpid());
	cleanup_close int fd = pagemap_open(dir);
	const size_t page = 4096;
	struct ranges s = { 0 };
	char *p = mmap(NULL, 16 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint64_t at = (uintptr_t)p;

	ck_assert_ptr_ne(p, MAP_FAILED);
	madvise(p, 16 * page, MADV_NOHUGEPAGE);
	p[2 * page] = 1;
	p[3 * page] = 1;
	ck_assert_int_eq(*(volatile char *)(p + 5 * page), 0); /* the zero page */
	p[9 * page] = 1;
	ck_assert_int_eq(pagemap_scan(fd, at, at + 16 * page, keep, &s), 0);
	ck_assert_uint_eq(s.n, 2);
	ck_assert_uint_eq(s.r[0].start, at + 2 * page);
	ck_assert_uint_eq(s.r[0].end, at + 4 * page);
	ck_assert_uint_eq(s.r[1].start, at + 9 * page);
	ck_assert_uint_eq(s.r[1].end, at + 10 * page);
	munmap(p, 16 * page);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("procfs");
	Suite *s = suite_create("procfs");
	SRunner *r = srunner_create(s);
	int failed;

	tcase_add_test(t, stat_fields);
	tcase_add_test(t, stat_cut);
	tcase_add_test(t, status_fields);
	tcase_add_test(t, own_files);
	tcase_add_test(t, timers);
	tcase_add_test(t, pids);
	tcase_add_test(t, task_list);
	tcase_add_test(t, smaps_fields);
	tcase_add_test(t, smaps_bad);
	tcase_add_test(t, smaps_stop);
	tcase_add_test(t, pages);
	suite_add_tcase(s, t);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
