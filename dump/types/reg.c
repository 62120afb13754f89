/*
 * reg - dump of what is opened by a path: regular files, directories,
 * symbolic links held by O_PATH, and the character devices without state.
 * The other half is restore/types/reg.c.
 */
#include "dump/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "kernel/elf.h"
#include "proto/regfile.pb-c.h"

static int reg_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	switch (fi->st.st_mode & S_IFMT) {
	case S_IFREG:
		return fi->link[0] == '/' && !file_special(fi);
	case S_IFDIR:
		return 1;
	case S_IFLNK:
	case S_IFSOCK:
	case S_IFBLK:
	case S_IFIFO:
		return (fi->flags & O_PATH) && fi->link[0] == '/';
	case S_IFCHR:
		return (fi->flags & O_PATH) || device_stateless(fi);
	}
	return 0;
}

/* Marked for mandatory locking: no program, and to read it might wait for a lock of the tree. */
static bool mandatory(mode_t mode)
{
	return (mode & (S_ISGID | S_IXGRP)) == S_ISGID;
}

/* The build id of an ELF file, by which restore knows that it is the same program. */
static void read_build_id(RegFileEntry *e, struct arena *a, int fd)
{
	uint8_t id[ELF_BUILD_ID_MAX] = { 0 };
	size_t len;

	if (elf_build_id(fd, id, &len))
		return;
	e->n_build_id = (len + 3) / 4;
	e->build_id = arena_memdup(a, id, e->n_build_id * 4);
}

/* How long what is written will live, as the program has said. */
static void read_hint(RegFileEntry *e, int fd)
{
	uint64_t hint = 0;

	if (fcntl(fd, F_GET_RW_HINT, &hint) == 0 && hint) {
		e->has_rw_hint = 1;
		e->rw_hint = (uint32_t)hint;
	}
}

/**
 * reg_describe - fill the message of a file that has a path
 * @ctx: the dump
 * @d: its description, of type reg
 * @fi: the file
 *
 * Return: 0, or -errno with a blocker recorded.
 */
int reg_describe(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	RegFileEntry *e = (RegFileEntry *)d->msg;
	struct file_where w;
	int ret = file_where(ctx, fi, &w);

	if (ret)
		return ret;
	e->name = (char *)w.name;
	e->pos = fi->fd >= 0 ? fi->pos : 0;
	e->has_mode = 1;
	e->mode = fi->st.st_mode;
	if (S_ISREG(fi->st.st_mode)) {
		e->has_size = 1;
		e->size = (uint64_t)fi->st.st_size;
		if (fi->fd >= 0 && !(fi->flags & O_PATH))
			read_hint(e, fi->local);
		/* A file of /proc or /sys is made up while it is read: leave it alone. */
		if (fi->local >= 0 && fi->st.st_size >= 64 && (fi->flags & O_ACCMODE) != O_WRONLY &&
		    !(fi->flags & (O_DIRECT | O_PATH)) && fi->st.st_blocks &&
		    !mandatory(fi->st.st_mode))
			read_build_id(e, ctx->arena, fi->local);
	}
	return file_where_gone(ctx, d, fi, &w);
}

const struct file_dump_ops reg_dump_ops = { .probe = reg_probe, .dump = reg_describe };
