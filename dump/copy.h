/*
 * copy - contents of memory to pages files, or to checksums, by several
 * workers.
 */
#ifndef CL_DUMP_COPY_H
#define CL_DUMP_COPY_H

#include "dump/ctx.h"
#include "model/memhash.h"

/* Where runs of pages come from: one address space or one shared object. */
struct copy_src {
	struct pstree_item *it; /* NULL: a shared object */
	bool forked;            /* pages may be shared with another process since fork(2) */
	struct shmem *shm;
	const struct dump_shmem *via; /* where the object is mapped; NULL: it is open */
	int out;                      /* pages file; -1 if only checksums are wanted */
	uint32_t pages_id;
	const struct page_run *runs;
	size_t nr_runs;
	uint64_t size; /* bytes in all runs */
	struct memhash_task holes;
};

/* A piece of a source: so many bytes of the pages file, wherever they are in the task. */
struct copy_job {
	struct copy_src *src;
	size_t run;      /* where it begins: in this run, */
	uint64_t skip;   /* so many bytes behind its start */
	uint64_t offset; /* in the pages file */
	uint64_t len;
	uint64_t hash; /* XXH3-64 of the bytes, when they have been written */
};

int copy_run(struct dump_ctx *ctx, struct copy_src *srcs, size_t n);

#endif
