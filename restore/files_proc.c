/*
 * files_proc - files and directories below /proc/PID of a process that was
 * gone. The tool makes a process of that pid, opens each of them as it was, and
 * hands the descriptors on. The process stays until all tasks are in their
 * working directories, for one may be such a directory.
 */
#include "restore/files.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/regfile.pb-c.h"

static bool is_below(const struct file_desc *d, pid_t pid)
{
	const RegFileEntry *e = file_desc_entry(d);

	return d->kind == FILE_KIND_reg && file_is_ghost(d) && !strncmp(e->name, "/proc/", 6) &&
	       isdigit((unsigned char)e->name[6]) && atoi(e->name + 6) == pid;
}

static int open_all(struct pstree *t, pid_t pid)
{
	struct restore_files *f = restore_files(t);
	struct file_desc *d;

	list_for_each(d, &t->files.descs, list) {
		const RegFileEntry *e = file_desc_entry(d);
		int *fd;

		if (!is_below(d, pid) || idmap_get(&f->gone, d->id))
			continue;
		fd = arena_new_of(t->arena, int);
		*fd = open(e->name, (int)e->flags | O_CLOEXEC | O_NOCTTY);
		if (*fd < 0)
			return file_fail(d, errno, "open while its process is there");
		idmap_put(&f->gone, d->id, fd);
		file_keep(t, fd);
	}
	return 0;
}

/**
 * file_proc_prepare - open a file of a process that was gone
 * @t: the tree
 * @d: the description, a reg
 * @pid: the process
 *
 * Return: 0 or -errno, recorded.
 */
int file_proc_prepare(struct pstree *t, struct file_desc *d, pid_t pid)
{
	struct restore_files *f = restore_files(t);
	struct gone_process *g = arena_new_of(t->arena, struct gone_process);
	int ret;

	if (idmap_get(&f->gone, d->id))
		return 0;
	if (pid <= 0 || !is_below(d, pid)) {
		file_fail(d, EBADMSG, "its path is not one of process %d", pid);
		return -EBADMSG;
	}
	ret = dead_begin(&g->p, pid, 0);
	if (ret < 0) {
		file_fail(d, -ret, "have process %d for the moment", pid);
		return ret;
	}
	g->next = f->gone_processes;
	f->gone_processes = g;
	return open_all(t, pid) < 0 ? -EIO : 0;
}

/**
 * file_proc_open - the descriptor that file_proc_prepare() has opened
 * @d: the description, a reg
 *
 * Return: a descriptor of the same description, or -errno.
 */
int file_proc_open(struct file_desc *d)
{
	const int *have = idmap_get(&restore_files(d->tree)->gone, d->id);
	int fd = have ? fcntl(*have, F_DUPFD_CLOEXEC, 0) : -1;

	return !have ? -ENOENT : fd < 0 ? -errno : fd;
}
