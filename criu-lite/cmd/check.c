/*
 * check - the subcommand: what this kernel, and this caller, can do.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "cmd/cmd.h"
#include "kernel/probe.h"

static void say_missing(struct cmd *c, const struct probe *p, int ret)
{
	if (ret == -EPERM || ret == -EACCES)
		fail(c->r, "kernel-lacks", -ret, "%s%s%s: %s", p->name,
		     p->cap ? " needs " : " is not permitted", p->cap ? p->cap : "", p->what);
	else
		fail(c->r, "kernel-lacks", -ret, "%s is missing: %s", p->name, p->what);
}

/* What callers of CRIU ask for before they use it: here the kernel having it is not enough. */
static bool is_unused(const char *name)
{
	static const char *const names[] = { "external_net_ns", "mem_dirty_track", "uffd-noncoop" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static int check_feature(struct cmd *c)
{
	const char *name = c->o->feature;
	const struct probe *p = probe_find(name);
	int ret;

	if (!strcmp(name, "list")) {
		for (size_t i = 0; i < probes_nr; i++)
			printf("%-30s %s\n", probes[i].name, probes[i].what);
		return 0;
	}
	if (is_unused(name))
		return fail(c->r, "command-unsupported", 0, "%s is not supported by this version",
			    name);
	if (!p)
		return fail(c->r, "feature-unknown", 0, "no feature has the name %s", name);
	ret = p->run();
	if (ret < 0)
		say_missing(c, p, ret);
	return ret;
}

static void add_row(struct json_object *list, const struct probe *p, int ret)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "name", json_object_new_string(p->name));
	json_object_object_add(o, "there", json_object_new_boolean(ret == 0));
	json_object_object_add(o, "for", json_object_new_string(p->what));
	json_object_array_add(list, o);
}

/**
 * cmd_check - `criu-lite check`
 * @c: the run
 *
 * Return: 0 when all that was looked for is there, or -errno, recorded.
 */
int cmd_check(struct cmd *c)
{
	bool extra = c->o->extra || c->o->all;
	struct json_object *list;
	int missing = 0, lacking = 0;

	if (c->o->feature)
		return check_feature(c);
	c->stats = json_object_new_object();
	list = json_object_new_array();
	for (size_t i = 0; i < probes_nr; i++) {
		const struct probe *p = &probes[i];
		int ret;

		if (p->class == PROBE_FEATURE || (p->class == PROBE_EXTRA && !extra))
			continue;
		ret = p->run();
		add_row(list, p, ret);
		if (ret >= 0)
			continue;
		say_missing(c, p, ret);
		if (p->class == PROBE_NEED)
			missing = ret;
		else
			lacking = ret;
	}
	json_object_object_add(c->stats, "probes", list);
	if (!c->o->json && !c->job)
		puts(missing   ? "Does not look good."
		     : lacking ? "Looks good but some features are missing."
			       : "Looks good.");
	return missing ? missing : lacking;
}
