/*
 * load - what the files that make a model of images share. Only image/
 * includes this.
 */
#ifndef CL_IMAGE_LOAD_H
#define CL_IMAGE_LOAD_H

#include "image/dir.h"
#include "model/file_desc.h"
#include "model/pstree.h"

#define PAGE_BYTES 4096u
/* The end of user space with five-level page tables; with four, mmap says so. */
#define USER_END ((1ull << 56) - PAGE_BYTES)

struct loader {
	struct image_dir *d;
	struct report *report;
	struct pstree *t;
	struct arena *a;     /* the tree's */
	struct idmap tids;   /* every pid and tid met */
	struct idmap tables; /* filedesc by files_id */
};

/* One message of an image that must be there; -ENOENT is recorded as image-missing. */
int load_one(struct loader *l, enum image_kind k, uint64_t id,
	     const ProtobufCMessageDescriptor *desc, ProtobufCMessage **m);
/* An image that must be there. */
int load_open(struct loader *l, struct image_reader **r, enum image_kind k, uint64_t id);

/* core-<tid>.img, and what a core of a living thread must have. */
int load_core(struct loader *l, struct task_thread *th, bool leader);
int check_core(struct loader *l, const struct task_thread *th, bool leader);
int load_files(struct loader *l);                         /* files.img */
int load_table(struct loader *l, struct pstree_item *it); /* fdinfo-<files_id>.img, once */
int load_thread_tables(struct loader *l, struct pstree_item *it);
int load_mm(struct loader *l, struct pstree_item *it); /* mm-, pagemap-<pid>.img */
int load_locks(struct loader *l);                      /* filelocks.img */
int load_segments(struct loader *l);
int load_shmems(struct loader *l); /* pagemap-shmem-*.img */

#endif
