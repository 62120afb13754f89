/*
 * files - what the types have in common when files come back: what they
 * remember of each other before the first fork, the images that go with
 * them, and the last touches to a descriptor.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/sockdiag.h"
#include "proto/regfile.pb-c.h"

#define SETTABLE (O_APPEND | O_NONBLOCK | O_ASYNC | O_DIRECT | O_NOATIME)

/**
 * restore_files - the state that the types share
 * @t: the tree being restored
 *
 * Return: the state, made at the first call.
 */
struct restore_files *restore_files(const struct pstree *t)
{
	struct restore_ctx *ctx = engine_ctx(t);

	if (!ctx->files) {
		ctx->files = arena_new_of(t->arena, struct restore_files);
		ctx->files->dir = PATH_DIR_INIT;
	}
	return ctx->files;
}

/**
 * restore_files_free - in the tool: give back what types keep for the tasks
 * @ctx: the run; perhaps no file was ever prepared
 */
void restore_files_free(struct restore_ctx *ctx)
{
	struct restore_files *f = ctx->files;

	if (!f)
		return;
	file_gone_end(ctx);
	for (size_t i = 0; i < f->nr_tool_fds; i++)
		close_owned(f->tool_fds[i]);
	for (int i = 0; i < FILE_KINDS; i++)
		idmap_free(&f->seen[i]);
	for (int i = 0; i < IMAGE_KINDS; i++)
		idmap_free(&f->content[i]);
	idmap_free(&f->remaps);
	idmap_free(&f->gone);
	sockdiag_close(f->sockdiag);
	if (f->unix_region)
		munmap(f->unix_region, f->unix_region_size);
	if (f->tickets_made)
		munmap(f->tickets_made, f->tickets_made_size);
	path_dir_close(&f->dir);
	ctx->files = NULL;
}

/**
 * file_keep - a descriptor of the tool that types need in the tasks
 * @t: the tree
 * @fd: the variable that holds it; closed in the tool by restore_files_free()
 */
void file_keep(const struct pstree *t, int *fd)
{
	struct restore_files *f = restore_files(t);

	arena_push(t->arena, f->tool_fds, f->nr_tool_fds) = fd;
	engine_service(engine_ctx(t), fd);
}

/**
 * rfile_seen - what a type remembers
 * @t: the tree
 * @kind: the type
 * @key: its own key
 *
 * Return: what rfile_see() was given, or NULL.
 */
void *rfile_seen(const struct pstree *t, enum file_kind kind, uint64_t key)
{
	return idmap_get(&restore_files(t)->seen[kind], key);
}

/**
 * rfile_see - remember something until the end of the restore
 * @t: the tree
 * @kind: the type
 * @key: its own key
 * @what: not NULL, from the arena
 */
void rfile_see(const struct pstree *t, enum file_kind kind, uint64_t key, void *what)
{
	idmap_put(&restore_files(t)->seen[kind], key, what);
}

/**
 * file_side_load - read an image that goes with the files, once
 * @t: the tree
 * @k: the image; it has no number in its name, and may be missing
 * @desc: its message
 * @each: called for each entry, with the reader for the payload; 0 or -errno, recorded
 *
 * Return: 0 or -errno, recorded.
 */
int file_side_load(const struct pstree *t, enum image_kind k,
		   const ProtobufCMessageDescriptor *desc,
		   int (*each)(const struct pstree *t, struct image_reader *r,
			       const ProtobufCMessage *m))
{
	struct restore_files *f = restore_files(t);
	struct image_reader *r = NULL;
	ProtobufCMessage *m;
	int ret;

	if (f->loaded[k])
		return 0;
	f->loaded[k] = true;
	ret = image_open(&r, engine_ctx(t)->images, k, 0);
	if (ret)
		return ret == -ENOENT ? 0 : ret;
	while ((ret = image_get(r, desc, &m)) > 0) {
		ret = each(t, r, m);
		if (ret)
			break;
	}
	image_close(&r);
	return ret;
}

/* A thread or a group that is not there yet: restore_owners() sets it. */
static bool owner_to_come(const struct file_desc *d, const FownEntry *fown)
{
	const struct pstree_item *it;

	list_for_each(it, &d->tree->items, list) {
		if (it->pid == (pid_t)fown->pid || it->pgid == (pid_t)fown->pid)
			return true;
		for (size_t i = 0; item_alive(it) && i < it->nr_threads; i++)
			if (it->threads[i].tid == (pid_t)fown->pid)
				return true;
	}
	return false;
}

/**
 * file_set_owner - who gets the signals of a file
 * @d: its description
 * @fd: a descriptor of it in the calling process
 * @fown: who; the owner's ids are those of whoever sets it, so we become them for a moment
 *
 * Return: 0, or -1, recorded.
 */
int file_set_owner(struct file_desc *d, int fd, const FownEntry *fown)
{
	struct f_owner_ex owner = { .type = (int)fown->pid_type, .pid = (pid_t)fown->pid };
	uid_t ruid, euid, suid;
	int ret = 0;

	if (getresuid(&ruid, &euid, &suid) < 0)
		return file_fail(d, errno, "getresuid()");
	if ((ruid != fown->uid || euid != fown->euid) &&
	    syscall(SYS_setresuid, fown->uid, fown->euid, 0) < 0)
		return file_fail(d, errno, "become uid %u to own the file's signals", fown->uid);
	if (fcntl(fd, F_SETOWN_EX, &owner) < 0) {
		if (errno != ESRCH)
			ret = file_fail(d, errno, "F_SETOWN_EX to %d", owner.pid);
		else if (!owner_to_come(d, fown))
			log_warn(d->tree->report,
				 "file id %#x: %s %d, which got its signals, is gone: nobody does",
				 d->id, owner.type == F_OWNER_PGRP ? "group" : "process",
				 owner.pid);
	}
	if ((ruid != fown->uid || euid != fown->euid) &&
	    syscall(SYS_setresuid, ruid, euid, suid) < 0)
		return file_fail(d, errno, "become uid %u again", ruid);
	return ret;
}

/**
 * file_params - flags and owner of a descriptor that has just been made
 * @d: its file
 * @fd: the descriptor
 * @flags: as F_GETFL is to say them
 * @fown: who gets signals, or NULL
 *
 * Return: 0, or -1, recorded.
 */
int file_params(struct file_desc *d, int fd, uint32_t flags, const FownEntry *fown)
{
	int now;

	if (flags & O_PATH)
		return 0;
	if (fown && fown->signum && fcntl(fd, F_SETSIG, (int)fown->signum) < 0)
		return file_fail(d, errno, "F_SETSIG %u", fown->signum);
	if (fown && fown->pid && file_set_owner(d, fd, fown) < 0)
		return -1;
	now = fcntl(fd, F_GETFL);
	if (now < 0)
		return file_fail(d, errno, "F_GETFL");
	if (((uint32_t)now & SETTABLE) == (flags & SETTABLE))
		return 0;
	if (fcntl(fd, F_SETFL, (int)flags) < 0)
		return file_fail(d, errno, "F_SETFL %#o", flags);
	return 0;
}

/*
 * The description of this task that has a lease on the file and was mapped, since a WRITE lease
 * is only to be had by who alone has the file open.
 */
static struct file_desc *leased_alone(struct restore_ctx *ctx, const struct file_desc *d, int flags)
{
	const RegFileEntry *want = file_desc_entry(d);

	for (size_t i = 0; i < ctx->tree->nr_locks; i++) {
		const struct held_lock *k = &ctx->tree->locks[i];
		const RegFileEntry *have = file_desc_entry(k->desc);

		if (k->e->flag != FL_LEASE || k->desc->kind != FILE_KIND_reg ||
		    strcmp(have->name, want->name) != 0 || file_fd(k->desc) < 0 ||
		    file_is_ghost(k->desc) != file_is_ghost(d))
			continue;
		if ((have->flags & O_ACCMODE) == O_RDWR ||
		    ((have->flags & O_ACCMODE) == O_RDONLY && (flags & O_ACCMODE) == O_RDONLY))
			return k->desc;
	}
	return NULL;
}

/**
 * file_open_mapped - open a file to map it
 * @ctx: the run
 * @d: its description, which may have been opened in another way
 * @flags: access mode that the mapping needs
 *
 * Return: a descriptor that the caller closes, close-on-exec, or -errno, recorded.
 */
int file_open_mapped(struct restore_ctx *ctx, struct file_desc *d, uint32_t flags)
{
	struct file_desc *leased =
		d->kind == FILE_KIND_reg ? leased_alone(ctx, d, (int)flags) : NULL;
	int fd = -EOPNOTSUPP;

	if (leased)
		return engine_open_now(ctx, leased);
	if (d->kind == FILE_KIND_reg)
		fd = reg_open_path(d, ((int)flags & O_ACCMODE) | O_CLOEXEC);
	else if (d->kind == FILE_KIND_memfd)
		fd = memfd_open_inode(d, (int)flags & O_ACCMODE);
	else
		return engine_open_now(ctx, d);
	if (fd < 0)
		file_fail(d, -fd, "open to map it, flags %#o", flags);
	return fd;
}
