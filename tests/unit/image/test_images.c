/*
 * test_images - what is written is what is read: the model, single images,
 * pages, and the life of a directory from one dump to the next.
 */
#include "fixture.h"

#include "proto/pipe-data.pb-c.h"

START_TEST(round_trip)
{
	char *one = image_make('a'), *two = dir_make();
	struct report *r = quiet();
	struct image_dir *d = dir_open(one, r), *e = dir_open(two, r);
	struct pstree_item *root, *child;
	struct fdinfo_list_entry *fle;
	struct pstree *t;
	char **names;

	ck_assert_int_eq(image_verify(d), 0);
	ck_assert_int_eq(image_load_tree(d, r, &t), 0);
	ck_assert_uint_eq(t->nr_items, 3);
	root = t->root;
	child = pstree_find(t, 101);
	ck_assert_int_eq(root->pid, 100);
	ck_assert_uint_eq(root->nr_threads, 2);
	ck_assert_int_eq(root->threads[1].tid, 103);
	ck_assert_int_eq(child->state, TASK_STOPPED);
	ck_assert_int_eq(pstree_find(t, 102)->state, TASK_DEAD);
	ck_assert_ptr_eq(child->parent, root);
	ck_assert_ptr_eq(child->fdt, root->fdt);
	ck_assert_ptr_eq(root->fdt->owner, root);
	ck_assert_uint_eq(root->nr_vmas, 3);
	ck_assert_uint_eq(root->vmas[0].file->id, root->mm->exe_file_id);
	ck_assert_ptr_eq(root->vmas[2].shmem, child->vmas[2].shmem);
	ck_assert_uint_eq(root->vmas[2].shmem->size, 8 * PAGE);
	ck_assert_uint_eq(root->vmas[2].shmem->runs[0].vaddr, 3 * PAGE);
	ck_assert_uint_eq(root->nr_runs, 2);
	ck_assert_uint_eq(root->runs[1].offset, 2 * PAGE);
	ck_assert_uint_eq(root->pages_id, 100);
	fle = container_of(root->fdt->fles.prev, struct fdinfo_list_entry, in_table);
	ck_assert_int_eq(fle->fd, 700);
	ck_assert_uint_eq(((const EventfdFileEntry *)file_desc_entry(fle->desc))->counter,
			  0x1234567890ull);

	save_all(e, t, 'a');
	ck_assert_int_eq(image_commit(e, t), 0);
	names = dir_names(one);
	for (char **n = names; *n; n++) {
		struct blob x = blob_get(one, *n), y = blob_get(two, *n);

		ck_assert_msg(x.len == y.len && !memcmp(x.bytes, y.bytes, x.len), "%s", *n);
		free(x.bytes);
		free(y.bytes);
	}
	names_free(names);
	ck_assert_uint_eq(report_count(r), 0);
	image_dir_close(d);
	image_dir_close(e);
	pstree_free(t);
	report_free(r);
	dir_remove(one);
	dir_remove(two);
}
END_TEST

START_TEST(messages_and_payload)
{
	size_t big = 300000;
	char *path = dir_make(), *data = malloc(big), *back = malloc(big);
	PipeDataEntry m = PIPE_DATA_ENTRY__INIT;
	struct report *r = quiet();
	struct image_dir *d = dir_open(path, r);
	struct image_writer *w;
	struct image_reader *rd;
	ProtobufCMessage *got;

	memset(data, 'x', big);
	ck_assert_int_eq(image_create(&w, d, IMAGE_PIPES_DATA, 0), 0);
	for (uint32_t i = 0; i < 50; i++) {
		m.pipe_id = i;
		m.bytes = i ? i * 100 : (uint32_t)big;
		ck_assert_int_eq(image_put(w, &m.base), 0);
		ck_assert_int_eq(image_put_raw(w, data, m.bytes), 0);
	}
	ck_assert_int_eq(image_finish(&w), 0);
	ck_assert_ptr_null(w);
	ck_assert_int_eq(image_open(&rd, d, IMAGE_PIPES_DATA, 0), 0);
	for (uint32_t i = 0; i < 50; i++) {
		ck_assert_int_eq(image_get(rd, &pipe_data_entry__descriptor, &got), 1);
		ck_assert_uint_eq(((PipeDataEntry *)got)->pipe_id, i);
		ck_assert_int_eq(image_get_raw(rd, back, ((PipeDataEntry *)got)->bytes), 0);
		ck_assert_int_eq(memcmp(data, back, ((PipeDataEntry *)got)->bytes), 0);
	}
	ck_assert_int_eq(image_get(rd, &pipe_data_entry__descriptor, &got), 0);
	ck_assert_int_lt(image_get_raw(rd, back, 1), 0);
	image_close(&rd);
	ck_assert_int_eq(image_open(&rd, d, IMAGE_FIFO_DATA, 0), -ENOENT);
	image_dir_close(d);
	report_free(r);
	free(data);
	free(back);
	dir_remove(path);
}
END_TEST

START_TEST(unknown_fields_are_kept)
{
	/* img_version 2, fdinfo_per_id, and field 2000 with 5 bytes. */
	static const uint8_t raw[] = { 0x16, 0x31, 0x31, 0x58, 12, 0,   0,   0,   8,   2,
				       16,   1,    0x82, 0x7d, 5,  'h', 'e', 'l', 'l', 'o' };
	char *path = image_make('a');
	struct report *r = quiet();
	struct image_dir *d;
	struct blob b;

	blob_put(path, "inventory.img", raw, sizeof(raw));
	d = dir_open(path, r);
	ck_assert_int_eq(image_seal(d), 0);
	image_dir_close(d);
	b = blob_get(path, "inventory.img");
	ck_assert_ptr_nonnull(memmem(b.bytes, b.len, raw + 12, 8));
	free(b.bytes);
	ck_assert_str_eq(verify_id(path, NULL), "");
	report_free(r);
	dir_remove(path);
}
END_TEST

START_TEST(second_dump_replaces_first)
{
	char *path = image_make('a');
	struct report *r = quiet();
	struct pstree *t = tree_make(r);
	struct image_dir *d = dir_open(path, r);
	struct stat st;
	char file[128];

	blob_put(path, "dump.log", "kept", 4);
	blob_put(path, "core-4000.img", "stale", 5);
	/* The first file of a new dump ends the old image. */
	pages_make(d, 1, 2, 'b');
	ck_assert_str_eq(verify_id(path, NULL), "image-no-inventory");
	snprintf(file, sizeof(file), "%s/core-4000.img", path);
	ck_assert_int_lt(stat(file, &st), 0);
	pages_make(d, 100, 3, 'b');
	pages_make(d, 101, 3, 'b');
	ck_assert_int_eq(image_save_tree(d, t), 0);
	ck_assert_str_eq(verify_id(path, NULL), "image-no-inventory");
	ck_assert_int_eq(image_commit(d, t), 0);
	ck_assert_str_eq(verify_id(path, NULL), "");
	snprintf(file, sizeof(file), "%s/dump.log", path);
	ck_assert_int_eq(stat(file, &st), 0);
	snprintf(file, sizeof(file), "%s/inventory.img", path);
	ck_assert_int_eq(stat(file, &st), 0);
	ck_assert_uint_eq(st.st_mode & 0777, 0600);
	image_dir_close(d);
	pstree_free(t);
	report_free(r);
	dir_remove(path);
}
END_TEST

START_TEST(commit_refuses_a_broken_dump)
{
	char *path = dir_make();
	struct report *r = quiet();
	struct pstree *t = tree_make(r);
	struct image_dir *d = dir_open(path, r);
	struct image_writer *w, *again;
	uint64_t len = PAGE, hash = 0;

	ck_assert_int_eq(image_create(&w, d, IMAGE_PIPES_DATA, 0), 0);
	ck_assert_int_lt(image_commit(d, t), 0); /* still open */
	ck_assert_int_lt(image_create(&again, d, IMAGE_PIPES_DATA, 0), 0);
	ck_assert_int_eq(image_finish(&w), 0);
	ck_assert_int_lt(image_pages_done(d, 9, 2 * PAGE, &len, &hash, 1), 0);
	ck_assert_int_lt(image_commit(d, t), 0);
	ck_assert_str_eq(verify_id(path, NULL), "image-no-inventory");
	image_dir_close(d);
	pstree_free(t);
	report_free(r);
	dir_remove(path);
}
END_TEST

START_TEST(unlisted_files_are_no_part)
{
	char *path = image_make('a');
	struct report *r = quiet();
	struct image_dir *d;
	struct image_reader *rd;
	struct blob b = blob_get(path, "core-100.img");

	blob_put(path, "core-555.img", b.bytes, b.len);
	d = dir_open(path, r);
	ck_assert_int_eq(image_verify(d), 0);
	ck_assert_int_eq(image_open(&rd, d, IMAGE_CORE, 555), -ENOENT);
	ck_assert_int_eq(image_open(&rd, d, IMAGE_CORE, 100), 0);
	image_close(&rd);
	image_dir_close(d);
	report_free(r);
	free(b.bytes);
	dir_remove(path);
}
END_TEST

START_TEST(a_directory_only_read_is_not_dumped_into)
{
	char *path = image_make('a');
	struct report *r = quiet();
	struct image_dir *d = dir_open(path, r);
	struct image_writer *w;

	ck_assert_int_eq(image_verify(d), 0);
	ck_assert_int_eq(image_create(&w, d, IMAGE_CORE, 7), -EROFS);
	/* Statistics of the restore are no part of the image. */
	ck_assert_int_eq(image_create(&w, d, IMAGE_STATS_RESTORE, 0), 0);
	ck_assert_int_eq(image_finish(&w), 0);
	image_dir_close(d);
	ck_assert_str_eq(verify_id(path, NULL), "");
	report_free(r);
	dir_remove(path);
}
END_TEST

START_TEST(names_in_hexadecimal)
{
	char *path = dir_make(), file[128];
	struct report *r = quiet();
	struct image_dir *d = dir_open(path, r);
	struct image_writer *w;
	struct stat st;

	ck_assert_int_eq(image_create(&w, d, IMAGE_GHOST_FILE, 26), 0);
	ck_assert_int_eq(image_finish(&w), 0);
	snprintf(file, sizeof(file), "%s/ghost-file-1a.img", path);
	ck_assert_int_eq(stat(file, &st), 0);
	image_dir_close(d);
	report_free(r);
	dir_remove(path);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("images");
	TCase *tc = tcase_create("images");

	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, round_trip);
	tcase_add_test(tc, messages_and_payload);
	tcase_add_test(tc, unknown_fields_are_kept);
	tcase_add_test(tc, second_dump_replaces_first);
	tcase_add_test(tc, commit_refuses_a_broken_dump);
	tcase_add_test(tc, unlisted_files_are_no_part);
	tcase_add_test(tc, a_directory_only_read_is_not_dumped_into);
	tcase_add_test(tc, names_in_hexadecimal);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
