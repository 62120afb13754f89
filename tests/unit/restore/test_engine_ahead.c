/*
 * test_engine_ahead - files that land, many enough for several processes.
 */
#include "engine_fixture.h"

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
	TCase *t = tcase_create("ahead");

	tcase_add_test(t, many_land);
	tcase_add_test(t, many_land_and_some_fail);
	return engine_tests(t);
}
