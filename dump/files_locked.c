/*
 * files_locked - the inodes that have a lock of any kind, whoever holds it.
 * /proc/locks names them, but each reading of it waits for an RCU grace period,
 * so of up to FILES_MANY files fdinfo is read instead. With a large table it is known
 * from the start that it will be wanted; then a thread waits for it.
 */
#include "dump/files.h"

#include <pthread.h>
#include <stdlib.h>

#include "kernel/locks.h"

#define PID_INIT_INO 0xeffffffcu /* of the first pid namespace, since Linux 3.8 */

/* Not known at the end: some may be missing. */
static void *read_locks(void *arg)
{
	struct dump_files *f = arg;
	struct lock_line *list = NULL;
	struct proc_text t = { 0 };
	size_t n = 0;

	f->locked_known = lock_list(&t, &list, &n) == 0;
	for (size_t i = 0; i < n; i++)
		idmap_put(&f->locked, list[i].ino, f);
	free(list);
	proc_text_free(&t);
	return NULL;
}

/**
 * files_locked_ahead - begin to read what file_may_be_locked() will want
 * @ctx: the dump; files_locked_end() is to follow
 */
void files_locked_ahead(struct dump_ctx *ctx)
{
	struct dump_files *f = ctx->files;

	if (f->lock_looks < FILES_MANY && !f->locks_ahead)
		f->locks_ahead = !pthread_create(&f->locks_reader, NULL, read_locks, f);
}

/**
 * files_locked_end - nobody reads locks any more
 * @ctx: the dump
 */
void files_locked_end(struct dump_ctx *ctx)
{
	if (ctx->files->locks_ahead)
		pthread_join(ctx->files->locks_reader, NULL);
	ctx->files->locks_ahead = false;
}

static bool has_name(const struct dump_files *f, const struct stat *st)
{
	return st->st_mode & S_IFMT && !S_ISSOCK(st->st_mode) && st->st_dev != f->pipe_dev;
}

/**
 * file_may_be_locked - is it worth looking for locks in a file's fdinfo?
 * @ctx: the dump
 * @st: the file
 *
 * Return: false if no lock exists on an inode of that number.
 */
bool file_may_be_locked(struct dump_ctx *ctx, const struct stat *st)
{
	struct dump_files *f = ctx->files;

	/*
	 * Elsewhere than in the first pid namespace the locks of takers that are gone are missing,
	 * as flock(1) is for a shell that has it lock a file or a terminal.
	 */
	if (ctx->own_ns.ino[NS_PID] != PID_INIT_INO && has_name(f, st))
		return true;
	if (f->locks_ahead && pthread_tryjoin_np(f->locks_reader, NULL) == 0) {
		f->locks_ahead = false;
		f->lock_looks = FILES_MANY;
	} else if (++f->lock_looks < FILES_MANY) {
		return true;
	} else if (f->locks_ahead) {
		files_locked_end(ctx);
	} else if (f->lock_looks == FILES_MANY) {
		read_locks(f);
	}
	return !f->locked_known || idmap_get(&f->locked, st->st_ino);
}
