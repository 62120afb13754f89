/*
 * files_info - what is learnt of one descriptor before its type is known.
 * Everything is asked of a copy fetched with pidfd_getfd(2), by calls that
 * leave the description as it is; fdinfo is read only for kinds that tell
 * nothing otherwise, since it costs more than all the rest.
 */
#include "dump/files.h"

#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

#ifndef F_GETOWNER_UIDS
#define F_GETOWNER_UIDS 17
#endif

/**
 * file_info_text - the text of /proc/PID/fdinfo/N
 * @ctx: the dump
 * @fi: the descriptor
 *
 * Return: the text, from the arena; "" if there is none.
 */
const char *file_info_text(struct dump_ctx *ctx, const struct fd_info *fi)
{
	cleanup_close int fd = -1;
	size_t n = 0, room = 4096;
	char name[32], *buf, *text;
	ssize_t got;

	snprintf(name, sizeof(name), "%sfdinfo/%d", fi->via ? "/proc/self/" : "", fi->fd);
	fd = openat(fi->task->dump->proc_fd, name, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return "";
	buf = malloc(room);
	while (buf && (got = read(fd, buf + n, room - n - 1)) > 0) {
		n += (size_t)got;
		if (room - n >= 2048)
			continue;
		text = realloc(buf, room *= 2);
		if (!text)
			abort();
		buf = text;
	}
	if (!buf)
		abort();
	buf[n] = 0;
	text = arena_memdup(ctx->arena, buf, n + 1);
	free(buf);
	return text;
}

/**
 * file_info_u64 - a number from fdinfo
 * @fi: the descriptor
 * @key: what stands before the colon
 * @base: of the number, as for strtoull(3)
 * @val: the number
 *
 * Return: 0, or -ENOENT if there is no such line.
 */
int file_info_u64(const struct fd_info *fi, const char *key, int base, uint64_t *val)
{
	size_t len = strlen(key);

	for (const char *p = fi->fdinfo; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		char *end;
		uint64_t v;

		if (strncmp(p, key, len) || p[len] != ':')
			continue;
		v = strtoull(p + len + 1, &end, base);
		if (end == p + len + 1)
			return -ENOENT;
		*val = v;
		return 0;
	}
	return -ENOENT;
}

/**
 * file_info_link - where the link of a descriptor points
 * @ctx: the dump
 * @fi: the descriptor
 *
 * Return: the text, from the arena; "?" if it cannot be read.
 */
const char *file_info_link(struct dump_ctx *ctx, struct fd_info *fi)
{
	char name[32], buf[PATH_MAX + 16];
	ssize_t n;

	if (fi->link && *fi->link)
		return fi->link;
	/*
	 * Our copy says the same, at a third of the price: its number is always
	 * the same few, so that the kernel has the node already.
	 */
	snprintf(name, sizeof(name), "%d", fi->local);
	n = fi->local < 0 ? -1 : readlinkat(ctx->files->own_dir, name, buf, sizeof(buf) - 1);
	if (n < 0 && fi->fd >= 0 && !fi->via) {
		snprintf(name, sizeof(name), "fd/%d", fi->fd);
		n = readlinkat(fi->task->dump->proc_fd, name, buf, sizeof(buf) - 1);
	}
	if (n < 0)
		return "?";
	buf[n] = 0;
	fi->link = arena_strdup(ctx->arena, buf);
	return fi->link;
}

/**
 * file_info_pid - in which process the descriptor is a number
 * @fi: the descriptor
 *
 * Return: its task's pid, or our own for a file in flight.
 */
pid_t file_info_pid(const struct fd_info *fi)
{
	return fi->via ? getpid() : fi->task->pid;
}

static void read_domain(struct fd_info *fi)
{
	int domain = 0;
	socklen_t len = sizeof(domain);

	if (getsockopt(fi->local, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0)
		fi->domain = (uint16_t)domain;
}

/* What one call each tells. */
static int look(struct fd_info *fi)
{
	int flags = fcntl(fi->local, F_GETFL);

	if (flags < 0 || fstat(fi->local, &fi->st) < 0)
		return -errno;
	fi->flags = (uint32_t)flags & ~(uint32_t)O_CLOEXEC;
	if (S_ISSOCK(fi->st.st_mode))
		read_domain(fi);
	return 0;
}

/**
 * file_info_fetch - fetch a descriptor, and learn what one call each tells; in any thread
 * @fi: task and fd are set, local is -1; gets local, flags, st, domain
 * @pidfd: of the task
 *
 * Return: 0 or -errno.
 */
int file_info_fetch(struct fd_info *fi, int pidfd)
{
	fi->link = fi->fdinfo = "";
	fi->local = (int)syscall(SYS_pidfd_getfd, pidfd, fi->fd, 0);
	return fi->local < 0 ? -errno : look(fi);
}

/**
 * file_info_get - what every type wants to know of a descriptor that was fetched
 * @ctx: the dump
 * @fi: filled by file_info_fetch(); gets the rest
 * @err: what that returned
 *
 * Return: 0 or -errno, recorded.
 */
int file_info_get(struct dump_ctx *ctx, struct fd_info *fi, int err)
{
	mode_t fmt = fi->st.st_mode & S_IFMT;
	off_t pos;

	if (err)
		return fail(ctx->report, "file-fetch", -err,
			    "pid %d fd %d (%s): fetch it and look at it", fi->task->pid, fi->fd,
			    file_info_link(ctx, fi));
	if (fmt == S_IFIFO) {
		err = files_own_pipe(ctx);
		if (err)
			return err;
	}
	if (fmt == S_IFSOCK || (fmt == S_IFIFO && fi->st.st_dev == ctx->files->pipe_dev))
		return 0;
	file_info_link(ctx, fi);
	if (fmt == 0 || !strncmp(fi->link, "anon_inode:", 11))
		fi->fdinfo = file_info_text(ctx, fi);
	pos = lseek(fi->local, 0, SEEK_CUR);
	fi->pos = pos > 0 ? (uint64_t)pos : 0;
	return 0;
}

/**
 * file_info_fill - what every type wants to know of a descriptor that we have
 * @ctx: the dump
 * @fi: task, fd, local, and link and fdinfo empty; the rest is filled
 *
 * Return: 0 or -errno, recorded.
 */
int file_info_fill(struct dump_ctx *ctx, struct fd_info *fi)
{
	return file_info_get(ctx, fi, look(fi));
}

/**
 * file_info_put - give the fetched copy back
 * @fi: the descriptor
 */
void file_info_put(struct fd_info *fi)
{
	close_owned(&fi->local);
	fi->local = -1;
}

/**
 * file_fown - who gets a signal when the file is ready
 * @fi: the descriptor
 * @fown: filled; all zero if nobody does
 *
 * Return: 0.
 */
int file_fown(const struct fd_info *fi, FownEntry *fown)
{
	struct f_owner_ex owner = { 0 };
	uid_t uids[2] = { 0 };
	int sig;

	if (fcntl(fi->local, F_GETOWN_EX, &owner) < 0)
		return 0;
	sig = fcntl(fi->local, F_GETSIG);
	fown->signum = sig > 0 ? (uint32_t)sig : 0;
	if (!owner.pid)
		return 0;
	if (fcntl(fi->local, F_GETOWNER_UIDS, uids) == 0) {
		fown->uid = uids[0];
		fown->euid = uids[1];
	}
	fown->pid_type = (uint32_t)owner.type;
	fown->pid = (uint32_t)owner.pid;
	return 0;
}

static void read_comm(const struct pstree_item *it, char *comm, size_t size)
{
	cleanup_close int fd = openat(it->dump->proc_fd, "comm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? 0 : read(fd, comm, size - 1);

	comm[n > 0 ? n : 0] = 0;
	comm[strcspn(comm, "\n")] = 0;
}

/**
 * file_blocker_at - record that a file cannot be dumped; called as file_blocker()
 * @ctx: the dump
 * @fi: the file
 * @file: source file
 * @line: source line
 * @id: stable id of the cause
 * @err: errno value; 0 if there is none
 * @fmt: what it is and what to do
 *
 * Return: -@err, or -EIO when @err is 0.
 */
int file_blocker_at(struct dump_ctx *ctx, const struct fd_info *fi, const char *file, int line,
		    const char *id, int err, const char *fmt, ...)
{
	struct fd_info look = *fi;
	char what[256], comm[32], fd[48] = "mapped";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	read_comm(fi->task, comm, sizeof(comm));
	if (fi->via)
		snprintf(fd, sizeof(fd), "in the queue of fd %d",
			 fi->via->via ? fi->via->via->fd : fi->via->fd);
	else if (fi->fd >= 0)
		snprintf(fd, sizeof(fd), "fd %d", fi->fd);
	return report_fail(ctx->report, file, line, id, err, "pid %d (%s) %s (%.160s): %s",
			   fi->task->pid, comm, fd, file_info_link(ctx, &look), what);
}
