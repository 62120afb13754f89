/*
 * files_ttyload - which terminals an image has: masters and who has what of
 * them. The tool makes all pseudoterminals, and those that are hung up, before
 * the first fork.
 */
#include "restore/files_tty.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"

#define RDEV_PTMX ((5u << 8) | 2) /* rdev of masters in the image */

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
	if (!strncmp(r->name, TTY_PTS, sizeof(TTY_PTS) - 1) && list_empty(&reg->fles))
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

/**
 * tty_is_slave - is it a slave, or what /dev/tty leads to?
 * @i: the terminal
 *
 * Return: true if so.
 */
bool tty_is_slave(const TtyInfoEntry *i)
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
			if (tty_is_slave(p->info) && p->info->termios)
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
		if (p && tty_is_slave(p->info) && !p->info->termios && make_hung(t, d) < 0)
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

/**
 * tty_load - in the tool: read all terminals of the image, and make those that can be made
 * @t: the tree
 *
 * Return: 0 or -errno, recorded.
 */
int tty_load(struct pstree *t)
{
	int ret = file_side_load(t, IMAGE_TTY_INFO, &tty_info_entry__descriptor, each_info);

	if (!ret)
		ret = file_side_load(t, IMAGE_TTY_DATA, &tty_data_entry__descriptor, each_data);
	if (!ret)
		ret = index_all(t);
	return ret ? ret : make_all(t);
}

/**
 * tty_info_find - a terminal of the image
 * @t: the tree
 * @id: its number there
 *
 * Return: its entry, or NULL.
 */
const TtyInfoEntry *tty_info_find(const struct pstree *t, uint32_t id)
{
	if (file_side_load(t, IMAGE_TTY_INFO, &tty_info_entry__descriptor, each_info))
		return NULL;
	return idmap_get(&restore_files(t)->content[IMAGE_TTY_INFO], id);
}
