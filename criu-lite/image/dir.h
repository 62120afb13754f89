/*
 * dir - what the files of image/ share: the open directory and its record of
 * every image written or listed by the manifest. Only image/ includes this.
 */
#ifndef CL_IMAGE_DIR_H
#define CL_IMAGE_DIR_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "image/image.h"

#include "proto/inventory.pb-c.h"
#include "proto/manifest.pb-c.h"

#define IMAGE_NAME_MAX 64
#define IMAGE_MAGIC_COMMON 0x54564319u
#define IMAGE_MAGIC_SERVICE 0x55105940u
#define IMAGE_MAGIC_OURS 0x314c5243u /* "CRL1" */
#define IMAGE_VERSION 2              /* InventoryEntry.img_version of the v1.1 layout */
#define IMAGE_MSG_MAX (64u << 20)    /* bytes of one message; a million mappings fit */
#define IMAGE_VERSION_THREADS 3      /* threads have tables of descriptors of their own */
#define IMAGE_CHUNK (256u << 10)

struct image_dir {
	int fd;
	struct report *report;
	struct arena *arena; /* messages that are read */
	struct arena *own;   /* records; under lock */
	pthread_mutex_t lock;
	bool begun;    /* what an earlier dump left has been removed */
	bool reading;  /* something was read first: not a directory to dump into */
	bool broken;   /* an image could not be written: no commit */
	unsigned open; /* writers not finished */
	ManifestEntry **written;
	size_t nr_written;
	ManifestEntry **listed; /* from a verified manifest, by name; NULL without one */
	size_t nr_listed;
	uint8_t **held; /* of each one listed: its bytes, as verified, for who reads it; or NULL */
	bool verified;
};

/* The eight (four for the inventory) bytes at the start of an image. */
struct image_head {
	uint32_t word[2];
	unsigned len; /* bytes: 0, 4 or 8 */
};

int image_dir_begin(struct image_dir *d);
void image_dir_record(struct image_dir *d, const char *name, uint64_t size, uint64_t hash,
		      const uint64_t *run_len, const uint64_t *run_hash, size_t n);
int image_dir_write_named(struct image_writer **out, struct image_dir *d, enum image_kind k,
			  const char *name);
uint64_t image_writer_hash(const struct image_writer *w);
int image_kind_of(const char *name);
struct image_head image_kind_head(enum image_kind k);
bool image_kind_apart(int k);
bool image_kind_covered(int k);
void image_name(char name[static IMAGE_NAME_MAX], enum image_kind k, uint64_t id);

int image_open_in(struct image_reader **out, struct image_dir *d, struct arena *a,
		  enum image_kind k, uint64_t id);
/* For an image of exactly one message: reads it, and that nothing follows. Missing: -ENOENT. */
int image_read_one(struct image_dir *d, struct arena *a, enum image_kind k, uint64_t id,
		   const ProtobufCMessageDescriptor *desc, ProtobufCMessage **m);
bool image_listed(const struct image_dir *d, const char *name);
/* A file of the directory, regular or nothing; -errno is not recorded. */
int image_open_file(const struct image_dir *d, const char *name, int *fd, uint64_t *size);
int image_inventory(struct image_dir *d, struct arena *a, InventoryEntry **out);
uint64_t image_inventory_hash(const InventoryEntry *inv);
uint64_t image_runs_hash(ManifestRun *const *runs, size_t n);
int image_write_manifest(struct image_dir *d, ManifestEntry **e, size_t n, const char *name,
			 uint64_t *hash);
int image_write_inventory(struct image_dir *d, const InventoryEntry *from, uint64_t hash);
int image_hash_file(int fd, uint64_t off, uint64_t len, void *buf, uint64_t *hash);

#endif
