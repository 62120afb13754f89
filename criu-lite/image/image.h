/*
 * image - the image directory: framing, magic numbers, one reader and one
 * writer, the manifest, and the model to images and back.
 */
#ifndef CL_IMAGE_IMAGE_H
#define CL_IMAGE_IMAGE_H

#include <stdint.h>
#include <sys/types.h>

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "base/report.h"

struct pstree;
struct image_dir;

/* An open image directory; knows every file written or read, for the manifest. */
int image_dir_open(struct image_dir **out, int dir_fd, struct report *r, struct arena *a);
void image_dir_close(struct image_dir *d);
int image_dir_fd(const struct image_dir *d);
uint64_t image_hash(const void *buf, size_t len); /* XXH3-64, as in the manifest */

/* Kinds are the rows of image_kinds.def: INVENTORY, PSTREE, CORE, MM, PAGEMAP, ... */
enum image_kind {
#define IMAGE(kind, magic, name) IMAGE_##kind,
#include "image/image_kinds.def"
#undef IMAGE
	IMAGE_KINDS
};

/* One image being written; names take one id ("core-%u.img"). Buffered; hashed on the way. */
struct image_writer;
int image_create(struct image_writer **out, struct image_dir *d, enum image_kind k, uint64_t id);
int image_put(struct image_writer *w, const ProtobufCMessage *m); /* u32 length, then the bytes */
int image_put_raw(struct image_writer *w, const void *buf, size_t len); /* payload after an entry */
int image_finish(struct image_writer **w); /* closes; *w becomes NULL, also on failure */

/* One image being read. Every length is checked against the file. */
struct image_reader;
/* -ENOENT is not recorded. */
int image_open(struct image_reader **out, struct image_dir *d, enum image_kind k, uint64_t id);
/* 1: *m is the next message, from the arena, its enums known; 0: end; -errno recorded. */
int image_unpack(struct image_reader *r, const ProtobufCMessageDescriptor *desc,
		 const ProtobufCBinaryData *b, ProtobufCMessage **m);
int image_get(struct image_reader *r, const ProtobufCMessageDescriptor *desc, ProtobufCMessage **m);
int image_get_raw(struct image_reader *r, void *buf, size_t len);
uint64_t image_rest(const struct image_reader *r); /* bytes not read yet */
int image_close(struct image_reader **r);

/*
 * Pages files are raw: written at offsets from several threads, read by offset
 * or mapped. For the manifest whoever wrote one gives XXH3 by run, in file order.
 */
int image_pages_create(struct image_dir *d, uint32_t id, int *fd);
int image_pages_done(struct image_dir *d, uint32_t id, uint64_t size, const uint64_t *run_len,
		     const uint64_t *run_hash, size_t n);
int image_pages_open(struct image_dir *d, uint32_t id, int *fd, uint64_t *size);

/* Manifest and inventory, written last, after fsync of everything. */
int image_commit(struct image_dir *d, const struct pstree *t);
/* Before a restore: directory complete and intact, or every mismatch recorded. */
int image_verify(struct image_dir *d);
/* `seal`: the manifest made again after an edit. */
int image_seal(struct image_dir *d);

/* The whole model. Pages stay in their files. */
int image_save_tree(struct image_dir *d, struct pstree *t);
int image_load_tree(struct image_dir *d, struct report *r, struct pstree **out);
/* pagemap-shmem-<shmid>.img into a shmem of @t, found or made; -ENOENT is not recorded. */
int image_load_shmem(struct image_dir *d, struct pstree *t, uint64_t shmid, uint64_t size);

#endif
