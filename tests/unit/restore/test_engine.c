/*
 * test_engine - the engine with types made for the test: descriptors shared
 * by processes, more of them than messages or queues hold, waits that end and
 * waits that never would.
 *
 * Tasks are children that run the engine and stop; the test then looks at
 * them from outside. Their pids in the model are made up.
 */
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

#define MAX_TASKS 3

static struct restore_ctx ctx;
static struct restore_task rt[MAX_TASKS];
static struct pstree_item *task[MAX_TASKS];
static pid_t child[MAX_TASKS];
static size_t nr_tasks;
static void (*in_task)(struct pstree_item *me); /* between run and finish; may be NULL */

static void setup(void)
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

static void teardown(void)
{
	for (size_t i = 0; i < nr_tasks; i++) {
		if (child[i] > 0) {
			kill(child[i], SIGKILL);
			waitpid(child[i], NULL, 0);
		}
	}
}

static struct pstree_item *add_task(pid_t pid)
{
	struct pstree_item *it = pstree_add(ctx.tree, ctx.tree->root, pid);

	it->fdt = filedesc_new(&ctx.tree->files, 1 << 20);
	it->restore = &rt[nr_tasks];
	task[nr_tasks++] = it;
	return it;
}

static struct file_desc *add_file(const struct file_desc_ops *ops)
{
	struct file_desc *d = file_desc_new(ctx.tree, FILE_KIND_eventfd, NULL);

	d->ops = ops;
	return d;
}

static void add_fd(struct file_desc *d, struct pstree_item *it, int fd)
{
	ck_assert_ptr_nonnull(fle_new(d, it->fdt, fd, fd % 2 ? FD_CLOEXEC : 0));
}

static void plan(void)
{
	struct restore_shared *s;

	ck_assert_int_eq(engine_plan(&ctx), 0);
	s = mmap(NULL, sizeof(*s) + engine_count(&ctx) + 1, PROT_READ | PROT_WRITE,
		 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert(s != MAP_FAILED);
	s->stage = (atomic_uchar *)(s + 1);
	ctx.shared = s;
}

static void start(void)
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
static int outcome(size_t i)
{
	int st;

	ck_assert_int_eq(waitpid(child[i], &st, WUNTRACED), child[i]);
	if (WIFSTOPPED(st))
		return 0;
	child[i] = 0;
	ck_assert(WIFEXITED(st));
	return WEXITSTATUS(st);
}

static void all_well(void)
{
	start();
	for (size_t i = 0; i < nr_tasks; i++)
		ck_assert_int_eq(outcome(i), 0);
	ck_assert_uint_eq(report_count(ctx.report), 0);
}

static int count_fds_of(pid_t pid)
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

static int count_fds(size_t i)
{
	return count_fds_of(child[i]);
}

static bool same_file(size_t a, int fd_a, size_t b, int fd_b)
{
	return syscall(SYS_kcmp, child[a], child[b], KCMP_FILE, fd_a, fd_b) == 0;
}

/* Every fle of the plan leads to its desc, and to nothing else. */
static void check_groups(void)
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

static const char *cause_of(const char *id)
{
	for (size_t i = 0; i < report_count(ctx.report); i++)
		if (!strcmp(report_cause(ctx.report, i)->id, id))
			return report_cause(ctx.report, i)->text;
	return NULL;
}

static int plain_open(struct file_desc *d, int *new_fd)
{
	*new_fd = eventfd(d->id, EFD_CLOEXEC);
	return *new_fd < 0 ? -1 : 0;
}

static const struct file_desc_ops plain = { .open = plain_open };

/* 40 descriptors in each of three tasks; the tree's order is not that of the pids. */
START_TEST(row_01_shared_by_three)
{
	static const pid_t pids[2][3] = { { 1001, 1002, 1003 }, { 1003, 1002, 1001 } };

	for (int i = 0; i < 3; i++)
		add_task(pids[_i][i]);
	for (int k = 0; k < 20; k++) {
		struct file_desc *d = add_file(&plain);

		for (int i = 0; i < 3; i++) {
			add_fd(d, task[i], 3 + k * 3 + i);
			add_fd(d, task[i], 199 - k);
		}
	}
	plan();
	all_well();
	check_groups();
	for (size_t i = 0; i < 3; i++)
		ck_assert_int_eq(count_fds(i), 40);
}
END_TEST

START_TEST(flags_of_descriptors)
{
	char path[64], buf[512];
	int fd, n;

	add_task(10);
	add_task(11);
	for (int k = 0; k < 2; k++)
		for (int i = 0; i < 2; i++)
			add_fd(add_file(&plain), task[i], 4 + k);
	plan();
	all_well();
	for (int i = 0; i < 4; i++) {
		snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", child[i / 2], 4 + i % 2);
		fd = open(path, O_RDONLY);
		n = (int)read(fd, buf, sizeof(buf) - 1);
		close(fd);
		ck_assert_int_gt(n, 0);
		buf[n] = 0;
		ck_assert_int_eq(!!(strtol(strstr(buf, "flags:") + 6, NULL, 8) & O_CLOEXEC), i % 2);
	}
}
END_TEST

START_TEST(row_02_many_shared)
{
	static const int counts[] = { 253, 254, 800, 3000 };
	struct rlimit low = { 256, 0 }, lim;
	int n = counts[_i];

	/* The tool may have been started with a low soft limit. */
	getrlimit(RLIMIT_NOFILE, &lim);
	low.rlim_max = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &low);
	add_task(20);
	add_task(21);
	for (int k = 0; k < n; k++) {
		struct file_desc *d = add_file(&plain);

		add_fd(d, task[0], k);
		add_fd(d, task[1], n - k - 1);
	}
	plan();
	all_well();
	check_groups();
	ck_assert_int_eq(count_fds(0), n);
	ck_assert_int_eq(count_fds(1), n);
}
END_TEST

static int give_away(struct pstree *t, struct file_desc *d)
{
	/* The master is whoever does not have it. */
	struct pstree_item *holder = engine_master(d);

	engine_force_master(engine_need(t, d, holder == task[0] ? task[1] : task[0]));
	return 0;
}

static const struct file_desc_ops given_away = { .open = plain_open, .prepare = give_away };

/* Each opens for the other more than an inbox holds, a descriptor a message. */
START_TEST(row_03_crossed)
{
	const int n = 1500;

	add_task(30);
	add_task(31);
	for (int k = 0; k < n; k++) {
		add_fd(add_file(&given_away), task[0], 3 + k);
		add_fd(add_file(&given_away), task[1], 3 + k);
	}
	plan();
	ctx.engine->batch = 1;
	all_well();
	ck_assert_int_eq(count_fds(0), n);
	ck_assert_int_eq(count_fds(1), n);
	check_groups();
}
END_TEST

static void fake_is_there(struct pstree_item *me)
{
	struct file_desc *d;

	list_for_each(d, &ctx.tree->files.descs, list) {
		int fd = file_fd(d);

		if (fd < 0 || fcntl(fd, F_GETFD) < 0 || engine_here(ctx.tree) != me)
			_exit(77);
	}
}

START_TEST(row_09_fake_goes)
{
	add_task(40);
	add_task(41);
	add_fd(add_file(&given_away), task[0], 5);
	add_fd(add_file(&given_away), task[1], 9);
	in_task = fake_is_there;
	plan();
	ck_assert_int_eq(rt[0].service_fd_base, 7);
	ck_assert_int_eq(rt[1].service_fd_base, 11);
	all_well();
	ck_assert_int_eq(count_fds(0), 1);
	ck_assert_int_eq(count_fds(1), 1);
}
END_TEST

/* A pair in one desc each: the first open() keeps the other end for the second. */
struct pair {
	struct file_desc *peer;
	int stash;
};

static int pair_open(struct file_desc *d, int *new_fd)
{
	struct pair *me = file_desc_priv(d), *peer = file_desc_priv(me->peer);
	int sk[2];

	if (me->stash > 0) {
		*new_fd = me->stash;
		return 0;
	}
	/* Waits for the second call, with its descriptor out. */
	if (file_stage_reached(d, FLE_OPEN))
		return file_stage_reached(me->peer, FLE_RESTORED) ? 0 : 1;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sk) < 0)
		return file_fail(d, errno, "socketpair()");
	if (send(sk[0], "to peer", 7, 0) != 7)
		return file_fail(d, errno, "send()");
	peer->stash = sk[1];
	*new_fd = sk[0];
	return 1;
}

static const struct file_desc_ops pair_ops = { .open = pair_open,
					       .priv_size = sizeof(struct pair) };

START_TEST(row_04_pairs_across)
{
	char path[64], buf[512];

	add_task(50);
	add_task(51);
	for (int k = 0; k < 100; k++) {
		struct file_desc *a = add_file(&pair_ops), *b = add_file(&pair_ops);

		/* Every low number is planned: a stash must not land on one. */
		add_fd(a, task[0], k);
		add_fd(b, task[1], k);
	}
	/* Two passes: priv exists once it is planned. */
	for (int k = 0; k < 100; k++) {
		struct file_desc *b = file_desc_find(ctx.tree, (uint32_t)(2 * k + 2));
		struct fdinfo_list_entry *fle = fle_new(b, task[0]->fdt, 100 + k, 0);

		engine_force_master(fle);
	}
	plan();
	for (int k = 0; k < 100; k++) {
		struct file_desc *a = file_desc_find(ctx.tree, (uint32_t)(2 * k + 1));
		struct file_desc *b = file_desc_find(ctx.tree, (uint32_t)(2 * k + 2));

		((struct pair *)a->priv)->peer = b;
		((struct pair *)b->priv)->peer = a;
	}
	all_well();
	check_groups();
	ck_assert_int_eq(count_fds(0), 200);
	ck_assert_int_eq(count_fds(1), 100);
	snprintf(path, sizeof(path), "/proc/%d/fd/7", child[1]);
	ck_assert_int_gt(readlink(path, buf, sizeof(buf)), 0);
	ck_assert_int_eq(strncmp(buf, "socket:", 7), 0);
}
END_TEST

/* Waits until the next desc, or the first one after the last, is restored. */
static int ring_open(struct file_desc *d, int *new_fd)
{
	struct file_desc *next = file_desc_find(d->tree, d->id + 1);

	if (!next)
		next = file_desc_find(d->tree, 1);
	if (!file_stage_reached(next, FLE_RESTORED))
		return 1;
	return plain_open(d, new_fd);
}

/* The same, but its descriptor is there first: no ring. */
static int early_open(struct file_desc *d, int *new_fd)
{
	struct file_desc *next = file_desc_find(d->tree, d->id % 6 + 1);

	if (!file_stage_reached(d, FLE_OPEN)) {
		*new_fd = eventfd(0, EFD_CLOEXEC);
		return 1;
	}
	return file_stage_reached(next, FLE_OPEN) ? 0 : 1;
}

static const struct file_desc_ops ring = { .open = ring_open }, early = { .open = early_open };

START_TEST(row_06_ring_is_found)
{
	int before = count_fds_of(getpid());
	size_t lines = 0;
	int ret[3];

	for (int i = 0; i < 3; i++)
		add_task(60 + i);
	for (int i = 0; i < 3; i++) {
		struct file_desc *d = add_file(&ring);

		add_fd(d, task[i], 4 + i);
		if (i)
			add_fd(d, task[0], 20 + i);
	}
	/* The last one's next is the first; one that waits for nobody gets on. */
	add_fd(file_desc_add(ctx.tree, 9, FILE_KIND_eventfd, NULL), task[1], 30);
	file_desc_find(ctx.tree, 9)->ops = &plain;
	plan();
	start();
	for (int i = 0; i < 3; i++)
		ret[i] = outcome((size_t)i);
	for (int i = 0; i < 3; i++)
		ck_assert(ret[i] == EDEADLK || ret[i] == ECANCELED);
	ck_assert_ptr_nonnull(cause_of("files-deadlock"));
	ck_assert_ptr_nonnull(strstr(cause_of("files-deadlock"), "eventfd 0x1 -> eventfd 0x2 -> "
								 "eventfd 0x3 -> eventfd 0x1"));
	for (size_t i = 0; i < report_count(ctx.report); i++)
		lines += !strcmp(report_cause(ctx.report, i)->id, "file-waits");
	ck_assert_uint_eq(lines, 5);
	ck_assert_str_eq(cause_of("file-waits"),
			 "pid 60 fd 4: eventfd 0x1 is not open, waits for pid 60 fd 21: eventfd "
			 "0x2 to be restored");
	/* Nobody is left, and no descriptor: neither in flight nor here. */
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	engine_free(&ctx);
	ck_assert_int_eq(count_fds_of(getpid()), before);
}
END_TEST

START_TEST(row_05_early_descriptors_break_rings)
{
	for (int i = 0; i < 3; i++)
		add_task(70 + i);
	for (int i = 0; i < 6; i++)
		add_fd(add_file(&early), task[i % 3], 3 + i);
	plan();
	all_well();
}
END_TEST

static int never_open(struct file_desc *d, int *new_fd)
{
	(void)d;
	(void)new_fd;
	return 1;
}

static int busy_open(struct file_desc *d, int *new_fd)
{
	(void)new_fd;
	engine_progress(d->tree);
	usleep(1000);
	return 1;
}

static const struct file_desc_ops never = { .open = never_open }, busy = { .open = busy_open };

START_TEST(row_06_never_ends)
{
	add_task(80);
	add_task(81);
	add_fd(add_file(&never), task[0], 4);
	add_fd(add_file(&plain), task[1], 4);
	plan();
	start();
	ck_assert_int_eq(outcome(0), EDEADLK);
	ck_assert_int_eq(outcome(1), 0);
	ck_assert_str_eq(cause_of("file-waits"), "pid 80 fd 4: eventfd 0x1 is not open");
}
END_TEST

/* Somebody always gets on, so it is no deadlock: the time limit ends it. */
START_TEST(row_06_time_limit)
{
	add_task(90);
	add_task(91);
	add_fd(add_file(&busy), task[0], 4);
	add_fd(add_file(&never), task[1], 4);
	ctx.deadline_ns = restore_now() + UINT64_C(1200000000);
	plan();
	start();
	ck_assert_int_eq(outcome(1), ETIMEDOUT);
	ck_assert_int_eq(outcome(0), ECANCELED);
	ck_assert_ptr_nonnull(cause_of("files-timeout"));
}
END_TEST

static int failing_open(struct file_desc *d, int *new_fd)
{
	*new_fd = eventfd(0, 0);
	return file_fail(d, ENODEV, "open the device");
}

static const struct file_desc_ops failing = { .open = failing_open };

START_TEST(row_06_one_fails)
{
	for (int i = 0; i < 3; i++)
		add_task(100 + i);
	add_fd(add_file(&failing), task[1], 4);
	for (int i = 0; i < 3; i++) {
		add_fd(add_file(&plain), task[i], 6);
		add_fd(add_file(&never), task[i], 5);
	}
	plan();
	start();
	ck_assert_int_eq(outcome(1), EIO);
	ck_assert_int_eq(outcome(0), ECANCELED);
	ck_assert_int_eq(outcome(2), ECANCELED);
	ck_assert_uint_eq(report_count(ctx.report), 1);
	ck_assert_str_eq(cause_of("file-eventfd"), "pid 101 fd 4: eventfd 0x1: open the device");
}
END_TEST

static int twice_open(struct file_desc *d, int *new_fd)
{
	(void)d;
	*new_fd = eventfd(0, EFD_CLOEXEC);
	return 1;
}

static int nothing_open(struct file_desc *d, int *new_fd)
{
	(void)d;
	(void)new_fd;
	return 0;
}

static const struct file_desc_ops twice = { .open = twice_open },
				  nothing = { .open = nothing_open };

START_TEST(row_07_second_descriptor)
{
	add_task(110);
	add_fd(add_file(_i ? &nothing : &twice), task[0], 4);
	plan();
	start();
	ck_assert_int_eq(outcome(0), EINVAL);
	ck_assert_ptr_nonnull(cause_of("file-eventfd"));
}
END_TEST

static int service;
static dev_t service_dev;
static ino_t service_ino;

static void service_moved(struct pstree_item *me)
{
	struct stat st;

	(void)me;
	if (service < 12 || fstat(service, &st) < 0 || st.st_ino != service_ino ||
	    st.st_dev != service_dev)
		_exit(78);
	/* The log, at a planned number too, still arrives. */
	log_warn(ctx.report, "still here");
}

START_TEST(row_08_service_in_the_way)
{
	char buf[128] = "";
	struct stat st;
	int log[2];

	add_task(120);
	for (int k = 0; k < 12; k++)
		add_fd(add_file(&plain), task[0], k);
	service = fcntl(open("/dev/zero", O_RDONLY), F_DUPFD, 7);
	ck_assert_int_lt(service, 12);
	ck_assert_int_eq(fstat(service, &st), 0);
	service_dev = st.st_dev;
	service_ino = st.st_ino;
	ck_assert_int_eq(pipe2(log, O_CLOEXEC), 0);
	ck_assert_int_lt(log[1], 12);
	report_log_to(ctx.report, log[1], LOG_WARN);
	in_task = service_moved;
	plan();
	engine_service(&ctx, &service);
	all_well();
	ck_assert_int_eq(count_fds(0), 12);
	ck_assert_int_gt(read(log[0], buf, sizeof(buf) - 1), 0);
	ck_assert_ptr_nonnull(strstr(buf, "still here"));
}
END_TEST

/* A descriptor that the plan does not have is refused. */
START_TEST(wrong_message)
{
	struct {
		int32_t sender;
		uint32_t n, id;
		int32_t fd;
	} m = { .sender = 130, .n = 1, .id = 1, .fd = 4 };

	add_task(130);
	add_task(131);
	add_fd(add_file(&never), task[0], 4);
	add_fd(file_desc_find(ctx.tree, 1), task[1], 4);
	plan();
	if (_i == 0)
		m.id = 2;
	else if (_i == 1)
		m.fd = 5;
	else if (_i == 2)
		m.sender = 131;
	else
		m.n = 7;
	ck_assert_int_eq(fd_send_msg(ctx.engine->tables[1].tx, &m, sizeof(m), &(int){ 0 }, 1, 0),
			 0);
	start();
	ck_assert_int_eq(outcome(1), EPROTO);
	ck_assert_int_eq(outcome(0), ECANCELED);
	ck_assert_ptr_nonnull(cause_of("fd-message"));
}
END_TEST

/* Tasks that share a table: the first restores it, the other waits. */
START_TEST(row_10_shared_table)
{
	add_task(140);
	add_task(141);
	task[1]->fdt = fdshare(task[0]->fdt);
	add_fd(add_file(&early), task[0], 3);
	for (int k = 1; k < 6; k++)
		add_fd(add_file(&early), task[0], 3 + k);
	plan();
	ck_assert_uint_eq(ctx.engine->nr_tables, 1);
	all_well();
	ck_assert_int_eq(count_fds(0), 6);
}
END_TEST

static void opens_mapped(struct pstree_item *me)
{
	int fd = engine_open_now(&ctx, file_desc_find(ctx.tree, 2));
	int dup = engine_open_now(&ctx, file_desc_find(ctx.tree, 1));

	(void)me;
	if (fd < 11 || dup < 11 || syscall(SYS_kcmp, getpid(), getpid(), KCMP_FILE, dup, 10))
		_exit(79);
}

START_TEST(row_10_only_mapped)
{
	add_task(150);
	add_fd(add_file(&plain), task[0], 10);
	add_file(&plain);
	in_task = opens_mapped;
	plan();
	all_well();
	ck_assert_int_eq(count_fds(0), 1);
}
END_TEST

/* Files that land, many enough for several processes; how often each was asked is shared. */
#define LANDING 3000
static atomic_uchar *asked;

static int land_open(struct file_desc *d, int *new_fd)
{
	const struct fdinfo_list_entry *master =
		list_first(&d->fles, struct fdinfo_list_entry, of_desc);
	int tmp = d->id % 13 ? -1 : eventfd(0, EFD_CLOEXEC);

	if (!atomic_fetch_add(&asked[d->id], 1) && d->id % 97 == 0)
		return 1;
	if (d->id % 31 == 0)
		sched_yield();
	*new_fd = eventfd(d->id, master->fdflags & FD_CLOEXEC ? EFD_CLOEXEC : 0);
	if (tmp >= 0)
		close(tmp);
	return *new_fd < 0 ? -1 : 0;
}

static const struct file_desc_ops landing = { .open = land_open, .lands = true };

static void check_landed(int fd, unsigned id)
{
	char path[64], line[128];
	unsigned count = 0, flags = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", child[0], fd);
	f = fopen(path, "r");
	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f)) {
		sscanf(line, "eventfd-count: %x", &count);
		sscanf(line, "flags: %o", &flags);
	}
	fclose(f);
	ck_assert_uint_eq(count, id);
	ck_assert_int_eq((flags & O_CLOEXEC) != 0, fd % 2);
}

/* Numbers with holes; some files are shared with themselves and with another task. */
START_TEST(many_land)
{
	struct file_desc *d[LANDING];

	asked = mmap(NULL, LANDING + 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	add_task(160);
	add_task(161);
	for (int k = 0; k < LANDING; k++) {
		d[k] = add_file(k % 50 == 7 ? &plain : &landing);
		add_fd(d[k], task[0], 3 + k + k / 100);
		if (k % 40 == 0)
			add_fd(d[k], task[1], k);
	}
	add_fd(d[20], task[0], 2);
	plan();
	all_well();
	ck_assert_int_eq(count_fds(0), LANDING + 1);
	ck_assert_int_eq(count_fds(1), LANDING / 40);
	check_groups();
	for (int k = 0; k < LANDING; k++) {
		check_landed(3 + k + k / 100, d[k]->id);
		if (d[k]->ops == &landing && d[k]->id != d[20]->id)
			ck_assert_int_eq(asked[d[k]->id], 1 + (d[k]->id % 97 == 0));
	}
}
END_TEST

static int land_fail(struct file_desc *d, int *new_fd)
{
	*new_fd = -1;
	return file_fail(d, EIO, "open");
}

static const struct file_desc_ops no_landing = { .open = land_fail, .lands = true };

START_TEST(many_land_and_some_fail)
{
	asked = mmap(NULL, LANDING + 1, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	add_task(170);
	for (int k = 0; k < LANDING; k++)
		add_fd(add_file(k % 1000 ? &landing : &no_landing), task[0], k);
	plan();
	start();
	ck_assert_int_eq(outcome(0), EIO);
	ck_assert_uint_eq(report_count(ctx.report), LANDING / 1000);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("engine");
	TCase *t = tcase_create("engine");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 30);
	tcase_add_loop_test(t, row_01_shared_by_three, 0, 2);
	tcase_add_test(t, flags_of_descriptors);
	tcase_add_loop_test(t, row_02_many_shared, 0, 4);
	tcase_add_test(t, row_03_crossed);
	tcase_add_test(t, row_09_fake_goes);
	tcase_add_test(t, row_04_pairs_across);
	tcase_add_test(t, row_06_ring_is_found);
	tcase_add_test(t, row_05_early_descriptors_break_rings);
	tcase_add_test(t, row_06_never_ends);
	tcase_add_test(t, row_06_time_limit);
	tcase_add_test(t, row_06_one_fails);
	tcase_add_loop_test(t, row_07_second_descriptor, 0, 2);
	tcase_add_test(t, row_08_service_in_the_way);
	tcase_add_loop_test(t, wrong_message, 0, 4);
	tcase_add_test(t, row_10_shared_table);
	tcase_add_test(t, row_10_only_mapped);
	tcase_add_test(t, many_land);
	tcase_add_test(t, many_land_and_some_fail);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_ENV);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
