/*
 * outside - files that the caller of a restore brings: --inherit-fd for every
 * file of one name, --map for one descriptor of one task, --external for what
 * the dump left outside by that option. A file with a descriptor of the
 * caller's loses all of its type but the name: its open() hands out that
 * descriptor. What matches nothing is an error, and so is a descriptor that
 * cannot do what the task does with it.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/regfile.pb-c.h"

/* restore_ctx.outside: a file and the tool's copy of what stands in for it. */
struct outside {
	struct outside *next;
	struct file_desc *d;
	int fd;
	bool reopen; /* the other end of a pipe or FIFO of which we were given one */
};

static const ProtobufCFieldDescriptor *field(const struct file_desc *d, const char *name)
{
	return protobuf_c_message_descriptor_get_field_by_name(d->msg->descriptor, name);
}

/* How a file was open; a FIFO's flags are with its path. */
static uint32_t flags_of(const struct file_desc *d)
{
	const ProtobufCFieldDescriptor *f = field(d, "flags"), *path = field(d, "regf_id");
	uint32_t flags = O_RDWR, id;

	if (!f && path) {
		memcpy(&id, (const char *)d->msg + path->offset, sizeof(id));
		d = file_desc_find(d->tree, id);
		f = d ? field(d, "flags") : NULL;
	}
	if (f && f->type == PROTOBUF_C_TYPE_UINT32)
		memcpy(&flags, (const char *)d->msg + f->offset, sizeof(flags));
	return flags;
}

static bool serves(int have, uint32_t want)
{
	return (want & O_PATH) || (have & O_ACCMODE) == O_RDWR ||
	       (have & O_ACCMODE) == ((int)want & O_ACCMODE);
}

static const char *mode_name(int flags)
{
	static const char *const names[] = { "reading", "writing", "reading and writing", "?" };

	return names[flags & O_ACCMODE];
}

static struct outside *find(const struct file_desc *d)
{
	struct outside *o = engine_ctx(d->tree)->outside;

	while (o && o->d != d)
		o = o->next;
	return o;
}

/**
 * outside_fd - what the caller has brought for a file
 * @d: the file
 *
 * Return: where the tool has its copy, or NULL.
 */
int *outside_fd(const struct file_desc *d)
{
	struct outside *o = d->outside ? find(d) : NULL;

	return o ? &o->fd : NULL;
}

static int outside_open(struct file_desc *d, int *new_fd)
{
	struct outside *o = find(d);
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", o->fd);
	if (o->reopen)
		fd = open(path, (int)flags_of(d) | O_NONBLOCK | O_CLOEXEC);
	else
		fd = fcntl(o->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return file_fail(d, errno, "take the descriptor from outside");
	if (o->reopen && file_params(d, fd, flags_of(d), NULL) < 0) {
		close(fd);
		return -1;
	}
	*new_fd = fd;
	return 0;
}

/* From here on the file is what @from of the tool is. */
static int bring(struct restore_ctx *ctx, struct file_desc *d, int from, bool reopen)
{
	struct outside *o = arena_new_of(ctx->arena, struct outside);
	struct file_desc_ops *ops = arena_new_of(ctx->arena, struct file_desc_ops);

	*o = (struct outside){ .next = ctx->outside, .d = d, .reopen = reopen };
	o->fd = fcntl(from, F_DUPFD_CLOEXEC, 0);
	if (o->fd < 0)
		return fail(ctx->report, "inherit-closed", errno, "duplicate descriptor %d", from);
	ctx->outside = o;
	file_keep(ctx->tree, &o->fd);
	d->outside = true;
	if (d->ops->takes)
		return 0;
	/* Others of the type may look at it: it keeps its state of that size. */
	*ops = (struct file_desc_ops){ .open = outside_open, .priv_size = d->ops->priv_size };
	d->ops = ops;
	return 0;
}

static bool mapped(const struct pstree *t, const struct file_desc *d)
{
	const struct pstree_item *it;

	list_for_each(it, &t->items, list)
		for (size_t i = 0; item_alive(it) && i < it->nr_vmas; i++)
			if (it->vmas[i].file == d)
				return true;
	return false;
}

static const char *skip_root(const char *key)
{
	return key[0] == '/' ? key + 1 : key;
}

static bool has_key(struct restore_ctx *ctx, const struct file_desc *d, const char *key)
{
	char buf[PATH_MAX + 64];

	return !list_empty(&d->fles) && !d->outside && d->ops->key &&
	       d->ops->key(ctx->tree, d, buf, sizeof(buf)) && !strcmp(skip_root(buf), key);
}

/* A descriptor of a pipe stands for the pipe, as long as one of the tree's ends is like it. */
static bool is_pipe_end(struct restore_ctx *ctx, const char *key, int have, const struct stat *st)
{
	const struct file_desc *d;

	if (!S_ISFIFO(st->st_mode))
		return false;
	list_for_each(d, &ctx->tree->files.descs, list)
		if (has_key(ctx, d, key) && serves(have, flags_of(d)))
			return true;
	return false;
}

static int inherit_one(struct restore_ctx *ctx, struct file_desc *d,
		       const struct restore_inherit *i, bool end)
{
	int have = fcntl(i->fd, F_GETFL);
	bool fits = serves(have, flags_of(d));

	if (d->kind == FILE_KIND_memfd && mapped(ctx->tree, d)) {
		file_fail(d, EOPNOTSUPP, "it is mapped as well, and cannot be inherited");
		return -EOPNOTSUPP;
	}
	if (!fits && !end)
		return fail(ctx->report, "inherit-mode", EBADF,
			    "--inherit-fd fd[%d]:%s: the descriptor is open for %s, the tree has "
			    "the file for %s",
			    i->fd, i->key, mode_name(have), mode_name((int)flags_of(d)));
	return bring(ctx, d, i->fd, !fits);
}

static int inherit(struct restore_ctx *ctx, const struct restore_inherit *i)
{
	const char *key = skip_root(i->key);
	bool found = false, end;
	struct file_desc *d;
	struct stat st;
	int ret = 0;

	if (fstat(i->fd, &st) < 0)
		return fail(ctx->report, "inherit-closed", errno, "--inherit-fd fd[%d]:%s", i->fd,
			    i->key);
	end = is_pipe_end(ctx, key, fcntl(i->fd, F_GETFL), &st);
	list_for_each(d, &ctx->tree->files.descs, list) {
		if (!has_key(ctx, d, key))
			continue;
		found = true;
		ret = inherit_one(ctx, d, i, end) ?: ret;
	}
	if (!found)
		return fail(ctx->report, "inherit-unmatched", ENOENT,
			    "--inherit-fd fd[%d]:%s: no open file of the image has that name",
			    i->fd, i->key);
	return ret;
}

static struct fdinfo_list_entry *find_fle(struct pstree *t, pid_t pid, int fd)
{
	const struct filedesc *fdt = pstree_table(t, pid);
	struct fdinfo_list_entry *fle;

	if (!fdt)
		return NULL;
	list_for_each(fle, &fdt->fles, in_table)
		if (fle->fd == fd)
			return fle;
	return NULL;
}

/* One descriptor leads elsewhere now; those that shared the file with it do not. */
static struct file_desc *split(struct restore_ctx *ctx, struct fdinfo_list_entry *fle)
{
	const ProtobufCFieldDescriptor *pos = field(fle->desc, "pos");
	RegFileEntry *e = arena_new_of(ctx->arena, RegFileEntry);
	FownEntry *fown = arena_new_of(ctx->arena, FownEntry);
	struct file_desc *d = file_desc_new(ctx->tree, FILE_KIND_reg, &e->base);

	reg_file_entry__init(e);
	fown_entry__init(fown);
	e->id = d->id;
	e->flags = flags_of(fle->desc);
	e->fown = fown;
	if (pos && pos->type == PROTOBUF_C_TYPE_UINT64)
		memcpy(&e->pos, (const char *)fle->desc->msg + pos->offset, sizeof(e->pos));
	FRELE(fle->desc->file);
	FRELE(fle->desc->file);
	FREF(d->file);
	FREF(d->file);
	list_del(&fle->of_desc);
	fle->desc = d;
	list_add_tail(&fle->of_desc, &d->fles);
	engine_bind_type(d);
	return d;
}

static int check_target(struct restore_ctx *ctx, const struct restore_map *m, uint32_t flags)
{
	int have = fcntl(m->from, F_GETFL);

	if (have < 0)
		return fail(ctx->report, "inherit-closed", errno, "--map %d:%d=fd[%d]", m->pid,
			    m->fd, m->from);
	if (!serves(have, flags))
		return fail(ctx->report, "inherit-mode", EBADF,
			    "--map %d:%d=fd[%d]: the target is open for %s, the task has the "
			    "descriptor for %s",
			    m->pid, m->fd, m->from, mode_name(have), mode_name((int)flags));
	return 0;
}

static int map(struct restore_ctx *ctx, const struct restore_map *m)
{
	struct fdinfo_list_entry *fle = find_fle(ctx->tree, m->pid, m->fd);
	struct file_desc *d;
	RegFileEntry *e;

	if (!fle)
		return fail(ctx->report, "map-unmatched", EBADF,
			    "--map %d:%d=...: no task of the image with pid %d has a descriptor %d",
			    m->pid, m->fd, m->pid, m->fd);
	if (m->from >= 0 && check_target(ctx, m, flags_of(fle->desc)))
		return -EBADF;
	d = split(ctx, fle);
	e = (RegFileEntry *)d->msg;
	e->name = arena_strdup(ctx->arena, m->from >= 0 ? "outside" : m->target);
	d->outside = true;
	return m->from >= 0 ? bring(ctx, d, m->from, false) : 0;
}

/* TYPE[ID]:PATH: what the dump calls TYPE[ID] is opened by that path. */
static int external(struct restore_ctx *ctx, const char *text)
{
	const char *path = strstr(text, "]:");
	struct file_desc *d;
	bool found = false;

	if (!path || path[2] != '/' || (strncmp(text, "dev[", 4) && strncmp(text, "file[", 5)))
		return fail(ctx->report, "external-type", EOPNOTSUPP,
			    "--external %s: a restore knows dev[NAME]:PATH and "
			    "file[MNT:INO]:PATH; a descriptor is given by --inherit-fd",
			    text);
	list_for_each(d, &ctx->tree->files.descs, list) {
		RegFileEntry *e = d->kind == FILE_KIND_reg ? (RegFileEntry *)d->msg : NULL;
		size_t len = (size_t)(path + 1 - text);

		if (!e || !e->ext || strncmp(e->name, text, len) || e->name[len])
			continue;
		found = true;
		e->name = arena_strdup(ctx->arena, path + 2);
		e->ext = 0;
		d->outside = true;
	}
	if (!found)
		return fail(ctx->report, "external-unmatched", ENOENT,
			    "--external %s: the image has nothing of that name", text);
	return 0;
}

/**
 * outside_plan - put what the caller brings in the place of files of the image
 * @ctx: the run; the tables have owners, no file was looked at yet
 *
 * Return: 0, or -errno with every cause recorded.
 */
int outside_plan(struct restore_ctx *ctx)
{
	const struct restore_opts *o = ctx->opts;
	int ret = 0;

	for (size_t i = 0; i < o->nr_maps; i++)
		ret = map(ctx, &o->maps[i]) ?: ret;
	for (size_t i = 0; i < o->nr_inherits; i++)
		ret = inherit(ctx, &o->inherits[i]) ?: ret;
	for (size_t i = 0; i < o->nr_externals; i++)
		ret = external(ctx, o->externals[i]) ?: ret;
	return ret;
}
