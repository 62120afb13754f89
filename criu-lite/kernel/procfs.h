/*
 * procfs - the files of /proc/PID as structs. One read per file, one pass per
 * parse; the text comes from the kernel but holds names that programs chose,
 * so every field is checked.
 */
#ifndef CL_KERNEL_PROCFS_H
#define CL_KERNEL_PROCFS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/* A buffer for whole files, used again and again. All zero is an empty one. */
struct proc_text {
	char *p; /* NUL at p[len] */
	size_t len, size;
};

int proc_open(pid_t pid); /* /proc/PID as O_PATH, or -errno */
int proc_read(int dir_fd, const char *name, struct proc_text *t);
void proc_text_free(struct proc_text *t);

/* /proc/PID/ns */
enum proc_ns {
	NS_PID,
	NS_NET,
	NS_MNT,
	NS_USER,
	NS_IPC,
	NS_UTS,
	NS_CGROUP,
	NS_TIME,
	NR_NAMESPACES,
	NS_ALL = (1 << NR_NAMESPACES) - 1
};

struct proc_namespaces {
	uint64_t ino[NR_NAMESPACES]; /* 0: not known */
};

void proc_namespaces(int proc, unsigned which, struct proc_namespaces *out);
void proc_namespaces_own(struct proc_namespaces *out);
size_t proc_namespaces_differ(const struct proc_namespaces *a, const struct proc_namespaces *b,
			      char *names, size_t size);

#define PROC_COMM_LEN 64 /* workers of the kernel have more than 16 bytes */

/* /proc/PID/stat */
struct proc_stat {
	pid_t pid, ppid, pgrp, session;
	uint32_t tty; /* the controlling terminal as the kernel numbers devices in stat(2); 0: none
		       */
	pid_t tpgid;  /* its foreground group; -1 without one */
	char comm[PROC_COMM_LEN];
	char state; /* R, S, D, T, t, Z, X, I */
	uint32_t flags;
	uint32_t threads;
	uint64_t start_time; /* clock ticks since boot */
	uint64_t start_code, end_code, start_stack, start_data, end_data, start_brk;
	uint64_t arg_start, arg_end, env_start, env_end;
	uint32_t exit_code; /* as wait(2) stores it */
};

#define PROC_STAT_KTHREAD 0x00200000u /* PF_KTHREAD in proc_stat.flags */

int proc_parse_stat(const char *text, struct proc_stat *out);

#define PROC_NGROUPS 65536

/* /proc/PID/task/TID/status */
struct proc_status {
	pid_t tgid, ppid, tracer;
	char state;
	uint32_t uid[4], gid[4]; /* real, effective, saved, file system */
	uint32_t *groups;        /* malloc'ed; proc_status_free() */
	size_t nr_groups;
	uint64_t sig_pending, shared_pending, sig_blocked;
	uint64_t cap_inh, cap_prm, cap_eff, cap_bnd, cap_amb;
	uint32_t umask, no_new_privs, seccomp, seccomp_filters;
};

int proc_parse_status(const char *text, struct proc_status *out);
void proc_status_free(struct proc_status *s);

int proc_parse_limits(const char *text, struct rlimit64 out[RLIM_NLIMITS]);

/* One block of /proc/PID/timers. */
struct proc_timer {
	uint32_t id, signo, notify; /* SIGEV_ values, SIGEV_THREAD_ID included */
	int32_t clock;
	uint64_t sival;
	pid_t notify_tid; /* 0 unless SIGEV_THREAD_ID */
};

int proc_parse_timers(const char *text, struct proc_timer **out, size_t *n);

int proc_parse_pids(const char *text, pid_t **out, size_t *n);
int proc_list_tasks(int dir_fd, pid_t **out, size_t *n, size_t *room);

#endif
