/*
 * tty - dump of the terminal that a shell job runs on: its other side is
 * outside the tree, and restore takes the terminal it is started on. A
 * terminal whose master is in the tree is a blocker. The other half is
 * restore/types/tty.c.
 */
#include "dump/files.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "proto/tty.pb-c.h"

#define CC_BYTES 19 /* of c_cc in the kernel's struct termios */

static bool is_pts(dev_t rdev)
{
	return major(rdev) >= 136 && major(rdev) <= 143;
}

static int tty_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	struct termios t;

	if (!S_ISCHR(fi->st.st_mode) || (fi->flags & O_PATH) || fi->local < 0)
		return 0;
	return is_pts(fi->st.st_rdev) || major(fi->st.st_rdev) == 5 ||
	       ioctl(fi->local, TCGETS, &t) == 0;
}

/* The image format has the 19 bytes in the first words of as many. */
static TermiosEntry *dump_termios(struct dump_ctx *ctx, const struct fd_info *fi)
{
	struct termios2 t;
	TermiosEntry *e;

	if (ioctl(fi->local, TCGETS2, &t) < 0)
		return NULL;
	e = arena_new_of(ctx->arena, TermiosEntry);
	termios_entry__init(e);
	e->c_iflag = t.c_iflag;
	e->c_oflag = t.c_oflag;
	e->c_cflag = t.c_cflag;
	e->c_lflag = t.c_lflag;
	e->c_line = t.c_line;
	e->c_ispeed = t.c_ispeed;
	e->c_ospeed = t.c_ospeed;
	e->n_c_cc = CC_BYTES;
	e->c_cc = arena_array(ctx->arena, uint32_t, CC_BYTES);
	memcpy(e->c_cc, t.c_cc, CC_BYTES);
	return e;
}

static WinsizeEntry *dump_winsize(struct dump_ctx *ctx, const struct fd_info *fi)
{
	struct winsize w;
	WinsizeEntry *e;

	if (ioctl(fi->local, TIOCGWINSZ, &w) < 0)
		return NULL;
	e = arena_new_of(ctx->arena, WinsizeEntry);
	winsize_entry__init(e);
	e->ws_row = w.ws_row;
	e->ws_col = w.ws_col;
	e->ws_xpixel = w.ws_xpixel;
	e->ws_ypixel = w.ws_ypixel;
	return e;
}

/* Session and group of the terminal; the kernel tells only those who have it. */
static void read_owner(struct dump_ctx *ctx, const struct fd_info *fi, TtyInfoEntry *e)
{
	pid_t sid, pgrp;

	if (ioctl(fi->local, TIOCGSID, &sid) == 0 && ioctl(fi->local, TIOCGPGRP, &pgrp) == 0) {
		e->sid = (uint32_t)sid;
		e->pgrp = (uint32_t)pgrp;
	} else {
		e->sid = (uint32_t)fi->task->sid;
		e->pgrp = (uint32_t)fi->task->pgid;
	}
}

static int put_info(struct dump_ctx *ctx, const struct fd_info *fi, uint32_t id)
{
	TtyInfoEntry e = TTY_INFO_ENTRY__INIT;
	TtyPtyEntry pty = TTY_PTY_ENTRY__INIT;

	e.id = id;
	e.type = is_pts(fi->st.st_rdev) ? TTY_TYPE__PTY : TTY_TYPE__CTTY;
	e.rdev = file_kdev(fi->st.st_rdev);
	e.has_dev = e.has_uid = e.has_gid = 1;
	e.dev = file_kdev(fi->st.st_dev);
	e.uid = fi->st.st_uid;
	e.gid = fi->st.st_gid;
	if (is_pts(fi->st.st_rdev)) {
		pty.index = minor(fi->st.st_rdev);
		e.pty = &pty;
	}
	read_owner(ctx, fi, &e);
	e.termios = dump_termios(ctx, fi);
	e.winsize = dump_winsize(ctx, fi);
	return file_side_put(ctx, IMAGE_TTY_INFO, &e.base, NULL, 0);
}

static int tty_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	TtyFileEntry *e = (TtyFileEntry *)d->msg;
	struct file_desc *reg;
	bool tty_dev = fi->st.st_rdev == makedev(5, 0);
	int ret;

	if (!is_pts(fi->st.st_rdev) && !tty_dev)
		return file_blocker(
			ctx, fi, "tty-kind", EOPNOTSUPP,
			fi->st.st_rdev == makedev(5, 2)
				? "the master of a terminal: not supported by this version"
				: "a terminal of a kind that this version does not know");
	if (!ctx->opts->shell_job)
		return file_blocker(ctx, fi, "tty-outside", EOPNOTSUPP,
				    "a terminal whose other side is not in the tree; a job of a "
				    "shell needs --shell-job");
	reg = file_desc_make(ctx, FILE_KIND_reg, fi);
	ret = reg_describe(ctx, reg, fi);
	if (ret)
		return ret;
	e->has_regf_id = 1;
	e->regf_id = reg->id;
	e->tty_info_id = minor(fi->st.st_rdev) + 1;
	if (file_seen(ctx, FILE_KIND_tty, fi->st.st_rdev))
		return 0;
	file_see(ctx, FILE_KIND_tty, fi->st.st_rdev, d);
	return put_info(ctx, fi, e->tty_info_id);
}

const struct file_dump_ops tty_dump_ops = { .probe = tty_probe, .dump = tty_dump };
