/*
 * files_ghost - files that had no name when they were dumped. The tool makes
 * each of them again before the first fork, under its old name if that is
 * free, takes the name away at once, and fills it. The tasks open it through
 * the tool's descriptor.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/ghost-file.pb-c.h"
#include "proto/regfile.pb-c.h"
#include "proto/remap-file-path.pb-c.h"

#define COPY_CHUNK (256u << 10) /* bytes */

static int each_remap(const struct pstree *t, struct image_reader *r, const ProtobufCMessage *m)
{
	const RemapFilePathEntry *e = (const RemapFilePathEntry *)m;

	(void)r;
	idmap_put(&restore_files(t)->remaps, e->orig_id, (void *)(uintptr_t)m);
	return 0;
}

/**
 * ghost_make_parents - make directories above a path that are gone too
 * @path: the path, as it was on return
 * @made: how many were made is added to it
 *
 * Return: 0 or -errno.
 */
int ghost_make_parents(char *path, int *made)
{
	for (char *p = path + 1; (p = strchr(p, '/')); p++) {
		int ret;

		*p = 0;
		ret = mkdir(path, 0700);
		*p = '/';
		if (!ret)
			(*made)++;
		else if (errno != EEXIST)
			return -errno;
	}
	return 0;
}

/**
 * ghost_remove_parents - remove what ghost_make_parents() has made
 * @path: the path; cut
 * @made: how many
 */
void ghost_remove_parents(char *path, int made)
{
	while (made-- > 0) {
		char *p = strrchr(path, '/');

		if (!p || p == path)
			return;
		*p = 0;
		rmdir(path);
	}
}

/* Makes the node under exactly that name; its name is gone again when this returns. */
static int make_at(const char *path, const void *what)
{
	const GhostFileEntry *e = what;
	cleanup_close int fd = -1;
	int ret = 0;

	switch (e->mode & S_IFMT) {
	case S_IFREG:
		fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (fd >= 0)
			unlink(path);
		return fd < 0 ? -errno : take_fd(&fd);
	case S_IFDIR:
		if (mkdir(path, 0700) < 0)
			return -errno;
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		ret = fd < 0 ? -errno : 0;
		rmdir(path);
		return ret ? ret : take_fd(&fd);
	case S_IFLNK:
		if (!e->symlnk_target || symlink(e->symlnk_target, path) < 0)
			return e->symlnk_target ? -errno : -EBADMSG;
		fd = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
		ret = fd < 0 ? -errno : 0;
		unlink(path);
		return ret ? ret : take_fd(&fd);
	case S_IFIFO:
	case S_IFCHR:
		if (mknod(path, e->mode & (S_IFMT | 0600),
			  makedev(e->rdev >> 20, e->rdev & 0xfffff)) < 0)
			return -errno;
		fd = open(path, O_PATH | O_CLOEXEC | O_NOFOLLOW);
		ret = fd < 0 ? -errno : 0;
		unlink(path);
		return ret ? ret : take_fd(&fd);
	}
	return -EOPNOTSUPP;
}

/* What O_TMPFILE made once it makes again: the flag stays with the description. */
static int make_tmpfile(struct file_desc *d)
{
	const RegFileEntry *reg = file_desc_entry(d);
	char dir[PATH_MAX];
	int fd;

	snprintf(dir, sizeof(dir), "%s", reg->name);
	*strrchr(dir, '/') = 0;
	fd = open(dir[0] ? dir : "/",
		  (int)(reg->flags & ~(O_APPEND | O_DIRECT | O_ASYNC | O_EXCL)) | O_CLOEXEC, 0600);
	if (fd < 0)
		file_fail(d, errno, "make the file without a name again");
	return fd < 0 ? -EIO : fd;
}

static int make_node(struct file_desc *d, const char *name, const GhostFileEntry *e, uint32_t id)
{
	char path[PATH_MAX + 32];
	int fd, made = 0;

	snprintf(path, sizeof(path), "%s", name);
	fd = make_at(path, e);
	if (fd == -EEXIST) {
		fd = ghost_make_taken(name, make_at, e);
		if (fd >= 0)
			return fd;
		snprintf(path, sizeof(path), "%s" GHOST_MARK "%u", name, id);
		fd = make_at(path, e);
	} else if (fd == -ENOENT) {
		fd = ghost_make_parents(path, &made);
		fd = fd < 0 ? fd : make_at(path, e);
		ghost_remove_parents(path, made);
	}
	if (fd < 0)
		file_fail(d, -fd, "make the deleted file again");
	return fd;
}

static int copy_in(struct file_desc *d, struct image_reader *r, int fd, uint64_t off, uint64_t len)
{
	char *buf = malloc(COPY_CHUNK);
	int ret = buf ? 0 : -ENOMEM;

	while (!ret && len) {
		size_t n = len < COPY_CHUNK ? (size_t)len : COPY_CHUNK;

		ret = image_get_raw(r, buf, n);
		if (ret)
			break;
		ret = pwrite_all(fd, buf, n, (off_t)off);
		if (ret)
			file_fail(d, -ret, "write the deleted file at %llu",
				  (unsigned long long)off);
		off += n;
		len -= n;
	}
	free(buf);
	return ret;
}

static int fill(struct file_desc *d, struct image_reader *r, int fd, const GhostFileEntry *e)
{
	ProtobufCMessage *m;
	int ret;

	if (!e->has_chunks || !e->chunks)
		return copy_in(d, r, fd, 0, image_rest(r));
	while ((ret = image_get(r, &ghost_chunk_entry__descriptor, &m)) > 0) {
		const GhostChunkEntry *c = (const GhostChunkEntry *)m;

		if (c->len > image_rest(r) || c->off > INT64_MAX - c->len)
			return file_fail(d, EBADMSG, "its image has a chunk that is not there");
		ret = copy_in(d, r, fd, c->off, c->len);
		if (ret)
			return ret;
	}
	if (!ret && e->has_size && ftruncate(fd, (off_t)e->size) < 0)
		return file_fail(d, errno, "set its size to %llu", (unsigned long long)e->size);
	return ret;
}

static int set_attributes(struct file_desc *d, int fd, const GhostFileEntry *e)
{
	struct timespec when[2] = { { .tv_nsec = UTIME_OMIT }, { .tv_nsec = UTIME_OMIT } };
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (S_ISLNK(e->mode))
		return fchownat(fd, "", e->uid, e->gid, AT_EMPTY_PATH) < 0
			       ? file_fail(d, errno, "owner of the deleted link")
			       : 0;
	if (e->atim)
		when[0] =
			(struct timespec){ (time_t)e->atim->tv_sec, (long)e->atim->tv_usec * 1000 };
	if (e->mtim)
		when[1] =
			(struct timespec){ (time_t)e->mtim->tv_sec, (long)e->mtim->tv_usec * 1000 };
	if (chown(path, e->uid, e->gid) < 0 || chmod(path, e->mode & 07777) < 0)
		return file_fail(d, errno, "owner and mode of the deleted file");
	if (utimensat(AT_FDCWD, path, when, 0) < 0)
		return file_fail(d, errno, "times of the deleted file");
	return 0;
}

/* A file that somebody has open for writing cannot be run. */
static int stop_writing(struct file_desc *d, struct ghost *g)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", g->fd);
	fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return file_fail(d, errno, "open the deleted file again");
	close(g->fd);
	g->fd = fd;
	return 0;
}

static int make_ghost(struct pstree *t, struct file_desc *d, struct ghost *g)
{
	const RegFileEntry *reg = file_desc_entry(d);
	const GhostFileEntry *e;
	struct image_reader *r;
	ProtobufCMessage *m;
	int ret = image_open(&r, engine_ctx(t)->images, IMAGE_GHOST_FILE, g->id);

	if (ret == -ENOENT)
		return file_fail(d, ENOENT, "ghost-file-%x.img is not in the image", g->id);
	if (ret)
		return ret;
	ret = image_get(r, &ghost_file_entry__descriptor, &m);
	if (ret == 0)
		ret = file_fail(d, EBADMSG, "ghost-file-%x.img is empty", g->id);
	e = (const GhostFileEntry *)m;
	if (ret > 0) {
		g->kdev = e->dev;
		g->ino = e->ino;
		g->fd = g->tmpfile && S_ISREG(e->mode) ? make_tmpfile(g->tmpfile)
						       : make_node(d, reg->name, e, g->id);
		ret = g->fd < 0 ? g->fd : 0;
	}
	if (!ret && S_ISREG(e->mode))
		ret = fill(d, r, g->fd, e);
	if (!ret)
		ret = set_attributes(d, g->fd, e);
	if (!ret && S_ISREG(e->mode) && !g->tmpfile)
		ret = stop_writing(d, g);
	image_close(&r);
	return ret;
}

/* The remap of a description, or NULL if its own path is good. */
static const RemapFilePathEntry *remap_of(const struct file_desc *d)
{
	return idmap_get(&restore_files(d->tree)->remaps, d->id);
}

/* Images of old had no type: what was not linked was a ghost. */
static int remap_type(const RemapFilePathEntry *e)
{
	return e->has_remap_type ? (int)e->remap_type : REMAP_TYPE__GHOST;
}

static struct ghost *ghost_find(const struct file_desc *d)
{
	const RemapFilePathEntry *e = remap_of(d);
	const RegFileEntry *reg = file_desc_entry(d);
	struct ghost *g = e ? restore_files(d->tree)->ghosts : NULL;

	while (g && (g->id != e->remap_id || g->type != remap_type(e) ||
		     (g->name && strcmp(g->name, reg->name))))
		g = g->next;
	return g;
}

/* The description that O_TMPFILE made the file for, if it is still there. */
static struct file_desc *find_tmpfile(const struct pstree *t, uint32_t remap_id)
{
	struct file_desc *d;

	list_for_each(d, &t->files.descs, list) {
		const RegFileEntry *reg = file_desc_entry(d);
		const RemapFilePathEntry *e = d->kind == FILE_KIND_reg ? remap_of(d) : NULL;

		if (e && e->remap_id == remap_id && remap_type(e) == REMAP_TYPE__GHOST &&
		    (reg->flags & O_TMPFILE) == O_TMPFILE && reg->name[0] == '/' &&
		    (reg->flags & O_ACCMODE) != O_RDONLY)
			return d;
	}
	return NULL;
}

/**
 * file_ghost_prepare - make the file of a description again if it had no name
 * @t: the tree
 * @d: the description, a reg
 *
 * Return: 0, also for a file that has a name, or -errno, recorded.
 */
int file_ghost_prepare(struct pstree *t, struct file_desc *d)
{
	struct restore_files *f = restore_files(t);
	const RemapFilePathEntry *e;
	struct ghost *g;
	int ret = file_side_load(t, IMAGE_REMAP_FPATH, &remap_file_path_entry__descriptor,
				 each_remap);

	e = ret ? NULL : remap_of(d);
	if (!e)
		return ret;
	if (remap_type(e) == REMAP_TYPE__PROCFS)
		return file_proc_prepare(t, d, (pid_t)e->remap_id);
	if (ghost_find(d))
		return 0;
	g = arena_new_of(t->arena, struct ghost);
	*g = (struct ghost){
		.next = f->ghosts, .id = e->remap_id, .type = remap_type(e), .fd = -1
	};
	f->ghosts = g;
	file_keep(t, &g->fd);
	if (g->type == REMAP_TYPE__LINKED)
		return file_link_make(t, d, g) < 0 ? -EIO : 0;
	g->tmpfile = find_tmpfile(t, g->id);
	ret = make_ghost(t, d, g);
	return ret == -1 ? -EIO : ret;
}

/**
 * file_is_ghost - did the file have no name?
 * @d: the description, a reg
 *
 * Return: true if it did not.
 */
bool file_is_ghost(const struct file_desc *d)
{
	return remap_of(d) != NULL;
}

/**
 * file_ghost_open - open a file that has no name
 * @d: the description, a reg
 * @flags: for open(2)
 *
 * Return: a descriptor, or -errno.
 */
int file_ghost_open(struct file_desc *d, int flags)
{
	struct ghost *g = ghost_find(d);
	char path[32];
	int fd;

	if (!g)
		return file_proc_open(d);
	if (g->fd < 0)
		return -ENOENT;
	if (g->tmpfile == d) {
		fd = fcntl(g->fd, F_DUPFD_CLOEXEC, 0);
		return fd < 0 ? -errno : fd;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", g->fd);
	fd = open(path, flags & ~O_NOFOLLOW);
	return fd < 0 ? -errno : fd;
}

/**
 * file_ghost_fd - the tool's descriptor of a file that has no name
 * @d: the description
 *
 * Return: the number, in every task until its files are restored, or -1.
 */
int file_ghost_fd(const struct file_desc *d)
{
	const struct ghost *g = d->kind == FILE_KIND_reg ? ghost_find(d) : NULL;

	return g ? g->fd : -1;
}

/**
 * file_ghost_at - the tool's descriptor of a file that has no name, by where it was
 * @t: the tree
 * @kdev: its device at the dump
 * @ino: its inode there
 *
 * Return: as file_ghost_fd().
 */
int file_ghost_at(const struct pstree *t, uint32_t kdev, uint64_t ino)
{
	const struct ghost *g = restore_files(t)->ghosts;

	while (g && (!g->ino || g->ino != ino || g->kdev != kdev))
		g = g->next;
	return g ? g->fd : -1;
}
