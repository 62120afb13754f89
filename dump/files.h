/*
 * files - what dump/files*.c offers to the file types of dump/types/.
 */
#ifndef CL_DUMP_FILES_H
#define CL_DUMP_FILES_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "base/pathdir.h"
#include "dump/ctx.h"
#include "image/image.h"

struct dgramdiag;
struct group;
struct sockdiag;

/* A description that was met before, found again by its key; a binary tree in kcmp's order. */
struct known_file {
	struct known_file *left, *right, *same_hash;
	struct file_desc *d; /* NULL: it is a blocker, recorded once */
	dev_t dev;
	ino_t ino;
	uint64_t pos;
	uint32_t flags;
	pid_t pid;
	int fd;
};

/* dump_ctx.files */
struct dump_files {
	struct idmap by_key;           /* struct known_file trees */
	struct idmap by_path;          /* struct path_file: exe, cwd, root and mapped files */
	struct idmap seen[FILE_KINDS]; /* what a type remembers by inode or the like */
	struct idmap locked;           /* inodes that /proc/locks names */
	bool locked_known;             /* all of them */
	pthread_t locks_reader;        /* if locks_ahead: it fills that map */
	bool locks_ahead;
	rlim_t nofile;        /* the soft limit of this program, if it was raised */
	struct idmap outside; /* descriptors outside of the tree, by inode: locks_outside.c */
	struct idmap outside_pids;
	struct found_locks *locks; /* dump/locks.c's own */
	unsigned int lock_looks;   /* that were asked for; that map is filled by one of them */
	struct image_writer *side[IMAGE_KINDS];
	struct sockdiag *sockdiag;
	struct dgramdiag *dgrams[2][2]; /* by IPv6, by UDP-Lite */
	struct group *groups[2];        /* multicast groups in use, by IPv6 */
	bool groups_known;
	struct idmap fresh_opts; /* options of new sockets, by kind */
	dev_t pipe_dev;          /* st_dev of every pipe that has no name; 0: not known yet */
	dev_t memfd_dev;         /* st_dev of memfds; 0: not known yet */
	ino_t netns;             /* inode of our network namespace */
	uint32_t last_table;
	uint32_t last_ghost;
	uint32_t last_memfd;
	int own_dir;         /* /proc/self/fd */
	struct path_dir dir; /* of the last file that was looked up by its name */
	int mount_fd;        /* what was watched last is on this mount */
	uint32_t mount_kdev;
	struct file_desc **later; /* whose queues are read when all tables are known */
	size_t nr_later;
	int *flights; /* descriptors of files that are in flight, by which they are compared */
	size_t nr_flights;
	int scratch[2]; /* a pipe of our own, for what is looked at and not taken */
	bool *named;    /* those of dump_opts.externals that were met */
	bool kcmp_missing;
	bool blocked; /* a file is a blocker: those that refer to it need not say so too */
};

/* files.c */
int files_own_pipe(struct dump_ctx *ctx);
void *file_seen(const struct dump_ctx *ctx, enum file_kind kind, uint64_t key);
void file_see(struct dump_ctx *ctx, enum file_kind kind, uint64_t key, void *what);
int file_side_put(struct dump_ctx *ctx, enum image_kind k, const ProtobufCMessage *m,
		  const void *raw, size_t len);
struct file_desc *file_desc_make(struct dump_ctx *ctx, enum file_kind kind,
				 const struct fd_info *fi);
struct file_desc *file_probe(struct dump_ctx *ctx, struct fd_info *fi);

/* outside.c */
const char *outside_named(struct dump_ctx *ctx, const char *what);
struct file_desc *outside_probe(struct dump_ctx *ctx, const struct fd_info *fi);
int outside_begin(struct dump_ctx *ctx);
int outside_end(struct dump_ctx *ctx);

/* files_info.c */
int file_info_fetch(struct fd_info *fi, int pidfd);
int file_info_get(struct dump_ctx *ctx, struct fd_info *fi, int err);
int file_info_fill(struct dump_ctx *ctx, struct fd_info *fi);
pid_t file_info_pid(const struct fd_info *fi);
void file_info_put(struct fd_info *fi);
const char *file_info_link(struct dump_ctx *ctx, struct fd_info *fi);
const char *file_info_text(struct dump_ctx *ctx, const struct fd_info *fi);
int file_info_u64(const struct fd_info *fi, const char *key, int base, uint64_t *val);
int file_fown(const struct fd_info *fi, FownEntry *fown);

/* files_thread.c */
int files_thread(struct dump_ctx *ctx, struct pstree_item *it, pid_t tid, struct pstree_item **out);
void files_thread_borrow(struct pstree_item *it, struct pstree_item *user);
void files_thread_return(struct pstree_item *user);
const struct dump_task *files_thread_find(const struct dump_ctx *ctx, pid_t tid);

/* files_list.c */
struct fd_list {
	struct open_fd {
		int fd;
		bool cloexec;
	} * fd;
	size_t n;
};
int file_list_get(struct dump_ctx *ctx, struct pstree_item *it, struct fd_list *l);
void file_list_free(struct fd_list *l);

/* files_fetch.c */
struct file_fetch;
struct file_fetch *file_fetch_start(struct pstree_item *it, const int *fds, size_t n);
int file_fetch_next(struct file_fetch *f, struct fd_info *fi);
void file_fetch_end(struct file_fetch *f);

/* files_locked.c, files_kept.c */
#define FILES_MANY 300 /* a large table */
void files_locked_ahead(struct dump_ctx *ctx);
void files_locked_end(struct dump_ctx *ctx);
bool file_may_be_locked(struct dump_ctx *ctx, const struct stat *st);
void files_kept_room(struct dump_ctx *ctx, size_t n);
void files_kept_put(struct dump_ctx *ctx, struct fd_info *fi);
void files_kept_limit(struct dump_ctx *ctx);
void files_kept_close(struct dump_ctx *ctx);

/* files_known.c */
struct known_file *file_known(struct dump_ctx *ctx, const struct fd_info *fi, bool *found);
int file_same(struct dump_ctx *ctx, pid_t pid_a, int fd_a, pid_t pid_b, int fd_b);

/* files_flight.c */
void file_later(struct dump_ctx *ctx, struct file_desc *d);
int files_later(struct dump_ctx *ctx);
struct file_desc *file_in_flight(struct dump_ctx *ctx, const struct fd_info *via, int *fd);
void files_landed(struct dump_ctx *ctx);

/* files_path.c */
struct file_where {
	const char *name; /* as the image has it */
	bool deleted;     /* the name leads elsewhere or nowhere */
};
int file_where(struct dump_ctx *ctx, const struct fd_info *fi, struct file_where *w);
int file_where_gone(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi,
		    const struct file_where *w);

/* files_ghost.c */
int file_ghost(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi,
	       const struct file_where *w);

struct file_desc *file_ghost_find(struct dump_ctx *ctx, const struct stat *st);

/* files_link.c */
int file_link(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi,
	      const struct file_where *w);

/* devices.c */
bool device_stateless(const struct fd_info *fi);
const char *device_elsewhere(struct dump_ctx *ctx, const struct stat *st);

/* files_refused.c */
const char *file_special(const struct fd_info *fi);
const char *file_unknown(struct dump_ctx *ctx, const struct fd_info *fi);

/* types/reg.c */
int reg_describe(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi);

/* types/pipe.c */
int pipe_peek(struct dump_ctx *ctx, const struct fd_info *fi, enum image_kind k, uint32_t pipe_id,
	      uint64_t *hash);

extern const struct file_dump_ops *const file_dump_ops[FILE_KINDS];

/* st_dev and st_rdev as the kernel and the image format count them: 12 bits major, 20 minor. */
static inline uint32_t file_kdev(dev_t dev)
{
	return (uint32_t)(((dev >> 8) & 0xfff) << 20 | (dev & 0xff) | ((dev >> 12) & 0xfff00));
}

#endif
