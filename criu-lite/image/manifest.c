/*
 * manifest - the end of a dump: everything to disk, then the list of all
 * images with their checksums, then the inventory, which alone makes the
 * directory an image. `seal` makes the last two again after an edit.
 *
 * The inventory holds the checksum of the manifest and one of itself, taken
 * without that field. Both are renamed into place.
 */
#include "image/dir.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "model/pstree.h"

#include "proto/inventory.pb-c.h"

#define NEW_SUFFIX ".new"
#define SEAL_RUN (1u << 20) /* bytes of a run when nobody knows better */

static int by_entry(const void *a, const void *b)
{
	return strcmp((*(ManifestEntry *const *)a)->name, (*(ManifestEntry *const *)b)->name);
}

static int sync_dir(struct image_dir *d)
{
	/* EINVAL: a filesystem without fsync for directories. */
	if (fsync(d->fd) < 0 && errno != EINVAL)
		return fail(d->report, "image-write", errno, "image directory: fsync");
	return 0;
}

static int sync_one(struct image_dir *d, const char *name, bool start_only)
{
	cleanup_close int fd = openat(d->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return fail(d->report, "image-write", errno, "%s: opening for fsync", name);
	if (start_only)
		sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* a hint: may fail */
	else if (fsync(fd) < 0)
		return fail(d->report, "image-write", errno, "%s: fsync", name);
	return 0;
}

/* What is lost with the machine anyway: there fsync(2) does nothing, at a cost for each file. */
static bool is_in_memory(const struct image_dir *d)
{
	struct statfs fs;

	return fstatfs(d->fd, &fs) == 0 && (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC);
}

/* Writing starts for all files before the first one is waited for. */
static int sync_all(struct image_dir *d)
{
	if (is_in_memory(d))
		return 0;
	for (int pass = 0; pass < 2; pass++)
		for (size_t i = 0; i < d->nr_written; i++) {
			int ret = sync_one(d, d->written[i]->name, pass == 0);

			if (ret)
				return ret;
		}
	return sync_dir(d);
}

/* The file @name takes its place under the name without the suffix. */
static int put_in_place(struct image_dir *d, const char *name)
{
	char final[IMAGE_NAME_MAX];
	int ret = sync_one(d, name, false);

	if (ret)
		return ret;
	memset(final, 0, sizeof(final));
	memcpy(final, name, strlen(name) - strlen(NEW_SUFFIX));
	if (renameat(d->fd, name, d->fd, final) < 0)
		return fail(d->report, "image-write", errno, "%s: rename to %s", name, final);
	return 0;
}

/**
 * image_write_manifest - write a manifest
 * @d: the directory
 * @e: one entry per image; sorted by name here
 * @n: how many
 * @name: file name
 * @hash: XXH3-64 of the file written
 *
 * Return: 0, or -errno recorded.
 */
int image_write_manifest(struct image_dir *d, ManifestEntry **e, size_t n, const char *name,
			 uint64_t *hash)
{
	struct image_writer *w;
	uint64_t sum;
	int ret, end;

	if (n)
		qsort(e, n, sizeof(*e), by_entry);
	for (size_t i = 1; i < n; i++)
		if (!strcmp(e[i - 1]->name, e[i]->name))
			return fail(d->report, "image-write", EEXIST, "%s: written twice",
				    e[i]->name);
	ret = image_dir_write_named(&w, d, IMAGE_MANIFEST, name);
	if (ret)
		return ret;
	for (size_t i = 0; i < n && !ret; i++)
		ret = image_put(w, &e[i]->base);
	sum = image_writer_hash(w);
	end = image_finish(&w);
	if (ret || end)
		return ret ? ret : end;
	*hash = sum;
	return 0;
}

/**
 * image_inventory_hash - the checksum that an inventory has of itself
 * @inv: the inventory
 *
 * Return: XXH3-64 of the message packed without self_hash.
 */
uint64_t image_inventory_hash(const InventoryEntry *inv)
{
	InventoryEntry copy = *inv;
	uint8_t *buf;
	uint64_t hash;
	size_t len;

	copy.has_self_hash = 0;
	len = inventory_entry__get_packed_size(&copy);
	buf = malloc(len + 1);
	if (!buf)
		abort();
	inventory_entry__pack(&copy, buf);
	hash = image_hash(buf, len);
	free(buf);
	return hash;
}

/**
 * image_write_inventory - write the inventory; from then on there is an image
 * @d: the directory, all else written and on disk
 * @from: what the inventory says, without the fields about the manifest
 * @hash: XXH3-64 of the manifest
 *
 * Return: 0, or -errno recorded; then the old inventory, if any, still stands
 * or there is none.
 */
int image_write_inventory(struct image_dir *d, const InventoryEntry *from, uint64_t hash)
{
	uint64_t be = htobe64(hash);
	InventoryEntry inv = *from;
	char name[IMAGE_NAME_MAX];
	struct image_writer *w;
	int ret, end;

	inv.has_manifest_hash = 1;
	inv.manifest_hash = (ProtobufCBinaryData){ sizeof(be), (uint8_t *)&be };
	if (!inv.tool)
		inv.tool = (char *)"criu-lite";
	inv.self_hash = image_inventory_hash(&inv);
	inv.has_self_hash = 1;

	snprintf(name, sizeof(name), "inventory.img" NEW_SUFFIX);
	if (unlinkat(d->fd, name, 0) < 0 && errno != ENOENT)
		return fail(d->report, "image-write", errno, "%s: replacing", name);
	ret = image_dir_write_named(&w, d, IMAGE_INVENTORY, name);
	if (ret)
		return ret;
	ret = image_put(w, &inv.base);
	end = image_finish(&w);
	if (!ret)
		ret = end ? end : put_in_place(d, name);
	if (ret)
		unlinkat(d->fd, name, 0);
	return ret ? ret : sync_dir(d);
}

/**
 * image_commit - everything to disk, then the manifest, then the inventory
 * @d: the directory; every writer is finished
 * @t: the tree, whose inventory is written
 *
 * Return: 0: the image is complete and on disk. -errno recorded: the
 * directory has no inventory and is no image.
 */
int image_commit(struct image_dir *d, const struct pstree *t)
{
	InventoryEntry fresh = INVENTORY_ENTRY__INIT;
	char name[IMAGE_NAME_MAX];
	uint64_t hash;
	int ret;

	if (d->broken || d->open)
		return fail(d->report, "image-incomplete", ECANCELED,
			    d->open ? "inventory.img: not written, images are still being written"
				    : "inventory.img: not written, an image could not be written");
	ret = image_dir_begin(d);
	if (!ret)
		ret = sync_all(d);
	if (ret)
		return ret;
	image_name(name, IMAGE_MANIFEST, 0);
	ret = image_write_manifest(d, d->written, d->nr_written, name, &hash);
	if (!ret)
		ret = sync_one(d, name, false);
	if (!ret)
		ret = sync_dir(d);
	if (ret)
		return ret;
	fresh.img_version = IMAGE_VERSION;
	fresh.has_fdinfo_per_id = fresh.fdinfo_per_id = 1;
	ret = image_write_inventory(d, t->inventory ? t->inventory : &fresh, hash);
	if (ret) {
		image_name(name, IMAGE_INVENTORY, 0);
		unlinkat(d->fd, name, 0);
	}
	return ret;
}

/* What is on disk now, for a manifest that is made afterwards. */
static int seal_file(struct image_dir *d, const char *name, void *buf)
{
	bool pages = image_kind_of(name) == IMAGE_PAGES;
	uint64_t size, hash = 0, off = 0, *len, *sum;
	cleanup_close int fd = -1;
	size_t n;
	int ret = image_open_file(d, name, &fd, &size);

	if (ret < 0)
		return fail(d->report, "image-read", ret, "%s: cannot be opened as a regular file",
			    name);
	if (!pages || !size) {
		ret = image_hash_file(fd, 0, size, buf, &hash);
		if (ret < 0)
			return fail(d->report, "image-read", ret, "%s: read", name);
		image_dir_record(d, name, size, hash, NULL, NULL, 0);
		return 0;
	}
	n = (size_t)((size + SEAL_RUN - 1) / SEAL_RUN);
	len = calloc(2 * n, sizeof(*len));
	if (!len)
		abort();
	sum = len + n;
	for (size_t i = 0; i < n && !ret; i++, off += SEAL_RUN) {
		len[i] = size - off < SEAL_RUN ? size - off : SEAL_RUN;
		ret = image_hash_file(fd, off, len[i], buf, &sum[i]);
	}
	if (!ret)
		image_dir_record(d, name, size, 0, len, sum, n);
	else
		fail(d->report, "image-read", ret, "%s: read at offset %llu", name,
		     (unsigned long long)off - SEAL_RUN);
	free(len);
	return ret;
}

static int seal_files(struct image_dir *d)
{
	int fd = openat(d->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret = 0;
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	void *buf = arena_alloc(d->own, IMAGE_CHUNK);
	struct dirent *e;

	if (!dir) {
		ret = fail(d->report, "image-dir", errno, "image directory: cannot be listed");
		if (fd >= 0)
			close(fd);
		return ret;
	}
	while (!ret && (e = readdir(dir)))
		if (image_kind_covered(image_kind_of(e->d_name)))
			ret = seal_file(d, e->d_name, buf);
	closedir(dir);
	return ret;
}

/**
 * image_seal - make the manifest again, after images were edited on purpose
 * @d: the directory, opened for this only
 *
 * Killed in between, the image is refused by image_verify() until it is
 * sealed again. An image without a manifest gets one.
 *
 * Return: 0, or -errno recorded.
 */
int image_seal(struct image_dir *d)
{
	char name[IMAGE_NAME_MAX + sizeof(NEW_SUFFIX)];
	InventoryEntry *inv;
	uint64_t hash;
	int ret = image_inventory(d, d->own, &inv);

	if (ret)
		return ret;
	d->nr_written = 0;
	d->written = NULL;
	ret = seal_files(d);
	if (!ret)
		ret = sync_all(d);
	if (ret)
		return ret;
	snprintf(name, sizeof(name), "manifest" NEW_SUFFIX);
	if (unlinkat(d->fd, name, 0) < 0 && errno != ENOENT)
		return fail(d->report, "image-write", errno, "%s: replacing", name);
	ret = image_write_manifest(d, d->written, d->nr_written, name, &hash);
	if (!ret)
		ret = put_in_place(d, name);
	if (!ret)
		ret = sync_dir(d);
	return ret ? ret : image_write_inventory(d, inv, hash);
}
