/*
 * locks_conflict - a lock or a lease could not be taken: who is in the way?
 */
#include "restore/locks.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/locks.h"
#include "proto/regfile.pb-c.h"
#include "restore/engine.h"

static bool is_ours(const struct restore_ctx *ctx, pid_t pid)
{
	const struct pstree_item *it = pstree_find(ctx->tree, pid);

	return pid == ctx->tool || (it && restore_get_phase(ctx, it) >= RST_BORN);
}

/* POSIX locks say who has them; of OFD locks the kernel does not know. */
static pid_t range_holder(int fd, const FileLockEntry *e)
{
	struct flock fl = { .l_type = (short)e->type, .l_start = e->start, .l_len = e->len };

	return fcntl(fd, F_GETLK, &fl) == 0 && fl.l_type != F_UNLCK ? fl.l_pid : 0;
}

/* Who has a lock that is not POSIX on a file, as far as the kernel knows. */
static pid_t listed_holder(const struct restore_ctx *ctx, const struct stat *st,
			   enum lock_kind kind)
{
	struct proc_text text = { 0 };
	struct lock_line *list = NULL;
	pid_t pid = 0;
	size_t n = 0;

	lock_list(&text, &list, &n);
	for (size_t i = 0; i < n && !pid; i++)
		if (list[i].kind == kind && !list[i].waits && list[i].ino == st->st_ino &&
		    list[i].pid > 0 && !is_ours(ctx, list[i].pid))
			pid = list[i].pid;
	free(list);
	proc_text_free(&text);
	return pid;
}

static bool has_open(const char *pid, const struct stat *want)
{
	char name[64];
	struct dirent *de;
	struct stat st;
	bool found = false;
	DIR *dir;

	snprintf(name, sizeof(name), "/proc/%.20s/fd", pid);
	dir = opendir(name);
	while (dir && !found && (de = readdir(dir)))
		found = de->d_name[0] != '.' && fstatat(dirfd(dir), de->d_name, &st, 0) == 0 &&
			st.st_ino == want->st_ino && st.st_dev == want->st_dev;
	if (dir)
		closedir(dir);
	return found;
}

/* Any process that is not of the tree and has the file open. */
static pid_t opener(const struct restore_ctx *ctx, const struct stat *st)
{
	DIR *dir = opendir("/proc");
	struct dirent *de;
	pid_t pid = 0;

	while (dir && !pid && (de = readdir(dir)))
		if (isdigit((unsigned char)de->d_name[0]) && !is_ours(ctx, atoi(de->d_name)) &&
		    has_open(de->d_name, st))
			pid = atoi(de->d_name);
	if (dir)
		closedir(dir);
	return pid;
}

/**
 * locks_name - the name of a locked file
 * @d: its description
 *
 * Return: its path, or the word for its type.
 */
const char *locks_name(const struct file_desc *d)
{
	const RegFileEntry *reg = d->kind == FILE_KIND_reg ? file_desc_entry(d) : NULL;

	return reg ? reg->name : file_types[d->kind].name;
}

static pid_t in_the_way(struct restore_ctx *ctx, const struct held_lock *k)
{
	cleanup_close int fd = k->it ? locks_fetch(ctx, k) : -1;
	struct stat st;
	pid_t pid = 0;

	/* In flight or only mapped; O_PATH breaks no lease. */
	if (!k->it && k->desc->kind == FILE_KIND_reg)
		fd = open(locks_name(k->desc), O_PATH | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0;
	if (k->e->flag == FL_POSIX || k->e->flag == FL_OFD)
		pid = range_holder(fd, k->e);
	else if (k->e->flag == FL_FLOCK)
		pid = listed_holder(ctx, &st, LOCK_FLOCK);
	return pid > 0 ? pid : opener(ctx, &st);
}

static const char *what(const FileLockEntry *e)
{
	switch (e->flag) {
	case FL_POSIX:
		return "POSIX";
	case FL_OFD:
		return "OFD";
	case FL_FLOCK:
		return "flock";
	default:
		return "lease";
	}
}

static void name_of(pid_t pid, char *out, size_t size)
{
	char path[32];
	cleanup_close int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? 0 : read(fd, out, size - 1);
	out[n > 0 ? n : 0] = 0;
	out[strcspn(out, "\n")] = 0;
}

/**
 * locks_lease_holder - who outside of the tree has a lease on a file that was opened by a path
 * @d: its description, a reg
 *
 * Return: the pid; 0 if it is not known.
 */
pid_t locks_lease_holder(const struct file_desc *d)
{
	struct stat st;

	return stat(locks_name(d), &st) < 0 ? 0
					    : listed_holder(engine_ctx(d->tree), &st, LOCK_LEASE);
}

/**
 * locks_refused - record why a lock cannot be taken
 * @ctx: the run
 * @k: the lock
 * @err: errno of the attempt
 *
 * Return: -@err.
 */
int locks_refused(struct restore_ctx *ctx, const struct held_lock *k, int err)
{
	const FileLockEntry *e = k->e;
	char range[64] = "", comm[32];
	const char *name = locks_name(k->desc), *type = lock_type_name((int)e->type & 3);
	pid_t pid;

	if (e->flag == FL_POSIX || e->flag == FL_OFD)
		snprintf(range, sizeof(range), " from byte %lld, length %lld", (long long)e->start,
			 (long long)e->len);
	if (err == EACCES && e->flag == FL_LEASE)
		return fail(
			ctx->report, "lease-denied", err,
			"pid %d fd %d (%.160s): a lease takes the owner of the file, or CAP_LEASE",
			e->pid, e->fd, name);
	if (err != EAGAIN && err != EACCES)
		return fail(ctx->report, "file-lock", err,
			    "pid %d fd %d (%.160s): take the %s %s%s", e->pid, e->fd, name, type,
			    what(e), range);
	pid = in_the_way(ctx, k);
	if (!pid)
		return fail(
			ctx->report, "file-lock-conflict", err,
			"pid %d fd %d (%.160s): the %s %s%s cannot be taken: somebody outside of "
			"the tree has a lock, or the file open; end that and restore again",
			e->pid, e->fd, name, type, what(e), range);
	name_of(pid, comm, sizeof(comm));
	return fail(
		ctx->report, "file-lock-conflict", err,
		"pid %d fd %d (%.160s): the %s %s%s cannot be taken: process %d (%s), outside of "
		"the tree, has %s; end that and restore again",
		e->pid, e->fd, name, type, what(e), range, pid, comm,
		e->flag == FL_LEASE ? "the file open" : "a lock in its way");
}
