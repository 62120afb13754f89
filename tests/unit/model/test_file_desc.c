/*
 * test_file_desc - ids, the order of fles, merging, and how a failure names
 * its file; and that the registry of types is whole.
 */
#include <check.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

/* libcheck's own macro of that name. */
#undef fail
#include "model/file_desc.h"
#include "model/pstree.h"
#include "tests/unit/run_tests.h"

static struct report *report;
static struct pstree *tree;

static void setup(void)
{
	report = report_new();
	report_log_to(report, -1, LOG_ERROR);
	tree = pstree_new(report);
}

static void teardown(void)
{
	pstree_free(tree);
	report_free(report);
}

static struct filedesc *table_of(pid_t pid)
{
	struct pstree_item *it = pstree_add(tree, tree->root, pid);

	it->fdt = filedesc_new(&tree->files, 1 << 20);
	it->fdt->owner = it;
	return it->fdt;
}

START_TEST(ids)
{
	struct file_desc *a = file_desc_add(tree, 1, FILE_KIND_pipe, NULL);
	struct file_desc *b = file_desc_new(tree, FILE_KIND_pipe, NULL);

	ck_assert_ptr_nonnull(a);
	ck_assert_uint_eq(b->id, 2);
	ck_assert_ptr_null(file_desc_add(tree, 2, FILE_KIND_reg, NULL));
	ck_assert_ptr_null(file_desc_add(tree, 0, FILE_KIND_reg, NULL));
	ck_assert_ptr_eq(file_desc_find(tree, 1), a);
	ck_assert_ptr_null(file_desc_find(tree, 3));
	ck_assert_ptr_eq(list_first(&tree->files.descs, struct file_desc, list), a);
	ck_assert_uint_eq(tree->files.nfiles, 2);
}
END_TEST

START_TEST(order)
{
	struct filedesc *hi = table_of(200), *lo = table_of(100);
	struct file_desc *d = file_desc_new(tree, FILE_KIND_eventfd, NULL);
	struct fdinfo_list_entry *fle;
	int want[] = { 3, 9, 4, 5 }, want_after[] = { 4, 5, 3, 9 }, n = 0;

	ck_assert_ptr_nonnull(fle_new(d, hi, 5, 0));
	ck_assert_ptr_nonnull(fle_new(d, lo, 9, 0));
	ck_assert_ptr_nonnull(fle_new(d, hi, 4, 0));
	ck_assert_ptr_nonnull(fle_new(d, lo, 3, FD_CLOEXEC));
	ck_assert_ptr_null(fle_new(d, lo, 3, 0));
	ck_assert_ptr_null(fle_new(d, lo, -1, 0));
	ck_assert_ptr_null(fle_new(d, lo, 1 << 20, 0));
	list_for_each(fle, &d->fles, of_desc)
		ck_assert_int_eq(fle->fd, want[n++]);
	ck_assert_int_eq(list_first(&hi->fles, struct fdinfo_list_entry, in_table)->fd, 4);
	ck_assert_int_eq(list_first(&lo->fles, struct fdinfo_list_entry, in_table)->fd, 3);

	hi->owner->pid = 50;
	file_desc_sort(d);
	n = 0;
	list_for_each(fle, &d->fles, of_desc)
		ck_assert_int_eq(fle->fd, want_after[n++]);
	ck_assert_int_eq(n, 4);
	/* Larval until the file is there. */
	fle = list_first(&d->fles, struct fdinfo_list_entry, of_desc);
	ck_assert_ptr_null(fd_getfile(hi, 4));
	fle_mature(fle);
	ck_assert_ptr_eq(fd_getfile(hi, 4), d->file);
}
END_TEST

START_TEST(merge)
{
	struct filedesc *fdt = table_of(7);
	struct file_desc *d;
	struct file *fp;
	int fd;

	ck_assert_int_eq(falloc(fdt, 4, &fp, &fd), 0);
	d = file_desc_adopt(tree, fp, FILE_KIND_unixsk, NULL);
	ck_assert_ptr_nonnull(fle_merge(d, fdt, 4, 0, fp));
	ck_assert_int_eq(falloc(fdt, 6, &fp, &fd), 0);
	ck_assert_ptr_nonnull(fle_merge(d, fdt, 6, FD_CLOEXEC, fp));
	/* Two descriptors and the desc. */
	ck_assert_uint_eq(d->file->f_count, 3);
	ck_assert_uint_eq(tree->files.nfiles, 1);
	ck_assert_int_eq(getsock(fdt, 6, &fp), 0);
	ck_assert_ptr_eq(fp->f_desc, d);
	ck_assert_int_eq(getvnode(fdt, 6, &fp), -22);
}
END_TEST

START_TEST(failure)
{
	struct filedesc *fdt = table_of(42);
	RegFileEntry reg = REG_FILE_ENTRY__INIT;
	UnixSkEntry sk = UNIX_SK_ENTRY__INIT;
	struct file_desc *d;

	reg.name = (char *)"/etc/passwd";
	d = file_desc_add(tree, 0x11, FILE_KIND_reg, &reg.base);
	fle_new(d, fdt, 8, 0);
	ck_assert_int_eq(file_fail(d, 2, "open for %s", "writing"), -1);
	ck_assert_uint_eq(report_count(report), 1);
	ck_assert_str_eq(report_cause(report, 0)->id, "file-reg");
	ck_assert_int_eq(report_cause(report, 0)->err, 2);
	ck_assert_str_eq(report_cause(report, 0)->text,
			 "pid 42 fd 8: reg 0x11 (/etc/passwd): open for writing");

	sk.name.data = (uint8_t *)"\0bus";
	sk.name.len = 4;
	d = file_desc_add(tree, 0x12, FILE_KIND_unixsk, &sk.base);
	file_fail(d, 0, "bind");
	ck_assert_str_eq(report_cause(report, 1)->text, "unixsk 0x12 (@bus): bind");
}
END_TEST

START_TEST(registry)
{
	for (int i = 0; i < FILE_KINDS; i++) {
		const struct file_type *ft = &file_types[i];
		const ProtobufCFieldDescriptor *f = NULL;

		ck_assert_ptr_eq(file_type_find(ft->fd_type, ft->name), ft);
		ck_assert_uint_lt(strlen(ft->name), 26);
		for (unsigned k = 0; k < file_entry__descriptor.n_fields; k++)
			if (file_entry__descriptor.fields[k].offset == ft->field)
				f = &file_entry__descriptor.fields[k];
		ck_assert_ptr_nonnull(f);
		if (ft->fd_type != FD_TYPES__EXT)
			ck_assert_ptr_eq(f->descriptor, ft->msg);
	}
	ck_assert_ptr_null(file_type_find(FD_TYPES__UND, NULL));
	ck_assert_ptr_null(file_type_find(FD_TYPES__EXT, NULL));
	ck_assert_ptr_null(file_type_find(FD_TYPES__EXT, "nobody's"));
	ck_assert_ptr_null(file_type_find((FdTypes)12345, NULL));
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("file_desc");

	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, ids);
	tcase_add_test(t, order);
	tcase_add_test(t, merge);
	tcase_add_test(t, failure);
	tcase_add_test(t, registry);
	return run_tests("file_desc", t);
}
