/*
 * outside - --external: what a task has open and the image only names. The
 * caller of the restore brings it. What is named and met nowhere is an error,
 * as it is most likely misspelt.
 */
#include "dump/files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>

#include "proto/regfile.pb-c.h"

/**
 * outside_named - was this named by --external?
 * @ctx: the dump
 * @what: TYPE[ID]
 *
 * Return: what follows the colon after it, "" if nothing does; NULL if it was not named.
 */
const char *outside_named(struct dump_ctx *ctx, const char *what)
{
	size_t len = strlen(what);

	for (size_t i = 0; i < ctx->opts->nr_externals; i++) {
		const char *text = ctx->opts->externals[i];

		if (strncmp(text, what, len) || (text[len] && text[len] != ':'))
			continue;
		ctx->files->named[i] = true;
		return text[len] ? text + len + 1 : "";
	}
	return NULL;
}

static int mount_of(struct dump_ctx *ctx, const struct fd_info *fi)
{
	const char *p = strstr(file_info_text(ctx, fi), "mnt_id:");

	return p ? atoi(p + strlen("mnt_id:")) : -1;
}

/* The name that the image has for it, or NULL. */
static const char *name_of(struct dump_ctx *ctx, const struct fd_info *fi)
{
	const char *name = NULL;
	char what[64];

	if (S_ISCHR(fi->st.st_mode) || S_ISBLK(fi->st.st_mode)) {
		snprintf(what, sizeof(what), "dev[%u/%u]", major(fi->st.st_rdev),
			 minor(fi->st.st_rdev));
		name = outside_named(ctx, what);
		if (name)
			return arena_printf(ctx->arena, "dev[%s]", *name ? name : what + 4);
	}
	snprintf(what, sizeof(what), "file[%x:%llx]", mount_of(ctx, fi),
		 (unsigned long long)fi->st.st_ino);
	name = outside_named(ctx, what);
	return name ? arena_strdup(ctx->arena, what) : NULL;
}

/* verify: what the caller has brought is what it is. */
static bool brought(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	const struct fdinfo_list_entry *fle;
	const struct filedesc *fdt;

	fdt = ctx->opts->like ? pstree_table(ctx->opts->like, fi->task->pid) : NULL;
	if (!fdt || fi->fd < 0)
		return false;
	list_for_each(fle, &fdt->fles, in_table)
		if (fle->fd == fi->fd)
			return fle->desc->outside;
	return false;
}

/**
 * outside_probe - describe a file that stays outside
 * @ctx: the dump
 * @fi: the file
 *
 * Return: its description, or NULL if it does not.
 */
struct file_desc *outside_probe(struct dump_ctx *ctx, const struct fd_info *fi)
{
	const char *name = ctx->opts->nr_externals && fi->fd >= 0 ? name_of(ctx, fi) : NULL;
	bool here = !name && brought(ctx, fi);
	struct file_desc *d;
	RegFileEntry *e;

	if (!name && !here)
		return NULL;
	d = file_desc_make(ctx, FILE_KIND_reg, fi);
	d->outside = here;
	e = (RegFileEntry *)d->msg;
	e->name = arena_strdup(ctx->arena, name ? name : "outside");
	e->has_ext = e->ext = 1;
	e->pos = fi->pos;
	e->has_mode = 1;
	e->mode = fi->st.st_mode;
	return d;
}

/* TYPE[ID] or TYPE[ID]:NAME; a namespace has a number, which mnt[PATH] of CRIU is not. */
static bool known_type(const char *text)
{
	static const char *const types[] = { "file[", "dev[", "tty[", "unix[" };
	static const char *const spaces[] = { "net[",  "ipc[", "uts[",    "pid[",
					      "user[", "mnt[", "cgroup[", "time[" };
	const char *id = strchr(text, '['), *end = strchr(text, ']');

	if (!id++ || !end || end < id || (end[1] && end[1] != ':'))
		return false;
	for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (!strncmp(text, types[i], strlen(types[i])))
			return true;
	for (size_t i = 0; i < sizeof(spaces) / sizeof(*spaces); i++)
		if (!strncmp(text, spaces[i], strlen(spaces[i])))
			return id < end && id + strspn(id, "0123456789") == end;
	return false;
}

/**
 * outside_begin - read the names before the first file is looked at
 * @ctx: the dump
 *
 * Return: 0, or -EOPNOTSUPP with every name of an unknown type recorded.
 */
int outside_begin(struct dump_ctx *ctx)
{
	int ret = 0;

	ctx->files->named = arena_array(ctx->arena, bool, ctx->opts->nr_externals);
	for (size_t i = 0; i < ctx->opts->nr_externals; i++)
		if (!known_type(ctx->opts->externals[i]))
			ret = fail(ctx->report, "external-type", EOPNOTSUPP,
				   "--external %s: a dump knows file[MNT:INO], "
				   "dev[MAJOR/MINOR]:NAME, tty[RDEV:DEV], unix[INO] and "
				   "KIND[INO]:KEY of a namespace",
				   ctx->opts->externals[i]);
	return ret;
}

/**
 * outside_end - what was named must have been met
 * @ctx: the dump; every file was looked at
 *
 * Return: 0, or -ENOENT with every name that matches nothing recorded.
 */
int outside_end(struct dump_ctx *ctx)
{
	int ret = 0;

	for (size_t i = 0; ctx->files->named && i < ctx->opts->nr_externals; i++)
		if (!ctx->files->named[i])
			ret = fail(ctx->report, "external-unmatched", ENOENT,
				   "--external %s: no task of the tree has it open",
				   ctx->opts->externals[i]);
	return ret;
}
