/*
 * test_engine_waits - waits that end and waits that never would, files that
 * fail or break the rules, messages that nobody may send.
 */
#include "engine_fixture.h"

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

static const struct file_desc_ops ring = { .open = ring_open };

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

int main(void)
{
	TCase *t = tcase_create("waits");

	tcase_add_test(t, row_06_ring_is_found);
	tcase_add_test(t, row_05_early_descriptors_break_rings);
	tcase_add_test(t, row_06_never_ends);
	tcase_add_test(t, row_06_time_limit);
	tcase_add_test(t, row_06_one_fails);
	tcase_add_loop_test(t, row_07_second_descriptor, 0, 2);
	tcase_add_loop_test(t, wrong_message, 0, 4);
	return engine_tests(t);
}
