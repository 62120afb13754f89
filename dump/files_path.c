/*
 * files_path - does the name of a file still lead to it?
 *
 * The link of a descriptor gives the name under which the file was opened.
 * If that name leads to the same inode, it is how the file comes back. If
 * not, the file was deleted, or another has taken its name: then its content
 * goes into the image (files_ghost.c), or, where it still has other names, a
 * new one is needed (--link-remap).
 */
#include "dump/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/remap-file-path.pb-c.h"

#define DELETED " (deleted)"

/* What restore appends when the old name of a deleted file is in use; see restore/files_ghost.c. */
static size_t without_ghost_suffix(const char *name, size_t len)
{
	static const char mark[] = ".criu-lite-ghost.";
	const char *at = memmem(name, len, mark, sizeof(mark) - 1), *next;

	while (at && (next = memmem(at + 1, len - (size_t)(at + 1 - name), mark, sizeof(mark) - 1)))
		at = next;
	if (!at || strspn(at + sizeof(mark) - 1, "0123456789") !=
			   len - (size_t)(at - name) - (sizeof(mark) - 1))
		return len;
	return (size_t)(at - name);
}

/* The kernel calls a file that never had a name "#" and its inode number, which will be another. */
static void without_number(char *name)
{
	char *base = strrchr(name, '/') + 1;

	if (base[0] == '#' && base[1] && strspn(base + 1, "0123456789") == strlen(base + 1))
		base[1] = 0;
}

static bool leads_to(struct dump_ctx *ctx, const char *name, const struct stat *want)
{
	const char *base;
	int dir = path_dir_enter(&ctx->files->dir, name, &base);
	struct stat st;

	return fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_dev == want->st_dev &&
	       st.st_ino == want->st_ino;
}

static bool is_deleted(const struct fd_info *fi)
{
	size_t len = strlen(fi->link), cut = sizeof(DELETED) - 1;

	return len > cut && !strcmp(fi->link + len - cut, DELETED);
}

/**
 * file_where - the name of a file, and whether it is still good
 * @ctx: the dump
 * @fi: the file; has a link
 * @w: filled
 *
 * Return: 0, or -errno with a blocker recorded.
 */
int file_where(struct dump_ctx *ctx, const struct fd_info *fi, struct file_where *w)
{
	size_t len = strlen(fi->link), cut = sizeof(DELETED) - 1;
	const char *elsewhere;
	char *name;

	if (fi->link[0] != '/')
		return file_blocker(ctx, fi, "file-unreachable", EOPNOTSUPP,
				    "its path cannot be reached from our root");
	if (leads_to(ctx, fi->link, &fi->st)) {
		*w = (struct file_where){ .name = fi->link };
		return 0;
	}
	elsewhere = device_elsewhere(ctx, &fi->st);
	if (elsewhere) {
		*w = (struct file_where){ .name = elsewhere };
		return 0;
	}
	if (is_deleted(fi))
		len = without_ghost_suffix(fi->link, len - cut);
	name = arena_memdup(ctx->arena, fi->link, len + 1);
	name[len] = 0;
	if ((fi->flags & O_TMPFILE) == O_TMPFILE)
		without_number(name);
	*w = (struct file_where){ .name = name, .deleted = true };
	return 0;
}

/* Of a process that is gone: restore opens it while one of that pid is there. */
static int proc_gone(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi,
		     const char *name)
{
	RemapFilePathEntry e = REMAP_FILE_PATH_ENTRY__INIT;
	const char *rest = name + strlen("/proc/");
	int pid = atoi(rest);

	rest += strspn(rest, "0123456789");
	if (pid <= 0 || pstree_find(ctx->tree, pid) || !strncmp(rest, "/task/", 6))
		return file_blocker(ctx, fi, "proc-gone", EOPNOTSUPP,
				    "a file of a thread or a part of a process that has ended; "
				    "close it first");
	e.orig_id = d->id;
	e.remap_id = (uint32_t)pid;
	e.has_remap_type = 1;
	e.remap_type = REMAP_TYPE__PROCFS;
	return file_side_put(ctx, IMAGE_REMAP_FPATH, &e.base, NULL, 0);
}

/* The mount that a file was opened through if we do not have it; -1: we do. */
static int unreachable_mount(struct dump_ctx *ctx, const struct fd_info *fi)
{
	const char *p = strstr(file_info_text(ctx, fi), "mnt_id:");
	int want = p ? atoi(p + strlen("mnt_id:")) : -1, id;
	FILE *in = want >= 0 ? fopen("/proc/self/mountinfo", "re") : NULL;
	char *line = NULL;
	size_t room = 0;

	while (in && want >= 0 && getline(&line, &room, in) > 0)
		if (sscanf(line, "%d", &id) == 1 && id == want)
			want = -1;
	free(line);
	if (in)
		fclose(in);
	return want;
}

/*
 * A file of the lower layer counts the names that it has there, which stay:
 * with one name, it was this one, and it leads nowhere any more.
 */
static bool was_last_name(const struct fd_info *fi)
{
	struct statfs fs;

	return fi->st.st_nlink == 1 && is_deleted(fi) && fi->local >= 0 &&
	       fstatfs(fi->local, &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC;
}

/**
 * file_where_gone - make a file that lost its name come back
 * @ctx: the dump
 * @d: its description
 * @fi: the file
 * @w: what file_where() said
 *
 * Return: 0, or -errno with a blocker recorded.
 */
int file_where_gone(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi,
		    const struct file_where *w)
{
	int mount;

	if (!w->deleted)
		return 0;
	if (!strncmp(w->name, "/proc/", 6))
		return proc_gone(ctx, d, fi, w->name);
	if (fi->fd >= 0 && !is_deleted(fi) && (mount = unreachable_mount(ctx, fi)) >= 0)
		return file_blocker(ctx, fi, "file-unreachable", EOPNOTSUPP,
				    "its mount is not in our mount namespace, or was taken away; "
				    "--external file[%x:%llx] leaves it outside",
				    mount, (unsigned long long)fi->st.st_ino);
	if (fi->st.st_nlink == 0 || S_ISDIR(fi->st.st_mode) || was_last_name(fi))
		return file_ghost(ctx, d, fi, w);
	if (ctx->opts->link_remap)
		return file_link(ctx, d, fi, w);
	return file_blocker(ctx, fi, "link-remap", EOPNOTSUPP,
			    "this name was deleted or replaced, the file has %lu others; such a "
			    "file needs --link-remap",
			    (unsigned long)fi->st.st_nlink);
}
