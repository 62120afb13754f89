/*
 * reader - one image being read. An image is hostile until proven otherwise:
 * it must be a regular file, every length must fit what is left of it, and
 * every enum must have a value that is known. What is wrong is recorded with
 * the name of the file and the offset.
 */
#include "image/dir.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

#include "proto/fdinfo.pb-c.h"

/* Longer strings than this are not in images: paths end at 4096. */
#define STRING_MAX 65536

struct image_reader {
	struct image_dir *dir;
	struct arena *arena;
	char name[IMAGE_NAME_MAX];
	int fd; /* -1: all its bytes are in held */
	uint8_t *held;
	uint64_t size;     /* of the file */
	uint64_t off;      /* of the next byte given out */
	size_t start, end; /* of what is in buf */
	uint8_t buf[IMAGE_CHUNK / 4];
};

static void *arena_pb_alloc(void *a, size_t size)
{
	return arena_alloc(a, size);
}

static void arena_pb_free(void *a, void *p)
{
}

static int reader_fail(struct image_reader *r, const char *id, int err, uint64_t off,
		       const char *what)
{
	return fail(r->dir->report, id, err, "%s: %s at offset %llu", r->name, what,
		    (unsigned long long)off);
}

/* The caller has checked that @len bytes are left. */
static int reader_in(struct image_reader *r, void *to, size_t len)
{
	uint8_t *p = to;

	if (r->held) {
		memcpy(p, r->held + r->off, len);
		r->off += len;
		return 0;
	}
	while (len) {
		size_t n = r->end - r->start;
		int ret;

		if (n) {
			n = n < len ? n : len;
			memcpy(p, r->buf + r->start, n);
			r->start += n;
			r->off += n;
			p += n;
			len -= n;
			continue;
		}
		n = r->size - r->off < sizeof(r->buf) ? (size_t)(r->size - r->off) : sizeof(r->buf);
		ret = read_all(r->fd, r->buf, n);
		if (ret < 0)
			return reader_fail(r, "image-read", ret, r->off, "read");
		r->start = 0;
		r->end = n;
	}
	return 0;
}

static int reader_magic(struct image_reader *r, enum image_kind k)
{
	struct image_head h = image_kind_head(k);
	uint32_t word[2] = { 0 };
	int ret;

	if (r->size < h.len)
		return reader_fail(r, "image-truncated", ENODATA, r->size, "ends in its magic");
	ret = reader_in(r, word, h.len);
	if (ret)
		return ret;
	if (memcmp(word, h.word, h.len))
		return fail(r->dir->report, "image-magic", EBADMSG,
			    "%s: not such an image: magic %#x %#x at offset 0, expected %#x %#x",
			    r->name, word[0], word[1], h.word[0], h.len > 4 ? h.word[1] : 0);
	return 0;
}

static int by_name(const void *key, const void *entry)
{
	return strcmp(key, (*(ManifestEntry *const *)entry)->name);
}

/* The place of a file in the verified manifest; NULL: not there. */
static ManifestEntry **listed(const struct image_dir *d, const char *name)
{
	return bsearch(name, d->listed, d->nr_listed, sizeof(*d->listed), by_name);
}

/**
 * image_listed - whether a file is part of the image
 * @d: the directory
 * @name: name of the file, of a kind that manifests cover
 *
 * Return: false if a verified manifest does not list it.
 */
bool image_listed(const struct image_dir *d, const char *name)
{
	return !d->listed || listed(d, name);
}

/* What was read to verify it is not read again. */
static uint8_t *take_held(struct image_dir *d, const char *name, uint64_t *size)
{
	ManifestEntry **e = d->held ? listed(d, name) : NULL;
	uint8_t *bytes = NULL;

	if (e) {
		bytes = d->held[e - d->listed];
		d->held[e - d->listed] = NULL;
		*size = (*e)->size;
	}
	return bytes;
}

/**
 * image_open_in - image_open() with messages in a given arena
 * @out: the reader
 * @d: the directory
 * @a: the arena
 * @k: the kind
 * @id: the id in its name
 *
 * Return: as image_open().
 */
int image_open_in(struct image_reader **out, struct image_dir *d, struct arena *a,
		  enum image_kind k, uint64_t id)
{
	struct image_reader *r;
	char name[IMAGE_NAME_MAX];
	int fd = -1, ret = 0;
	uint8_t *held;
	uint64_t size;

	image_name(name, k, id);
	d->reading = true;
	if (image_kind_covered((int)k) && !image_listed(d, name))
		return -ENOENT;
	held = take_held(d, name, &size);
	if (!held)
		ret = image_open_file(d, name, &fd, &size);
	if (ret == -ENOENT)
		return ret;
	if (ret < 0)
		return fail(d->report, "image-read", ret, "%s: cannot be opened as a regular file",
			    name);
	r = malloc(held ? offsetof(struct image_reader, buf) : sizeof(*r));
	if (!r)
		abort();
	/* All but the buffer: there may be thousands of small images. */
	memset(r, 0, offsetof(struct image_reader, buf));
	r->dir = d;
	r->arena = a;
	r->fd = fd;
	r->held = held;
	r->size = size;
	memcpy(r->name, name, sizeof(name));
	ret = reader_magic(r, k);
	if (ret) {
		image_close(&r);
		return ret;
	}
	*out = r;
	return 0;
}

/**
 * image_open - open an image and check its magic
 * @out: the reader
 * @d: the directory
 * @k: the kind
 * @id: the id in its name
 *
 * Return: 0; -ENOENT, not recorded, when there is no such image (a verified
 * directory has those its manifest lists); another -errno, recorded.
 */
int image_open(struct image_reader **out, struct image_dir *d, enum image_kind k, uint64_t id)
{
	return image_open_in(out, d, d->arena, k, id);
}

static int check_value(struct image_reader *r, const ProtobufCFieldDescriptor *f, const void *v,
		       uint64_t off);

/* Enums and strings of a message, and of those in it. */
static int check_message(struct image_reader *r, const ProtobufCMessage *m, uint64_t off)
{
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		const char *at = (const char *)m + f->offset;
		bool wide = f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE;
		size_t n = 1;
		int ret = 0;

		if (!wide && f->type != PROTOBUF_C_TYPE_ENUM)
			continue;
		if (f->label == PROTOBUF_C_LABEL_REPEATED) {
			memcpy(&n, (const char *)m + f->quantifier_offset, sizeof(n));
			at = *(const char *const *)at;
		} else if (f->label == PROTOBUF_C_LABEL_OPTIONAL && !wide) {
			n = *(const protobuf_c_boolean *)((const char *)m + f->quantifier_offset) !=
			    0;
		}
		for (size_t j = 0; j < n && !ret; j++)
			ret = check_value(r, f, at + j * (wide ? sizeof(void *) : sizeof(int)),
					  off);
		if (ret)
			return ret;
	}
	return 0;
}

static int check_value(struct image_reader *r, const ProtobufCFieldDescriptor *f, const void *v,
		       uint64_t off)
{
	const void *p;
	int num;

	if (f->type == PROTOBUF_C_TYPE_ENUM) {
		memcpy(&num, v, sizeof(num));
		/* The loader names a file of an unknown type itself. */
		if (f->descriptor == &fd_types__descriptor ||
		    protobuf_c_enum_descriptor_get_value(f->descriptor, num))
			return 0;
		return fail(r->dir->report, "image-enum", EBADMSG,
			    "%s: unknown value %d of %s in the message at offset %llu", r->name,
			    num, f->name, (unsigned long long)off);
	}
	p = *(const void *const *)v;
	if (!p || p == f->default_value)
		return 0;
	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		return check_message(r, p, off);
	if (strnlen(p, STRING_MAX) < STRING_MAX)
		return 0;
	return fail(r->dir->report, "image-message", EBADMSG,
		    "%s: %s is longer than %d bytes in the message at offset %llu", r->name,
		    f->name, STRING_MAX, (unsigned long long)off);
}

/**
 * image_unpack - a message that is the content of a field
 * @r: the image that the field came from
 * @desc: its type
 * @b: the field
 * @m: the message, from the reader's arena; unchanged on failure
 *
 * Return: 0, or -EBADMSG, recorded.
 */
int image_unpack(struct image_reader *r, const ProtobufCMessageDescriptor *desc,
		 const ProtobufCBinaryData *b, ProtobufCMessage **m)
{
	ProtobufCAllocator pb = { arena_pb_alloc, arena_pb_free, r->arena };
	ProtobufCMessage *got = protobuf_c_message_unpack(desc, &pb, b->len, b->data);
	int ret;

	if (!got)
		return fail(r->dir->report, "image-message", EBADMSG,
			    "%s: no valid %s in the message before offset %llu", r->name,
			    desc->name, (unsigned long long)r->off);
	ret = check_message(r, got, r->off);
	if (!ret)
		*m = got;
	return ret;
}

/**
 * image_get - the next message
 * @r: the reader
 * @desc: its type
 * @m: the message, in the arena; fields that @desc lacks are kept with it
 *
 * Return: 1 with a message; 0 at the end; -errno recorded: image-truncated,
 * image-length, image-message, image-enum or image-read.
 */
int image_get(struct image_reader *r, const ProtobufCMessageDescriptor *desc, ProtobufCMessage **m)
{
	ProtobufCAllocator pb = { arena_pb_alloc, arena_pb_free, r->arena };
	uint64_t rest = r->size - r->off, off = r->off;
	ProtobufCMessage *got;
	uint8_t small[4096], *bytes = small;
	uint32_t len;
	int ret;

	if (!rest)
		return 0;
	if (rest < sizeof(len))
		return reader_fail(r, "image-truncated", ENODATA, off, "ends in a length");
	ret = reader_in(r, &len, sizeof(len));
	if (ret)
		return ret;
	if (len > rest - sizeof(len) || len > IMAGE_MSG_MAX)
		return fail(r->dir->report,
			    len > IMAGE_MSG_MAX ? "image-length" : "image-truncated", EBADMSG,
			    "%s: message of %u bytes at offset %llu, the file has %llu", r->name,
			    len, (unsigned long long)off, (unsigned long long)r->size);
	if (len > sizeof(small)) {
		bytes = malloc(len);
		if (!bytes)
			return reader_fail(r, "image-read", ENOMEM, off, "message");
	}
	ret = reader_in(r, bytes, len);
	got = ret ? NULL : protobuf_c_message_unpack(desc, &pb, len, bytes);
	if (bytes != small)
		free(bytes);
	if (ret)
		return ret;
	if (!got)
		return fail(r->dir->report, "image-message", EBADMSG,
			    "%s: no valid %s at offset %llu", r->name, desc->name,
			    (unsigned long long)off);
	ret = check_message(r, got, off);
	if (ret)
		return ret;
	*m = got;
	return 1;
}

/**
 * image_get_raw - the next bytes as they are
 * @r: the reader
 * @buf: where to
 * @len: how many
 *
 * Return: 0, or -errno recorded as image-truncated or image-read.
 */
int image_get_raw(struct image_reader *r, void *buf, size_t len)
{
	if (len > r->size - r->off)
		return fail(r->dir->report, "image-truncated", ENODATA,
			    "%s: %zu bytes of data at offset %llu, the file has %llu", r->name, len,
			    (unsigned long long)r->off, (unsigned long long)r->size);
	return reader_in(r, buf, len);
}

/**
 * image_rest - how much of an image has not been read
 * @r: the reader
 *
 * Return: bytes.
 */
uint64_t image_rest(const struct image_reader *r)
{
	return r->size - r->off;
}

/**
 * image_close - close a reader
 * @r: the reader; becomes NULL
 *
 * Return: 0.
 */
int image_close(struct image_reader **r)
{
	if (*r) {
		close_owned(&(*r)->fd);
		free((*r)->held);
		free(*r);
		*r = NULL;
	}
	return 0;
}

/**
 * image_read_one - the only message of an image
 * @d: the directory
 * @a: arena of the message
 * @k: the kind
 * @id: the id in its name
 * @desc: type of the message
 * @m: the message
 *
 * Return: 0, -ENOENT unrecorded for a missing image, another -errno recorded.
 */
int image_read_one(struct image_dir *d, struct arena *a, enum image_kind k, uint64_t id,
		   const ProtobufCMessageDescriptor *desc, ProtobufCMessage **m)
{
	struct image_reader *r;
	ProtobufCMessage *got = NULL;
	int ret = image_open_in(&r, d, a, k, id);

	if (ret)
		return ret;
	ret = image_get(r, desc, &got);
	if (ret == 0)
		ret = reader_fail(r, "image-truncated", ENODATA, r->off, "has no message");
	else if (ret > 0)
		ret = image_rest(r) ? reader_fail(r, "image-message", EBADMSG, r->off,
						  "something follows the only message")
				    : 0;
	if (!ret)
		*m = got;
	image_close(&r);
	return ret;
}
