/*
 * test_damage - images that are not what was dumped. With a manifest every
 * change is refused by name; without one nothing crashes, and what the loader
 * takes is sane.
 */
#include "fixture.h"

/* Runs @change on every file, and expects a refusal that names the file. */
static void each_refused(const char *path, const char *name, const uint8_t *bytes, size_t len)
{
	char text[464];

	blob_put(path, name, bytes, len);
	ck_assert_msg(*verify_id(path, text), "%s: %zu bytes taken", name, len);
	/* A damaged manifest or inventory may also be unreadable as a message. */
	ck_assert_msg(!strncmp(text, name, strlen(name)), "%s: said \"%s\"", name, text);
}

START_TEST(truncated_at_every_byte)
{
	char *path = image_make('a'), **names = dir_names(path);

	for (char **n = names; *n; n++) {
		struct blob b = blob_get(path, *n);
		/* Pages are all alike: their ends and some middle will do. */
		size_t step = b.len > 6000 ? 1021 : 1;

		for (size_t len = 0; len < b.len; len += step)
			each_refused(path, *n, b.bytes, len);
		each_refused(path, *n, b.bytes, b.len - 1);
		blob_put(path, *n, b.bytes, b.len);
		free(b.bytes);
	}
	ck_assert_str_eq(verify_id(path, NULL), "");
	names_free(names);
	dir_remove(path);
}
END_TEST

START_TEST(every_flipped_bit)
{
	char *path = image_make('a'), **names = dir_names(path);

	for (char **n = names; *n; n++) {
		struct blob b = blob_get(path, *n);
		bool all = !strcmp(*n, "inventory.img"), some = b.len > 6000;

		for (size_t i = 0; i < b.len; i += some ? 509 : 1)
			for (unsigned bit = all ? 0 : i % 8; bit < (all ? 8 : i % 8 + 1); bit++) {
				b.bytes[i] ^= (uint8_t)(1u << bit);
				each_refused(path, *n, b.bytes, b.len);
				b.bytes[i] ^= (uint8_t)(1u << bit);
			}
		/* Something appended. */
		b.bytes[b.len] = 0;
		each_refused(path, *n, b.bytes, b.len + 1);
		blob_put(path, *n, b.bytes, b.len);
		free(b.bytes);
	}
	ck_assert_str_eq(verify_id(path, NULL), "");
	names_free(names);
	dir_remove(path);
}
END_TEST

START_TEST(swapped_with_another_run)
{
	static const char *const all[] = { "pages-100.img", "manifest", "inventory.img" };
	char *one = image_make('a'), *two = image_make('b');
	struct blob x, y;

	for (size_t i = 0; i < 3; i++) {
		x = blob_get(one, all[i]);
		y = blob_get(two, all[i]);
		blob_put(one, all[i], y.bytes, y.len);
		ck_assert_str_eq(verify_id(one, NULL), "image-altered");
		blob_put(one, all[i], x.bytes, x.len);
		free(x.bytes);
		free(y.bytes);
	}
	/* Two files of the same image and length. */
	x = blob_get(one, "fs-100.img");
	y = blob_get(one, "core-102.img");
	blob_put(one, "core-102.img", x.bytes, x.len);
	blob_put(one, "fs-100.img", y.bytes, y.len);
	ck_assert_str_eq(verify_id(one, NULL), "image-altered");
	free(x.bytes);
	free(y.bytes);
	dir_remove(one);
	dir_remove(two);
}
END_TEST

START_TEST(every_mismatch_is_named)
{
	char *path = image_make('a'), file[128];
	struct report *r = quiet();
	struct image_dir *d;
	struct blob b = blob_get(path, "pages-101.img");

	b.bytes[PAGE + 7] ^= 1;
	blob_put(path, "pages-101.img", b.bytes, b.len);
	blob_put(path, "pstree.img", "", 0);
	snprintf(file, sizeof(file), "%s/mm-100.img", path);
	ck_assert_int_eq(unlink(file), 0);
	snprintf(file, sizeof(file), "%s/fs-100.img", path);
	ck_assert_int_eq(unlink(file), 0);
	ck_assert_int_eq(mkdir(file, 0700), 0);
	d = dir_open(path, r);
	ck_assert_int_lt(image_verify(d), 0);
	ck_assert_uint_eq(report_count(r), 4);
	for (size_t i = 0; i < 4; i++) {
		const char *text = report_cause(r, i)->text;

		ck_assert(!strncmp(text, "fs-100.img: ", 12) ||
			  !strncmp(text, "mm-100.img: missing", 19) ||
			  !strncmp(text, "pstree.img: emptied", 19) ||
			  (!strncmp(text, "pages-101.img: ", 15) && strstr(text, "offset 4096")));
	}
	image_dir_close(d);
	report_free(r);
	rmdir(file);
	free(b.bytes);
	dir_remove(path);
}
END_TEST

START_TEST(versions_and_directories)
{
	static const uint8_t old[] = { 0x16, 0x31, 0x31, 0x58, 4, 0, 0, 0, 8, 1, 16, 1 };
	char *path = image_make('a'), file[128];
	struct report *r = quiet();
	struct image_dir *d;
	int fd;

	blob_put(path, "inventory.img", old, sizeof(old));
	ck_assert_str_eq(verify_id(path, NULL), "image-version");
	snprintf(file, sizeof(file), "%s/inventory.img", path);
	fd = open(file, O_RDONLY);
	ck_assert_int_eq(image_dir_open(&d, fd, r, NULL), -ENOTDIR);
	ck_assert_str_eq(report_cause(r, 0)->id, "image-dir");
	close(fd);
	unlink(file);
	ck_assert_str_eq(verify_id(path, NULL), "image-no-inventory");
	/* A symbolic link or a FIFO is no image, and does not hold us up. */
	ck_assert_int_eq(symlink("manifest", file), 0);
	ck_assert_str_eq(verify_id(path, NULL), "image-read");
	unlink(file);
	ck_assert_int_eq(mkfifo(file, 0600), 0);
	ck_assert_str_eq(verify_id(path, NULL), "image-read");
	report_free(r);
	dir_remove(path);
}
END_TEST

START_TEST(lengths_beyond_the_file)
{
	static const uint32_t bad[] = { 0xffffffff, 0x80000000, 65u << 20, 17 };
	char *path = image_make('a');
	struct blob b = blob_get(path, "pstree.img");

	manifest_forget(path);
	ck_assert_str_eq(load_id(path), "");
	for (size_t i = 0; i < 4; i++) {
		uint32_t len = bad[i];

		memcpy(b.bytes + 8, &len, sizeof(len));
		blob_put(path, "pstree.img", b.bytes, 8 + 4 + 16);
		ck_assert_str_eq(load_id(path), i < 3 ? "image-length" : "image-truncated");
	}
	free(b.bytes);
	dir_remove(path);
}
END_TEST

START_TEST(sealed_again)
{
	char *path = image_make('a');
	struct report *r = quiet();
	struct blob b = blob_get(path, "pages-100.img");
	struct image_dir *d;

	b.bytes[0] ^= 1;
	blob_put(path, "pages-100.img", b.bytes, b.len);
	ck_assert_str_eq(verify_id(path, NULL), "image-altered");
	d = dir_open(path, r);
	ck_assert_int_eq(image_seal(d), 0);
	image_dir_close(d);
	ck_assert_str_eq(verify_id(path, NULL), "");
	ck_assert_str_eq(load_id(path), "");
	/* Also an image that had no manifest. */
	manifest_forget(path);
	d = dir_open(path, r);
	ck_assert_int_eq(image_seal(d), 0);
	image_dir_close(d);
	b.bytes[0] ^= 1;
	blob_put(path, "pages-100.img", b.bytes, b.len);
	ck_assert_str_eq(verify_id(path, NULL), "image-altered");
	free(b.bytes);
	report_free(r);
	dir_remove(path);
}
END_TEST

/* Truncations and flips without a manifest: an error or a tree, never a crash. */
START_TEST(loader_takes_no_harm)
{
	char *path = image_make('a'), **names = dir_names(path);

	manifest_forget(path);
	for (char **n = names; *n; n++) {
		struct blob b;

		if (!strncmp(*n, "pages-", 6) || !strcmp(*n, "manifest"))
			continue;
		b = blob_get(path, *n);
		for (size_t i = 0; i < b.len; i++) {
			blob_put(path, *n, b.bytes, i);
			load_id(path);
			b.bytes[i] ^= (uint8_t)(1u << i % 8);
			blob_put(path, *n, b.bytes, b.len);
			load_id(path);
			b.bytes[i] ^= (uint8_t)(1u << i % 8);
		}
		blob_put(path, *n, b.bytes, b.len);
		free(b.bytes);
	}
	ck_assert_str_eq(load_id(path), "");
	names_free(names);
	dir_remove(path);
}
END_TEST

START_TEST(fuzz)
{
	char *path = image_make('a'), **names = dir_names(path);
	size_t n = 0;

	manifest_forget(path);
	srandom(20240229);
	while (names[n])
		n++;
	for (int round = 0; round < 3000; round++) {
		const char *name = names[(size_t)random() % n];
		struct blob b = blob_get(path, name);
		uint8_t *copy = malloc(b.len + 1);

		memcpy(copy, b.bytes, b.len);
		for (int k = 0; b.len && k < 1 + (int)(random() % 4); k++)
			copy[(size_t)random() % b.len] = random() % 3 ? (uint8_t)random() : 0xff;
		blob_put(path, name, copy, b.len);
		load_id(path);
		blob_put(path, name, b.bytes, b.len);
		free(copy);
		free(b.bytes);
	}
	ck_assert_str_eq(load_id(path), "");
	names_free(names);
	dir_remove(path);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("damage");
	TCase *tc = tcase_create("damage");

	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, truncated_at_every_byte);
	tcase_add_test(tc, every_flipped_bit);
	tcase_add_test(tc, swapped_with_another_run);
	tcase_add_test(tc, every_mismatch_is_named);
	tcase_add_test(tc, versions_and_directories);
	tcase_add_test(tc, lengths_beyond_the_file);
	tcase_add_test(tc, sealed_again);
	tcase_add_test(tc, loader_takes_no_harm);
	tcase_add_test(tc, fuzz);
	suite_add_tcase(s, tc);
	return run_suite(s);
}
