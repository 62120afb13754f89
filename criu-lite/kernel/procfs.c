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

static const char *const ns_names[NR_NAMESPACES] = {
	[NS_PID] = "pid", [NS_NET] = "net", [NS_MNT] = "mnt",       [NS_USER] = "user",
	[NS_IPC] = "ipc", [NS_UTS] = "uts", [NS_CGROUP] = "cgroup", [NS_TIME] = "time",
};

/* By the name of the link: to follow it makes an inode, and takes twice as long. */
static uint64_t ns_inode(int proc, const char *name)
{
	char path[32], text[48];
	const char *number;
	ssize_t n;

	snprintf(path, sizeof(path), "ns/%s", name);
	n = readlinkat(proc, path, text, sizeof(text) - 1);
	text[n < 0 ? 0 : n] = '\0';
	number = strstr(text, ":[");
	return number ? strtoull(number + 2, NULL, 10) : 0;
}

/**
 * proc_namespaces - which namespaces a process is in
 * @proc: its directory
 * @which: of them: bits 1 << NS_PID and so on, or NS_ALL
 * @out: gets their numbers, and 0 for any other, and for what is not for us to know
 */
void proc_namespaces(int proc, unsigned which, struct proc_namespaces *out)
{
	for (unsigned i = 0; i < NR_NAMESPACES; i++)
		out->ino[i] = which >> i & 1 ? ns_inode(proc, ns_names[i]) : 0;
}

/**
 * proc_namespaces_own - which namespaces this process is in
 * @out: gets their numbers
 */
void proc_namespaces_own(struct proc_namespaces *out)
{
	cleanup_close int proc = proc_open(getpid());

	proc_namespaces(proc, NS_ALL, out);
}

/**
 * proc_namespaces_differ - which namespaces are not the same
 * @a: of one process
 * @b: of another one
 * @names: gets the names, as far as both numbers are known
 * @size: bytes there
 *
 * Return: length of @names; 0: as far as is known all are the same.
 */
size_t proc_namespaces_differ(const struct proc_namespaces *a, const struct proc_namespaces *b,
			      char *names, size_t size)
{
	size_t len = 0;

	names[0] = '\0';
	for (unsigned i = 0; i < NR_NAMESPACES; i++)
		if (a->ino[i] && b->ino[i] && a->ino[i] != b->ino[i] && len < size)
			len += (size_t)snprintf(names + len, size - len, "%s%s", len ? ", " : "",
						ns_names[i]);
	return len;
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
