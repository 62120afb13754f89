/*
 * pstree - a process tree as the two halves share it. The model is made of
 * the image messages themselves: dump fills them from the live tree, image/
 * writes and reads them, restore and `state` take them from here.
 */
#ifndef CL_MODEL_PSTREE_H
#define CL_MODEL_PSTREE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/idmap.h"
#include "base/list.h"
#include "base/report.h"
#include "model/filetab.h"

#include "proto/core.pb-c.h"
#include "proto/file-lock.pb-c.h"
#include "proto/fs.pb-c.h"
#include "proto/inventory.pb-c.h"
#include "proto/ipc-shm.pb-c.h"
#include "proto/mm.pb-c.h"

/* Values of TaskCoreEntry.task_state. */
enum task_state {
	TASK_ALIVE = 1,
	TASK_DEAD = 2,
	TASK_STOPPED = 3,
	TASK_HELPER = 4, /* restore only: leads a session or a group, then exits */
	TASK_ZOMBIE = 6,
};

/* VmaEntry.status, the bits of the image format. */
#define VMA_AREA_NONE (0 << 0)
#define VMA_AREA_REGULAR (1 << 0) /* to be dumped and restored */
#define VMA_AREA_STACK (1 << 1)
#define VMA_AREA_VSYSCALL (1 << 2)
#define VMA_AREA_VDSO (1 << 3)
#define VMA_AREA_HEAP (1 << 5)
#define VMA_FILE_PRIVATE (1 << 6)
#define VMA_FILE_SHARED (1 << 7)
#define VMA_ANON_SHARED (1 << 8)
#define VMA_ANON_PRIVATE (1 << 9)
#define VMA_AREA_SYSVIPC (1 << 10)
#define VMA_AREA_SOCKET (1 << 11)
#define VMA_AREA_VVAR (1 << 12)
#define VMA_AREA_AIORING (1 << 13)
#define VMA_AREA_MEMFD (1 << 14)
#define VMA_AREA_SHSTK (1 << 15)
#define VMA_AREA_UPROBES (1 << 17)

/* VmaEntry.extra. */
#define VMA_EXTRA_ONFAULT (1 << 0)   /* MAP_LOCKED is mlock2(MLOCK_ONFAULT) */
#define VMA_EXTRA_DROPPABLE (1 << 1) /* MAP_DROPPABLE, not MAP_PRIVATE */
#define VMA_EXTRA_SEALED (1 << 2)    /* mseal(2) */

/*
 * The largest number for io_setup(2) that makes a ring of so many bytes, whole
 * pages: two of 32 bytes each, and three more for the head and the kernel.
 */
#define AIO_REQUESTS(bytes) ((uint32_t)((bytes) / 64 - 2))

/* FileLockEntry.flag. */
#define FL_POSIX 1
#define FL_FLOCK 2
#define FL_OFD 4
#define FL_LEASE 8

/* FileLockEntry.type of a lease whose holder has been asked; the rest is what it is to become. */
#define LEASE_BREAKING 4

/* PagemapEntry.flags. */
#define PE_PARENT (1 << 0)
#define PE_LAZY (1 << 1)
#define PE_PRESENT (1 << 2)

/* A run of pages with content: where it is mapped and where its bytes are. */
struct page_run {
	uint64_t vaddr; /* bytes */
	uint64_t pages;
	uint64_t offset; /* bytes from the start of the pages file */
	uint32_t flags;  /* PE_ bits */
};

/* One mapping. The message is what the image has; the rest is found again at load. */
struct vma {
	VmaEntry *e;
	struct file_desc *file; /* the mapped file, or NULL */
	struct shmem *shmem;    /* the shared anonymous object, or NULL */
	uint64_t vmflags;       /* VmFlags of smaps as VMF_ bits; dump and live state only */
	uint64_t hash;          /* of private content: see memhash.h */
	uint64_t hashed_pages;
};

/* A shared anonymous memory object (MAP_SHARED | MAP_ANONYMOUS). */
struct shmem {
	uint64_t shmid;
	uint64_t size; /* bytes */
	uint64_t huge; /* restore: bytes in a page of hugetlbfs; 0: ordinary pages */
	struct page_run *runs;
	size_t nr_runs;
	uint32_t pages_id;
	IpcShmEntry *sysv; /* of System V shared memory, or NULL */
	int fd;            /* -1, or our own descriptor of the live object */
	uint64_t hash;     /* of its content: see memhash.h */
	uint64_t hashed_pages;
	struct list_head list;
};

struct task_thread {
	pid_t tid;
	CoreEntry *core;
	struct filedesc *fdt; /* its own table of descriptors; NULL: it has that of its process */
};

/* A lock or a lease, and where it is. */
struct held_lock {
	FileLockEntry *e;
	struct pstree_item *it; /* that took it, or has it; NULL for a description in flight */
	pid_t tid;              /* the thread of @it whose own table has it; 0: the process */
	struct file_desc *desc;
};

struct dump_task;
struct restore_task;

struct pstree_item {
	struct list_head list;    /* pstree.items: every item, parents before children */
	struct list_head sibling; /* parent's children, in order of birth as far as known */
	struct list_head children;
	struct pstree_item *parent; /* NULL for the root */
	pid_t pid, pgid, sid;       /* as the root pid namespace of the tool sees them */
	enum task_state state;

	struct task_thread *threads; /* [0] is the leader; dead tasks have the leader's core only */
	size_t nr_threads;

	TaskKobjIdsEntry *ids;
	FsEntry *fs;
	MmEntry *mm;      /* NULL for dead tasks; mm->vmas is made from vmas at writing */
	struct vma *vmas; /* ascending */
	size_t nr_vmas;
	struct page_run *runs; /* ascending private pages with content */
	size_t nr_runs;
	uint32_t pages_id;
	struct filedesc *fdt; /* may be shared with other items; NULL for dead tasks */

	struct dump_task *dump;       /* what only dump/ knows */
	struct restore_task *restore; /* what only restore/ knows */
};

struct pstree {
	struct arena *arena;
	struct report *report;
	struct list_head items;
	struct pstree_item *root;
	size_t nr_items;
	struct idmap by_pid;
	struct list_head shmems;
	struct idmap by_shmid;
	struct filetab files;    /* every open file description of the tree */
	struct held_lock *locks; /* ascending by task, descriptor and range */
	size_t nr_locks;
	InventoryEntry *inventory;
};

struct filedesc *held_lock_table(const struct held_lock *k);
struct pstree *pstree_new(struct report *report);
void pstree_free(struct pstree *t);
struct pstree_item *pstree_add(struct pstree *t, struct pstree_item *parent, pid_t pid);
struct pstree_item *pstree_find(const struct pstree *t, pid_t pid);
struct filedesc *pstree_table(const struct pstree *t, pid_t id);
struct task_thread *item_table_thread(const struct pstree_item *it, const struct filedesc *fdt);
struct shmem *pstree_shmem(struct pstree *t, uint64_t shmid);
void pstree_sort_locks(struct pstree *t);

static inline CoreEntry *item_core(const struct pstree_item *it)
{
	return it->threads[0].core;
}

/* Does the process, or a thread of it, have this table? */
static inline bool item_has_table(const struct pstree_item *it, const struct filedesc *fdt)
{
	return it->fdt == fdt || item_table_thread(it, fdt);
}

static inline bool item_alive(const struct pstree_item *it)
{
	return it->state == TASK_ALIVE || it->state == TASK_STOPPED;
}

#endif
