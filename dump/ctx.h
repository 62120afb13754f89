/*
 * ctx - one dump: what its stages pass on. Only dump/ includes this.
 */
#ifndef CL_DUMP_CTX_H
#define CL_DUMP_CTX_H

#include <stdbool.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/user.h>

#include "base/report.h"
#include "dump/dump.h"
#include "kernel/procfs.h"
#include "kernel/ptrace.h"
#include "kernel/remote.h"
#include "model/file_desc.h"
#include "model/pstree.h"

#include "proto/seccomp.pb-c.h"

/* A thread of a frozen task. */
struct dump_thread {
	pid_t tid;
	struct user_regs_struct regs; /* as found, rseq section aborted */
	uint64_t sigmask;
	void *xstate; /* vector registers: the arena's */
	size_t xlen;
	struct ptrace_rseq rseq;
	struct proc_status status; /* groups are the arena's */
	bool attached;             /* traced by this dump, which lets it go */
	bool still;                /* has stopped */
	bool shadow_stack;
};

#define IO_URING_LINK "anon_inode:[io_uring]"

/* A frozen task; pstree_item.dump. */
struct dump_task {
	struct pstree_item *item;
	int pidfd;
	int proc_fd; /* /proc/PID directory */
	struct remote *remote;
	struct dump_thread *threads; /* same order as item->threads */
	size_t nr_threads;
	bool stopped;              /* in group-stop when found */
	int stop_sig;              /* the signal that did it */
	bool refused;              /* a blocker keeps us from looking inside */
	bool io_uring;             /* a ring of it is mapped, and has been refused */
	struct proc_stat stat;     /* of the leader, read when all was still */
	struct remote_where where; /* hints for remote_open(), from the memory map */
};

/* Where a shared object is mapped, for who may not open it. */
struct dump_shmem {
	struct shmem *shm;
	const struct pstree_item *it;
	uint64_t start, pgoff, len; /* the largest mapping of it, in bytes */
	struct dump_shmem *next;
};

struct dump_tcp;
struct sock_values;

#define RESCUE_MAX 64 /* tasks seen to in one try */

/* A file that has one name more until it is restored. */
struct linked {
	struct linked *next;
	dev_t dev;
	ino_t ino;
	uint32_t id;      /* of the description that has that name */
	const char *path; /* NULL: not made */
};

struct dump_ctx {
	const struct dump_opts *opts;
	struct report *report;
	struct pstree *tree;
	struct arena *arena; /* the tree's */
	struct dump_stats *stats;
	bool write; /* false for `state` */
	struct image_dir *images;
	int room;                        /* the first pages image, made before the freeze; or -1 */
	struct dump_files *files;        /* dump/files.c's own */
	struct dump_task **file_threads; /* dump/files_thread.c's own */
	size_t nr_file_threads;
	int *kept; /* copies of sockets: dump/files_kept.c */
	size_t nr_kept, kept_room;
	struct dump_shmem *shmems;
	long cpus;                           /* online */
	SeccompEntry *seccomp;               /* the filters of all tasks, or NULL */
	struct proc_text text;               /* for whoever reads a file of /proc */
	uint64_t deadline_ns;                /* CLOCK_MONOTONIC: --timeout */
	uint64_t start_ns;                   /* of the first try */
	uint64_t seize_ns, stop_ns, thaw_ns; /* freezing begins, all is still, all may go */
	pid_t rescue[RESCUE_MAX]; /* tasks with something left in them by a tool that died */
	size_t nr_rescue;
	size_t causes_before; /* in the report when the dump began */
	struct linked *links; /* names made for a restore: dump/files_link.c */
	bool committed;       /* there is an image now, so they stay */
	struct dump_guardian *guardian, own_guardian; /* NULL: none */
	struct dump_tcp *tcp;                         /* dump/files_tcp.c's own */
	uint32_t guardian_ticket;                     /* the last that was given */
	bool guardian_has_sockets;                    /* which stay as long as it does */
	struct proc_namespaces own_ns;                /* of this program */
	bool seccomp_suspended;                       /* PTRACE_O_SUSPEND_SECCOMP is in force */
};

/* What is known of one descriptor while its type is looked for. */
struct fd_info {
	struct pstree_item *task;
	int fd;                    /* in the task; -1 for a file that is only mapped */
	const struct fd_info *via; /* in the queue of this socket: @fd is then our own number */
	int local;                 /* our own descriptor of the same description */
	struct stat st;
	const char *link;   /* readlink of /proc/PID/fd/N or the like; "" for sockets and pipes */
	const char *fdinfo; /* text of /proc/PID/fdinfo/N for files without a path, else "" */
	uint32_t flags;     /* F_GETFL, with O_CLOEXEC removed */
	uint16_t domain;    /* AF_* of a socket, else 0 */
	uint64_t pos;
	int mnt_id;
	const struct sock_values *opts; /* of a socket, if they were read ahead */
};

/* dump/: how a type is recognised and described. Each dump/types/<type>.c defines <name>_dump_ops.
 */
struct file_dump_ops {
	/* 1: mine, 0: not mine. Looks at @fi only; @ctx has device numbers to compare with. */
	int (*probe)(const struct dump_ctx *ctx, const struct fd_info *fi);
	/*
	 * Fills d->msg (allocated by the engine, initialised, id and flags and
	 * fown set where the message has them). 0, or -errno with a blocker
	 * recorded. Must not change the state of the file.
	 */
	int (*dump)(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi);
	/* Once per description after every descriptor of the tree is known; may be NULL. */
	int (*finish)(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi);
	/* After all tables, for what file_later() was called for; @fi->local is open again. */
	int (*later)(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi);
	bool keep; /* finish() needs fi->local */
};

/* file_desc.dump: kept for the finish pass. */
struct file_desc_dump {
	struct fd_info fi;
};

/* Records a blocker that names pid, fd, kind and path; returns -err. */
int file_blocker_at(struct dump_ctx *ctx, const struct fd_info *fi, const char *file, int line,
		    const char *id, int err, const char *fmt, ...)
	__attribute__((format(printf, 7, 8)));
#define file_blocker(ctx, fi, id, err, ...) \
	file_blocker_at(ctx, fi, __FILE_NAME__, __LINE__, id, err, __VA_ARGS__)

/* freeze.c */
int dump_freeze(struct dump_ctx *ctx); /* the whole tree stopped, pstree and dump_tasks made */
void dump_thaw(struct dump_ctx *ctx);  /* everything as it was found; safe at any stage */
int dump_kill(struct dump_ctx *ctx);
void dump_gone(struct dump_ctx *ctx);
int dump_stop(struct dump_ctx *ctx);   /* SIGSTOP for all, before the thaw */
void dump_close(struct dump_ctx *ctx); /* the descriptors of all tasks */
/* tasks.c and friends */
int dump_tasks(struct dump_ctx *ctx); /* core, creds, timers, signals, fs, ids, limits */
void dump_task_release(struct dump_ctx *ctx, struct pstree_item *it); /* no remote calls any more */
/* mem.c */
int dump_vmas(struct dump_ctx *ctx);      /* smaps to vmas; mapped files through the file table */
int dump_vma_files(struct dump_ctx *ctx); /* after dump_files(): mapped files, exe, cwd, root */
int dump_room(struct dump_ctx *ctx);
int dump_pages(struct dump_ctx *ctx); /* pages images, or hashes for `state` */
/* files.c */
int dump_files_begin(struct dump_ctx *ctx);
int dump_files(struct dump_ctx *ctx); /* every descriptor of every task */
struct file_desc *dump_mapped_file(struct dump_ctx *ctx, struct pstree_item *it, uint64_t start,
				   uint64_t end, uint32_t open_flags); /* NULL: recorded */
struct file_desc *dump_link_file(struct dump_ctx *ctx, struct pstree_item *it, const char *name);
int dump_files_finish(struct dump_ctx *ctx);
void files_threads_close(struct dump_ctx *ctx); /* files_thread.c */
/* locks.c */
int dump_locks(struct dump_ctx *ctx);        /* held and waited for */
int dump_mapped_locks(struct dump_ctx *ctx); /* those that cannot be restored */
void dump_links_undo(struct dump_ctx *ctx);  /* files_link.c */
/* write.c */
int dump_write(struct dump_ctx *ctx); /* all images but pages and the inventory */

#endif
