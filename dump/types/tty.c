/*
 * tty - dump of terminals: pseudoterminals of which the tree has the master,
 * slaves whose master is gone, the terminal that a shell job runs on (its
 * master is outside), /dev/tty, consoles and serial lines. The other half is
 * restore/types/tty.c.
 */
#include "dump/files_tty.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "proto/regfile.pb-c.h"

/* Keys of file_seen(): id + 1 of slaves that the tree has, and with one of these bits: */
#define KEY_INFO (1ull << 32)   /* the id is written */
#define KEY_MASTER (1ull << 33) /* the tree has the master of that id */
#define KEY_OTHER (1ull << 34)  /* device number of a terminal that is no pseudoterminal */
#define KEY_CTTY (1ull << 35)   /* device number of a terminal opened as /dev/tty */

/* Ids as the other tool gives them: pseudoterminals two by two, then the rest. */
#define ID_PTYS 1001
#define ID_REST 2004
#define ID_MORE 4096

static bool is_pts(dev_t rdev)
{
	return major(rdev) >= 136 && major(rdev) <= 143;
}

static bool is_master(dev_t rdev)
{
	return rdev == makedev(5, 2);
}

static TtyType type_of(dev_t rdev)
{
	if (is_pts(rdev) || is_master(rdev))
		return TTY_TYPE__PTY;
	if (rdev == makedev(5, 0))
		return TTY_TYPE__CTTY;
	if (rdev == makedev(5, 1))
		return TTY_TYPE__CONSOLE;
	return major(rdev) == 4 && minor(rdev) < 64 ? TTY_TYPE__VT : TTY_TYPE__SERIAL;
}

/* The terminal behind a descriptor, the slave for a master; 0 if it is hung up. */
static uint32_t tty_dev(const struct fd_info *fi)
{
	uint32_t dev;

	return ioctl(fi->local, TIOCGDEV, &dev) < 0 ? 0 : dev;
}

static uint32_t pty_index(dev_t rdev)
{
	return (major(rdev) - 136) << 20 | minor(rdev);
}

static uint32_t pty_id(uint32_t index)
{
	return 2 * index + (index > ID_PTYS ? ID_MORE : 0);
}

static uint32_t other_id(struct dump_ctx *ctx, uint64_t key)
{
	uint32_t *id = file_seen(ctx, FILE_KIND_tty, key), *next;

	if (id)
		return *id;
	next = file_seen(ctx, FILE_KIND_tty, KEY_OTHER | UINT32_MAX);
	if (!next) {
		next = arena_new_of(ctx->arena, uint32_t);
		*next = ID_REST;
		file_see(ctx, FILE_KIND_tty, KEY_OTHER | UINT32_MAX, next);
	}
	id = arena_new_of(ctx->arena, uint32_t);
	*id = (*next)++;
	file_see(ctx, FILE_KIND_tty, key, id);
	return *id;
}

static int tty_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	struct termios t;

	if (!S_ISCHR(fi->st.st_mode) || (fi->flags & O_PATH) || fi->local < 0)
		return 0;
	return is_pts(fi->st.st_rdev) ||
	       (major(fi->st.st_rdev) == 5 && minor(fi->st.st_rdev) < 3) ||
	       ioctl(fi->local, TCGETS, &t) == 0;
}

/* The path by which it was opened; that of a slave goes with its master. */
static int put_path(struct dump_ctx *ctx, TtyFileEntry *e, const struct fd_info *fi)
{
	static const char gone[] = " (deleted)";
	struct file_desc *reg = file_desc_make(ctx, FILE_KIND_reg, fi);
	RegFileEntry *r = (RegFileEntry *)reg->msg;
	size_t len = strlen(fi->link);

	e->has_regf_id = 1;
	e->regf_id = reg->id;
	if (!is_pts(fi->st.st_rdev) || len < sizeof(gone) ||
	    strcmp(fi->link + len - (sizeof(gone) - 1), gone) != 0)
		return reg_describe(ctx, reg, fi);
	r->name = arena_memdup(ctx->arena, fi->link, len + 1);
	r->name[len - (sizeof(gone) - 1)] = 0;
	r->has_mode = 1;
	r->mode = fi->st.st_mode;
	return 0;
}

static int tty_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	TtyFileEntry *e = (TtyFileEntry *)d->msg;
	dev_t rdev = fi->st.st_rdev;
	uint32_t dev = tty_dev(fi);

	if (is_master(rdev)) {
		e->tty_info_id = pty_id(pty_index(dev)) + 1;
		file_see(ctx, FILE_KIND_tty, KEY_MASTER | pty_id(pty_index(dev)), d);
	} else if (is_pts(rdev)) {
		e->tty_info_id = pty_id(pty_index(rdev));
		/* One that is hung up is not the slave of a later master of that number. */
		if (!dev)
			e->tty_info_id = other_id(ctx, KEY_OTHER | (uint32_t)rdev);
		else
			file_see(ctx, FILE_KIND_tty, e->tty_info_id + 1ull, d);
	} else {
		e->tty_info_id = other_id(ctx, rdev == makedev(5, 0) ? KEY_CTTY | dev
								     : KEY_OTHER | (uint32_t)rdev);
		if (is_pts(dev))
			file_see(ctx, FILE_KIND_tty, pty_id(pty_index(dev)) + 1ull, d);
	}
	return put_path(ctx, e, fi);
}

/* Of a master in the tree, everybody whose controlling terminal it is must be there too. */
static int check_session(struct dump_ctx *ctx, const struct fd_info *fi, const TtyInfoEntry *e)
{
	pid_t sid;

	if (e->sid || ioctl(fi->local, TIOCGSID, &sid) < 0)
		return 0;
	return file_blocker(
		ctx, fi, "tty-session", EOPNOTSUPP,
		"it is the controlling terminal of session %d, which is not in the tree", sid);
}

static void read_owner(struct dump_ctx *ctx, const struct fd_info *fi, TtyInfoEntry *e)
{
	tty_owner(ctx, tty_dev(fi), e);
	/* The format counts it for who has it open and is of that session. */
	if (!is_master(fi->st.st_rdev) && (pid_t)e->sid != fi->task->sid)
		e->sid = e->pgrp = 0;
}

/* tty[RDEV:DEV]: the restore is given it. */
static bool is_external(struct dump_ctx *ctx, const struct fd_info *fi)
{
	char what[40];

	snprintf(what, sizeof(what), "tty[%llx:%llx]", (unsigned long long)fi->st.st_rdev,
		 (unsigned long long)fi->st.st_dev);
	return outside_named(ctx, what);
}

static int check_outside(struct dump_ctx *ctx, const struct fd_info *fi, dev_t pts)
{
	if (!is_pts(pts) || ctx->opts->shell_job ||
	    file_seen(ctx, FILE_KIND_tty, KEY_MASTER | pty_id(pty_index(pts))))
		return 0;
	return file_blocker(ctx, fi, "tty-outside", EOPNOTSUPP,
			    "a terminal whose other side is not in the tree; a job of a "
			    "shell needs --shell-job");
}

static int tty_finish(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	const TtyFileEntry *f = file_desc_entry(d);
	TtyInfoEntry e = TTY_INFO_ENTRY__INIT;
	TtyPtyEntry pty = TTY_PTY_ENTRY__INIT;
	dev_t rdev = fi->st.st_rdev;
	uint32_t dev = tty_dev(fi);
	bool external = is_external(ctx, fi);
	int ret = external ? 0 : check_outside(ctx, fi, dev);

	if (ret || file_seen(ctx, FILE_KIND_tty, KEY_INFO | f->tty_info_id))
		return ret;
	file_see(ctx, FILE_KIND_tty, KEY_INFO | f->tty_info_id, d);
	e.id = f->tty_info_id;
	e.type = external ? TTY_TYPE__EXT_TTY : type_of(rdev);
	e.rdev = (uint32_t)rdev;
	e.has_dev = e.has_uid = e.has_gid = 1;
	e.dev = file_kdev(fi->st.st_dev);
	e.uid = fi->st.st_uid;
	e.gid = fi->st.st_gid;
	if (external) {
		/* Neither its name nor its number matter. */
	} else if (is_pts(rdev) || is_master(rdev)) {
		pty.index = pty_index(is_pts(rdev) ? rdev : dev);
		e.pty = &pty;
	} else if (is_pts(dev)) {
		e.has_behind = 1;
		e.behind = pty_index(dev);
	}
	tty_settings(ctx, fi->local, &e);
	if (e.termios && e.termios->c_line)
		return file_blocker(ctx, fi, "tty-kind", EOPNOTSUPP,
				    "a terminal with line discipline %u", e.termios->c_line);
	read_owner(ctx, fi, &e);
	if (is_master(rdev) && !external)
		ret = check_session(ctx, fi, &e);
	if (!ret && is_master(rdev) && !external)
		ret = tty_queues(ctx, fi, &e, e.id - 1);
	return ret ? ret : file_side_put(ctx, IMAGE_TTY_INFO, &e.base, NULL, 0);
}

const struct file_dump_ops tty_dump_ops = {
	.probe = tty_probe,
	.dump = tty_dump,
	.finish = tty_finish,
	.keep = true,
};
