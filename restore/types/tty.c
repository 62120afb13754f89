/*
 * tty - restore of the terminal of a shell job: the terminal on which the
 * restore was started takes the place of the old one. The other half is
 * dump/types/tty.c.
 */
#include "restore/files.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/regfile.pb-c.h"
#include "proto/tty.pb-c.h"

#define CC_BYTES 19

/* The terminal of the tool, once for all files on it. */
struct own_tty {
	int fd;
	int in;                 /* our standard input itself, if it is the terminal; or -1 */
	int flags;              /* of in */
	struct file_desc *heir; /* who gets it, as a job shares it with its shell */
};

struct tty_priv {
	struct own_tty *own;
	struct file_desc *reg;
	const TtyInfoEntry *info; /* settings, to be put back by one of the files; or NULL */
};

static int each_info(const struct pstree *t, struct image_reader *r, const ProtobufCMessage *m)
{
	(void)r;
	idmap_put(&restore_files(t)->content[IMAGE_TTY_INFO], ((const TtyInfoEntry *)m)->id,
		  (void *)(uintptr_t)m);
	return 0;
}

static struct own_tty *own_tty(struct pstree *t, struct file_desc *d)
{
	struct own_tty *o = rfile_seen(t, FILE_KIND_tty, 0);
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
	rfile_see(t, FILE_KIND_tty, 0, o);
	return o;
}

static int tty_prepare(struct pstree *t, struct file_desc *d)
{
	const TtyFileEntry *e = file_desc_entry(d);
	struct tty_priv *p = file_desc_priv(d);
	int ret = file_side_load(t, IMAGE_TTY_INFO, &tty_info_entry__descriptor, each_info);

	if (ret)
		return ret;
	if (!engine_ctx(t)->opts->shell_job) {
		file_fail(d, EOPNOTSUPP, "a terminal of a shell job needs --shell-job");
		return -EOPNOTSUPP;
	}
	p->reg = e->has_regf_id ? file_desc_find(t, e->regf_id) : NULL;
	if (p->reg && p->reg->kind != FILE_KIND_reg)
		p->reg = NULL;
	p->own = own_tty(t, d);
	if (!p->own)
		return -ENOTTY;
	/* Only as it is: what is set on it would be set for the shell too. */
	if (p->own->in >= 0 && !p->own->heir && (uint32_t)p->own->flags == e->flags &&
	    !e->fown->pid)
		p->own->heir = d;
	if (!rfile_seen(t, FILE_KIND_tty, e->tty_info_id | 1ull << 32)) {
		rfile_see(t, FILE_KIND_tty, e->tty_info_id | 1ull << 32, d);
		p->info = idmap_get(&restore_files(t)->content[IMAGE_TTY_INFO], e->tty_info_id);
	}
	return 0;
}

static int set_termios(struct file_desc *d, int fd, const TermiosEntry *e)
{
	struct termios2 t = { .c_iflag = e->c_iflag,
			      .c_oflag = e->c_oflag,
			      .c_cflag = e->c_cflag,
			      .c_lflag = e->c_lflag,
			      .c_line = (cc_t)e->c_line,
			      .c_ispeed = e->c_ispeed,
			      .c_ospeed = e->c_ospeed };

	if (e->n_c_cc * sizeof(*e->c_cc) < CC_BYTES)
		return file_fail(d, EBADMSG, "%zu control characters", e->n_c_cc);
	memcpy(t.c_cc, e->c_cc, CC_BYTES);
	if (ioctl(fd, TCSETS2, &t) < 0)
		return file_fail(d, errno, "settings of the terminal");
	return 0;
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

static int tty_open(struct file_desc *d, int *new_fd)
{
	const TtyFileEntry *e = file_desc_entry(d);
	struct tty_priv *p = file_desc_priv(d);
	const RegFileEntry *reg = p->reg ? file_desc_entry(p->reg) : NULL;
	cleanup_close int fd = -1;
	char path[32];
	int ret = p->info ? set_foreground(d, p->own->fd, p->info) : 0;

	if (ret)
		return ret;
	if (reg && !strcmp(reg->name, "/dev/tty"))
		snprintf(path, sizeof(path), "/dev/tty");
	else
		snprintf(path, sizeof(path), "/proc/self/fd/%d", p->own->fd);
	fd = p->own->heir == d ? fcntl(p->own->in, F_DUPFD_CLOEXEC, 0)
			       : open(path, (int)(e->flags & (O_ACCMODE | O_NONBLOCK)) | O_NOCTTY |
						    O_CLOEXEC);
	if (fd < 0)
		return file_fail(d, errno, "open the terminal");
	if (p->info && p->info->termios && set_termios(d, fd, p->info->termios) < 0)
		return -1;
	if (file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

const struct file_desc_ops tty_desc_ops = {
	.open = tty_open,
	.prepare = tty_prepare,
	.priv_size = sizeof(struct tty_priv),
};
