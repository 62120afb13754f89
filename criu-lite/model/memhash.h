/*
 * memhash - checksums of the content of memory, such that a live task and its
 * image give the same.
 *
 * A checksum is a sum over pages of a mix of XXH3-64 of the page and of its
 * number: address / 4096 for private pages, offset / 4096 in a shared object.
 * So pages may come in any order and from several threads, and mappings that
 * the kernel merges or splits add up to the same. In anonymous memory a page
 * of zeros is as good as none. In a private mapping of a file the pages
 * counted are those that no longer are the file's, zeros or not.
 *
 * What the kernel itself writes to when a thread comes back from it is taken
 * as zeros: the area that a thread has registered by rseq(2).
 */
#ifndef CL_MODEL_MEMHASH_H
#define CL_MODEL_MEMHASH_H

#include <stddef.h>
#include <stdint.h>

#include "model/pstree.h"

/* Bytes that count as zeros. */
struct memhash_hole {
	uint64_t start, end;
};

/* The holes of a task, ascending; from its threads' messages. */
struct memhash_task {
	struct memhash_hole *holes;
	size_t n;
};

void memhash_task_init(struct memhash_task *mt, const struct pstree_item *it, struct arena *a);
void memhash_vma(struct vma *v, const struct memhash_task *mt, uint64_t vaddr, const void *buf,
		 size_t pages);
void memhash_shmem(struct shmem *o, uint64_t offset, const void *buf, size_t pages);

#endif
