/*
 * ns - restore, of descriptors of namespaces: those that the tree is in, and
 * those that are mounted somewhere. To be called KIND:[INODE] again such a one
 * is not opened at its mount point but as a link of a process that has entered
 * it for the moment. The other half is dump/types/ns.c.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/ns.pb-c.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

struct ns_priv {
	int fd; /* the tool's, of a namespace that is mounted somewhere */
};

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

/* The forked process: enters, says so, and waits for its end. */
static void visit(pid_t tool, int at, int kind, int say)
{
	int err;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != tool)
		_exit(1);
	err = setns(at, kind) < 0 ? errno : 0;
	if (write(say, &err, sizeof(err)) != sizeof(err))
		_exit(1);
	for (;;)
		pause();
}

static int link_of(pid_t pid, uint32_t kind)
{
	const char *children = kind == CLONE_NEWPID || kind == CLONE_NEWTIME ? "_for_children" : "";
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s%s", pid, ns_name(kind), children);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* A descriptor of the namespace of kind @kind that @at is, as if it were not mounted; or -errno. */
static int open_link(int at, uint32_t kind)
{
	cleanup_close int hear = -1, say = -1;
	int fds[2], err = EIO, fd;
	pid_t pid, tool = getpid();

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	hear = fds[0];
	say = fds[1];
	pid = fork();
	if (pid < 0)
		return -errno;
	if (pid == 0)
		visit(tool, at, (int)kind, say);
	close(take_fd(&say));
	if (read(hear, &err, sizeof(err)) != sizeof(err))
		err = EIO;
	fd = err ? -err : link_of(pid, kind);
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return fd;
}

static int ns_prepare(struct pstree *t, struct file_desc *d)
{
	const NsFileEntry *e = file_desc_entry(d);
	struct ns_priv *p = file_desc_priv(d);
	cleanup_close int at = -1;

	p->fd = -1;
	if (!e->path || e->ext_key)
		return 0;
	if (e->path[0] != '/')
		return file_fail(d, EBADMSG, "its path is not absolute");
	at = open(e->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (at < 0)
		return file_fail(d, errno, "the namespace must be mounted at %s as at the dump",
				 e->path);
	if (ioctl(at, NS_GET_NSTYPE) != (int)e->ns_cflag)
		return file_fail(d, ESTALE, "%s is not the kind of namespace it was at the dump",
				 e->path);
	p->fd = open_link(at, e->ns_cflag);
	if (p->fd < 0)
		return file_fail(d, -p->fd, "enter the namespace at %s", e->path);
	file_keep(t, &p->fd);
	return 0;
}

static int ns_check(struct pstree *t, struct file_desc *d)
{
	const NsFileEntry *e = file_desc_entry(d);

	(void)t;
	if (!ns_name(e->ns_cflag)) {
		file_fail(d, EBADMSG, "a namespace of kind %#x", e->ns_cflag);
		return -EBADMSG;
	}
	if (e->ext_key) {
		file_fail(d, EBADF, "the dump left it outside: bring it by --inherit-fd 'fd[N]:%s'",
			  e->ext_key);
		return -EBADF;
	}
	return 0;
}

static int ns_open(struct file_desc *d, int *new_fd)
{
	const NsFileEntry *e = file_desc_entry(d);
	const struct ns_priv *p = file_desc_priv(d);
	cleanup_close int fd = -1;
	char path[32];

	if (e->path)
		snprintf(path, sizeof(path), "/proc/self/fd/%d", p->fd);
	else
		snprintf(path, sizeof(path), "/proc/self/ns/%s", ns_name(e->ns_cflag));
	fd = open(path, (int)(e->flags & (O_PATH | O_NONBLOCK | O_NOATIME)) | O_CLOEXEC);
	if (fd < 0)
		return file_fail(d, errno, "open %s", path);
	*new_fd = take_fd(&fd);
	return 0;
}

static bool ns_key(struct pstree *t, const struct file_desc *d, char *buf, size_t size)
{
	const NsFileEntry *e = file_desc_entry(d);

	(void)t;
	return e->ext_key && snprintf(buf, size, "%s", e->ext_key) < (int)size;
}

const struct file_desc_ops ns_desc_ops = {
	.open = ns_open,
	.prepare = ns_prepare,
	.check = ns_check,
	.priv_size = sizeof(struct ns_priv),
	.key = ns_key,
};
