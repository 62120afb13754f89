/*
 * files_list - which numbers a table has open, and their FD_CLOEXEC bits.
 *
 * The bits only the task itself can tell cheaply: a batch of remote fcntl(2)
 * calls. Where a table is about as full as it is large, the same batch tells
 * which numbers are open, at a twentieth of what /proc/PID/fd costs for each.
 */
#include "dump/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

/* From so many descriptors on a remote batch is cheaper than fdinfo. */
#define BATCH_FROM 9
/* Numbers asked in vain for each open one at most. */
#define SPARSE 8

static struct open_fd *fd_push(struct fd_list *l, size_t *room, int fd)
{
	if (l->n == *room) {
		*room = *room ? *room * 2 : 64;
		l->fd = reallocarray(l->fd, *room, sizeof(*l->fd));
		if (!l->fd)
			abort();
	}
	l->fd[l->n] = (struct open_fd){ .fd = fd };
	return &l->fd[l->n++];
}

/* The numbers by the directory itself. */
static int list_dir(struct dump_ctx *ctx, struct pstree_item *it, struct fd_list *l)
{
	cleanup_close int fd = openat(it->dump->proc_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;
	size_t room = 0;

	if (!dir)
		return fail(ctx->report, "file-list", errno, "pid %d: read /proc/%d/fd", it->pid,
			    it->pid);
	take_fd(&fd);
	while ((de = readdir(dir)))
		if (de->d_name[0] >= '0' && de->d_name[0] <= '9')
			fd_push(l, &room, atoi(de->d_name));
	closedir(dir);
	return 0;
}

static bool by_remote(const struct pstree_item *it, size_t n)
{
	return it->dump->remote && n >= BATCH_FROM;
}

/* F_GETFD of each number, in the task. */
static int ask_task(struct pstree_item *it, struct remote_call *calls, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		calls[i].nr = SYS_fcntl;
		calls[i].args[1] = F_GETFD;
	}
	return remote_run(it->dump->remote, it->pid, calls, n, 0);
}

/* How many numbers the kernel's table has room for; 0 if that is not known. */
static size_t table_room(struct dump_ctx *ctx, const struct pstree_item *it)
{
	const char *at;

	if (proc_read(it->dump->proc_fd, "status", &ctx->text))
		return 0;
	at = strstr(ctx->text.p, "\nFDSize:");
	return at ? strtoul(at + strlen("\nFDSize:"), NULL, 10) : 0;
}

/*
 * A table of little more numbers than open ones: all are asked for. 0: done,
 * 1: it is another kind of table, or the task could not be asked.
 */
static int list_dense(struct dump_ctx *ctx, struct pstree_item *it, struct fd_list *l)
{
	size_t open, room, left = 0;
	struct remote_call *calls;
	struct stat st;
	int ret;

	/* The directory's size is the number of descriptors, since 6.2. */
	open = fstatat(it->dump->proc_fd, "fd", &st, 0) < 0 ? 0 : (size_t)st.st_size;
	if (!by_remote(it, open))
		return 1;
	room = table_room(ctx, it);
	if (room < open || room / SPARSE > open)
		return 1;
	calls = calloc(room, sizeof(*calls));
	if (!calls)
		return -ENOMEM;
	for (size_t i = 0; i < room; i++)
		calls[i].args[0] = i;
	ret = ask_task(it, calls, room);
	for (size_t i = 0; !ret && i < room; i++)
		if (calls[i].ret >= 0)
			fd_push(l, &left, (int)i)->cloexec = calls[i].ret & FD_CLOEXEC;
		else if (calls[i].ret != -EBADF)
			ret = 1;
	free(calls);
	if (!ret && l->n == open)
		return 0;
	l->n = 0;
	return 1;
}

static int cloexec_by_fdinfo(struct dump_ctx *ctx, struct pstree_item *it, struct open_fd *o)
{
	struct fd_info fi = { .task = it, .fd = o->fd };
	uint64_t flags;

	fi.fdinfo = file_info_text(ctx, &fi);
	if (file_info_u64(&fi, "flags", 8, &flags))
		return fail(ctx->report, "file-info", EIO, "pid %d fd %d: no flags in fdinfo",
			    it->pid, o->fd);
	o->cloexec = flags & O_CLOEXEC;
	return 0;
}

/* 0: done, 1: the task could not be asked. */
static int cloexec_by_task(struct pstree_item *it, struct fd_list *l)
{
	struct remote_call *calls = calloc(l->n, sizeof(*calls));
	int ret;

	if (!calls)
		return -ENOMEM;
	for (size_t i = 0; i < l->n; i++)
		calls[i].args[0] = (unsigned)l->fd[i].fd;
	ret = ask_task(it, calls, l->n);
	for (size_t i = 0; !ret && i < l->n; i++) {
		ret = calls[i].ret < 0;
		l->fd[i].cloexec = calls[i].ret & FD_CLOEXEC;
	}
	free(calls);
	return ret ? 1 : 0;
}

/**
 * file_list_get - the open descriptors of a task, in ascending order
 * @ctx: the dump
 * @it: the task
 * @l: empty; to be given back with file_list_free(), also after a failure
 *
 * Return: 0 or -errno, recorded.
 */
int file_list_get(struct dump_ctx *ctx, struct pstree_item *it, struct fd_list *l)
{
	int ret = list_dense(ctx, it, l);

	if (ret == 1) {
		ret = list_dir(ctx, it, l);
		if (ret)
			return ret;
		ret = by_remote(it, l->n) ? cloexec_by_task(it, l) : 1;
	}
	for (size_t i = 0; ret == 1 && i < l->n; i++)
		if (cloexec_by_fdinfo(ctx, it, &l->fd[i]))
			return -EIO;
	if (ret < 0)
		return fail(ctx->report, "no-memory", -ret, "pid %d: list of descriptors", it->pid);
	return 0;
}

/**
 * file_list_free - give a list back
 * @l: the list
 */
void file_list_free(struct fd_list *l)
{
	free(l->fd);
	*l = (struct fd_list){ 0 };
}
