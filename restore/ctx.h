/*
 * ctx - one restore: what its stages pass on. Only restore/ includes this.
 */
#ifndef CL_RESTORE_CTX_H
#define CL_RESTORE_CTX_H

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

#include "base/report.h"
#include "kernel/remote.h"
#include "model/file_desc.h"
#include "model/pstree.h"
#include "restore/restore.h"

#include "proto/seccomp.pb-c.h"

/* Where a task being restored has got to; moves forward only. */
enum restore_phase {
	RST_NONE,
	RST_MAKING, /* its midwife is about to clone it: a process of that pid may be a stranger */
	RST_BORN,   /* runs, dies with its parent: from here on its pid is ours */
	RST_FORKED, /* in its session, its children forked */
	RST_GROUP,  /* in its process group */
	RST_MAPPED, /* every fle of this task restored, and what it maps is open */
	RST_FILES,  /* nothing else is in its table */
	RST_PARKED, /* all C code done, waits to be traced */
	RST_REAPED, /* a helper that its parent has waited for: its pid is free */
};

/* How a task comes into its session: see plan.c. */
enum birth {
	BIRTH_BEFORE, /* by its parent, before the parent leads a session */
	BIRTH_AFTER,  /* by its parent, in the session that this one has in the end */
	BIRTH_ADOPT,  /* by a member of the session; its parent takes it over as a subreaper */
};

/* In memory shared by the tool and all restored tasks. */
struct restore_shared {
	atomic_uint abort;   /* set once by whoever fails: everybody leaves */
	atomic_uint event;   /* futex: bumped on every change of a phase */
	atomic_uint files;   /* futex of the file engine: see engine_wait.c */
	atomic_uint waiting; /* tasks asleep in the engine */
	size_t nr_tasks, nr_fles, nr_fds;
	unsigned long long *born; /* by restore_task.index: ticks since boot when it said so */
	atomic_uint *phase;       /* enum restore_phase by restore_task.index */
	atomic_bool held; /* the guardian has every connection, and they are out of repair mode */
	atomic_bool own_table; /* connections are held back by a table that we have made */
	atomic_bool thawed;    /* connections are out of repair mode, and still held back */
	atomic_bool committed; /* the tree runs: nobody may undo the restore any more */
	atomic_size_t next_conn, conns_free; /* connections: the next to be let go; how many are */
	atomic_uchar *stage;                 /* enum fle_stage by fle.index */
	size_t nr_locks;
	atomic_uchar *locked; /* by number in pstree.locks: the task has taken it */
};

/* pstree_item.restore */
struct restore_task {
	struct pstree_item *item;
	size_t index;
	enum birth birth;
	bool ended;                  /* has been killed, by whoever looks at this */
	struct pstree_item *midwife; /* who forks it; its parent unless BIRTH_ADOPT */
	bool subreaper;              /* takes over adopted children meanwhile */
	unsigned long area; /* where remote code is mapped in this task, free in the image too */
	struct remote *remote;
	struct cow_task *cow;  /* restore/cow.c's own, or NULL */
	struct arena *arena;   /* the run's */
	int uffd, uffd_remote; /* userfaultfd: ours, and its number in the task; -1 for none */
	const struct vma **uffd_vmas; /* the mappings that it has */
	size_t nr_uffd_vmas;
	int seccomp_shared; /* how many of the oldest filters all threads share */
	int *fds; /* shared: descriptor numbers by vma, then the executable's; set by the task */
	struct filedesc *born_in; /* the table that it shares with its midwife by birth, or NULL */
	struct early_thread
		*early; /* restore/early.c's own: threads that are there before memory */
	size_t nr_early;
	int service_fd_base; /* first number above all of the task's own descriptors */
};

struct batch;
struct cow_range;
struct early_thread;
struct restore_net;
struct outside;

struct restore_ctx {
	const struct restore_opts *opts;
	struct report *report;
	struct pstree *tree;
	struct arena *arena; /* the tree's */
	struct restore_stats *stats;
	struct restore_shared *shared;
	struct image_dir *images;
	struct restore_engine *engine; /* restore/engine.c's own */
	struct restore_files *files;   /* restore/files.c's own */
	struct outside *outside;       /* restore/outside.c's own */
	struct caps *own_caps; /* creds.c's own: what tasks begin with, and the securebits */
	uint32_t own_secbits;
	struct restore_net *net; /* restore/network.c's own */
	struct cow_range *kept;  /* restore/cow.c's own, shared with all tasks */
	size_t nr_kept;
	SeccompEntry *seccomp; /* seccomp.img, or NULL */
	pid_t tool;            /* our own pid */
	int was_subreaper;
	bool has_cpus;
	cpu_set_t own_cpus; /* this program may run on */
	pid_t guardian;
	int ask; /* an event: the guardian is to do its part with connections; or -1 */
	unsigned long long since; /* nothing that we have made is older: ticks since boot */
	uint64_t deadline_ns;     /* CLOCK_MONOTONIC; for waiting, not for moving pages */
};

/* Bit of the futex restore_shared.files: woken by everything that a file may wait for. */
#define WAKE_STAGES (UINT32_C(1) << 31)

static inline uint64_t restore_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* How long a wait may still take, in milliseconds; never so short that it cannot succeed. */
static inline unsigned restore_left_ms(const struct restore_ctx *ctx)
{
	uint64_t now = restore_now(), left = ctx->deadline_ns > now ? ctx->deadline_ns - now : 0;

	left /= 1000000;
	return left < 200 ? 200 : left > 3600000 ? 3600000 : (unsigned)left;
}

/* check.c: all that can be known to fail before the first process is made. */
int restore_check(struct restore_ctx *ctx);
/* vdso.c: the kernel's own code is the one that the tasks know. */
int vdso_check(struct restore_ctx *ctx);
void vdso_map(struct batch *b, const struct pstree_item *it);
/* restore.c: the images to the model. */
int restore_load(struct restore_ctx *ctx);
/* plan.c: helpers, births, places of the remote code. */
int restore_plan(struct restore_ctx *ctx);
/* guardian.c: kills what was born if the tool dies before the commit. */
int restore_guardian_start(struct restore_ctx *ctx);
void restore_guardian_end(const struct restore_ctx *ctx);
void restore_guardian_stop(struct restore_ctx *ctx);
void restore_end_tasks(struct restore_ctx *ctx);
/* shared.c: phases, events and failure between the tasks. */
int restore_shared_new(struct restore_ctx *ctx);
void restore_shared_free(struct restore_ctx *ctx);
void restore_set_phase(struct restore_ctx *ctx, const struct pstree_item *it, enum restore_phase p);
enum restore_phase restore_get_phase(const struct restore_ctx *ctx, const struct pstree_item *it);
int restore_wait_phase(struct restore_ctx *ctx, const struct pstree_item *it, enum restore_phase p);
bool restore_task_ended(pid_t pid);
void restore_abort(struct restore_ctx *ctx);
/* fork.c: the tree is born; every task ends parked. */
int restore_fork(struct restore_ctx *ctx);
void restore_kill(struct restore_ctx *ctx);
/* task.c: what a task does for itself, in plain C; does not return. */
void restore_task_run(struct restore_ctx *ctx, struct pstree_item *me) __attribute__((noreturn));
/* trace.c: every task and thread held by us, and let go. */
int restore_seize(struct restore_ctx *ctx);
int restore_disarm(struct restore_ctx *ctx);
int restore_release(struct restore_ctx *ctx);
/* memory.c: the memory map replaced and filled. */
int restore_shmem(struct restore_ctx *ctx);
int restore_memory(struct restore_ctx *ctx);
/* locks.c, leases.c: what is held on files, when nothing will be closed any more. */
int restore_locks(struct restore_ctx *ctx);
int restore_leases(struct restore_ctx *ctx);
/* owners.c: threads and groups that get the signals of files. */
int restore_owners(struct restore_ctx *ctx);
/* threads.c: threads, and everything that belongs to one. */
int restore_threads(struct restore_ctx *ctx);
/* late.c: what files need memory and threads for. */
int file_late(struct restore_ctx *ctx);
/* outside.c: files that the caller brings. */
int outside_plan(struct restore_ctx *ctx);
/* files.c: what the file types keep in the tool; files that are only mapped. */
void restore_files_free(struct restore_ctx *ctx);
int file_gone_end(struct restore_ctx *ctx);     /* files_dead.c */
int file_queues_empty(struct restore_ctx *ctx); /* files_notify.c */
int file_links_remove(struct restore_ctx *ctx); /* files_link.c */
int doors_make(struct restore_ctx *ctx);        /* files_door.c */
void doors_undo(struct restore_ctx *ctx);
int doors_look(struct restore_ctx *ctx);
int file_open_mapped(struct restore_ctx *ctx, struct file_desc *d, uint32_t flags);

#endif
