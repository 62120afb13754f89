/*
 * test_filetab - the file table keeps the contracts of OpenBSD's file(9),
 * also when threads fight over it. The rows are those of docs/TESTING.md.
 *
 * TABLE_SIZE: descriptors that a table grows to under readers (20000).
 * TABLE_OPS: operations of eight threads in all (10^7 with FULL set).
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "model/filetab.h"
#include "tests/unit/run_tests.h"

static struct filetab tab;
static struct arena *arena;
static atomic_uint closed, unlocked;

static void count_close(struct file *fp)
{
	(void)fp;
	atomic_fetch_add(&closed, 1);
}

static void count_unlock(struct file *fp, struct filedesc *fdp)
{
	(void)fp;
	(void)fdp;
	atomic_fetch_add(&unlocked, 1);
}

static void setup(void)
{
	arena = arena_new();
	filetab_init(&tab, arena);
	tab.fo_close = count_close;
	tab.fo_unlock = count_unlock;
	closed = unlocked = 0;
}

static void teardown(void)
{
	filetab_fini(&tab);
	arena_free(arena);
}

#define THREADS 8

static int from_env(const char *name, int otherwise)
{
	const char *s = getenv(name);

	return s ? atoi(s) : otherwise;
}

static struct filedesc *shared;
static int size, rounds;
static atomic_bool stop;

/* An open descriptor; the creator's reference is released. */
static struct file *open_one(struct filedesc *fdp, int want, enum dtype type, int flag, int *fd)
{
	struct file *fp;

	ck_assert_int_eq(falloc(fdp, want, &fp, fd), 0);
	fp->f_type = type;
	fp->f_flag = flag;
	fdinsert(fdp, *fd, 0, fp);
	FRELE(fp);
	return fp;
}

START_TEST(row_11_counts)
{
	struct filedesc *fdp = filedesc_new(&tab, 100);
	struct file *fp, *again;
	int fd;

	ck_assert_int_eq(falloc(fdp, 0, &fp, &fd), 0);
	ck_assert_uint_eq(fp->f_count, 2);
	fdinsert(fdp, fd, FD_CLOEXEC, fp);
	FRELE(fp);
	ck_assert_uint_eq(fp->f_count, 1);
	ck_assert_int_eq(fd_flags(fdp, fd), FD_CLOEXEC);
	again = fd_getfile(fdp, fd);
	ck_assert_ptr_eq(again, fp);
	ck_assert_int_eq(fdrelease(fdp, fd), 0);
	ck_assert_uint_eq(closed, 0);
	FRELE(again);
	ck_assert_uint_eq(closed, 1);
	ck_assert_int_eq(fdrelease(fdp, fd), -EBADF);
	ck_assert_uint_eq(tab.nfiles, 0);
}
END_TEST

START_TEST(row_12_larval)
{
	struct filedesc *fdp = filedesc_new(&tab, 100);
	struct file *fp, *got;
	int fd, first;

	open_one(fdp, 0, DTYPE_VNODE, FREAD, &first);
	ck_assert_int_eq(falloc(fdp, 0, &fp, &fd), 0);
	ck_assert_int_eq(fd, first + 1);
	ck_assert_ptr_null(fd_getfile(fdp, fd));
	ck_assert_int_eq(getsock(fdp, fd, &got), -EBADF);
	ck_assert_int_eq(fd_flags(fdp, fd), -EBADF);
	ck_assert_int_eq(fdrelease(fdp, fd), -EBADF);
	ck_assert_int_eq(fd_dup2(fdp, first, fd, 0), -EBUSY);
	ck_assert_int_eq(fd_dup2(fdp, fd, first, 0), -EBADF);
	ck_assert_int_eq(fd_reserve(fdp, fd), -EBUSY);
	fdremove(fdp, fd);
	closef(fp, NULL);
	ck_assert_uint_eq(closed, 1);
	ck_assert_int_eq(falloc(fdp, 0, &fp, &fd), 0);
	ck_assert_int_eq(fd, first + 1);
}
END_TEST

START_TEST(lowest)
{
	struct filedesc *fdp = filedesc_new(&tab, 10000);
	int fd;

	for (int i = 0; i < 5000; i++) {
		open_one(fdp, 0, DTYPE_OTHER, 0, &fd);
		ck_assert_int_eq(fd, i);
	}
	open_one(fdp, 9000, DTYPE_OTHER, 0, &fd);
	ck_assert_int_eq(fd, 9000);
	ck_assert_int_eq(fdrelease(fdp, 4097), 0);
	ck_assert_int_eq(fdrelease(fdp, 63), 0);
	open_one(fdp, 64, DTYPE_OTHER, 0, &fd);
	ck_assert_int_eq(fd, 4097);
	open_one(fdp, 0, DTYPE_OTHER, 0, &fd);
	ck_assert_int_eq(fd, 63);
	open_one(fdp, 8999, DTYPE_OTHER, 0, &fd);
	open_one(fdp, 8999, DTYPE_OTHER, 0, &fd);
	ck_assert_int_eq(fd, 9001);
	open_one(fdp, 12, DTYPE_OTHER, 0, &fd);
	ck_assert_int_eq(fd, 5000);
}
END_TEST

START_TEST(row_13_limits)
{
	struct filedesc *fdp = filedesc_new(&tab, 3);
	struct file *fp = (struct file *)&tab;
	int fd = -7, first;

	tab.maxfiles = 2;
	open_one(fdp, 0, DTYPE_OTHER, 0, &first);
	open_one(fdp, 0, DTYPE_OTHER, 0, &fd);
	fd = -7;
	ck_assert_int_eq(falloc(fdp, 0, &fp, &fd), -ENFILE);
	ck_assert_ptr_eq(fp, &tab);
	ck_assert_int_eq(fd, -7);
	tab.maxfiles = 10;
	open_one(fdp, 0, DTYPE_OTHER, 0, &fd);
	ck_assert_int_eq(fd, 2);
	ck_assert_int_eq(falloc(fdp, 0, &fp, &fd), -EMFILE);
	ck_assert_int_eq(falloc(fdp, -1, &fp, &fd), -EINVAL);
	ck_assert_int_eq(falloc(fdp, INT32_MAX, &fp, &fd), -EMFILE);
	ck_assert_int_eq(fd_dup2(fdp, first, 3, 0), -EBADF);
	ck_assert_uint_eq(tab.nfiles, 3);
}
END_TEST

START_TEST(row_14_kinds)
{
	struct filedesc *fdp = filedesc_new(&tab, 100);
	struct file *fp = NULL;
	int sock, file;

	open_one(fdp, 0, DTYPE_SOCKET, FREAD | FWRITE, &sock);
	open_one(fdp, 0, DTYPE_VNODE, FREAD, &file);
	ck_assert_int_eq(getsock(fdp, file, &fp), -ENOTSOCK);
	ck_assert_int_eq(getvnode(fdp, sock, &fp), -EINVAL);
	ck_assert_int_eq(getvnode(fdp, 50, &fp), -EBADF);
	ck_assert_int_eq(getvnode(fdp, -1, &fp), -EBADF);
	ck_assert_ptr_null(fp);
	ck_assert_ptr_null(fd_getfile_mode(fdp, file, FWRITE));
	fp = fd_getfile_mode(fdp, file, FREAD);
	ck_assert_uint_eq(fp->f_count, 2);
	FRELE(fp);
	ck_assert_int_eq(getsock(fdp, sock, &fp), 0);
	FRELE(fp);
	ck_assert_uint_eq(fp->f_count, 1);
}
END_TEST

START_TEST(dup2_replaces)
{
	struct filedesc *fdp = filedesc_new(&tab, 100);
	struct file *a;
	int x, y;

	a = open_one(fdp, 0, DTYPE_VNODE, FREAD, &x);
	open_one(fdp, 0, DTYPE_VNODE, FREAD, &y);
	ck_assert_int_eq(fd_dup2(fdp, x, y, FD_CLOEXEC), 0);
	ck_assert_uint_eq(closed, 1);
	ck_assert_uint_eq(a->f_count, 2);
	ck_assert_int_eq(fd_flags(fdp, y), FD_CLOEXEC);
	ck_assert_int_eq(fd_dup2(fdp, x, x, 0), 0);
	ck_assert_int_eq(fd_dup2(fdp, x, 70, 0), 0);
	ck_assert_uint_eq(a->f_count, 3);
	atomic_store(&a->f_count, FDUP_MAX_COUNT);
	ck_assert_int_eq(fd_dup2(fdp, x, 71, 0), -EDEADLK);
	atomic_store(&a->f_count, 3);
}
END_TEST

/* Closing any descriptor of a file drops the process's POSIX locks on it. */
START_TEST(row_15_close_during_lock)
{
	struct filedesc *fdp = filedesc_new(&tab, 100);
	struct file *fp;
	int fd;

	open_one(fdp, 0, DTYPE_VNODE, FREAD, &fd);
	ck_assert_int_eq(fdrelease(fdp, fd), 0);
	ck_assert_uint_eq(unlocked, 0);

	open_one(fdp, 0, DTYPE_VNODE, FREAD, &fd);
	fp = fd_getfile(fdp, fd);
	fd_advlocked(fdp);
	ck_assert(!fd_checkclosed(fdp, fd, fp));
	ck_assert_uint_eq(unlocked, 0);
	ck_assert_int_eq(fdrelease(fdp, fd), 0);
	ck_assert_uint_eq(unlocked, 1);
	/* The lock came after the close: it goes at once. */
	ck_assert(fd_checkclosed(fdp, fd, fp));
	ck_assert_uint_eq(unlocked, 2);
	FRELE(fp);
}
END_TEST

/* As after F_SETLK: the lock is there, then it is seen whether the descriptor still is. */
static void *locker(void *arg)
{
	struct file *fp = arg;

	while (!stop)
		fd_checkclosed(shared, 0, fp);
	return NULL;
}

/* However close and lock meet, the last word is that the lock is dropped. */
START_TEST(row_15_lock_races_close)
{
	for (int i = 0; i < 200; i++) {
		struct file *fp;
		unsigned before;
		pthread_t t;
		int fd;

		shared = filedesc_new(&tab, 10);
		open_one(shared, 0, DTYPE_VNODE, FREAD, &fd);
		fp = fd_getfile(shared, fd);
		fd_advlocked(shared);
		before = unlocked;
		stop = false;
		pthread_create(&t, NULL, locker, fp);
		ck_assert_int_eq(fdrelease(shared, fd), 0);
		stop = true;
		pthread_join(t, NULL);
		ck_assert(fd_checkclosed(shared, fd, fp));
		ck_assert_uint_ge(unlocked, before + 2);
		FRELE(fp);
		fdfree(shared);
	}
	ck_assert_uint_eq(tab.nfiles, 0);
}
END_TEST

START_TEST(share_copy)
{
	struct filedesc *fdp = filedesc_new(&tab, 1000), *copy;
	struct file *fp, *lone;
	int fd, hole;

	fp = open_one(fdp, 300, DTYPE_VNODE, FREAD, &fd);
	ck_assert_int_eq(falloc(fdp, 0, &lone, &hole), 0);
	ck_assert_ptr_eq(fdshare(fdp), fdp);
	copy = fdcopy(fdp);
	ck_assert_uint_eq(fp->f_count, 2);
	ck_assert_int_eq(fd_flags(copy, 300), 0);
	ck_assert_int_eq(fd_reserve(copy, hole), 0);
	fdfree(fdp);
	ck_assert_int_eq(fd_flags(fdp, 300), 0);
	fdremove(fdp, hole);
	closef(lone, NULL);
	fdfree(fdp);
	ck_assert_uint_eq(fp->f_count, 1);
	ck_assert_uint_eq(closed, 1);
	fdfree(copy);
	ck_assert_uint_eq(closed, 2);
	ck_assert_uint_eq(tab.nfiles, 0);
}
END_TEST

START_TEST(iterate)
{
	struct filedesc *fdp = filedesc_new(&tab, 1000);
	struct file *fp, *larval_fp;
	int fd, n = 0;

	for (int i = 0; i < 10; i++)
		open_one(fdp, 0, DTYPE_VNODE, FREAD, &fd);
	ck_assert_int_eq(falloc(fdp, 0, &larval_fp, &fd), 0);
	for (fp = fd_iterfile(&tab, NULL); fp; fp = fd_iterfile(&tab, fp)) {
		ck_assert_ptr_ne(fp, larval_fp);
		/* What goes while it is looked at is still there for us. */
		if (n++ == 3)
			fdrelease(fdp, 3);
	}
	ck_assert_int_eq(n, 10);
	ck_assert_uint_eq(closed, 1);
}
END_TEST

static void *reader(void *arg)
{
	unsigned x = (unsigned)(uintptr_t)arg * 77777 + 1;
	size_t seen = 0;

	while (!stop) {
		struct file *fp;

		x = x * 1103515245 + 12345;
		fp = fd_getfile(shared, (int)((x >> 8) % (unsigned)size));
		if (!fp)
			continue;
		seen += fp->f_type == DTYPE_VNODE;
		FRELE(fp);
	}
	return (void *)seen;
}

START_TEST(row_13_growth_under_readers)
{
	pthread_t t[4];
	int fd;

	size = from_env("TABLE_SIZE", 20000);
	shared = filedesc_new(&tab, size + 1);
	stop = false;
	for (int i = 0; i < size; i++) {
		if (i == 20)
			for (uintptr_t k = 0; k < 4; k++)
				pthread_create(&t[k], NULL, reader, (void *)k);
		open_one(shared, 0, DTYPE_VNODE, FREAD, &fd);
		ck_assert_int_eq(fd, i);
	}
	stop = true;
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	fdfree(shared);
	ck_assert_uint_eq(closed, (unsigned)size);
	ck_assert_uint_eq(tab.nfiles, 0);
}
END_TEST

/* Half of them open and close a few numbers that all of them look up. */
static void *fighter(void *arg)
{
	uintptr_t me = (uintptr_t)arg;

	for (int i = 0; i < rounds; i++) {
		struct file *fp;
		int fd = (int)((unsigned)i * 7 + me) % 16;

		if (me % 2 && !falloc(shared, fd, &fp, &fd)) {
			fp->f_type = DTYPE_VNODE;
			fdinsert(shared, fd, 0, fp);
			FRELE(fp);
		}
		if (me % 2)
			fdrelease(shared, fd);
		fp = fd_getfile(shared, fd);
		if (fp)
			FRELE(fp);
		if (i % 64 == 0)
			fd_dup2(shared, fd, (fd + 1) % 16, 0);
	}
	return NULL;
}

START_TEST(row_16_fight)
{
	pthread_t t[THREADS];

	/* A round is a lookup and a release of each thread, and for half of them an open too. */
	rounds = from_env("TABLE_OPS", getenv("FULL") ? 10000000 : 400000) / THREADS / 2;
	shared = filedesc_new(&tab, 64);
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&t[i], NULL, fighter, (void *)i);
	for (int i = 0; i < THREADS; i++)
		pthread_join(t[i], NULL);
	for (int fd = 0; fd < 64; fd++)
		fdrelease(shared, fd);
	ck_assert_uint_eq(tab.nfiles, 0);
	ck_assert(list_empty(&tab.files) && list_empty(&tab.larval));
	fdfree(shared);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("filetab");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_set_timeout(t, 600);
	tcase_add_test(t, row_11_counts);
	tcase_add_test(t, row_12_larval);
	tcase_add_test(t, lowest);
	tcase_add_test(t, row_13_limits);
	tcase_add_test(t, row_14_kinds);
	tcase_add_test(t, dup2_replaces);
	tcase_add_test(t, row_15_close_during_lock);
	tcase_add_test(t, row_15_lock_races_close);
	tcase_add_test(t, share_copy);
	tcase_add_test(t, iterate);
	tcase_add_test(t, row_13_growth_under_readers);
	tcase_add_test(t, row_16_fight);
	return run_tests("filetab", t);
}
