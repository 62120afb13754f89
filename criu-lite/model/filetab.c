/*
 * filetab - open file descriptions: their birth, their reference counts,
 * their kinds and their end. The tables that lead to them are fdtable.c. What each call means
 * follows OpenBSD's file(9) and kern_descrip.
 */
#include "model/filetab.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>

/**
 * filetab_init - an empty file table
 * @tab: the table of tables
 * @arena: where descs and fles are allocated
 */
void filetab_init(struct filetab *tab, struct arena *arena)
{
	*tab = (struct filetab){ .arena = arena, .maxfiles = UINT_MAX };
	pthread_mutex_init(&tab->lock, NULL);
	list_init(&tab->files);
	list_init(&tab->larval);
	list_init(&tab->tables);
	list_init(&tab->descs);
}

static void free_files(struct list_head *files)
{
	while (!list_empty(files)) {
		struct file *fp = list_first(files, struct file, f_list);

		list_del(&fp->f_list);
		free(fp);
	}
}

/**
 * filetab_fini - give back all tables and all files, whoever refers to them
 * @tab: the table of tables; nobody uses it any more. No fo_close is called.
 */
void filetab_fini(struct filetab *tab)
{
	while (!list_empty(&tab->tables)) {
		struct filedesc *fdp = list_first(&tab->tables, struct filedesc, list);

		list_del(&fdp->list);
		pthread_mutex_destroy(&fdp->fd_lock);
		free(fdp->fd_slots);
		free(fdp->fd_lomap);
		free(fdp->fd_himap);
		free(fdp);
	}
	free_files(&tab->files);
	free_files(&tab->larval);
	idmap_free(&tab->by_id);
	pthread_mutex_destroy(&tab->lock);
}

/**
 * file_new - a file that is in no table yet
 * @tab: the table of tables
 *
 * Return: the file with one reference, the caller's; or NULL with errno
 * ENFILE when there are maxfiles already, or ENOMEM.
 */
struct file *file_new(struct filetab *tab)
{
	struct file *fp = calloc(1, sizeof(*fp));

	if (!fp)
		return NULL;
	atomic_init(&fp->f_count, 1);
	fp->f_tab = tab;
	pthread_mutex_lock(&tab->lock);
	if (tab->nfiles >= tab->maxfiles) {
		pthread_mutex_unlock(&tab->lock);
		free(fp);
		errno = ENFILE;
		return NULL;
	}
	tab->nfiles++;
	list_add_tail(&fp->f_list, &tab->larval);
	pthread_mutex_unlock(&tab->lock);
	return fp;
}

/**
 * FREF - take a reference
 * @fp: a file to which the caller or a lock it holds has one
 */
void FREF(struct file *fp)
{
	unsigned was = atomic_fetch_add_explicit(&fp->f_count, 1, memory_order_relaxed);

	assert(was > 0 && was < UINT_MAX);
	(void)was;
}

/**
 * FRELE - give a reference back; with the last one the file ends
 * @fp: the file; not to be touched afterwards
 */
void FRELE(struct file *fp)
{
	struct filetab *tab = fp->f_tab;
	unsigned was = atomic_fetch_sub_explicit(&fp->f_count, 1, memory_order_acq_rel);

	assert(was > 0);
	if (was != 1)
		return;
	if (tab->fo_close)
		tab->fo_close(fp);
	pthread_mutex_lock(&tab->lock);
	list_del(&fp->f_list);
	tab->nfiles--;
	pthread_mutex_unlock(&tab->lock);
	free(fp);
}

/**
 * closef - what closing one descriptor means for its file
 * @fp: the file; the descriptor's reference and one of the caller are given back
 * @fdp: the table that the descriptor was in, or NULL
 *
 * By POSIX, closing any descriptor of a file drops every record lock that the
 * process has on it.
 *
 * Return: 0.
 */
int closef(struct file *fp, struct filedesc *fdp)
{
	struct filetab *tab = fp->f_tab;
	unsigned was;

	if (fdp && tab->fo_unlock && fp->f_type == DTYPE_VNODE) {
		bool advlock;

		pthread_mutex_lock(&fdp->fd_lock);
		advlock = fdp->fd_advlock;
		pthread_mutex_unlock(&fdp->fd_lock);
		if (advlock)
			tab->fo_unlock(fp, fdp);
	}
	was = atomic_fetch_sub_explicit(&fp->f_count, 1, memory_order_acq_rel);
	assert(was >= 2);
	(void)was;
	FRELE(fp);
	return 0;
}

/**
 * fd_iterfile - walk over all files that were ever in a table
 * @tab: the table of tables
 * @fp: the file that the last call gave, whose reference is given back; NULL to begin
 *
 * Return: the next file, with a reference; or NULL at the end. A file whose
 * last reference is going is skipped.
 */
struct file *fd_iterfile(struct filetab *tab, struct file *fp)
{
	struct list_head *at;
	struct file *next = NULL;

	pthread_mutex_lock(&tab->lock);
	for (at = fp ? fp->f_list.next : tab->files.next; at != &tab->files; at = at->next) {
		struct file *f = container_of(at, struct file, f_list);
		unsigned n = atomic_load(&f->f_count);

		while (n && !atomic_compare_exchange_weak(&f->f_count, &n, n + 1))
			;
		if (n) {
			next = f;
			break;
		}
	}
	pthread_mutex_unlock(&tab->lock);
	if (fp)
		FRELE(fp);
	return next;
}

/**
 * fd_getfile_mode - the file behind a descriptor that is open for something
 * @fdp: the table
 * @fd: its number
 * @mode: FREAD or FWRITE
 *
 * Return: as fd_getfile(); NULL also if the file is not open for @mode.
 */
struct file *fd_getfile_mode(struct filedesc *fdp, int fd, int mode)
{
	struct file *fp = fd_getfile(fdp, fd);

	if (fp && !(fp->f_flag & mode)) {
		FRELE(fp);
		return NULL;
	}
	return fp;
}

static int getfile_type(struct filedesc *fdp, int fd, enum dtype type, int err, struct file **fp)
{
	struct file *f = fd_getfile(fdp, fd);

	if (!f)
		return -EBADF;
	if (f->f_type != type) {
		FRELE(f);
		return -err;
	}
	*fp = f;
	return 0;
}

/**
 * getsock - the socket behind a descriptor
 * @fdp: the table
 * @fd: its number
 * @fp: the file, with a reference for the caller
 *
 * Return: 0, -EBADF, or -ENOTSOCK if it is something else.
 */
int getsock(struct filedesc *fdp, int fd, struct file **fp)
{
	return getfile_type(fdp, fd, DTYPE_SOCKET, ENOTSOCK, fp);
}

/**
 * getvnode - the file with an inode behind a descriptor
 * @fdp: the table
 * @fd: its number
 * @fp: the file, with a reference for the caller
 *
 * Return: 0, -EBADF, or -EINVAL if it is something else.
 */
int getvnode(struct filedesc *fdp, int fd, struct file **fp)
{
	return getfile_type(fdp, fd, DTYPE_VNODE, EINVAL, fp);
}

/**
 * fd_advlocked - say that a POSIX lock is being taken through a table
 * @fdp: the table; from now on closing a descriptor asks for fo_unlock
 */
void fd_advlocked(struct filedesc *fdp)
{
	pthread_mutex_lock(&fdp->fd_lock);
	fdp->fd_advlock = true;
	pthread_mutex_unlock(&fdp->fd_lock);
}

/**
 * fd_checkclosed - after a lock was taken: was the descriptor closed meanwhile?
 * @fdp: the table
 * @fd: the number through which the lock was taken
 * @fp: the file that it led to; the caller has a reference
 *
 * Return: true if @fd no longer leads to @fp. Close has dropped the locks of
 * before; the one just taken has been dropped by this call.
 */
bool fd_checkclosed(struct filedesc *fdp, int fd, struct file *fp)
{
	struct file *now = fd_getfile(fdp, fd);

	if (now)
		FRELE(now);
	if (now == fp)
		return false;
	if (fp->f_tab->fo_unlock)
		fp->f_tab->fo_unlock(fp, fdp);
	return true;
}

/**
 * fdshare - one more user of a table (CLONE_FILES)
 * @fdp: the table
 *
 * Return: @fdp.
 */
struct filedesc *fdshare(struct filedesc *fdp)
{
	atomic_fetch_add(&fdp->fd_refcnt, 1);
	return fdp;
}
