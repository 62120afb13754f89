/*
 * test_loader - images whose checksums are right and whose contents are not:
 * what the loader refuses at the door, and by which id.
 */
#include "fixture.h"

#include <fcntl.h>

#include "proto/pagemap.pb-c.h"

struct wrong {
	const char *what, *id;
	void (*make)(struct pstree *t);
};

static struct pstree_item *root(struct pstree *t)
{
	return t->root;
}

static VmaEntry *root_vma(struct pstree *t, size_t i)
{
	return root(t)->vmas[i].e;
}

static CoreEntry *root_core(struct pstree *t)
{
	return item_core(root(t));
}

static void pid_too_large(struct pstree *t)
{
	pstree_find(t, 102)->pid = 1 << 23;
}

static void two_roots(struct pstree *t)
{
	pstree_find(t, 101)->parent = NULL;
}

static void parent_after_child(struct pstree *t)
{
	pstree_find(t, 101)->parent = pstree_find(t, 102);
}

static void unknown_state(struct pstree *t)
{
	root_core(t)->tc->task_state = 9;
}

static void unknown_enum(struct pstree *t)
{
	root_core(t)->tc->has_old_seccomp_mode = 1;
	root_core(t)->tc->old_seccomp_mode = (SeccompMode)77;
}

static void other_machine(struct pstree *t)
{
	root_core(t)->mtype = CORE_ENTRY__MARCH__S390;
}

static void few_registers(struct pstree *t)
{
	root_core(t)->thread_info->fpregs->n_xmm_space = 63;
}

static void many_sigactions(struct pstree *t)
{
	root_core(t)->tc->n_sigactions = 61;
}

static void long_name(struct pstree *t)
{
	root_core(t)->tc->comm = (char *)"a name of 16byte";
}

static void two_leaders(struct pstree *t)
{
	root(t)->threads[1].core->tc = root_core(t)->tc;
}

static void vma_unaligned(struct pstree *t)
{
	root_vma(t, 1)->start += 1;
}

static void vma_overlaps(struct pstree *t)
{
	root_vma(t, 1)->start -= PAGE;
}

static void vma_in_the_kernel(struct pstree *t)
{
	root_vma(t, 2)->start = 0xffff800000000000;
	root_vma(t, 2)->end = 0xffff800000001000;
}

static void vma_unknown(struct pstree *t)
{
	root_vma(t, 2)->status |= 1u << 31;
}

static void vma_offset_wraps(struct pstree *t)
{
	root_vma(t, 0)->pgoff = UINT64_MAX - PAGE + 1;
}

static void vma_of_no_file(struct pstree *t)
{
	root_vma(t, 0)->shmid = 4711;
}

static void no_executable(struct pstree *t)
{
	root(t)->mm->exe_file_id = 4711;
}

static void no_directory(struct pstree *t)
{
	root(t)->fs->cwd_id = 2; /* a pipe */
}

static void pages_outside(struct pstree *t)
{
	root(t)->runs[1].vaddr = 0x500000;
}

static void pages_over_the_end(struct pstree *t)
{
	root(t)->runs[1].pages = 2;
}

static void pages_not_in_file(struct pstree *t)
{
	root(t)->pages_id = 1; /* two pages, three are wanted */
}

static void pages_out_of_order(struct pstree *t)
{
	root(t)->runs[0].vaddr = 0x403000;
	root(t)->runs[1].vaddr = 0x402000;
}

static void pages_of_a_parent(struct pstree *t)
{
	root(t)->runs[0].flags = PE_PARENT;
}

static void fd_too_large(struct pstree *t)
{
	container_of(root(t)->fdt->fles.prev, struct fdinfo_list_entry, in_table)->fd = 1 << 20;
}

static void fd_twice(struct pstree *t)
{
	container_of(root(t)->fdt->fles.prev, struct fdinfo_list_entry, in_table)->fd = 1;
}

static void fd_flags_unknown(struct pstree *t)
{
	list_first(&root(t)->fdt->fles, struct fdinfo_list_entry, in_table)->fdflags = 2;
}

static void file_id_twice(struct pstree *t)
{
	struct file_desc *d = file_desc_find(t, 3);

	d->id = 2;
	((PipeEntry *)d->msg)->id = 2;
}

static void file_id_inside(struct pstree *t)
{
	((PipeEntry *)file_desc_find(t, 3)->msg)->id = 9;
}

static void file_without_path(struct pstree *t)
{
	((RegFileEntry *)file_desc_find(t, 1)->msg)->name = (char *)"";
}

static void fds_by_pid(struct pstree *t)
{
	t->inventory->fdinfo_per_id = 0;
}

static FileLockEntry *add_lock(struct pstree *t, uint32_t flag, uint32_t type, int pid, int fd)
{
	FileLockEntry *e = arena_new_of(t->arena, FileLockEntry);

	file_lock_entry__init(e);
	e->flag = flag;
	e->type = type;
	e->pid = pid;
	e->fd = fd;
	arena_push(t->arena, t->locks, t->nr_locks) = (struct held_lock){ .e = e };
	return e;
}

static void lock_of_a_new_kind(struct pstree *t)
{
	add_lock(t, 16, F_WRLCK, 100, 0);
}

static void lock_of_two_kinds(struct pstree *t)
{
	add_lock(t, FL_POSIX | FL_FLOCK, F_WRLCK, 100, 0);
}

static void lock_that_is_none(struct pstree *t)
{
	add_lock(t, FL_POSIX, F_UNLCK, 100, 0);
}

static void lock_that_breaks(struct pstree *t)
{
	add_lock(t, FL_POSIX, F_RDLCK | LEASE_BREAKING, 100, 0);
}

static void lease_breaks_to_write(struct pstree *t)
{
	add_lock(t, FL_LEASE, F_WRLCK | LEASE_BREAKING, 100, 0);
}

static void lock_from_below_zero(struct pstree *t)
{
	add_lock(t, FL_OFD, F_WRLCK, 100, 0)->start = -1;
}

static void lock_beyond_the_end(struct pstree *t)
{
	FileLockEntry *e = add_lock(t, FL_OFD, F_WRLCK, 100, 0);

	e->start = INT64_MAX - 5;
	e->len = 7;
}

static void lock_of_a_stranger(struct pstree *t)
{
	add_lock(t, FL_POSIX, F_WRLCK, 4711, 0);
}

static void lock_of_the_dead(struct pstree *t)
{
	add_lock(t, FL_POSIX, F_WRLCK, 102, 0);
}

static void lock_of_no_descriptor(struct pstree *t)
{
	add_lock(t, FL_FLOCK, F_WRLCK, 100, 3);
}

static void lock_in_flight_of_nobody(struct pstree *t)
{
	FileLockEntry *e = add_lock(t, FL_POSIX, F_WRLCK, 0, -1);

	e->has_file_id = 1;
	e->file_id = 1;
}

static const struct wrong wrongs[] = {
	{ "lock of a new kind", "image-lock", lock_of_a_new_kind },
	{ "lock of two kinds", "image-lock", lock_of_two_kinds },
	{ "lock that is none", "image-lock", lock_that_is_none },
	{ "lock that breaks", "image-lock", lock_that_breaks },
	{ "lease breaks to write", "image-lock", lease_breaks_to_write },
	{ "lock from below zero", "image-lock", lock_from_below_zero },
	{ "lock beyond the end", "image-lock", lock_beyond_the_end },
	{ "lock of a stranger", "image-lock", lock_of_a_stranger },
	{ "lock of the dead", "image-lock", lock_of_the_dead },
	{ "lock of no descriptor", "image-lock", lock_of_no_descriptor },
	{ "lock in flight of nobody", "image-lock", lock_in_flight_of_nobody },
	{ "pid too large", "image-task", pid_too_large },
	{ "two roots", "image-task", two_roots },
	{ "parent after child", "image-task", parent_after_child },
	{ "unknown state", "image-task", unknown_state },
	{ "unknown enum", "image-enum", unknown_enum },
	{ "other machine", "image-arch", other_machine },
	{ "few registers", "image-task", few_registers },
	{ "signal actions", "image-task", many_sigactions },
	{ "long name", "image-task", long_name },
	{ "two leaders", "image-task", two_leaders },
	{ "vma unaligned", "image-vma", vma_unaligned },
	{ "vma overlaps", "image-vma", vma_overlaps },
	{ "vma in the kernel", "image-vma", vma_in_the_kernel },
	{ "vma unknown", "image-vma", vma_unknown },
	{ "vma offset wraps", "image-vma", vma_offset_wraps },
	{ "vma of no file", "image-vma", vma_of_no_file },
	{ "no executable", "image-file-id", no_executable },
	{ "no directory", "image-file-id", no_directory },
	{ "pages outside", "image-pages", pages_outside },
	{ "pages over the end", "image-pages", pages_over_the_end },
	{ "pages not in file", "image-pages", pages_not_in_file },
	{ "pages out of order", "image-pages", pages_out_of_order },
	{ "pages of a parent", "image-parent", pages_of_a_parent },
	{ "fd too large", "image-fd", fd_too_large },
	{ "fd twice", "image-fd", fd_twice },
	{ "fd flags", "image-fd", fd_flags_unknown },
	{ "file id twice", "image-file-id", file_id_twice },
	{ "file id inside", "image-file-id", file_id_inside },
	{ "file without path", "image-file-id", file_without_path },
	{ "fds by pid", "image-version", fds_by_pid },
};

START_TEST(refused)
{
	const struct wrong *w = &wrongs[_i];
	char *path = dir_make();
	struct report *r = quiet();
	struct pstree *t = tree_make(r);
	struct image_dir *d = dir_open(path, r);

	w->make(t);
	save_all(d, t, 'a');
	ck_assert_int_eq(image_commit(d, t), 0);
	ck_assert_str_eq(verify_id(path, NULL), "");
	ck_assert_msg(!strcmp(load_id(path), w->id), "%s: \"%s\"", w->what, load_id(path));
	image_dir_close(d);
	pstree_free(t);
	report_free(r);
	dir_remove(path);
}
END_TEST

/* What cannot be saved without the images clashing is put together by hand. */
START_TEST(locks_find_their_place)
{
	char *path = dir_make();
	struct report *r = quiet();
	struct pstree *t = tree_make(r), *got = NULL;
	struct image_dir *d = dir_open(path, r);

	/* In no order, as another tool may have written them. */
	add_lock(t, FL_OFD, F_WRLCK, 101, 700);
	add_lock(t, FL_POSIX, F_RDLCK, 100, 700)->start = 9;
	add_lock(t, FL_POSIX, F_WRLCK, 100, 700)->len = 9;
	add_lock(t, FL_FLOCK, F_WRLCK, 100, 1);
	save_all(d, t, 'a');
	ck_assert_int_eq(image_commit(d, t), 0);
	ck_assert_int_eq(image_load_tree(d, r, &got), 0);
	ck_assert_uint_eq(got->nr_locks, 4);
	ck_assert_uint_eq(got->locks[0].e->flag, FL_FLOCK);
	ck_assert_ptr_eq(got->locks[0].it, got->root);
	ck_assert_int_eq(got->locks[0].desc->kind, FILE_KIND_pipe);
	ck_assert_int_eq(got->locks[1].e->len, 9);
	ck_assert_int_eq(got->locks[2].e->start, 9);
	ck_assert_ptr_eq(got->locks[3].it, pstree_find(got, 101));
	ck_assert_int_eq(got->locks[3].desc->kind, FILE_KIND_eventfd);
	pstree_free(got);
	image_dir_close(d);
	pstree_free(t);
	report_free(r);
	dir_remove(path);
}
END_TEST

START_TEST(twice_in_the_tree)
{
	char *path = image_make('a');
	struct blob b = blob_get(path, "pstree.img");
	uint8_t *more = malloc(2 * b.len);
	uint32_t first;

	memcpy(&first, b.bytes + 8, sizeof(first));
	memcpy(more, b.bytes, b.len);
	/* The second process once more, at the end. */
	memcpy(more + b.len, b.bytes + 12 + first, b.len - 12 - first);
	manifest_forget(path);
	blob_put(path, "pstree.img", more, 2 * b.len - 12 - first);
	ck_assert_str_eq(load_id(path), "image-task");
	/* The second thread of the first process has the number of the first. */
	for (size_t i = 12; i < 12 + first; i++)
		if (b.bytes[i] == 103)
			b.bytes[i] = 100;
	blob_put(path, "pstree.img", b.bytes, b.len);
	ck_assert_str_eq(load_id(path), "image-task");
	free(more);
	free(b.bytes);
	dir_remove(path);
}
END_TEST

START_TEST(unsupported_files_are_all_named)
{
	/* Two entries: type AUTOFS_PIPE, ids 21 and 22. */
	static const uint8_t raw[] = { 6, 0, 0, 0, 8, 255, 255, 3, 16, 21,
				       6, 0, 0, 0, 8, 255, 255, 3, 16, 22 };
	char *path = image_make('a');
	struct blob b = blob_get(path, "files.img");
	uint8_t *more = malloc(b.len + sizeof(raw));
	struct report *r = quiet();
	struct image_dir *d;
	struct pstree *t;

	memcpy(more, b.bytes, b.len);
	memcpy(more + b.len, raw, sizeof(raw));
	manifest_forget(path);
	blob_put(path, "files.img", more, b.len + sizeof(raw));
	d = dir_open(path, r);
	ck_assert_int_eq(image_load_tree(d, r, &t), -EOPNOTSUPP);
	ck_assert_uint_eq(report_count(r), 2);
	ck_assert_str_eq(report_cause(r, 1)->id, "image-unsupported-file");
	ck_assert_ptr_nonnull(strstr(report_cause(r, 1)->text, "AUTOFS_PIPE"));
	image_dir_close(d);
	report_free(r);
	free(more);
	free(b.bytes);
	dir_remove(path);
}
END_TEST

static void one_pagemap(const char *path, const PagemapEntry *e)
{
	PagemapHead head = PAGEMAP_HEAD__INIT;
	uint8_t buf[256] = { 0x19, 0x43, 0x56, 0x54, 0x25, 0x40, 0x08, 0x56 };
	uint32_t len;
	size_t at = 8;

	head.pages_id = 100;
	len = (uint32_t)pagemap_head__pack(&head, buf + at + 4);
	memcpy(buf + at, &len, 4);
	at += 4 + len;
	len = (uint32_t)pagemap_entry__pack(e, buf + at + 4);
	memcpy(buf + at, &len, 4);
	blob_put(path, "pagemap-100.img", buf, at + 4 + len);
}

START_TEST(forms_of_a_page_run)
{
	char *path = image_make('a');
	PagemapEntry e = PAGEMAP_ENTRY__INIT;

	manifest_forget(path);
	e.vaddr = 0x402000;
	e.compat_nr_pages = 3; /* older images have nothing else */
	one_pagemap(path, &e);
	ck_assert_str_eq(load_id(path), "");
	e.compat_nr_pages = 0;
	e.has_nr_pages = 1;
	e.nr_pages = 3;
	e.has_flags = 1;
	e.flags = PE_PRESENT | PE_LAZY;
	one_pagemap(path, &e);
	ck_assert_str_eq(load_id(path), "");
	e.flags = PE_LAZY;
	one_pagemap(path, &e);
	ck_assert_str_eq(load_id(path), "image-lazy");
	e.has_flags = 0;
	e.has_in_parent = e.in_parent = 1;
	one_pagemap(path, &e);
	ck_assert_str_eq(load_id(path), "image-parent");
	e.has_in_parent = e.in_parent = 0;
	e.nr_pages = UINT64_MAX / PAGE;
	one_pagemap(path, &e);
	ck_assert_str_eq(load_id(path), "image-pages");
	dir_remove(path);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("loader");
	TCase *tc = tcase_create("loader");

	tcase_set_timeout(tc, 30);
	tcase_add_loop_test(tc, refused, 0, (int)(sizeof(wrongs) / sizeof(*wrongs)));
	tcase_add_test(tc, locks_find_their_place);
	tcase_add_test(tc, twice_in_the_tree);
	tcase_add_test(tc, unsupported_files_are_all_named);
	tcase_add_test(tc, forms_of_a_page_run);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
