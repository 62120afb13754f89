/*
 * restore - images to a live process tree. The one header that daemon/ and
 * cmd/ see.
 */
#ifndef CL_RESTORE_RESTORE_H
#define CL_RESTORE_RESTORE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct fd_item;
struct pstree;
struct tcp_rule;
struct report;

/* One request. */
/* --inherit-fd: a descriptor of the caller in place of the files of one name. */
struct restore_inherit {
	int fd;
	const char *key; /* pipe:[INO], socket:[INO], tty[RDEV:DEV], file[MNT:INO], a path, ... */
};

/* --map: something else at one descriptor of one task. */
struct restore_map {
	pid_t pid;
	int fd;
	int from;           /* a descriptor of the caller, or -1 */
	const char *target; /* the path to open, with the flags of the dump, if @from is -1 */
};

struct restore_opts {
	int images_fd;
	bool detach;  /* -d: the tree is left to init */
	bool sibling; /* -S: the root is a child of our parent */
	bool shell_job;
	bool leave_stopped; /* -s */
	bool tcp_established, file_locks, ext_unix_sk, evasive_devices;
	const struct restore_inherit *inherits;
	size_t nr_inherits;
	const struct restore_map *maps;
	size_t nr_maps;
	const char *const *externals; /* --external: dev[NAME]:PATH and the like */
	size_t nr_externals;
	bool tcp_close;
	unsigned network_lock;            /* enum net_lock */
	const struct tcp_rule *tcp_rules; /* what is said of single connections */
	size_t nr_tcp_rules;
	unsigned timeout; /* seconds; 0 is the default of 10 */
	/* Called with the loaded model before the first process is made; -errno ends it all. */
	int (*admit)(void *arg, struct pstree *image);
	/*
	 * --verify: called with the loaded model when every task is rebuilt
	 * and stopped, traced by the calling thread. Non-zero undoes the restore.
	 */
	int (*verify)(void *arg, struct pstree *image);
	void (*progress)(void *arg, uint64_t done, uint64_t total);
	int (*action)(void *arg, const char *name, pid_t root);
	void *arg;
};

struct restore_stats {
	uint64_t forking_us, restore_us, total_us;
	uint64_t pages_compared, pages_skipped_cow, pages_restored;
	size_t tasks, threads, files;
};

/* On success *root is the restored root's pid; it runs. */
int restore_tree(const struct restore_opts *o, struct report *r, pid_t *root,
		 struct restore_stats *stats);

/* Descriptors of an image for a program that is started afresh. */
struct restore_files_opts {
	int images_fd;
	pid_t pid;       /* whose, as of the image; 0: the root's */
	const char *fds; /* [NAME=]NUMBER,... or listeners, sockets, all; NULL is sockets */
	bool tcp_close;
	unsigned network_lock; /* enum net_lock */
	unsigned timeout;      /* seconds; 0 is the default of 10 */
	/*
	 * The program is started and made ready; it gets @items, at @numbers in
	 * the image. Once @committed is set, in shared memory, it stays even if
	 * we are killed. 0, or -errno, recorded: all is undone.
	 */
	int (*start)(void *arg, const struct fd_item *items, const int *numbers, size_t n,
		     const atomic_bool *committed);
	/* Its connections have been let go: it stays. 0 or -errno, recorded. */
	int (*commit)(void *arg);
	void *arg;
};

int restore_files_only(const struct restore_files_opts *o, struct report *r);

#endif
