/*
 * files_link - files that had lost the name they were opened by, and had
 * others. The dump gave them a name for the restore (--link-remap). The tool
 * links the old name to it, opens that, and takes it away again, so that
 * /proc/PID/fd says what it said. The other name goes when the tree runs.
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

static int link_at(const char *from, const char *path)
{
	int fd;

	if (link(from, path) < 0)
		return -errno;
	fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	fd = fd < 0 ? -errno : fd;
	unlink(path);
	return fd;
}

static int check_same(struct file_desc *d, int fd)
{
	const RegFileEntry *e = file_desc_entry(d);
	struct stat st;

	if (fstat(fd, &st) < 0)
		return file_fail(d, errno, "look at the file");
	if (e->has_mode && (st.st_mode & S_IFMT) != (e->mode & S_IFMT))
		return file_fail(d, ESTALE, "another kind of file: mode %#o, at the dump %#o",
				 st.st_mode, e->mode);
	if (e->has_size && S_ISREG(st.st_mode) && (uint64_t)st.st_size != e->size)
		return file_fail(d, ESTALE, "its size is %llu, at the dump it was %llu",
				 (unsigned long long)st.st_size, (unsigned long long)e->size);
	return 0;
}

/**
 * file_link_make - in the tool: open a file that has another name for the restore
 * @t: the tree
 * @d: its description, a reg
 * @g: its record; fd and link are set
 *
 * Return: 0 or -1, recorded.
 */
int file_link_make(struct pstree *t, struct file_desc *d, struct ghost *g)
{
	const struct file_desc *to = file_desc_find(t, g->id);
	const RegFileEntry *e = file_desc_entry(d);
	char path[PATH_MAX + 32];
	int fd, made = 0;

	if (!to || to->kind != FILE_KIND_reg)
		return file_fail(d, EBADMSG, "file id %#x, its other name, is not in the image",
				 g->id);
	g->link = ((const RegFileEntry *)file_desc_entry(to))->name;
	if (g->link[0] != '/' || e->name[0] != '/')
		return file_fail(d, EBADMSG, "its path is not absolute");
	snprintf(path, sizeof(path), "%s", e->name);
	g->name = e->name;
	fd = link_at(g->link, path);
	if (fd == -EEXIST) {
		snprintf(path, sizeof(path), "%s" GHOST_MARK "%u", e->name, g->id);
		fd = link_at(g->link, path);
	} else if (fd == -ENOENT && access(g->link, F_OK) == 0) {
		fd = ghost_make_parents(path, &made);
		fd = fd < 0 ? fd : link_at(g->link, path);
		ghost_remove_parents(path, made);
	}
	if (fd < 0)
		return file_fail(d, -fd, "link it to %s, its name for the restore", g->link);
	g->fd = fd;
	return check_same(d, fd);
}

/**
 * file_links_remove - the tree runs: names that were only for the restore go
 * @ctx: the run
 *
 * Return: 0.
 */
int file_links_remove(struct restore_ctx *ctx)
{
	struct ghost *g = ctx->files ? ctx->files->ghosts : NULL;

	for (; g; g = g->next)
		if (g->link && unlink(g->link) < 0 && errno != ENOENT)
			log_warn(ctx->report, "%s, a name for this restore, stays: %s", g->link,
				 strerror(errno));
	return 0;
}
