/*
 * tty - restore of terminals. Pseudoterminals are made by the tool, as are
 * slaves that are hung up (files_ttyload.c); a shell job gets the terminal on which the restore
 * was started; other devices are opened by path. A master waits for its
 * slaves if it is to be locked or exclusive. The other half is
 * dump/types/tty.c.
 */
#include "restore/files_tty.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/regfile.pb-c.h"

static struct own_tty *own_tty(struct pstree *t, struct file_desc *d)
{
	struct own_tty *o = rfile_seen(t, FILE_KIND_tty, TTY_SEEN_OWN);
	struct termios s;

	if (o)
		return o;
	o = arena_new_of(t->arena, struct own_tty);
	o->in = -1;
	o->fd = ioctl(STDIN_FILENO, TCGETS, &s) == 0
			? open("/proc/self/fd/0", O_RDWR | O_NOCTTY | O_CLOEXEC)
			: open("/dev/tty", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (o->fd < 0) {
		file_fail(d, errno, "a terminal is needed: start the restore on one");
		return NULL;
	}
	file_keep(t, &o->fd);
	if (ioctl(STDIN_FILENO, TCGETS, &s) == 0) {
		o->in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
		o->flags = fcntl(STDIN_FILENO, F_GETFL);
		file_keep(t, &o->in);
	}
	rfile_see(t, FILE_KIND_tty, TTY_SEEN_OWN, o);
	return o;
}

/* True for the first file of a terminal. */
static bool first_of(struct pstree *t, struct file_desc *d, uint32_t id)
{
	if (rfile_seen(t, FILE_KIND_tty, TTY_SEEN_OWN | (id + 1ull)))
		return false;
	rfile_see(t, FILE_KIND_tty, TTY_SEEN_OWN | (id + 1ull), d);
	return true;
}

static int prepare_outside(struct pstree *t, struct file_desc *d)
{
	const TtyFileEntry *e = file_desc_entry(d);
	struct tty_priv *p = file_desc_priv(d);

	if (!engine_ctx(t)->opts->shell_job) {
		file_fail(d, EOPNOTSUPP, "a terminal of a shell job needs --shell-job");
		return -EOPNOTSUPP;
	}
	p->own = own_tty(t, d);
	if (!p->own)
		return -ENOTTY;
	/* Only as it is: what is set on it would be set for the shell too. */
	if (p->own->in >= 0 && !p->own->heir && (uint32_t)p->own->flags == e->flags &&
	    !e->fown->pid)
		p->own->heir = d;
	p->sets = first_of(t, d, e->tty_info_id);
	return 0;
}

/* A console or a line: the leader of its session opens it early, to take it. */
static int prepare_device(struct pstree *t, struct file_desc *d)
{
	struct tty_priv *p = file_desc_priv(d);
	struct pstree_item *leader = p->info->sid ? pstree_find(t, (pid_t)p->info->sid) : NULL;
	int *fd;

	if (!p->reg) {
		file_fail(d, EBADMSG, "a terminal without a path");
		return -EBADMSG;
	}
	p->sets = first_of(t, d, p->info->id);
	if (!leader || !item_alive(leader) ||
	    rfile_seen(t, FILE_KIND_tty, TTY_SEEN_CTTY | p->info->sid))
		return 0;
	fd = arena_new_of(t->arena, int);
	*fd = open(p->reg->name, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	if (*fd < 0) {
		file_fail(d, errno, "open the controlling terminal of session %u", p->info->sid);
		return -EIO;
	}
	file_keep(t, fd);
	tty_ctty_is(t, (pid_t)p->info->sid, (pid_t)p->info->pgrp, fd);
	return 0;
}

/* /dev/tty is another terminal for each session. */
static int prepare_ctty(struct pstree *t, struct file_desc *d, struct tty_priv *p, pid_t sid)
{
	struct pstree_item *who = engine_master(d);
	struct fdinfo_list_entry *fle;

	if (!who || !sid)
		return 0;
	if (who->sid != sid) {
		fle = engine_need(t, d, pstree_find(t, sid));
		if (!fle)
			return 0;
		engine_force_master(fle);
	}
	p->ctty = true;
	return 0;
}

/* One that the caller brings: a session of the tree may have it as its own. */
static int prepare_brought(struct pstree *t, struct file_desc *d)
{
	struct tty_priv *p = file_desc_priv(d);
	pid_t sid = (pid_t)p->info->sid;
	struct pstree_item *leader = sid ? pstree_find(t, sid) : NULL;

	p->sets = first_of(t, d, p->info->id);
	if (leader && item_alive(leader) && !rfile_seen(t, FILE_KIND_tty, TTY_SEEN_CTTY | sid))
		tty_ctty_is(t, sid, (pid_t)p->info->pgrp, outside_fd(d));
	return 0;
}

static int open_brought(struct file_desc *d)
{
	struct tty_priv *p = file_desc_priv(d);
	cleanup_close int fd = fcntl(*outside_fd(d), F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return file_fail(d, errno, "take the terminal from outside");
	if (p->sets && p->info->termios && tty_set_termios(d, fd, p->info->termios) < 0)
		return -1;
	return take_fd(&fd);
}

static int tty_prepare(struct pstree *t, struct file_desc *d)
{
	struct tty_priv *p = file_desc_priv(d);
	int ret = 0;

	if (!rfile_seen(t, FILE_KIND_tty, TTY_SEEN_READY)) {
		rfile_see(t, FILE_KIND_tty, TTY_SEEN_READY, d);
		ret = tty_load(t);
		if (ret)
			return ret;
	}
	if (p->info && d->outside)
		return prepare_brought(t, d);
	if (!p->info || p->hung >= 0)
		return 0;
	if (p->info->type == TTY_TYPE__EXT_TTY) {
		file_fail(d, EBADF,
			  "the dump left it outside: bring it by --inherit-fd 'fd[N]:tty[%x:%x]'",
			  p->info->rdev, p->info->dev);
		return -EBADF;
	}
	if (p->info->type == TTY_TYPE__CTTY && p->pty)
		return prepare_ctty(t, d, p, p->pty->sid);
	if (p->info->type == TTY_TYPE__CTTY && p->info->sid &&
	    rfile_seen(t, FILE_KIND_tty, TTY_SEEN_CTTY | p->info->sid))
		return prepare_ctty(t, d, p, (pid_t)p->info->sid);
	if (p->pty)
		return 0;
	return tty_is_slave(p->info) ? prepare_outside(t, d) : prepare_device(t, d);
}

/* 1 if the foreground group is not there yet. */
static int set_foreground(struct file_desc *d, int fd, const TtyInfoEntry *e)
{
	struct pstree_item *it = pstree_find(d->tree, (pid_t)e->pgrp);
	pid_t pgrp = (pid_t)e->pgrp;

	if (!it || !e->pgrp)
		return 0;
	if (restore_get_phase(engine_ctx(d->tree), it) < RST_GROUP)
		return 1;
	/* Only the terminal of our own session has a foreground group that we may set. */
	if (ioctl(fd, TIOCSPGRP, &pgrp) < 0 && errno != ENOTTY && errno != EPERM)
		return file_fail(d, errno, "foreground group %d", pgrp);
	return 0;
}

static int open_flags(const TtyFileEntry *e)
{
	return (int)(e->flags & (O_ACCMODE | O_NONBLOCK)) | O_NOCTTY | O_CLOEXEC;
}

static int open_outside(struct file_desc *d)
{
	const TtyFileEntry *e = file_desc_entry(d);
	struct tty_priv *p = file_desc_priv(d);
	char path[32];
	int fd;

	if (p->own->heir == d) {
		fd = fcntl(p->own->in, F_DUPFD_CLOEXEC, 0);
	} else {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", p->own->fd);
		fd = open(p->reg && !strcmp(p->reg->name, "/dev/tty") ? "/dev/tty" : path,
			  open_flags(e));
	}
	if (fd < 0)
		return file_fail(d, errno, "open the terminal");
	if (p->sets && p->info->termios && tty_set_termios(d, fd, p->info->termios) < 0) {
		close_owned(&fd);
		return -1;
	}
	return fd;
}

static int open_slave(struct file_desc *d)
{
	const TtyFileEntry *e = file_desc_entry(d);
	struct tty_priv *p = file_desc_priv(d);
	struct stat st, own;
	int fd;

	if (p->ctty)
		fd = open("/dev/tty", open_flags(e));
	else if (!p->reg || !strncmp(p->reg->name, TTY_PTS, sizeof(TTY_PTS) - 1) ||
		 p->info->type == TTY_TYPE__CTTY)
		fd = tty_open_peer(p->pty->mfd, open_flags(e) | (e->flags & KERNEL_O_LARGEFILE));
	else
		fd = open(p->reg->name, open_flags(e));
	if (fd < 0)
		return file_fail(d, errno, "open the slave");
	if (!p->ctty && p->pty && p->pty->sfd >= 0 &&
	    (fstat(fd, &st) < 0 || fstat(p->pty->sfd, &own) < 0 || st.st_rdev != own.st_rdev)) {
		close_owned(&fd);
		return file_fail(d, ESTALE, "another terminal than at the dump");
	}
	return fd;
}

static int open_device(struct file_desc *d)
{
	const TtyFileEntry *e = file_desc_entry(d);
	struct tty_priv *p = file_desc_priv(d);
	cleanup_close int fd = open(p->reg->name, open_flags(e) | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return file_fail(d, errno, "open %s", p->reg->name);
	if (!S_ISCHR(st.st_mode))
		return file_fail(d, ESTALE, "%s is no device any more", p->reg->name);
	if (p->sets && p->info->termios && tty_set_termios(d, fd, p->info->termios) < 0)
		return -1;
	return take_fd(&fd);
}

/* All who have the slave have it. */
static bool slaves_open(struct file_desc *d, const struct pty *pty)
{
	struct file_desc *s;

	list_for_each(s, &d->tree->files.descs, list) {
		struct tty_priv *p = s->kind == FILE_KIND_tty ? file_desc_priv(s) : NULL;

		if (p && s != d && p->pty == pty && !file_stage_reached(s, FLE_OPEN))
			return false;
	}
	return true;
}

static int open_master(struct file_desc *d, int *new_fd)
{
	const TtyFileEntry *e = file_desc_entry(d);
	struct tty_priv *p = file_desc_priv(d);

	if (!p->given) {
		cleanup_close int fd = fcntl(p->pty->mfd, F_DUPFD_CLOEXEC, 0);

		if (fd < 0)
			return file_fail(d, errno, "F_DUPFD_CLOEXEC");
		if (file_params(d, fd, e->flags, e->fown) < 0)
			return -1;
		*new_fd = take_fd(&fd);
		p->given = true;
	}
	if (!slaves_open(d, p->pty))
		return 1;
	return tty_pty_finish(d, p->pty);
}

static int tty_open(struct file_desc *d, int *new_fd)
{
	const TtyFileEntry *e = file_desc_entry(d);
	struct tty_priv *p = file_desc_priv(d);
	cleanup_close int fd = -1;
	int ret;

	if (d->outside) {
		*new_fd = open_brought(d);
		return *new_fd < 0 ? -1 : 0;
	}
	if (p->master)
		return open_master(d, new_fd);
	ret = p->own && p->sets ? set_foreground(d, p->own->fd, p->info) : 0;
	if (ret)
		return ret;
	if (p->hung >= 0)
		fd = take_fd(&p->hung);
	else if (p->own)
		fd = open_outside(d);
	else if (p->pty || p->ctty)
		fd = open_slave(d);
	else
		fd = open_device(d);
	if (fd < 0 || file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

static bool tty_key(struct pstree *t, const struct file_desc *d, char *buf, size_t size)
{
	const TtyFileEntry *e = file_desc_entry(d);
	const TtyInfoEntry *i;

	i = tty_info_find(t, e->tty_info_id);
	if (!i || !i->has_dev)
		return false;
	snprintf(buf, size, "tty[%x:%x]", i->rdev, i->dev);
	return true;
}

const struct file_desc_ops tty_desc_ops = {
	.open = tty_open,
	.key = tty_key,
	.takes = true,
	.prepare = tty_prepare,
	.priv_size = sizeof(struct tty_priv),
};
