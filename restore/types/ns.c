/*
 * ns - restore, of descriptors of namespaces: those that the tree is in. The
 * other half is dump/types/ns.c.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>

#include "base/fd.h"
#include "proto/ns.pb-c.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

static const char *ns_name(uint32_t flag)
{
	switch (flag) {
	case CLONE_NEWPID:
		return "pid";
	case CLONE_NEWNET:
		return "net";
	case CLONE_NEWNS:
		return "mnt";
	case CLONE_NEWUSER:
		return "user";
	case CLONE_NEWIPC:
		return "ipc";
	case CLONE_NEWUTS:
		return "uts";
	case CLONE_NEWCGROUP:
		return "cgroup";
	case CLONE_NEWTIME:
		return "time";
	}
	return NULL;
}

static int ns_check(struct pstree *t, struct file_desc *d)
{
	const NsFileEntry *e = file_desc_entry(d);

	if (ns_name(e->ns_cflag))
		return 0;
	file_fail(d, EBADMSG, "a namespace of kind %#x", e->ns_cflag);
	return -EBADMSG;
}

static int ns_open(struct file_desc *d, int *new_fd)
{
	const NsFileEntry *e = file_desc_entry(d);
	cleanup_close int fd = -1;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/ns/%s", ns_name(e->ns_cflag));
	fd = open(path, (int)(e->flags & (O_PATH | O_NONBLOCK | O_NOATIME)) | O_CLOEXEC);
	if (fd < 0)
		return file_fail(d, errno, "open %s", path);
	*new_fd = take_fd(&fd);
	return 0;
}

const struct file_desc_ops ns_desc_ops = { .open = ns_open, .check = ns_check };
