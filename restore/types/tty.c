/*
 * tty - restore of terminals. Pseudoterminals are made by the tool, as are
 * slaves that are hung up; a shell job gets the terminal on which the restore
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

#define RDEV_PTMX ((5u << 8) | 2) /* rdev of masters in the image */

#define PTS "/dev/pts/"

/* The terminal of the tool, once for all files on it. */
struct own_tty {
	int fd;
	int in;                 /* our standard input itself, if it is the terminal; or -1 */
	int flags;              /* of in */
	struct file_desc *heir; /* who gets it, as a job shares it with its shell */
};

struct tty_priv {
	const TtyInfoEntry *info;
	const RegFileEntry *reg;
	struct pty *pty;   /* of a master or slave of the image */
	bool master, ctty; /* ctty: it was opened as /dev/tty, and we are of that session */
	int hung;          /* the descriptor itself, or -1 */
	bool given;        /* the master's descriptor */
	struct own_tty *own;
	bool sets; /* puts back the settings of own, or of a device */
};

static int each_info(const struct pstree *t, struct image_reader *r, const ProtobufCMessage *m)
{
	(void)r;
	idmap_put(&restore_files(t)->content[IMAGE_TTY_INFO], ((const TtyInfoEntry *)m)->id,
		  (void *)(uintptr_t)m);
	return 0;
}

static int each_data(const struct pstree *t, struct image_reader *r, const ProtobufCMessage *m)
{
	(void)r;
	idmap_put(&restore_files(t)->content[IMAGE_TTY_DATA], ((const TtyDataEntry *)m)->tty_id,
		  (void *)(uintptr_t)m);
	return 0;
}

static int path_open(struct file_desc *d, int *new_fd)
{
	(void)new_fd;
	return file_fail(d, EBADMSG, "the path of a terminal is not a file of its own");
}

/* Names of slaves come and go with their terminals: nothing to look for. */
static const struct file_desc_ops path_ops = { .open = path_open };

static const RegFileEntry *reg_of(struct pstree *t, const TtyFileEntry *e)
{
	struct file_desc *reg = e->has_regf_id ? file_desc_find(t, e->regf_id) : NULL;
	const RegFileEntry *r;

	if (!reg || reg->kind != FILE_KIND_reg)
		return NULL;
	r = file_desc_entry(reg);
	if (!strncmp(r->name, PTS, sizeof(PTS) - 1) && list_empty(&reg->fles))
		reg->ops = &path_ops;
	return r;
}

static struct pty *pty_at(struct pstree *t, uint64_t key, uint32_t index)
{
	struct pty *p = rfile_seen(t, FILE_KIND_tty, key | index);

	if (p)
		return p;
	p = arena_new_of(t->arena, struct pty);
	*p = (struct pty){ .index = index, .mfd = -1, .sfd = -1 };
	rfile_see(t, FILE_KIND_tty, key | index, p);
	file_keep(t, &p->mfd);
	file_keep(t, &p->sfd);
	return p;
}

static bool is_master(const TtyInfoEntry *i)
{
	return i->type == TTY_TYPE__PTY && i->pty && i->rdev == RDEV_PTMX;
}

static struct pty *session_pty(struct pstree *t, const TtyInfoEntry *i)
{
	struct file_desc *d;

	if (i->pty)
		return rfile_seen(t, FILE_KIND_tty, TTY_SEEN_PTY | i->pty->index);
	if (i->has_behind)
		return rfile_seen(t, FILE_KIND_tty, TTY_SEEN_PTY | i->behind);
	list_for_each(d, &t->files.descs, list) {
		struct tty_priv *p = d->kind == FILE_KIND_tty ? file_desc_priv(d) : NULL;

		if (p && p->pty && i->sid && p->pty->sid == (pid_t)i->sid)
			return p->pty;
	}
	return NULL;
}

static int load_one(struct pstree *t, struct file_desc *d)
{
	const TtyFileEntry *e = file_desc_entry(d);
	struct tty_priv *p = file_desc_priv(d);

	p->reg = reg_of(t, e);
	p->info = idmap_get(&restore_files(t)->content[IMAGE_TTY_INFO], e->tty_info_id);
	if (!p->info)
		return file_fail(d, EBADMSG, "terminal %u is not in tty-info.img", e->tty_info_id);
	p->master = is_master(p->info);
	if (p->master && !list_empty(&d->fles)) {
		p->pty = pty_at(t, TTY_SEEN_PTY, p->info->pty->index);
		if (p->pty->master)
			return file_fail(d, EBADMSG, "terminal %u has two masters", p->pty->index);
		p->pty->master = d;
		p->pty->info = p->info;
	}
	return 0;
}

static void join_slave(struct tty_priv *p, struct pty *pty)
{
	p->pty = pty;
	pty->has_slave = true;
	if (p->info->type == TTY_TYPE__PTY) {
		pty->slave_info = p->info;
		pty->slave_reg = p->reg;
	}
}

static void note_session(struct pty *pty, const TtyInfoEntry *i)
{
	if (i->sid && !pty->sid) {
		pty->sid = (pid_t)i->sid;
		pty->pgrp = (pid_t)i->pgrp;
	}
}

/* One that is hung up: made so here, once all of them are open. */
static int make_hung(struct pstree *t, struct file_desc *d)
{
	const TtyFileEntry *e = file_desc_entry(d);
	struct tty_priv *p = file_desc_priv(d);
	struct pty *pty = pty_at(t, TTY_SEEN_HUNG, e->tty_info_id);
	int fd;

	pty->index = p->info->pty ? p->info->pty->index : 0;
	fd = tty_pty_hung(d, pty, e->flags);
	if (fd < 0)
		return -1;
	p->hung = fd;
	file_keep(t, &p->hung);
	return 0;
}

static bool is_slave(const TtyInfoEntry *i)
{
	return (i->type == TTY_TYPE__PTY && !is_master(i)) || i->type == TTY_TYPE__CTTY;
}

/* Masters first, then who has what of them. */
static int index_all(struct pstree *t)
{
	struct file_desc *d;
	struct tty_priv *p;

	list_for_each(d, &t->files.descs, list) {
		if (d->kind != FILE_KIND_tty)
			continue;
		((struct tty_priv *)file_desc_priv(d))->hung = -1;
		if (load_one(t, d) < 0)
			return -EBADMSG;
	}
	for (int pass = 0; pass < 2; pass++) {
		list_for_each(d, &t->files.descs, list) {
			struct pty *pty;

			p = d->kind == FILE_KIND_tty ? file_desc_priv(d) : NULL;
			if (!p || (p->info->type == TTY_TYPE__CTTY) != pass)
				continue;
			pty = p->master ? p->pty : NULL;
			if (is_slave(p->info) && p->info->termios)
				pty = session_pty(t, p->info);
			if (!pty)
				continue;
			note_session(pty, p->info);
			if (!p->master)
				join_slave(p, pty);
		}
	}
	return 0;
}

static int make_all(struct pstree *t)
{
	struct file_desc *d;
	struct tty_priv *p;
	struct pty *pty;

	list_for_each(d, &t->files.descs, list) {
		p = d->kind == FILE_KIND_tty ? file_desc_priv(d) : NULL;
		if (!p || !p->master || !p->pty)
			continue;
		if (tty_pty_make(t, d, p->pty) < 0)
			return -EIO;
		if (p->pty->sid)
			tty_ctty_is(t, p->pty->sid, p->pty->pgrp, &p->pty->mfd);
	}
	list_for_each(d, &t->files.descs, list) {
		p = d->kind == FILE_KIND_tty ? file_desc_priv(d) : NULL;
		if (p && is_slave(p->info) && !p->info->termios && make_hung(t, d) < 0)
			return -EIO;
	}
	list_for_each(d, &t->files.descs, list) {
		pty = d->kind == FILE_KIND_tty
			      ? rfile_seen(t, FILE_KIND_tty,
					   TTY_SEEN_HUNG |
						   ((const TtyFileEntry *)d->msg)->tty_info_id)
			      : NULL;
		if (!pty)
			continue;
		close_owned(&pty->mfd);
		pty->mfd = -1;
	}
	return 0;
}

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
		ret = file_side_load(t, IMAGE_TTY_INFO, &tty_info_entry__descriptor, each_info);
		if (!ret)
			ret = file_side_load(t, IMAGE_TTY_DATA, &tty_data_entry__descriptor,
					     each_data);
		if (!ret)
			ret = index_all(t);
		if (!ret)
			ret = make_all(t);
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
	return is_slave(p->info) ? prepare_outside(t, d) : prepare_device(t, d);
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
	else if (!p->reg || !strncmp(p->reg->name, PTS, sizeof(PTS) - 1) ||
		 p->info->type == TTY_TYPE__CTTY)
		fd = tty_open_peer(p->pty->mfd, open_flags(e) | (e->flags & TTY_LARGEFILE));
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

	if (file_side_load(t, IMAGE_TTY_INFO, &tty_info_entry__descriptor, each_info))
		return false;
	i = idmap_get(&restore_files(t)->content[IMAGE_TTY_INFO], e->tty_info_id);
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
