/*
 * dir - an image directory: names and kinds of its files, what an earlier dump
 * left in it, and the record of what this run wrote. Files are made with
 * O_EXCL and opened with O_NOFOLLOW: nothing in the directory redirects us.
 */
#include "image/dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/fd.h"

struct kind_row {
	uint32_t magic;
	const char *name;
};

static const struct kind_row kinds[IMAGE_KINDS] = {
#define IMAGE(kind, magic, name) [IMAGE_##kind] = { magic, name },
#include "image/image_kinds.def"
#undef IMAGE
};

/**
 * image_dir_open - open an image directory, to write or to read
 * @out: the open directory
 * @dir_fd: descriptor of the directory; stays the caller's
 * @r: where causes are recorded
 * @a: arena of the messages that are read; NULL: one that lives as long as @out
 *
 * Return: 0, or -errno recorded as image-dir (-ENOTDIR: not a directory).
 */
int image_dir_open(struct image_dir **out, int dir_fd, struct report *r, struct arena *a)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct image_dir *d;

	if (fd < 0)
		return fail(r, "image-dir", errno, "image directory: cannot be opened");
	d = calloc(1, sizeof(*d));
	if (!d)
		abort();
	d->fd = fd;
	d->report = r;
	d->own = arena_new();
	d->arena = a ? a : d->own;
	pthread_mutex_init(&d->lock, NULL);
	*out = d;
	return 0;
}

/**
 * image_dir_close - close a directory; writers and readers must be gone
 * @d: the directory, or NULL
 */
void image_dir_close(struct image_dir *d)
{
	if (!d)
		return;
	close(d->fd);
	for (size_t i = 0; d->held && i < d->nr_listed; i++)
		free(d->held[i]);
	pthread_mutex_destroy(&d->lock);
	arena_free(d->own);
	free(d);
}

/**
 * image_dir_fd - the descriptor of the directory
 * @d: the directory
 *
 * Return: the descriptor, which stays the directory's.
 */
int image_dir_fd(const struct image_dir *d)
{
	return d->fd;
}

/**
 * image_hash - the checksum of images and of page runs
 * @buf: bytes
 * @len: how many
 *
 * Return: their XXH3-64.
 */
uint64_t image_hash(const void *buf, size_t len)
{
	return XXH3_64bits(buf, len);
}

/**
 * image_name - the file name of an image
 * @name: where to
 * @k: its kind
 * @id: the id in the name; ignored by kinds without one
 */
void image_name(char name[static IMAGE_NAME_MAX], enum image_kind k, uint64_t id)
{
	const char *pattern = kinds[k].name, *at = strchr(pattern, '%');

	if (!at)
		snprintf(name, IMAGE_NAME_MAX, "%s", pattern);
	else if (at[1] == 'x')
		snprintf(name, IMAGE_NAME_MAX, "%.*s%" PRIx64 "%s", (int)(at - pattern), pattern,
			 id, at + 2);
	else
		snprintf(name, IMAGE_NAME_MAX, "%.*s%" PRIu64 "%s", (int)(at - pattern), pattern,
			 id, at + 2);
}

/**
 * image_kind_of - which kind a file name belongs to
 * @name: the name
 *
 * Return: the kind, or -1 for a file that is not an image.
 */
int image_kind_of(const char *name)
{
	for (int k = 0; k < IMAGE_KINDS; k++) {
		const char *pattern = kinds[k].name, *at = strchr(pattern, '%');
		size_t head = at ? (size_t)(at - pattern) : 0, digits;

		if (!at) {
			if (!strcmp(name, pattern))
				return k;
			continue;
		}
		if (strncmp(name, pattern, head))
			continue;
		digits = strspn(name + head, at[1] == 'x' ? "0123456789abcdef" : "0123456789");
		if (digits && digits <= 20 && !strcmp(name + head + digits, at + 2))
			return k;
	}
	return -1;
}

/**
 * image_kind_head - the magic words at the start of an image
 * @k: its kind
 *
 * Return: the words and their length in bytes.
 */
struct image_head image_kind_head(enum image_kind k)
{
	struct image_head h = { .word = { IMAGE_MAGIC_COMMON, kinds[k].magic }, .len = 8 };

	if (k == IMAGE_INVENTORY)
		h = (struct image_head){ .word = { kinds[k].magic }, .len = 4 };
	else if (k == IMAGE_PAGES)
		h.len = 0;
	else if (k == IMAGE_STATS_DUMP || k == IMAGE_STATS_RESTORE)
		h.word[0] = IMAGE_MAGIC_SERVICE;
	else if (!strstr(kinds[k].name, ".img"))
		h.word[0] = IMAGE_MAGIC_OURS;
	return h;
}

/**
 * image_kind_apart - whether images of a kind are no part of a dump
 * @k: the kind, or -1 for a foreign file
 *
 * Return: true for what may be written at any time, and replaces an old one.
 */
bool image_kind_apart(int k)
{
	return k == IMAGE_STATS_DUMP || k == IMAGE_STATS_RESTORE || k == IMAGE_CPUINFO;
}

/**
 * image_kind_covered - whether the manifest lists images of a kind
 * @k: the kind, or -1 for a foreign file
 *
 * Return: true if it does.
 */
bool image_kind_covered(int k)
{
	return k >= 0 && k != IMAGE_INVENTORY && k != IMAGE_MANIFEST && !image_kind_apart(k);
}

/**
 * image_open_file - open a file of the directory for reading
 * @d: the directory
 * @name: its name
 * @fd: its descriptor
 * @size: its bytes
 *
 * Return: 0 or -errno, not recorded; -EINVAL for what is not a regular file.
 */
int image_open_file(const struct image_dir *d, const char *name, int *fd, uint64_t *size)
{
	/* O_NONBLOCK: a FIFO of that name must not hold us up. */
	cleanup_close int got = openat(d->fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	if (got < 0)
		return -errno;
	if (fstat(got, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	*fd = take_fd(&got);
	*size = (uint64_t)st.st_size;
	return 0;
}

static int remove_old(struct image_dir *d, const char *name)
{
	if (unlinkat(d->fd, name, 0) == 0 || errno == ENOENT)
		return 0;
	return fail(d->report, "image-write", errno, "%s: removing what an earlier dump left",
		    name);
}

/* An image without its inventory is none, so that one goes first, and surely. */
static int remove_old_images(struct image_dir *d)
{
	char name[IMAGE_NAME_MAX];
	struct dirent *e;
	struct stat st;
	int ret = 0, fd;
	DIR *dir;

	image_name(name, IMAGE_INVENTORY, 0);
	if (fstatat(d->fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		ret = remove_old(d, name);
		if (ret)
			return ret;
		if (fsync(d->fd) < 0 && errno != EINVAL)
			return fail(d->report, "image-write", errno, "image directory: fsync");
	}
	fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		ret = fail(d->report, "image-dir", errno, "image directory: cannot be listed");
		if (fd >= 0)
			close(fd);
		return ret;
	}
	while (!ret && (e = readdir(dir)))
		if (image_kind_of(e->d_name) >= 0)
			ret = remove_old(d, e->d_name);
	closedir(dir);
	return ret;
}

/**
 * image_dir_begin - make the directory ready for a new dump, once
 * @d: the directory
 *
 * The first image that is created removes the complete image, or the remains
 * of one, that lie there.
 *
 * Return: 0 or -errno, recorded.
 */
int image_dir_begin(struct image_dir *d)
{
	int ret = 0;

	pthread_mutex_lock(&d->lock);
	if (!d->begun) {
		if (d->reading)
			ret = fail(d->report, "image-dir", EROFS,
				   "image directory: was opened to be read, not to dump into");
		else
			ret = remove_old_images(d);
		d->begun = !ret;
	}
	pthread_mutex_unlock(&d->lock);
	return ret;
}

/**
 * image_dir_record - remember a finished image for the manifest
 * @d: the directory
 * @name: file name
 * @size: bytes
 * @hash: XXH3-64 of all of it; not used when there are runs
 * @run_len: bytes of each run, in file order; NULL without runs
 * @run_hash: XXH3-64 of each run
 * @n: runs
 */
void image_dir_record(struct image_dir *d, const char *name, uint64_t size, uint64_t hash,
		      const uint64_t *run_len, const uint64_t *run_hash, size_t n)
{
	ManifestEntry *e;
	ManifestRun *run;
	uint64_t off = 0;

	pthread_mutex_lock(&d->lock);
	e = arena_new_of(d->own, ManifestEntry);
	manifest_entry__init(e);
	e->name = arena_strdup(d->own, name);
	e->size = size;
	e->xxh3 = hash;
	if (n) {
		e->runs = arena_array(d->own, ManifestRun *, n);
		run = arena_array(d->own, ManifestRun, n);
		for (size_t i = 0; i < n; i++, run++) {
			manifest_run__init(run);
			run->offset = off;
			run->len = run_len[i];
			run->xxh3 = run_hash[i];
			off += run_len[i];
			e->runs[i] = run;
		}
		e->n_runs = n;
		e->xxh3 = image_runs_hash(e->runs, n);
	}
	arena_push(d->own, d->written, d->nr_written) = e;
	pthread_mutex_unlock(&d->lock);
}
