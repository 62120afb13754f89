/*
 * writer - one image being written. Everything goes through one buffer and
 * the checksum on its way out, so no file is read again for the manifest.
 * After the first failure a writer swallows what it is given: the cause stands,
 * and image_finish() and image_commit() return it.
 */
#include "image/dir.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <xxhash.h>

#include "base/fd.h"

struct image_writer {
	struct image_dir *dir;
	enum image_kind kind;
	char name[IMAGE_NAME_MAX];
	int fd, err;
	uint64_t size; /* bytes given so far */
	XXH3_state_t *hash;
	size_t used;
	uint8_t buf[IMAGE_CHUNK / 4];
};

static int writer_fail(struct image_writer *w, int err, const char *what)
{
	w->err = fail(w->dir->report, "image-write", err, "%s: %s at offset %llu", w->name, what,
		      (unsigned long long)w->size);
	return w->err;
}

static int writer_out(struct image_writer *w, const void *buf, size_t len)
{
	int ret;

	if (!len)
		return 0;
	XXH3_64bits_update(w->hash, buf, len);
	ret = write_all(w->fd, buf, len);
	return ret < 0 ? writer_fail(w, ret, "write") : 0;
}

static int writer_flush(struct image_writer *w)
{
	size_t len = w->used;

	w->used = 0;
	return writer_out(w, w->buf, len);
}

/**
 * image_dir_write_named - create a file of the directory under a given name
 * @out: the writer
 * @d: the directory
 * @k: the kind, for the magic words
 * @name: file name; must not exist
 *
 * Return: 0, or -errno recorded.
 */
int image_dir_write_named(struct image_writer **out, struct image_dir *d, enum image_kind k,
			  const char *name)
{
	struct image_head h = image_kind_head(k);
	struct image_writer *w;
	int fd = openat(d->fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0) {
		d->broken = true;
		return fail(d->report, "image-write", errno, "%s: cannot be created", name);
	}
	w = malloc(sizeof(*w));
	if (!w)
		abort();
	/* All but the buffer, which is larger than most images. */
	memset(w, 0, offsetof(struct image_writer, buf));
	w->dir = d;
	w->kind = k;
	w->fd = fd;
	w->hash = XXH3_createState();
	if (!w->hash)
		abort();
	XXH3_64bits_reset(w->hash);
	strncpy(w->name, name, sizeof(w->name) - 1);
	memcpy(w->buf, h.word, h.len);
	w->used = h.len;
	w->size = h.len;
	__atomic_add_fetch(&d->open, 1, __ATOMIC_RELAXED);
	*out = w;
	return 0;
}

/**
 * image_create - start an image
 * @out: the writer
 * @d: the directory; the first image removes what an earlier dump left there
 * @k: the kind, not PAGES and not INVENTORY
 * @id: the id in its name
 *
 * What is apart from a dump may be written at any time; an old one is replaced.
 *
 * Return: 0, or -errno recorded as image-write or image-dir.
 */
int image_create(struct image_writer **out, struct image_dir *d, enum image_kind k, uint64_t id)
{
	char name[IMAGE_NAME_MAX];
	int ret;

	image_name(name, k, id);
	if (image_kind_apart(k)) {
		if (unlinkat(d->fd, name, 0) < 0 && errno != ENOENT)
			return fail(d->report, "image-write", errno, "%s: replacing", name);
	} else {
		ret = image_dir_begin(d);
		if (ret) {
			d->broken = true;
			return ret;
		}
	}
	return image_dir_write_named(out, d, k, name);
}

/**
 * image_put_raw - append bytes as they are
 * @w: the writer
 * @buf: the bytes
 * @len: how many
 *
 * Return: 0, or -errno recorded as image-write.
 */
int image_put_raw(struct image_writer *w, const void *buf, size_t len)
{
	if (w->err)
		return w->err;
	w->size += len;
	if (len > sizeof(w->buf) - w->used) {
		if (writer_flush(w) < 0)
			return w->err;
		if (len >= sizeof(w->buf))
			return writer_out(w, buf, len);
	}
	memcpy(w->buf + w->used, buf, len);
	w->used += len;
	return 0;
}

/**
 * image_put - append a message
 * @w: the writer
 * @m: the message, its unknown fields included
 *
 * Return: 0, or -errno recorded as image-write (-EMSGSIZE: the readers' limit).
 */
int image_put(struct image_writer *w, const ProtobufCMessage *m)
{
	size_t len = protobuf_c_message_get_packed_size(m);
	uint32_t len32 = (uint32_t)len;
	uint8_t *big;
	int ret;

	if (w->err)
		return w->err;
	if (len > IMAGE_MSG_MAX)
		return writer_fail(w, EMSGSIZE, "message too large");
	ret = image_put_raw(w, &len32, sizeof(len32));
	if (ret)
		return ret;
	if (len > sizeof(w->buf) - w->used && writer_flush(w) < 0)
		return w->err;
	if (len <= sizeof(w->buf)) {
		w->used += protobuf_c_message_pack(m, w->buf + w->used);
		w->size += len;
		return 0;
	}
	big = malloc(len);
	if (!big)
		return writer_fail(w, ENOMEM, "message");
	protobuf_c_message_pack(m, big);
	ret = image_put_raw(w, big, len);
	free(big);
	return ret;
}

/**
 * image_writer_hash - the checksum of what was written so far
 * @w: the writer
 *
 * Return: XXH3-64 of all bytes from the start of the file.
 */
uint64_t image_writer_hash(const struct image_writer *w)
{
	XXH3_state_t *h = XXH3_createState();
	uint64_t out;

	if (!h)
		abort();
	XXH3_copyState(h, w->hash);
	XXH3_64bits_update(h, w->buf, w->used);
	out = XXH3_64bits_digest(h);
	XXH3_freeState(h);
	return out;
}

/* Nothing else than what was given may be there: a restore would refuse it, too late. */
static void check_size(struct image_writer *w)
{
	struct stat st;

	if (fstat(w->fd, &st) < 0)
		writer_fail(w, errno, "look at it");
	else if ((uint64_t)st.st_size != w->size)
		w->err = fail(w->dir->report, "image-write", EIO,
			      "%s: has %lld bytes, of which %llu were written", w->name,
			      (long long)st.st_size, (unsigned long long)w->size);
}

/**
 * image_finish - close an image and record it for the manifest
 * @w: the writer; becomes NULL, also on failure
 *
 * Return: 0, or the first -errno of this writer, recorded. A file that failed
 * stays behind, and image_commit() refuses.
 */
int image_finish(struct image_writer **w)
{
	struct image_writer *x = *w;
	int ret;

	if (!x)
		return 0;
	*w = NULL;
	if (!x->err && !writer_flush(x))
		check_size(x);
	if (close(x->fd) < 0 && !x->err)
		writer_fail(x, errno, "close");
	ret = x->err;
	if (ret)
		x->dir->broken = true;
	else if (image_kind_covered((int)x->kind))
		image_dir_record(x->dir, x->name, x->size, XXH3_64bits_digest(x->hash), NULL, NULL,
				 0);
	__atomic_sub_fetch(&x->dir->open, 1, __ATOMIC_RELAXED);
	XXH3_freeState(x->hash);
	free(x);
	return ret;
}
