/*
 * fdkind - what a descriptor is, and the names that descriptors may have.
 */
#include "lib/fdframe.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* Since Linux 6.9 a pidfd looks like a regular file. */
#define PID_FS_MAGIC 0x50494446

static int file_kind(int fd)
{
	struct statfs fs;

	return fstatfs(fd, &fs) == 0 && fs.f_type == PID_FS_MAGIC ? FD_KIND_ANON : FD_KIND_FILE;
}

static int socket_kind(int fd)
{
	int type = 0, listens = 0;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0)
		return FD_KIND_OTHER;
	len = sizeof(listens);
	if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens)
		return FD_KIND_LISTENER;
	return type == SOCK_STREAM || type == SOCK_SEQPACKET ? FD_KIND_STREAM : FD_KIND_DATAGRAM;
}

int fd_kind_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	switch (st.st_mode & S_IFMT) {
	case S_IFREG:
		return file_kind(fd);
	case S_IFDIR:
		return FD_KIND_DIR;
	case S_IFCHR:
	case S_IFBLK:
		return FD_KIND_DEVICE;
	case S_IFIFO:
		return FD_KIND_PIPE;
	case S_IFSOCK:
		return socket_kind(fd);
	default:
		/* The anonymous inode has no type at all. */
		return st.st_mode & S_IFMT ? FD_KIND_OTHER : FD_KIND_ANON;
	}
}

const char *fd_kind_name(int kind)
{
	static const char *const names[FD_KINDS] = {
		[FD_KIND_OTHER] = "other",   [FD_KIND_FILE] = "file",
		[FD_KIND_DIR] = "dir",       [FD_KIND_DEVICE] = "device",
		[FD_KIND_PIPE] = "pipe",     [FD_KIND_LISTENER] = "listener",
		[FD_KIND_STREAM] = "stream", [FD_KIND_DATAGRAM] = "datagram",
		[FD_KIND_ANON] = "anon",
	};

	return kind < 0 || kind >= FD_KINDS ? names[FD_KIND_OTHER] : names[kind];
}

int fd_name_ok(const char *name)
{
	size_t len = strlen(name);

	if (!len || len > FD_NAME_MAX)
		return 0;
	for (size_t i = 0; i < len; i++)
		if (name[i] < ' ' || name[i] > '~' || name[i] == ':')
			return 0;
	return 1;
}

const struct fd_item *fd_item_find(const struct fd_item *items, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(items[i].name, name))
			return &items[i];
	return NULL;
}
