/*
 * test_registry - every row of file_types.def has its message, its dump half,
 * its restore half and a test.
 */
#include <check.h>
#undef fail /* check.h has one of its own, long deprecated */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "dump/dump.h"
#include "dump/files.h"
#include "model/file_desc.h"
#include "tests/unit/run_tests.h"

#define FILE_TYPE(name, fd_type, field, msg) extern const struct file_desc_ops name##_desc_ops;
#include "model/file_types.def"
#undef FILE_TYPE

static const struct file_desc_ops *const desc_ops[FILE_KINDS] = {
#define FILE_TYPE(name, fd_type, field, msg) [FILE_KIND_##name] = &name##_desc_ops,
#include "model/file_types.def"
#undef FILE_TYPE
};

/* Up from the build directory, or from where we are, to where the sources begin. */
static void enter_sources(void)
{
	const char *build = getenv("BUILD");

	if (build)
		ck_assert_int_eq(chdir(build), 0);
	for (int i = 0; i < 8 && access("criu-lite/model/file_types.def", F_OK); i++)
		ck_assert_int_eq(chdir(".."), 0);
	ck_assert_int_eq(access("criu-lite/model/file_types.def", F_OK), 0);
}

START_TEST(message)
{
	const struct file_type *t = &file_types[_i];
	const ProtobufCFieldDescriptor *f = NULL;

	ck_assert_ptr_nonnull(t->name);
	ck_assert_ptr_nonnull(t->msg);
	ck_assert_ptr_eq(file_type_find(t->fd_type, t->name), t);
	for (unsigned i = 0; i < file_entry__descriptor.n_fields; i++)
		if (file_entry__descriptor.fields[i].offset == t->field)
			f = &file_entry__descriptor.fields[i];
	ck_assert_msg(f && f->type == PROTOBUF_C_TYPE_MESSAGE, "%s: no such field in FileEntry",
		      t->name);
	ck_assert_msg(f->descriptor == t->msg || f->descriptor == &ext_file_entry__descriptor,
		      "%s: the field in FileEntry has another message", t->name);
	f = protobuf_c_message_descriptor_get_field_by_name(t->msg, "id");
	ck_assert_msg(f && f->type == PROTOBUF_C_TYPE_UINT32, "%s: its message has no id", t->name);
}
END_TEST

START_TEST(halves)
{
	const char *name = file_types[_i].name;

	ck_assert_msg(file_dump_ops[_i] && file_dump_ops[_i]->probe, "%s: probe()", name);
	ck_assert_msg(file_dump_ops[_i]->dump != NULL, "%s: dump()", name);
	ck_assert_msg(!file_dump_ops[_i]->keep || file_dump_ops[_i]->finish,
		      "%s: keep without finish()", name);
	ck_assert_msg(desc_ops[_i]->open != NULL, "%s: open()", name);
}
END_TEST

/* Where a message has another file name than its type: those of CRIU, which other tools import. */
static const struct {
	const char *type, *proto;
} elsewhere[] = {
	{ "inetsk", "sk-inet" },       { "unixsk", "sk-unix" }, { "netlinksk", "sk-netlink" },
	{ "packetsk", "packet-sock" }, { "reg", "regfile" },
};

START_TEST(proto)
{
	const struct file_type *t = &file_types[_i];
	const char *name = t->name;
	char path[128], line[256], want[128];
	bool found = false;
	FILE *in;

	enter_sources();
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(*elsewhere); i++)
		if (!strcmp(elsewhere[i].type, t->name))
			name = elsewhere[i].proto;
	snprintf(path, sizeof(path), "proto/%s.proto", name);
	snprintf(want, sizeof(want), "message %s {", t->msg->name);
	in = fopen(path, "re");
	ck_assert_msg(in != NULL, "%s is missing", path);
	while (fgets(line, sizeof(line), in))
		found |= !strncmp(line, want, strlen(want));
	fclose(in);
	ck_assert_msg(found, "%s has no %s", path, t->msg->name);
}
END_TEST

START_TEST(files)
{
	static const char *const where[] = { "dump/types/%s.c", "restore/types/%s.c",
					     "tests/types/%s.py" };
	char path[128];

	enter_sources();
	for (size_t i = 0; i < sizeof(where) / sizeof(*where); i++) {
		snprintf(path, sizeof(path), where[i], file_types[_i].name);
		ck_assert_msg(access(path, R_OK) == 0, "%s is missing", path);
	}
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("registry");

	tcase_add_loop_test(t, message, 0, FILE_KINDS);
	tcase_add_loop_test(t, halves, 0, FILE_KINDS);
	tcase_add_loop_test(t, proto, 0, FILE_KINDS);
	tcase_add_loop_test(t, files, 0, FILE_KINDS);
	return run_tests("registry", t);
}
