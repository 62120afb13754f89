/*
 * cycle - dump, kill and restore a tree again and again, each restore with
 * --verify: the test that others are made of. It stops at the first failure
 * and then keeps the images.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <json-c/json.h>

#include "base/arena.h"
#include "base/fd.h"
#include "cmd/cmd.h"

static int make_base(struct cmd *c, const char **base)
{
	const char *tmp = getenv("TMPDIR");
	char *path;

	if (strcmp(c->o->images_dir, ".")) {
		path = realpath(c->o->images_dir, NULL);
		if (!path)
			return fail(c->r, "images-dir", errno,
				    "cannot open the images directory %s", c->o->images_dir);
		*base = arena_strdup(c->o->arena, path);
		free(path);
		return 0;
	}
	path = arena_printf(c->o->arena, "%s/criu-lite-cycle.XXXXXX", tmp && *tmp ? tmp : "/tmp");
	if (!mkdtemp(path))
		return fail(c->r, "cycle-dir", errno, "cannot make %s", path);
	*base = path;
	return 0;
}

/* The images of a cycle that went well; a directory of plain files. */
static void remove_images(const char *path)
{
	cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;
	DIR *dir;

	if (fd < 0)
		return;
	dir = fdopendir(dup(fd));
	while (dir && (e = readdir(dir)))
		unlinkat(fd, e->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(path);
}

static double figure(struct cmd *c, const char *name)
{
	struct json_object *o = NULL;
	double ms = 0;

	if (c->stats && json_object_object_get_ex(c->stats, name, &o))
		ms = (double)json_object_get_int64(o) / 1000;
	return ms;
}

static void drop_stats(struct cmd *c)
{
	json_object_put(c->stats);
	c->stats = NULL;
}

struct times {
	double dump, frozen, restore; /* ms */
};

static int one_cycle(struct cmd *c, const char *dir, struct times *t)
{
	int ret;

	if (mkdir(dir, 0700) < 0)
		return fail(c->r, "cycle-dir", errno, "cannot make %s", dir);
	c->o->images_dir = dir;
	ret = cmd_dump(c);
	t->dump = figure(c, "total_us");
	t->frozen = figure(c, "frozen_us");
	drop_stats(c);
	session_close(c);
	if (ret < 0)
		return ret;
	ret = cmd_restore(c);
	t->restore = figure(c, "total_us");
	drop_stats(c);
	session_close(c);
	return ret;
}

static void tell(const struct cmd *c, unsigned i, int ret, const struct times *t, const char *dir)
{
	char what[128];

	snprintf(what, sizeof(what), "dump %.1f ms (frozen %.1f), restore %.1f ms", t->dump,
		 t->frozen, t->restore);
	if (c->o->tap && ret < 0) {
		printf("not ok %u - pid %u\n  ---\n", i, c->o->tree);
		for (size_t k = 0; k < report_count(c->r); k++)
			if (report_cause(c->r, k))
				printf("  %s: %s\n", report_cause(c->r, k)->id,
				       report_cause(c->r, k)->text);
		printf("  images: %s\n  ...\n", dir);
	} else if (c->o->tap) {
		printf("ok %u - pid %u: %s\n", i, c->o->tree, what);
	} else if (!c->o->json && ret >= 0) {
		printf("cycle %u of %u: %s\n", i, c->o->cycles, what);
	}
	if (ret < 0 && !c->o->tap)
		fprintf(stderr, "criu-lite: cycle %u of %u failed; images and logs are in %s\n", i,
			c->o->cycles, dir);
	fflush(stdout);
}

/**
 * cmd_cycle - `criu-lite cycle PID -n N`
 * @c: the run
 *
 * Return: 0 or -errno, recorded.
 */
int cmd_cycle(struct cmd *c)
{
	const char *pid = c->o->args[0], *base = NULL;
	bool keep = strcmp(c->o->images_dir, ".");
	struct times t = { 0 }, sum = { 0 };
	unsigned i = 0;
	int ret;

	c->o->tree = (unsigned)strtoul(pid, NULL, 10);
	if (pid[strspn(pid, "0123456789")] || !c->o->tree || c->o->tree > INT32_MAX)
		return fail(c->r, "option-value", 0, "%s is not a pid", pid);
	ret = make_base(c, &base);
	if (ret < 0)
		return ret;
	c->o->detach = c->o->verify = true;
	if (c->o->tap)
		printf("TAP version 13\n1..%u\n", c->o->cycles);
	while (ret >= 0 && i < c->o->cycles) {
		char *dir = arena_printf(c->o->arena, "%s/%u", base, ++i);

		ret = one_cycle(c, dir, &t);
		sum.dump += t.dump;
		sum.restore += t.restore;
		tell(c, i, ret, &t, dir);
		if (ret >= 0 && !keep)
			remove_images(dir);
	}
	if (ret >= 0 && !keep)
		rmdir(base);
	c->stats = json_object_new_object();
	json_object_object_add(c->stats, "cycles", json_object_new_int((int)i));
	json_object_object_add(c->stats, "dump_us",
			       json_object_new_int64((int64_t)(sum.dump * 1000)));
	json_object_object_add(c->stats, "restore_us",
			       json_object_new_int64((int64_t)(sum.restore * 1000)));
	return ret;
}
