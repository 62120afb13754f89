/*
 * filetab - the file table, in the shape of OpenBSD's file(9).
 *
 * struct filedesc is the table of a process (shared by those that share it),
 * struct file one open file description, reference counted. Its typed part is
 * a struct file_desc, one to one. A descriptor number is taken larval by
 * falloc() and matures with fdinsert(); until then lookups do not see it.
 *
 * Any number of threads may call at once. Locks, outer first: fd_lock of one
 * table, then the filetab's; both are leaves for everybody else.
 */
#ifndef CL_MODEL_FILETAB_H
#define CL_MODEL_FILETAB_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/arena.h"
#include "base/idmap.h"
#include "base/list.h"

struct engine_table;
struct fd_slot;
struct file_desc;
struct filetab;
struct pstree_item;
struct restore_engine;

/* struct file.f_flag */
#define FREAD 0x1
#define FWRITE 0x2

/* A description with this many references is not duplicated further. */
#define FDUP_MAX_COUNT (UINT32_MAX - 1024)

/* struct file.f_type */
enum dtype { DTYPE_NONE, DTYPE_VNODE, DTYPE_SOCKET, DTYPE_PIPE, DTYPE_OTHER };

struct file {
	atomic_uint f_count;
	int f_flag; /* FREAD, FWRITE */
	enum dtype f_type;
	struct file_desc *f_desc;
	bool f_inserted; /* was in a table once: on filetab.files */
	struct list_head
		f_list; /* filetab.files, from the first fdinsert on; else filetab.larval */
	struct filetab *f_tab;
};

/* One table of descriptors. */
struct filedesc {
	uint32_t id; /* fdinfo image id: TaskKobjIdsEntry.files_id */
	atomic_uint fd_refcnt;
	pthread_mutex_t fd_lock;
	struct fd_slot *fd_slots;
	uint64_t *fd_lomap;    /* a bit for every slot taken */
	uint64_t *fd_himap;    /* a bit for every full word of fd_lomap */
	int fd_nslots;         /* allocated; a multiple of 64 */
	int fd_limit;          /* falloc() says EMFILE from this number on */
	bool fd_advlock;       /* POSIX locks were taken through this table */
	struct list_head list; /* filetab.tables */
	struct filetab *tab;
	struct pstree_item *owner;     /* the task that restores this table: the first user */
	struct pstree_item *thread_of; /* no process has it but a thread of this one; or NULL */
	pid_t tid;                     /* that thread */
	struct list_head fles;         /* fdinfo_list_entry.in_table, ascending fd */
	struct engine_table *engine;   /* restore only */
};

/* All open file descriptions of a tree, and all tables. */
struct filetab {
	struct arena *arena;
	pthread_mutex_t lock; /* also for the arena when files are added */
	struct list_head files;
	struct list_head larval; /* files that are in no table yet */
	struct list_head tables;
	struct list_head descs; /* file_desc.list, in order of creation */
	struct idmap by_id;     /* file_desc by id */
	uint32_t last_id;
	unsigned nfiles, maxfiles;
	struct restore_engine *engine; /* restore only: see restore/engine.h */
	/* The last reference to a file is gone; may be NULL. */
	void (*fo_close)(struct file *fp);
	/* Drops all POSIX locks that the users of @fdp hold on @fp's inode; may be NULL. */
	void (*fo_unlock)(struct file *fp, struct filedesc *fdp);
};

/* filetab.c */
void filetab_init(struct filetab *tab, struct arena *arena);
void filetab_fini(struct filetab *tab);
struct file *file_new(struct filetab *tab);
struct file *fd_iterfile(struct filetab *tab, struct file *fp);
int closef(struct file *fp, struct filedesc *fdp);
void FREF(struct file *fp);
void FRELE(struct file *fp);
struct file *fd_getfile_mode(struct filedesc *fdp, int fd, int mode);
int getsock(struct filedesc *fdp, int fd, struct file **fp);
int getvnode(struct filedesc *fdp, int fd, struct file **fp);
void fd_advlocked(struct filedesc *fdp);
bool fd_checkclosed(struct filedesc *fdp, int fd, struct file *fp);
struct filedesc *fdshare(struct filedesc *fdp);

/* fdtable.c */
struct filedesc *filedesc_new(struct filetab *tab, int limit);
int falloc(struct filedesc *fdp, int want, struct file **fp, int *fd);
int fd_reserve(struct filedesc *fdp, int fd);
void fdinsert(struct filedesc *fdp, int fd, int fdflags, struct file *fp);
void fdremove(struct filedesc *fdp, int fd);
int fdrelease(struct filedesc *fdp, int fd);
int fd_dup2(struct filedesc *fdp, int from, int to, int fdflags);
struct file *fd_getfile(struct filedesc *fdp, int fd);
struct filedesc *fdcopy(struct filedesc *fdp);
void fdfree(struct filedesc *fdp);
int fd_flags(struct filedesc *fdp, int fd);

#endif
