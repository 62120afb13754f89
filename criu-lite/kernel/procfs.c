/*
 * procfs - reading the small files of /proc/PID.
 */
#include "kernel/procfs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

/**
 * proc_open - the directory of a process
 * @pid: the process
 *
 * Return: an O_PATH descriptor that never comes to mean another process, or -errno.
 */
int proc_open(pid_t pid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d", pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/**
 * proc_namespace - which namespace a process is in
 * @proc: its directory
 * @kind: as /proc/PID/ns has it
 * @ino: gets the number
 *
 * By the name of the link: to follow it makes an inode, and takes twice as long.
 *
 * Return: 0 or -errno; -EACCES if that is not for us to know.
 */
int proc_namespace(int proc, const char *kind, uint64_t *ino)
{
	char path[32], text[48];
	const char *number;
	ssize_t n;

	snprintf(path, sizeof(path), "ns/%s", kind);
	n = readlinkat(proc, path, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	number = strstr(text, ":[");
	if (!number)
		return -EPROTO;
	*ino = strtoull(number + 2, NULL, 10);
	return 0;
}

/**
 * proc_read - a whole file
 * @dir_fd: the directory that @name starts from
 * @name: the file
 * @t: gets the text, with a NUL behind it
 *
 * Return: 0, or -errno; -ESRCH when the process has gone.
 */
int proc_read(int dir_fd, const char *name, struct proc_text *t)
{
	cleanup_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
	size_t len = 0;

	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t n;

		/* A file of many pages comes a page or so at a time: never ask for little. */
		if (t->size - len < 4096 + 1) {
			size_t size = t->size ? 2 * t->size : 16384;
			char *p = realloc(t->p, size);

			if (!p)
				return -ENOMEM;
			t->p = p;
			t->size = size;
		}
		n = read(fd, t->p + len, t->size - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (!n)
			break;
		len += (size_t)n;
	}
	t->p[len] = '\0';
	t->len = len;
	return 0;
}

/**
 * proc_text_free - give back the memory of a buffer
 * @t: the buffer; empty afterwards
 */
void proc_text_free(struct proc_text *t)
{
	free(t->p);
	*t = (struct proc_text){ 0 };
}

struct dirent64 {
	uint64_t ino;
	int64_t off;
	uint16_t reclen;
	uint8_t type;
	char name[];
};

/**
 * proc_list_tasks - the numbers in a directory such as /proc/PID/task
 * @dir_fd: a descriptor of the directory, open for reading; it is rewound first
 * @out: array from malloc(), replaced; may be NULL at first
 * @n: gets how many there are
 * @room: the array's length
 *
 * Return: 0, or -errno; -ENOENT when the process has gone.
 */
int proc_list_tasks(int dir_fd, pid_t **out, size_t *n, size_t *room)
{
	_Alignas(8) char buf[32768];
	size_t count = 0;

	if (lseek(dir_fd, 0, SEEK_SET) < 0)
		return -errno;
	for (;;) {
		long got = syscall(SYS_getdents64, dir_fd, buf, sizeof(buf));

		if (got < 0)
			return -errno;
		if (!got)
			break;
		for (long off = 0; off < got;) {
			const struct dirent64 *d = (const void *)(buf + off);

			off += d->reclen;
			if (!isdigit((unsigned char)d->name[0]))
				continue;
			if (count == *room) {
				size_t more = *room ? 2 * *room : 64;
				pid_t *p = realloc(*out, more * sizeof(*p));

				if (!p)
					return -ENOMEM;
				*out = p;
				*room = more;
			}
			(*out)[count++] = (pid_t)strtol(d->name, NULL, 10);
		}
	}
	*n = count;
	return 0;
}
