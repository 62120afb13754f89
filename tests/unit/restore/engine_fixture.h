/*
 * engine_fixture - what the tests of the engine share: a made-up tree, tasks
 * that run the engine and stop, and looks at them from outside.
 */
#ifndef TEST_ENGINE_FIXTURE_H
#define TEST_ENGINE_FIXTURE_H

#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* libcheck's own macro of that name. */
#undef fail
#include "lib/fdpass.h"
#include "restore/engine_priv.h"
#include "tests/unit/run_tests.h"

#define MAX_TASKS 3

static struct restore_ctx ctx;
static struct restore_task rt[MAX_TASKS];
static struct pstree_item *task[MAX_TASKS];
static pid_t child[MAX_TASKS];
static size_t nr_tasks;
static void (*in_task)(struct pstree_item *me); /* between run and finish; may be NULL */

static inline void setup(void)
{
	static const struct restore_opts opts;

	ctx = (struct restore_ctx){ .report = report_new(), .opts = &opts };
	report_log_to(ctx.report, -1, LOG_ERROR);
	ctx.tree = pstree_new(ctx.report);
	ctx.arena = ctx.tree->arena;
	ctx.deadline_ns = restore_now() + UINT64_C(20000000000);
	nr_tasks = 0;
	in_task = NULL;
}

static inline void teardown(void)
{
	for (size_t i = 0; i < nr_tasks; i++) {
		if (child[i] > 0) {
			kill(child[i], SIGKILL);
			waitpid(child[i], NULL, 0);
		}
	}
}

static inline struct pstree_item *add_task(pid_t pid)
{
	struct pstree_item *it = pstree_add(ctx.tree, ctx.tree->root, pid);

	it->fdt = filedesc_new(&ctx.tree->files, 1 << 20);
	it->restore = &rt[nr_tasks];
	task[nr_tasks++] = it;
	return it;
}

static inline struct file_desc *add_file(const struct file_desc_ops *ops)
{
	struct file_desc *d = file_desc_new(ctx.tree, FILE_KIND_eventfd, NULL);

	d->ops = ops;
	return d;
}

static inline void add_fd(struct file_desc *d, struct pstree_item *it, int fd)
{
	ck_assert_ptr_nonnull(fle_new(d, it->fdt, fd, fd % 2 ? FD_CLOEXEC : 0));
}

static inline void plan(void)
{
	struct restore_shared *s;

	ck_assert_int_eq(engine_plan(&ctx), 0);
	s = mmap(NULL, sizeof(*s) + engine_count(&ctx) + 1, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(s != MAP_FAILED);
	s->stage = (atomic_uchar *)(s + 1);
	ctx.shared = s;
}

static inline void start(void)
{
	for (size_t i = 0; i < nr_tasks; i++) {
		int ret;

		child[i] = fork();
		if (child[i])
			continue;
		ret = engine_run(&ctx, task[i]);
		if (ret)
			_exit(-ret);
		if (in_task)
			in_task(task[i]);
		engine_finish(&ctx, task[i]);
		engine_close_rest(&ctx, task[i], NULL, 0);
		raise(SIGSTOP);
		_exit(0);
	}
}

/* 0: all is restored and the task stands still; else the error of engine_run(). */
static inline int outcome(size_t i)
{
	int st;

	ck_assert_int_eq(waitpid(child[i], &st, WUNTRACED), child[i]);
	if (WIFSTOPPED(st))
		return 0;
	child[i] = 0;
	ck_assert(WIFEXITED(st));
	return WEXITSTATUS(st);
}

static inline void all_well(void)
{
	start();
	for (size_t i = 0; i < nr_tasks; i++)
		ck_assert_int_eq(outcome(i), 0);
	ck_assert_uint_eq(report_count(ctx.report), 0);
}

static inline int count_fds_of(pid_t pid)
{
	char path[64];
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	for (struct dirent *de; (de = readdir(dir));)
		n += de->d_name[0] != '.';
	closedir(dir);
	return n;
}

static inline int count_fds(size_t i)
{
	return count_fds_of(child[i]);
}

static inline bool same_file(size_t a, int fd_a, size_t b, int fd_b)
{
	return syscall(SYS_kcmp, child[a], child[b], KCMP_FILE, fd_a, fd_b) == 0;
}

/* Every fle of the plan leads to its desc, and to nothing else. */
static inline void check_groups(void)
{
	struct file_desc *d, *other = NULL;

	list_for_each(d, &ctx.tree->files.descs, list) {
		struct fdinfo_list_entry *fle, *first = NULL;
		size_t a = 0, b;

		list_for_each(fle, &d->fles, of_desc) {
			for (b = 0; task[b] != fle->fdt->owner;)
				b++;
			if (fle->fake)
				continue;
			if (first)
				ck_assert(same_file(a, first->fd, b, fle->fd));
			first = fle;
			a = b;
		}
		if (other && first)
			ck_assert(
				!same_file(
					a, first->fd, a,
					list_first(&other->fles, struct fdinfo_list_entry, of_desc)
						->fd) ||
				list_first(&other->fles, struct fdinfo_list_entry, of_desc)->fdt !=
					first->fdt);
		other = d;
	}
}

static inline const char *cause_of(const char *id)
{
	for (size_t i = 0; i < report_count(ctx.report); i++)
		if (!strcmp(report_cause(ctx.report, i)->id, id))
			return report_cause(ctx.report, i)->text;
	return NULL;
}

static inline int plain_open(struct file_desc *d, int *new_fd)
{
	*new_fd = eventfd(d->id, EFD_CLOEXEC);
	return *new_fd < 0 ? -1 : 0;
}

static const struct file_desc_ops plain = { .open = plain_open };

/* Restored when the next desc, or the first one after the last, is; its descriptor is there first.
 */
static inline int early_open(struct file_desc *d, int *new_fd)
{
	struct file_desc *next = file_desc_find(d->tree, d->id % 6 + 1);

	if (!file_stage_reached(d, FLE_OPEN)) {
		*new_fd = eventfd(0, EFD_CLOEXEC);
		return 1;
	}
	return file_stage_reached(next, FLE_OPEN) ? 0 : 1;
}

static const struct file_desc_ops early = { .open = early_open };

/* Runs the tests of @t; returns the exit status. */
static inline int engine_tests(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	return run_tests("engine", t);
}

#endif
