/*
 * reg - restore of what is opened by a path. Opens the path, or the file
 * without a name that files_ghost.c has made, and seeks. Before the first
 * process is made each file is looked at: it must be there and be the same.
 * Of very many, those that a task has open are looked at when they have been
 * opened: to look each path up twice would cost as much as half of the rest.
 * The other half is dump/types/reg.c.
 */
#include "restore/files.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/fd.h"
#include "kernel/elf.h"
#include "restore/locks.h"
#include "proto/regfile.pb-c.h"

struct reg_priv {
	size_t look;  /* restore_files.looks: what was found at the path */
	bool at_open; /* it is to be looked at when it has been opened */
};

#define VERY_MANY 1000

#define LEASE_NAP_US 5000
#define LEASE_TOLD_NS 300000000u /* so long before the time limit, at which the tool ends all */

/* The task of the tree whose /proc directory the path is in, or NULL. */
static struct pstree_item *proc_task(const struct file_desc *d)
{
	const RegFileEntry *e = file_desc_entry(d);

	if (strncmp(e->name, "/proc/", 6) || !isdigit((unsigned char)e->name[6]))
		return NULL;
	return pstree_find(d->tree, atoi(e->name + 6));
}

/* A thread other than the leader comes late, and so do its files below /proc. */
static bool of_thread(const struct file_desc *d)
{
	const RegFileEntry *e = file_desc_entry(d);
	const char *rest = proc_task(d) ? strstr(e->name, "/task/") : NULL;

	return rest && rest == e->name + 6 + strspn(e->name + 6, "0123456789") &&
	       isdigit((unsigned char)rest[6]) && atoi(rest + 6) != atoi(e->name + 6);
}

static int check_build_id(struct file_desc *d)
{
	const RegFileEntry *e = file_desc_entry(d);
	cleanup_close int fd = open(e->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	uint8_t id[ELF_BUILD_ID_MAX] = { 0 };
	size_t len = 0;

	if (fd < 0)
		return file_fail(d, errno, "open for reading its build id");
	if (!elf_build_id(fd, id, &len) && (len + 3) / 4 == e->n_build_id &&
	    !memcmp(id, e->build_id, len))
		return 0;
	return file_fail(d, ESTALE,
			 "the program is another one than at the dump: its build id "
			 "differs");
}

/* What nearly all are. */
static bool as_dumped(const RegFileEntry *e, const struct path_look *l)
{
	return e->name[0] == '/' && !l->err && !e->n_build_id &&
	       (!e->has_mode || (l->mode & S_IFMT) == (e->mode & S_IFMT)) &&
	       (!e->has_size || !S_ISREG(l->mode) || l->size == e->size);
}

static int check_path(struct file_desc *d, const struct path_look *l)
{
	const RegFileEntry *e = file_desc_entry(d);

	if (e->name[0] != '/') {
		file_fail(d, EBADMSG, "its path is not absolute");
		return -EBADMSG;
	}
	if (l->err) {
		file_fail(d, l->err, "the file must be there as at the dump");
		return -l->err;
	}
	if (e->has_mode && (l->mode & S_IFMT) != (e->mode & S_IFMT)) {
		file_fail(d, ESTALE, "another kind of file: mode %#o, at the dump %#o", l->mode,
			  e->mode);
		return -ESTALE;
	}
	if (e->has_size && S_ISREG(l->mode) && l->size != e->size) {
		file_fail(d, ESTALE, "its size is %llu, at the dump it was %llu",
			  (unsigned long long)l->size, (unsigned long long)e->size);
		return -ESTALE;
	}
	return e->n_build_id && check_build_id(d) < 0 ? -ESTALE : 0;
}

static bool same_expected(const RegFileEntry *a, const RegFileEntry *b)
{
	return strcmp(a->name, b->name) == 0 && a->has_size == b->has_size && a->size == b->size &&
	       a->mode == b->mode && a->n_build_id == b->n_build_id;
}

static bool to_look_up(const struct file_desc *d)
{
	return d->kind == FILE_KIND_reg && !d->outside && !file_is_ghost(d) && !proc_task(d);
}

/* Only what is known to be a plain file: to open another one may do something. */
static bool may_open_first(const struct file_desc *d)
{
	const RegFileEntry *e = file_desc_entry(d);

	return !list_empty(&d->fles) && e->has_mode && S_ISREG(e->mode) && !e->n_build_id &&
	       !(e->flags & O_PATH) && e->name[0] == '/' && !e->ext;
}

/* All paths at once: see files_ahead.c. */
static void look_all(struct pstree *t)
{
	struct path_look *looks;
	struct file_desc *d;
	bool many;
	size_t n = 0;

	list_for_each(d, &t->files.descs, list)
		n += to_look_up(d);
	many = n > VERY_MANY;
	looks = arena_array(t->arena, struct path_look, n);
	n = 0;
	list_for_each(d, &t->files.descs, list) {
		struct reg_priv *p = file_desc_priv(d);
		const RegFileEntry *e = file_desc_entry(d);

		if (!to_look_up(d))
			continue;
		p->at_open = many && may_open_first(d);
		if (p->at_open)
			continue;
		p->look = n;
		looks[n++].path = e->name;
	}
	files_look(looks, n);
	restore_files(t)->looks = looks;
}

/* One line for a path, however many descriptions it has. */
static int compare(struct pstree *t, struct file_desc *d, const struct path_look *l)
{
	const RegFileEntry *e = file_desc_entry(d);
	struct file_desc *before;
	uint64_t key;

	if (as_dumped(e, l))
		return 0;
	key = XXH3_64bits(e->name, strlen(e->name));
	before = rfile_seen(t, FILE_KIND_reg, key);
	if (before && same_expected(file_desc_entry(before), e))
		return 0;
	if (!before)
		rfile_see(t, FILE_KIND_reg, key, d);
	return check_path(d, l);
}

static int reg_check(struct pstree *t, struct file_desc *d)
{
	const RegFileEntry *e = file_desc_entry(d);
	const struct reg_priv *p = file_desc_priv(d);

	if (file_is_ghost(d) || proc_task(d))
		return 0;
	if (!restore_files(t)->looks)
		look_all(t);
	if (e->ext) {
		file_fail(d, EBADF, "the dump left it outside: bring it by --inherit-fd 'fd[N]:%s'",
			  e->name);
		return -EBADF;
	}
	return p->at_open ? 0 : compare(t, d, &restore_files(t)->looks[p->look]);
}

/* What has been opened is what there was. */
static int compare_open(struct file_desc *d, int fd)
{
	struct path_look l = { .err = fd < 0 ? -fd : 0 };
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) < 0)
		return file_fail(d, errno, "fstat()");
	if (fd >= 0) {
		l.mode = st.st_mode;
		l.size = (uint64_t)st.st_size;
	}
	return as_dumped(file_desc_entry(d), &l) ? 0 : check_path(d, &l);
}

static int reg_prepare(struct pstree *t, struct file_desc *d)
{
	return file_ghost_prepare(t, d);
}

/*
 * Where to look its path up. Only in a task that restores its files is the
 * directory kept, above all numbers of the task: elsewhere a task born later
 * would inherit it, and take a planned number for it.
 */
static int enter_dir(const struct file_desc *d, const char **base)
{
	const RegFileEntry *e = file_desc_entry(d);
	struct path_dir *dir = &restore_files(d->tree)->dir;
	const struct pstree_item *me = engine_here(d->tree);

	*base = e->name;
	if (!me)
		return AT_FDCWD;
	dir->above = me->restore->service_fd_base;
	return path_dir_enter(dir, e->name, base);
}

/**
 * reg_open_path - open the file of a description
 * @d: the description, a reg
 * @flags: for open(2)
 *
 * Return: a descriptor, or -errno, not recorded.
 */
int reg_open_path(struct file_desc *d, int flags)
{
	const RegFileEntry *e = file_desc_entry(d);
	const char *base;
	int fd, dir;

	/* O_TMPFILE would make a file, and has made this one. */
	if ((flags & O_TMPFILE) == O_TMPFILE)
		flags &= ~O_TMPFILE;
	flags &= ~(O_CREAT | O_EXCL | O_TRUNC);
	/* Where nobody would be told F_SETFL cannot set it; elsewhere open() does, to no effect. */
	if (!e->has_mode || (!S_ISREG(e->mode) && !S_ISDIR(e->mode)))
		flags &= ~O_ASYNC;
	flags |= O_NOCTTY;
	if (file_is_ghost(d))
		return file_ghost_open(d, flags);
	dir = enter_dir(d, &base);
	fd = openat(dir, base, flags);
	/* The directory may have been made anew for a file that was deleted with it. */
	if (fd < 0 && dir != AT_FDCWD)
		fd = open(e->name, flags);
	return fd < 0 ? -errno : fd;
}

/*
 * F_GETFL tells for ever if a file was opened with O_CLOEXEC, as most are that
 * still have it.
 */
static int born_cloexec(const struct file_desc *d)
{
	const struct fdinfo_list_entry *fle;

	list_for_each(fle, &d->fles, of_desc)
		return fle->fdflags & FD_CLOEXEC ? O_CLOEXEC : 0;
	return O_CLOEXEC;
}

/* open(2) has set everything but the owner; what has no name may not have been opened by us. */
static int set_params(struct file_desc *d, int fd)
{
	const RegFileEntry *e = file_desc_entry(d);
	int cloexec = born_cloexec(d);

	if ((file_is_ghost(d) || (!cloexec && e->flags & O_CLOEXEC)) &&
	    fcntl(fd, F_SETFD, cloexec ? FD_CLOEXEC : 0) < 0)
		return file_fail(d, errno, "F_SETFD");
	if (!file_is_ghost(d) && !(e->flags & O_ASYNC) && !e->fown->pid && !e->fown->signum)
		return 0;
	return file_params(d, fd, e->flags, e->fown);
}

/*
 * Somebody outside may have a lease on the file, and is asked for it by this: open() would wait
 * out of sight of the time limit.
 */
static int open_patiently(struct file_desc *d, int flags)
{
	const struct restore_ctx *ctx = engine_ctx(d->tree);
	const RegFileEntry *e = file_desc_entry(d);
	int fd, err;

	if (!e->has_mode || !S_ISREG(e->mode) || flags & (O_NONBLOCK | O_PATH))
		return reg_open_path(d, flags);
	while ((fd = reg_open_path(d, flags | O_NONBLOCK)) == -EWOULDBLOCK) {
		if (atomic_load(&ctx->shared->abort) ||
		    restore_now() + LEASE_TOLD_NS > ctx->deadline_ns)
			return fd;
		usleep(LEASE_NAP_US);
	}
	if (fd < 0 || fcntl(fd, F_SETFL, flags & ~O_ASYNC) == 0)
		return fd;
	err = errno;
	close(fd);
	return -err;
}

static int open_at_position(struct file_desc *d)
{
	const RegFileEntry *e = file_desc_entry(d);
	const struct reg_priv *p = file_desc_priv(d);
	uint64_t hint = e->has_rw_hint ? e->rw_hint : 0;
	cleanup_close int fd = open_patiently(d, (int)e->flags | born_cloexec(d));

	if (fd == -EWOULDBLOCK)
		return file_fail(d, EWOULDBLOCK,
				 "process %d has a lease on it and does not give it up; end that, "
				 "or let it release the lease",
				 locks_lease_holder(d));
	if (p->at_open && (fd >= 0 || fd == -ENOENT) && compare_open(d, fd) < 0)
		return -1;
	if (fd < 0)
		return file_fail(d, -fd, "open with flags %#o", e->flags);
	if (!(e->flags & O_PATH) && e->pos && lseek(fd, (off_t)e->pos, SEEK_SET) < 0)
		return file_fail(d, errno, "seek to %llu", (unsigned long long)e->pos);
	if (hint && fcntl(fd, F_SET_RW_HINT, &hint) < 0 && errno != EINVAL)
		return file_fail(d, errno, "write hint %u", e->rw_hint);
	if (set_params(d, fd) < 0)
		return -1;
	return take_fd(&fd);
}

static int reg_open(struct file_desc *d, int *new_fd)
{
	struct pstree_item *task = proc_task(d);

	if (task && restore_get_phase(engine_ctx(d->tree), task) < RST_BORN)
		return 1;
	*new_fd = of_thread(d) ? late_placeholder(d) : open_at_position(d);
	return *new_fd < 0 ? -1 : 0;
}

static int reg_late(struct pstree *t, struct file_desc *d)
{
	cleanup_close int fd = -1;

	(void)t;
	if (list_empty(&d->fles) || !of_thread(d) || file_is_ghost(d))
		return 0;
	fd = open_at_position(d);
	return fd < 0 ? -1 : late_plant(d, fd);
}

static bool reg_key(struct pstree *t, const struct file_desc *d, char *buf, size_t size)
{
	const RegFileEntry *e = file_desc_entry(d);

	(void)t;
	return snprintf(buf, size, "%s", e->name) < (int)size;
}

const struct file_desc_ops reg_desc_ops = {
	.open = reg_open,
	.prepare = reg_prepare,
	.check = reg_check,
	.late = reg_late,
	.priv_size = sizeof(struct reg_priv),
	.key = reg_key,
	.lands = true,
};
