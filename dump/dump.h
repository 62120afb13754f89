/*
 * dump - a live process tree to a model, and to images. The one header that
 * daemon/ and cmd/ see.
 */
#ifndef CL_DUMP_DUMP_H
#define CL_DUMP_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct proc_namespaces;
struct pstree;
struct report;
struct tcp_rule;

enum dump_final { DUMP_KILL, DUMP_LEAVE_RUNNING, DUMP_LEAVE_STOPPED };

/*
 * The process that takes back what a dump that dies has left. Making one takes
 * a while, and so does its end: who has something else to do meanwhile does both.
 */
struct dump_guardian {
	pid_t pid; /* 0: none yet */
	int sock, calls;
};

int dump_guardian_new(struct dump_guardian *g);
void dump_guardian_end(struct dump_guardian *g);

struct dump_stats;

/* One request. All zero but pid and images_fd is a plain dump. */
struct dump_opts {
	pid_t pid;
	int images_fd; /* the image directory */
	enum dump_final final;
	bool shell_job;
	bool tcp_established, file_locks, link_remap, ext_unix_sk, evasive_devices;
	bool tcp_close, skip_in_flight;
	unsigned network_lock;            /* enum net_lock */
	const struct tcp_rule *tcp_rules; /* what is said of single connections */
	size_t nr_tcp_rules;
	uint64_t ghost_limit; /* bytes; 0 is the default */
	bool force_irmap;     /* look for the names of what is watched, in these places too: */
	const char *const *irmap_paths;
	size_t nr_irmap_paths;
	const char *const *ext_unix_inos; /* --ext-unix-sk=INO */
	size_t nr_ext_unix_inos;
	const char *const *externals; /* --external: TYPE[ID]:NAME */
	size_t nr_externals;
	const struct pstree *like; /* verify: what is from outside there is not looked into here */
	unsigned timeout;          /* seconds; 0 is the default of 10 */
	bool outline;              /* state: memory is not looked at */
	bool attached;             /* state: the caller's thread traces every task already */
	const struct proc_namespaces *own_ns; /* of this process; or NULL: not known yet */
	pid_t waits; /* a process, not an ancestor of ours, that may wait for the result */
	/* Made ahead, or made by the dump, and ended by the caller after it; or NULL. */
	struct dump_guardian *guardian;
	/* Progress: called with bytes done and bytes in all; may be NULL. */
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	/* Action scripts: called with CRIU's action name; non-zero vetoes. May be NULL. */
	int (*action)(void *arg, const char *name);
	/*
	 * The images are complete, and the tree runs, is stopped, or is about to end: there is
	 * time for something until it has. May be NULL.
	 */
	void (*done)(void *arg, const struct dump_stats *stats);
	void *arg;
};

/* What a dump did; the figures of stats-dump and of --json. */
struct dump_stats {
	uint64_t freezing_us, frozen_us, memdump_us, memwrite_us, fsync_us, total_us;
	uint64_t pages_scanned, pages_written, pages_skipped_parent, pages_lazy;
	uint64_t shpages_scanned, shpages_written;
	size_t tasks, threads, files;
};

int dump_tree(const struct dump_opts *o, struct report *r);

/*
 * dump_state - the collecting stages without a writer: the live tree as a
 * model, memory hashed. With @o->attached tasks stay stopped, else they run on.
 */
int dump_state(const struct dump_opts *o, struct report *r, struct pstree **out);

#endif
