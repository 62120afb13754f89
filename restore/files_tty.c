/*
 * files_tty - terminals that the tool makes before the first task is born:
 * members of a session have a controlling terminal by birth only, so its
 * leader must take it before it has them.
 */
#include "restore/files_tty.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/ttyq.h"
#include "restore/task.h"

#define CC_BYTES 19
#define PTY_MAX 65536

/* The terminal that a session is to have. */
struct ctty {
	int *fd;
	pid_t pgrp;
};

/**
 * tty_set_termios - the settings of a terminal as saved
 * @d: a description of it
 * @fd: the terminal
 * @e: its settings
 *
 * Return: 0, or -1 recorded.
 */
int tty_set_termios(struct file_desc *d, int fd, const TermiosEntry *e)
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

static int set_locked(struct file_desc *d, int fd, const TermiosEntry *e)
{
	static const uint8_t none[CC_BYTES];
	struct termios t = { .c_iflag = e->c_iflag,
			     .c_oflag = e->c_oflag,
			     .c_cflag = e->c_cflag,
			     .c_lflag = e->c_lflag,
			     .c_line = (cc_t)e->c_line };

	if (e->n_c_cc * sizeof(*e->c_cc) < CC_BYTES)
		return file_fail(d, EBADMSG, "%zu control characters", e->n_c_cc);
	memcpy(t.c_cc, e->c_cc, CC_BYTES);
	if (!t.c_iflag && !t.c_oflag && !t.c_cflag && !t.c_lflag && !t.c_line &&
	    !memcmp(t.c_cc, none, CC_BYTES))
		return 0;
	if (ioctl(fd, TIOCSLCKTRMIOS, &t) < 0)
		return file_fail(d, errno, "locks of the settings of the terminal");
	return 0;
}

/*
 * The kernel gives the lowest number that is free: those below are held until
 * ours comes. One that is hung up has no name any more, and takes any.
 */
static int open_ptmx(struct file_desc *d, const char *path, uint32_t want, bool any)
{
	int *held = NULL, fd = -1, ret = 0;
	unsigned int got = 0;
	size_t n = 0;

	for (;;) {
		fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (fd < 0 || ioctl(fd, TIOCGPTN, &got) < 0) {
			ret = file_fail(d, errno, "open %s", path);
			break;
		}
		if (got == want || (any && got > want))
			break;
		if (got > want || n > want) {
			ret = file_fail(d, EBUSY, "/dev/pts/%u: somebody else has that terminal",
					want);
			break;
		}
		held = reallocarray(held, n + 1, sizeof(*held));
		if (!held)
			abort();
		held[n++] = take_fd(&fd);
	}
	if (ret)
		close_owned(&fd);
	while (n)
		close(held[--n]);
	free(held);
	return ret ? -1 : fd;
}

static int unlock_pty(struct file_desc *d, int fd)
{
	int lock = 0;

	return ioctl(fd, TIOCSPTLCK, &lock) < 0 ? file_fail(d, errno, "unlock the terminal") : 0;
}

static int fill(struct pstree *t, struct file_desc *d, const struct pty *p)
{
	const TtyDataEntry *in = idmap_get(&restore_files(t)->content[IMAGE_TTY_DATA],
					   p->slave_info ? p->slave_info->id : p->info->id - 1);
	const TtyDataEntry *out =
		idmap_get(&restore_files(t)->content[IMAGE_TTY_DATA], p->info->id);
	struct ttyq *q;
	int ret;

	if (!in && !out)
		return 0;
	q = arena_new_of(t->arena, struct ttyq);
	if ((in && (in->data.len > sizeof(q->in) || in->n_eof > TTYQ_EOFS)) ||
	    (out && out->data.len > sizeof(q->out)))
		return file_fail(d, EBADMSG, "too many bytes in tty-data.img");
	if (in) {
		q->input = (uint32_t)in->data.len;
		memcpy(q->in, in->data.data, in->data.len);
		q->nr_eof = (uint32_t)in->n_eof;
		if (in->n_eof)
			memcpy(q->eof, in->eof, in->n_eof * sizeof(*q->eof));
	}
	if (out) {
		q->output = (uint32_t)out->data.len;
		memcpy(q->out, out->data.data, out->data.len);
	}
	ret = ttyq_put(p->mfd, p->sfd, q);
	return ret < 0 ? file_fail(d, -ret, "put back %u and %u bytes not read", q->input,
				   q->output)
		       : 0;
}

static int set_node(struct file_desc *d, const struct pty *p)
{
	const TtyInfoEntry *i = p->slave_info;
	struct stat st;

	if (!i || p->sfd < 0 || fstat(p->sfd, &st) < 0)
		return 0;
	if (i->has_uid && i->has_gid && (st.st_uid != i->uid || st.st_gid != i->gid) &&
	    fchown(p->sfd, i->uid, i->gid) < 0)
		return file_fail(d, errno, "owner of /dev/pts/%u", p->index);
	if (p->slave_reg && p->slave_reg->has_mode && p->slave_reg->mode != st.st_mode &&
	    fchmod(p->sfd, p->slave_reg->mode & 07777) < 0)
		return file_fail(d, errno, "mode of /dev/pts/%u", p->index);
	return 0;
}

/* The window size tells nobody: the terminal has no foreground group yet. */
static int set_pty(struct pstree *t, struct file_desc *d, const struct pty *p)
{
	const TtyInfoEntry *i = p->info;
	int on = 1;

	if (i->termios && tty_set_termios(d, p->mfd, i->termios) < 0)
		return -1;
	if (p->sfd >= 0 && fill(t, d, p) < 0)
		return -1;
	if (i->termios_locked && set_locked(d, p->mfd, i->termios_locked) < 0)
		return -1;
	if (i->winsize) {
		struct winsize w = { .ws_row = (unsigned short)i->winsize->ws_row,
				     .ws_col = (unsigned short)i->winsize->ws_col,
				     .ws_xpixel = (unsigned short)i->winsize->ws_xpixel,
				     .ws_ypixel = (unsigned short)i->winsize->ws_ypixel };

		if (ioctl(p->mfd, TIOCSWINSZ, &w) < 0)
			return file_fail(d, errno, "window size");
	}
	if (i->stopped && p->sfd >= 0 && ioctl(p->sfd, TCXONC, TCOOFF) < 0)
		return file_fail(d, errno, "stop the output");
	if (i->packet_mode && ioctl(p->mfd, TIOCPKT, &on) < 0)
		return file_fail(d, errno, "TIOCPKT");
	return set_node(d, p);
}

/**
 * tty_open_peer - open the slave of a master
 * @master: the master, ours
 * @flags: for open(2)
 *
 * Return: a descriptor, close-on-exec; or -1 with errno.
 */
int tty_open_peer(int master, uint32_t flags)
{
	/* TIOCGPTPEER makes O_CLOEXEC a flag of the description too, which F_GETFL then shows. */
	int fd = ioctl(master, TIOCGPTPEER, flags & ~(uint32_t)O_CLOEXEC);

	if (fd >= 0)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	return fd;
}

/**
 * tty_pty_make - a pseudoterminal as saved, but for locks that keep its users out
 * @t: the tree
 * @d: its master
 * @p: the pseudoterminal; gets mfd and, if somebody has the slave, sfd
 *
 * Return: 0, or -1 recorded.
 */
int tty_pty_make(struct pstree *t, struct file_desc *d, struct pty *p)
{
	const TtyFileEntry *e = file_desc_entry(d);
	struct file_desc *reg = e->has_regf_id ? file_desc_find(t, e->regf_id) : NULL;
	const char *path = "/dev/ptmx";

	if (reg && reg->kind == FILE_KIND_reg)
		path = ((const RegFileEntry *)file_desc_entry(reg))->name;
	if (p->index >= PTY_MAX)
		return file_fail(d, EBADMSG, "terminal number %u", p->index);
	p->mfd = open_ptmx(d, path, p->index, false);
	if (p->mfd < 0 || unlock_pty(d, p->mfd) < 0)
		return -1;
	/* To open and close the slave is seen at the master: as it was. */
	if (p->has_slave || p->info->slave_closed) {
		p->sfd = tty_open_peer(p->mfd, O_RDWR | O_NOCTTY | O_NONBLOCK);
		if (p->sfd < 0)
			return file_fail(d, errno, "open the slave");
	}
	if (set_pty(t, d, p) < 0)
		return -1;
	if (!p->has_slave) {
		close_owned(&p->sfd);
		p->sfd = -1;
	}
	return 0;
}

/**
 * tty_pty_finish - what keeps others from opening it, when all have it open
 * @d: its master
 * @p: the pseudoterminal
 *
 * Return: 0, or -1 recorded.
 */
int tty_pty_finish(struct file_desc *d, const struct pty *p)
{
	int on = 1;

	if (p->info->exclusive && ioctl(p->mfd, TIOCEXCL) < 0)
		return file_fail(d, errno, "TIOCEXCL");
	if (p->slave_info && p->slave_info->exclusive && p->sfd >= 0 && ioctl(p->sfd, TIOCEXCL) < 0)
		return file_fail(d, errno, "TIOCEXCL of the slave");
	if (p->info->locked && ioctl(p->mfd, TIOCSPTLCK, &on) < 0)
		return file_fail(d, errno, "lock the terminal");
	return 0;
}

/**
 * tty_pty_hung - a slave whose master is gone, or rather will be
 * @d: the slave
 * @p: the pseudoterminal; its mfd is to be closed when all have the slave
 * @flags: for open(2)
 *
 * Return: a descriptor, or -1 recorded.
 */
int tty_pty_hung(struct file_desc *d, struct pty *p, uint32_t flags)
{
	int fd;

	if (p->mfd < 0) {
		p->mfd = open_ptmx(d, "/dev/ptmx", p->index, true);
		if (p->mfd < 0 || unlock_pty(d, p->mfd) < 0)
			return -1;
	}
	fd = tty_open_peer(p->mfd, (flags & (O_ACCMODE | KERNEL_O_LARGEFILE)) | O_NOCTTY);
	return fd < 0 ? file_fail(d, errno, "open a slave to be hung up") : fd;
}

/**
 * tty_ctty_is - a session has a controlling terminal
 * @t: the tree
 * @sid: the session
 * @pgrp: the foreground group, or 0
 * @fd: the variable that holds the terminal in every task
 */
void tty_ctty_is(struct pstree *t, pid_t sid, pid_t pgrp, int *fd)
{
	struct ctty *c = arena_new_of(t->arena, struct ctty);

	*c = (struct ctty){ .fd = fd, .pgrp = pgrp };
	rfile_see(t, FILE_KIND_tty, TTY_SEEN_CTTY | (uint32_t)sid, c);
}

static struct ctty *ctty_of(struct restore_ctx *ctx, const struct pstree_item *me)
{
	if (me->sid != me->pid || !ctx->files)
		return NULL;
	return rfile_seen(ctx->tree, FILE_KIND_tty, TTY_SEEN_CTTY | (uint32_t)me->pid);
}

/**
 * tty_take_session - the leader of a new session takes its terminal
 * @ctx: the run
 * @me: the calling task; those that do not lead a session take none
 *
 * Before anyone is born into the session, for that is how others get it.
 *
 * Return: 0 or -errno, recorded.
 */
int tty_take_session(struct restore_ctx *ctx, struct pstree_item *me)
{
	const struct ctty *c = ctty_of(ctx, me);

	if (c && ioctl(*c->fd, TIOCSCTTY, 0) < 0)
		return fail(ctx->report, "tty-session", errno,
			    "pid %d: take its controlling terminal", me->pid);
	return 0;
}

/**
 * tty_set_group - the leader of a session sets the foreground group
 * @ctx: the run
 * @me: the calling task, before its descriptors are restored
 *
 * Waits for a member of the group. A group that had none left is not made.
 *
 * Return: 0 or -errno, recorded.
 */
int tty_set_group(struct restore_ctx *ctx, struct pstree_item *me)
{
	const struct ctty *c = ctty_of(ctx, me);
	struct pstree_item *it;

	if (!c || !c->pgrp || c->pgrp == me->pgid)
		return 0;
	list_for_each(it, &ctx->tree->items, list) {
		int ret;

		if (it->pgid != c->pgrp || it->sid != me->sid || it->state == TASK_HELPER)
			continue;
		ret = restore_wait_phase(ctx, it, RST_GROUP);
		if (ret >= 0 && ioctl(*c->fd, TIOCSPGRP, &c->pgrp) < 0)
			ret = fail(ctx->report, "tty-group", errno,
				   "pid %d: foreground group %d of its terminal", me->pid, c->pgrp);
		return ret;
	}
	return 0;
}
