/*
 * test_engine - the engine with types made for the test: descriptors shared
 * by processes and by those who have a table in common, more of them than
 * messages or queues hold, numbers that are in the way.
 */
#include "engine_fixture.h"

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

int main(void)
{
	TCase *t = tcase_create("sharing");

	tcase_add_loop_test(t, row_01_shared_by_three, 0, 2);
	tcase_add_test(t, flags_of_descriptors);
	tcase_add_loop_test(t, row_02_many_shared, 0, 4);
	tcase_add_test(t, row_03_crossed);
	tcase_add_test(t, row_09_fake_goes);
	tcase_add_test(t, row_04_pairs_across);
	tcase_add_test(t, row_08_service_in_the_way);
	tcase_add_test(t, row_10_shared_table);
	tcase_add_test(t, row_10_only_mapped);
	return engine_tests(t);
}
