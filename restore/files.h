/*
 * files - what restore/files*.c offers to the file types of restore/types/.
 */
#ifndef CL_RESTORE_FILES_H
#define CL_RESTORE_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/idmap.h"
#include "base/pathdir.h"
#include "image/image.h"
#include "model/pstree.h"
#include "restore/ctx.h"
#include "restore/engine.h"

struct door_ticket;
struct ticket_made;
struct sockdiag;

/* A file without a name, made again; the tool has it open for all tasks. */
struct ghost {
	struct ghost *next; /* restore_files.ghosts */
	uint32_t id;        /* remap_id */
	int type;           /* enum RemapType */
	int fd;
	uint32_t kdev; /* where it was: device and inode, 0 if the image does not tell */
	uint64_t ino;
	const char *name; /* a linked one for each name that it had */
	const char *link; /* the other name that a linked one has for the restore */
	struct file_desc
		*tmpfile; /* @fd is this description itself, made with O_TMPFILE; or NULL */
};

/* What was in a pipe or FIFO. */
struct pipe_content {
	uint32_t pipe_id;
	uint32_t bytes;
	uint32_t capacity; /* 0: the kernel's default */
	const char *data;
	const uint32_t *packet; /* lengths, if there are several */
	size_t nr_packets;
};

/* restore_ctx.files */
struct restore_files {
	struct idmap seen[FILE_KINDS]; /* what a type remembers, by its own key */
	bool loaded[IMAGE_KINDS];
	struct idmap content[IMAGE_KINDS]; /* of side images, by the id in the entry */
	struct idmap remaps;               /* RemapFilePathEntry by orig_id */
	struct ghost *ghosts;
	struct gone_process *gone_processes;
	struct idmap gone; /* descriptors of files of processes that are gone, by desc id */
	int **tool_fds;    /* variables of descriptors that types keep in the tool */
	size_t nr_tool_fds;
	struct sockdiag *sockdiag;       /* as of before the restore */
	struct unix_region *unix_region; /* files_unix.c's own */
	size_t unix_region_size;
	struct door_ticket *tickets; /* files_door.c's own */
	struct ticket_made *tickets_made;
	size_t tickets_made_size;
	struct path_look *looks; /* files_ahead.c: what is at the paths of regs */
	struct path_dir dir;     /* of the last file that was looked up by its name */
};

/* files.c */
struct restore_files *restore_files(const struct pstree *t);
void *rfile_seen(const struct pstree *t, enum file_kind kind, uint64_t key);
void rfile_see(const struct pstree *t, enum file_kind kind, uint64_t key, void *what);
void file_keep(const struct pstree *t, int *fd);
int file_params(struct file_desc *d, int fd, uint32_t flags, const FownEntry *fown);
int file_set_owner(struct file_desc *d, int fd, const FownEntry *fown);
int file_side_load(const struct pstree *t, enum image_kind k,
		   const ProtobufCMessageDescriptor *desc,
		   int (*each)(const struct pstree *t, struct image_reader *r,
			       const ProtobufCMessage *m));

/* late.c */
int late_plant(struct file_desc *d, int fd);
int late_placeholder(struct file_desc *d);
int late_copy(const struct file_desc *d);

/* outside.c */
int *outside_fd(const struct file_desc *d);

/* files_ahead.c */
struct path_look {
	const char *path;
	int err; /* errno of lstat(2), or 0 */
	mode_t mode;
	uint64_t size;
};
void files_look(struct path_look *looks, size_t n);

/* files_ghost.c */
int file_ghost_prepare(struct pstree *t, struct file_desc *d);
bool file_is_ghost(const struct file_desc *d);
int file_ghost_open(struct file_desc *d, int flags);
int file_ghost_fd(const struct file_desc *d);
int file_ghost_at(const struct pstree *t, uint32_t kdev, uint64_t ino);
int ghost_make_parents(char *path, int *made);
void ghost_remove_parents(char *path, int made);
#define GHOST_MARK ".criu-lite-ghost." /* known to dump, which leaves it out of the name */

/* files_taken.c */
typedef int ghost_make_fn(const char *path, const void *what);
int ghost_make_taken(const char *name, ghost_make_fn *make, const void *what);
#define GHOST_DIR ".criu-lite-ghost.XXXXXX"

/* files_link.c */
int file_link_make(struct pstree *t, struct file_desc *d, struct ghost *g);

/* files_notify.c */
struct FhEntry;
int notify_target(struct file_desc *d, const struct FhEntry *h, uint32_t kdev, uint64_t ino,
		  char *path, int *hold);

/* files_dead.c */
struct dead_process {
	pid_t pid;
	int hold; /* it ends when this is closed */
};
struct gone_process {
	struct gone_process *next;
	struct dead_process p;
};
int dead_begin(struct dead_process *p, pid_t at, int status);
void dead_end(struct dead_process *p);

/* files_proc.c */
int file_proc_prepare(struct pstree *t, struct file_desc *d, pid_t pid);
int file_proc_open(struct file_desc *d);

/* files_pipe.c */
int pipe_content_load(const struct pstree *t, enum image_kind k);
const struct pipe_content *pipe_content_find(const struct pstree *t, enum image_kind k,
					     uint32_t pipe_id);
int pipe_fill(struct file_desc *d, int fd, const struct pipe_content *c);

/* types/reg.c */
int reg_open_path(struct file_desc *d, int flags);

/* types/memfd.c */
int memfd_open_inode(struct file_desc *d, int flags);

#endif
