/*
 * files_link - files that have lost the name they were opened by, and have
 * others (--link-remap). Which others there are cannot be asked, so the file
 * gets one more, beside where the old one was; restore goes by it and takes
 * it away. A dump that fails takes it away itself.
 */
#include "dump/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "dump/guardian.h"
#include "proto/regfile.pb-c.h"
#include "proto/remap-file-path.pb-c.h"

/* The directory of @name, or the nearest one above it that is still there. */
static void nearest_dir(const char *name, char *dir, size_t size)
{
	snprintf(dir, size, "%s", name);
	do {
		char *p = strrchr(dir, '/');

		if (!p || p == dir) {
			snprintf(dir, size, "/");
			return;
		}
		*p = 0;
	} while (access(dir, F_OK) < 0);
	if (!strcmp(dir, "/"))
		*dir = 0;
}

static int try_link(const struct fd_info *fi, const char *path)
{
	char own[32];

	snprintf(own, sizeof(own), "/proc/self/fd/%d", fi->local);
	return linkat(AT_FDCWD, own, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* A name that is free: numbered as the image is, or by chance. */
static int make_link(struct dump_ctx *ctx, const struct fd_info *fi, const char *dir, uint32_t id,
		     char *path)
{
	unsigned seed = (unsigned)getpid() ^ (unsigned)time(NULL);
	int ret = -EEXIST;

	for (int i = 0; i < 100 && ret == -EEXIST; i++) {
		snprintf(path, PATH_MAX, "%.4000s/link_remap.%u", dir,
			 i ? (unsigned)rand_r(&seed) : id);
		/* So that the guardian is not told a name that is somebody else's. */
		if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
			continue;
		dump_guardian_name(ctx, path, fi->st.st_dev, fi->st.st_ino);
		ret = try_link(fi, path);
	}
	return ret;
}

static struct linked *find_linked(struct dump_ctx *ctx, const struct fd_info *fi)
{
	struct linked *l = ctx->links;

	while (l && (l->dev != fi->st.st_dev || l->ino != fi->st.st_ino))
		l = l->next;
	return l;
}

static int new_linked(struct dump_ctx *ctx, const struct fd_info *fi, const struct file_where *w,
		      struct linked **out)
{
	struct file_desc *reg = file_desc_make(ctx, FILE_KIND_reg, fi);
	RegFileEntry *e = (RegFileEntry *)reg->msg;
	struct linked *l = arena_new_of(ctx->arena, struct linked);
	char dir[PATH_MAX], path[PATH_MAX];
	int ret;

	nearest_dir(w->name, dir, sizeof(dir));
	snprintf(path, sizeof(path), "%.4000s/link_remap.%u", dir, reg->id);
	ret = ctx->write ? make_link(ctx, fi, dir, reg->id, path) : 0;
	if (ret)
		return file_blocker(ctx, fi, "link-remap", -ret, "give it a name in %s", dir);
	e->name = arena_strdup(ctx->arena, path);
	*l = (struct linked){ .next = ctx->links,
			      .dev = fi->st.st_dev,
			      .ino = fi->st.st_ino,
			      .id = reg->id,
			      .path = ctx->write ? e->name : NULL };
	ctx->links = l;
	*out = l;
	return 0;
}

/**
 * file_link - give a file a name for the restore
 * @ctx: the dump
 * @d: its description
 * @fi: the file
 * @w: the name that it was opened by
 *
 * Return: 0, or -errno with a blocker recorded.
 */
int file_link(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi,
	      const struct file_where *w)
{
	RemapFilePathEntry e = REMAP_FILE_PATH_ENTRY__INIT;
	struct linked *l = find_linked(ctx, fi);
	int ret = l ? 0 : new_linked(ctx, fi, w, &l);

	if (ret || !l)
		return ret;
	e.orig_id = d->id;
	e.remap_id = l->id;
	e.has_remap_type = 1;
	e.remap_type = REMAP_TYPE__LINKED;
	return file_side_put(ctx, IMAGE_REMAP_FPATH, &e.base, NULL, 0);
}

/**
 * dump_links_undo - the dump has failed: the names go
 * @ctx: the dump
 */
void dump_links_undo(struct dump_ctx *ctx)
{
	for (struct linked *l = ctx->links; l; l = l->next)
		if (l->path && unlink(l->path) < 0 && errno != ENOENT)
			log_warn(ctx->report, "%s, a name for a restore, stays: %s", l->path,
				 strerror(errno));
	ctx->links = NULL;
}
