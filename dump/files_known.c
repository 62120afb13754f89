/*
 * files_known - is this description one that was met before?
 *
 * Descriptions that differ in device, inode, position or flags differ: that
 * settles nearly all cases. Those that are left are put in the order that
 * kcmp(2) gives them, in a binary tree per key, so that ten thousand
 * descriptions of one file cost a dozen comparisons each. Without kcmp,
 * F_DUPFD_QUERY compares with each in turn.
 */
#include "dump/files.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/kcmp.h"

#ifndef F_DUPFD_QUERY
#define F_DUPFD_QUERY 1027
#endif

static int fetch(struct dump_ctx *ctx, pid_t pid, int fd)
{
	const struct pstree_item *it = pstree_find(ctx->tree, pid);
	const struct dump_task *t = it ? it->dump : files_thread_find(ctx, pid);

	if (!t)
		return fcntl(fd, F_DUPFD_CLOEXEC, 0);
	return (int)syscall(SYS_pidfd_getfd, t->pidfd, fd, 0);
}

static int same_by_query(struct dump_ctx *ctx, pid_t pid_a, int fd_a, pid_t pid_b, int fd_b)
{
	cleanup_close int x = fetch(ctx, pid_a, fd_a);
	cleanup_close int y = fetch(ctx, pid_b, fd_b);
	int ret = x < 0 || y < 0 ? -1 : fcntl(x, F_DUPFD_QUERY, y);

	/* Any order does, as long as it is the same each time. */
	return ret < 0                                            ? -errno
	       : ret                                              ? 0
	       : pid_a < pid_b || (pid_a == pid_b && fd_a < fd_b) ? 1
								  : 2;
}

/**
 * file_same - do two descriptors lead to one description?
 * @ctx: the dump
 * @pid_a: a task of the tree, or this program
 * @fd_a: its descriptor
 * @pid_b: another task, or the same
 * @fd_b: its descriptor
 *
 * Return: 0 the same, 1 and 2 the order of two different ones, or -errno.
 */
int file_same(struct dump_ctx *ctx, pid_t pid_a, int fd_a, pid_t pid_b, int fd_b)
{
	int c = -ENOSYS;

	if (!ctx->files->kcmp_missing)
		c = kcmp(pid_a, pid_b, CL_KCMP_FILE, (unsigned)fd_a, (unsigned)fd_b);
	if (c == -ENOSYS || c == -EOPNOTSUPP) {
		ctx->files->kcmp_missing = true;
		c = same_by_query(ctx, pid_a, fd_a, pid_b, fd_b);
	}
	return c;
}

static uint64_t pre_key(const struct fd_info *fi)
{
	uint64_t h = fi->st.st_dev * 0x9e3779b97f4a7c15u ^ fi->st.st_ino;

	h = h * 0xbf58476d1ce4e5b9u ^ fi->pos;
	return h * 0x94d049bb133111ebu ^ fi->flags;
}

static bool key_equal(const struct known_file *k, const struct fd_info *fi)
{
	return k->dev == fi->st.st_dev && k->ino == fi->st.st_ino && k->pos == fi->pos &&
	       k->flags == fi->flags;
}

static struct known_file *known_new(struct dump_ctx *ctx, const struct fd_info *fi)
{
	struct known_file *k = arena_new_of(ctx->arena, struct known_file);

	*k = (struct known_file){ .dev = fi->st.st_dev,
				  .ino = fi->st.st_ino,
				  .pos = fi->pos,
				  .flags = fi->flags,
				  .pid = file_info_pid(fi),
				  .fd = fi->fd };
	return k;
}

/* A linear search, for kernels without an order. */
static struct known_file *known_by_query(struct dump_ctx *ctx, struct known_file *root,
					 const struct fd_info *fi, bool *found)
{
	struct known_file *k = root;

	for (;; k = k->right) {
		int c = file_same(ctx, file_info_pid(fi), fi->fd, k->pid, k->fd);

		*found = c == 0;
		if (c == 0)
			return k;
		if (!k->right)
			return k->right = known_new(ctx, fi);
	}
}

/**
 * file_known - look a description up, or add it
 * @ctx: the dump
 * @fi: one of its descriptors
 * @found: whether it was met before
 *
 * Return: its record; a new one has no description yet. NULL if kcmp failed,
 * recorded.
 */
struct known_file *file_known(struct dump_ctx *ctx, const struct fd_info *fi, bool *found)
{
	uint64_t key = pre_key(fi);
	struct known_file *root = idmap_get(&ctx->files->by_key, key), *k, **at;

	*found = false;
	for (k = root; k && !key_equal(k, fi); k = k->same_hash)
		;
	if (!k) {
		k = known_new(ctx, fi);
		if (root) {
			k->same_hash = root->same_hash;
			root->same_hash = k;
		} else {
			idmap_put(&ctx->files->by_key, key, k);
		}
		return k;
	}
	for (at = &k; *at;) {
		int c = file_same(ctx, file_info_pid(fi), fi->fd, (*at)->pid, (*at)->fd);

		if (c < 0) {
			fail(ctx->report, "kcmp", -c, "pid %d fd %d: kcmp(KCMP_FILE)",
			     fi->task->pid, fi->fd);
			return NULL;
		}
		if (ctx->files->kcmp_missing)
			return known_by_query(ctx, k, fi, found);
		if (c == 0) {
			*found = true;
			return *at;
		}
		at = c == 1 ? &(*at)->left : &(*at)->right;
	}
	return *at = known_new(ctx, fi);
}
