/*
 * locks_wait - threads that wait for a lock. Each was taken out of the queue
 * when it was stopped, and makes its call again when it goes on, here or where
 * it is restored: the registers say all. What it waits for is told for those
 * who look at the image.
 */
#include "dump/locks.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "dump/files.h"

static const unsigned char syscall_insn[] = { 0x0f, 0x05 };

static bool peek(pid_t pid, uint64_t at, void *buf, size_t len)
{
	struct iovec local = { buf, len }, remote = { (void *)(uintptr_t)at, len };

	return process_vm_readv(pid, &local, 1, &remote, 1, 0) == (ssize_t)len;
}

static LockWaitEntry *wait_new(struct dump_ctx *ctx, uint32_t flag, int type, int fd)
{
	LockWaitEntry *w = arena_new_of(ctx->arena, LockWaitEntry);

	lock_wait_entry__init(w);
	w->flag = flag;
	w->type = (uint32_t)type;
	w->fd = fd;
	return w;
}

/* Where a range that is given relatively begins. */
static int64_t range_base(struct filedesc *fdt, int fd, int whence)
{
	struct file *fp = fdt ? fd_getfile(fdt, fd) : NULL;
	const struct file_desc *d = fp ? fp->f_desc : NULL;
	int64_t base = 0;

	if (d && d->dump && whence == SEEK_CUR)
		base = (int64_t)d->dump->fi.pos;
	else if (d && d->dump && whence == SEEK_END)
		base = (int64_t)d->dump->fi.st.st_size;
	if (fp)
		FRELE(fp);
	return base;
}

static LockWaitEntry *range_wait(struct dump_ctx *ctx, const struct pstree_item *it,
				 const struct task_thread *th, const UserX86RegsEntry *r)
{
	struct flock fl;
	LockWaitEntry *w;

	if ((r->si != F_SETLKW && r->si != F_OFD_SETLKW) || !peek(it->pid, r->dx, &fl, sizeof(fl)))
		return NULL;
	w = wait_new(ctx, r->si == F_SETLKW ? FL_POSIX : FL_OFD, fl.l_type, (int)r->di);
	w->has_start = w->has_len = 1;
	w->start = range_base(th->fdt ? th->fdt : it->fdt, w->fd, fl.l_whence) + fl.l_start;
	w->len = fl.l_len;
	return w;
}

/* A path, cut at what is mapped. */
static bool peek_path(pid_t pid, uint64_t at, char path[4096])
{
	size_t n = 0;

	while (n < 4096) {
		size_t chunk = 256 - (at + n) % 256;

		chunk = chunk < 4096 - n ? chunk : 4096 - n;
		if (!peek(pid, at + n, path + n, chunk))
			return false;
		if (memchr(path + n, 0, chunk))
			return true;
		n += chunk;
	}
	return false;
}

/* open() of a file on which there is a lease that it breaks. */
static LockWaitEntry *open_wait(struct dump_ctx *ctx, const struct pstree_item *it, pid_t tid,
				int dir, uint64_t at, uint64_t oflags)
{
	char path[4096], name[4224];
	LockWaitEntry *w;
	struct stat st;

	if (!peek_path(it->pid, at, path))
		return NULL;
	if (path[0] == '/')
		snprintf(name, sizeof(name), "root%s", path);
	else if (dir == AT_FDCWD)
		snprintf(name, sizeof(name), "cwd/%s", path);
	else
		snprintf(name, sizeof(name), "task/%d/fd/%d/%s", tid, dir, path);
	if (fstatat(it->dump->proc_fd, name, &st, 0) < 0 || !S_ISREG(st.st_mode) ||
	    !locks_leased(ctx, &st))
		return NULL;
	w = wait_new(ctx, FL_LEASE, (oflags & O_ACCMODE) == O_RDONLY ? F_RDLCK : F_WRLCK, -1);
	w->name = arena_strdup(ctx->arena, path);
	return w;
}

static LockWaitEntry *thread_wait(struct dump_ctx *ctx, const struct pstree_item *it,
				  const struct task_thread *th)
{
	const UserX86RegsEntry *r = th->core->thread_info->gpregs;
	unsigned char insn[sizeof(syscall_insn)];

	if (r->ax != SYS_fcntl && r->ax != SYS_flock && r->ax != SYS_open && r->ax != SYS_openat)
		return NULL;
	if (!peek(it->pid, r->ip, insn, sizeof(insn)) ||
	    memcmp(insn, syscall_insn, sizeof(insn)) != 0)
		return NULL;
	switch (r->ax) {
	case SYS_fcntl:
		return range_wait(ctx, it, th, r);
	case SYS_flock:
		if (r->si & LOCK_NB || !(r->si & (LOCK_SH | LOCK_EX)))
			return NULL;
		return wait_new(ctx, FL_FLOCK, r->si & LOCK_SH ? F_RDLCK : F_WRLCK, (int)r->di);
	case SYS_open:
		return open_wait(ctx, it, th->tid, AT_FDCWD, r->di, r->si);
	default:
		return open_wait(ctx, it, th->tid, (int)r->di, r->si, r->dx);
	}
}

/**
 * locks_waits - tell which threads wait for a lock
 * @ctx: the dump; registers and files are known
 */
void locks_waits(struct dump_ctx *ctx)
{
	struct pstree_item *it;

	list_for_each(it, &ctx->tree->items, list)
		for (size_t i = 0; item_alive(it) && !it->dump->refused && i < it->nr_threads;
		     i++) {
			CoreEntry *core = it->threads[i].core;

			if (core && core->thread_core && core->thread_info)
				core->thread_core->lock_wait =
					thread_wait(ctx, it, &it->threads[i]);
		}
}
