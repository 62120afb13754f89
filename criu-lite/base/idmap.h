/*
 * idmap - a hash table from 64-bit keys to pointers (file ids, pids, inodes).
 */
#ifndef CL_BASE_IDMAP_H
#define CL_BASE_IDMAP_H

#include <stddef.h>
#include <stdint.h>

struct idmap_slot {
	uint64_t key;
	void *val;
};

/* All zero is an empty map. */
struct idmap {
	struct idmap_slot *slots;
	size_t n, size;
};

void *idmap_get(const struct idmap *m, uint64_t key);
void *idmap_put(struct idmap *m, uint64_t key, void *val);
void idmap_free(struct idmap *m);

#endif
