/*
 * pages - raw pages files: nothing but pages, in the order of the pagemap
 * that names them. Several threads write one by pwrite; whoever writes also
 * hashes, run by run.
 */
#include "image/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/fd.h"

/**
 * image_pages_create - a new pages file
 * @d: the directory
 * @id: the id in its name
 * @fd: its descriptor, open to read and write; the caller's
 *
 * Return: 0, or -errno recorded as image-write or image-dir.
 */
int image_pages_create(struct image_dir *d, uint32_t id, int *fd)
{
	char name[IMAGE_NAME_MAX];
	int got, ret = image_dir_begin(d);

	if (ret) {
		d->broken = true;
		return ret;
	}
	image_name(name, IMAGE_PAGES, id);
	got = openat(d->fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (got < 0) {
		d->broken = true;
		return fail(d->report, "image-write", errno, "%s: cannot be created", name);
	}
	*fd = got;
	return 0;
}

/**
 * image_pages_done - record a pages file that is written
 * @d: the directory
 * @id: the id in its name
 * @size: bytes of the file
 * @run_len: bytes of each run, in file order without gaps; a few MiB each let
 *	image_verify() share them among its threads
 * @run_hash: image_hash() of each run
 * @n: runs
 *
 * May be called from several threads.
 *
 * Return: 0; -EINVAL recorded if the runs do not make up the file.
 */
int image_pages_done(struct image_dir *d, uint32_t id, uint64_t size, const uint64_t *run_len,
		     const uint64_t *run_hash, size_t n)
{
	char name[IMAGE_NAME_MAX];
	uint64_t sum = 0;

	image_name(name, IMAGE_PAGES, id);
	for (size_t i = 0; i < n; i++)
		if (__builtin_add_overflow(sum, run_len[i], &sum))
			break;
	if (sum != size) {
		d->broken = true;
		return fail(d->report, "image-write", EINVAL,
			    "%s: its runs have %llu bytes, the file %llu", name,
			    (unsigned long long)sum, (unsigned long long)size);
	}
	image_dir_record(d, name, size, image_hash("", 0), run_len, run_hash, n);
	return 0;
}

/**
 * image_pages_open - open a pages file to read
 * @d: the directory
 * @id: the id in its name
 * @fd: its descriptor; the caller's
 * @size: its bytes
 *
 * Return: 0, or -errno recorded as image-read, also for a missing file.
 */
int image_pages_open(struct image_dir *d, uint32_t id, int *fd, uint64_t *size)
{
	char name[IMAGE_NAME_MAX];
	int ret;

	d->reading = true;
	image_name(name, IMAGE_PAGES, id);
	ret = image_listed(d, name) ? image_open_file(d, name, fd, size) : -ENOENT;
	if (ret < 0)
		return fail(d->report, ret == -ENOENT ? "image-missing" : "image-read", ret,
			    "%s: cannot be opened as a regular file", name);
	return 0;
}

/**
 * image_runs_hash - one checksum for a list of runs
 * @runs: the runs
 * @n: how many
 *
 * Return: XXH3-64 of the checksums of the runs, each as 8 bytes little endian.
 */
uint64_t image_runs_hash(ManifestRun *const *runs, size_t n)
{
	XXH3_state_t *h = XXH3_createState();
	uint64_t out;

	if (!h)
		abort();
	XXH3_64bits_reset(h);
	for (size_t i = 0; i < n; i++)
		XXH3_64bits_update(h, &runs[i]->xxh3, sizeof(runs[i]->xxh3));
	out = XXH3_64bits_digest(h);
	XXH3_freeState(h);
	return out;
}

/**
 * image_hash_file - the checksum of a part of a file
 * @fd: the file
 * @off: where the part starts, in bytes
 * @len: its bytes
 * @buf: IMAGE_CHUNK bytes to work with
 * @hash: its XXH3-64
 *
 * Return: 0 or -errno, not recorded; -ENODATA if the file is shorter.
 */
int image_hash_file(int fd, uint64_t off, uint64_t len, void *buf, uint64_t *hash)
{
	XXH3_state_t *h;
	int ret = 0;

	if (len <= IMAGE_CHUNK) {
		ret = pread_all(fd, buf, (size_t)len, (off_t)off);
		if (!ret)
			*hash = image_hash(buf, (size_t)len);
		return ret;
	}
	h = XXH3_createState();
	if (!h)
		abort();
	XXH3_64bits_reset(h);
	while (len && !ret) {
		size_t n = len < IMAGE_CHUNK ? (size_t)len : IMAGE_CHUNK;

		ret = pread_all(fd, buf, n, (off_t)off);
		if (!ret)
			XXH3_64bits_update(h, buf, n);
		off += n;
		len -= n;
	}
	if (!ret)
		*hash = XXH3_64bits_digest(h);
	XXH3_freeState(h);
	return ret;
}
