/*
 * fdtable - tables of descriptors. A slot is free, larval (its bit is set,
 * it holds no file) or mature. The lowest free slot is found through two
 * levels of bitmaps. What each call means follows OpenBSD's file(9).
 */
#include "model/filetab.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORD 64
#define FIRST_SIZE 64

struct fd_slot {
	struct file *fp; /* NULL unless mature */
	uint32_t flags;  /* FD_CLOEXEC */
};

static size_t words(size_t bits)
{
	return (bits + WORD - 1) / WORD;
}

static bool slot_taken(const struct filedesc *fdp, int fd)
{
	return fd >= 0 && fd < fdp->fd_nslots && fdp->fd_lomap[fd / WORD] >> fd % WORD & 1;
}

static void slot_take(struct filedesc *fdp, int fd)
{
	uint64_t *lo = &fdp->fd_lomap[fd / WORD];

	*lo |= UINT64_C(1) << fd % WORD;
	if (*lo == UINT64_MAX)
		fdp->fd_himap[fd / WORD / WORD] |= UINT64_C(1) << fd / WORD % WORD;
}

static void slot_free(struct filedesc *fdp, int fd)
{
	fdp->fd_lomap[fd / WORD] &= ~(UINT64_C(1) << fd % WORD);
	fdp->fd_himap[fd / WORD / WORD] &= ~(UINT64_C(1) << fd / WORD % WORD);
	fdp->fd_slots[fd] = (struct fd_slot){ 0 };
}

/* The lowest zero bit >= @from in a map of @n bits, or -1. */
static int lowest_zero(const uint64_t *map, int from, int n)
{
	for (int w = from / WORD; w * WORD < n; w++) {
		uint64_t zeros = ~map[w];

		if (w == from / WORD)
			zeros &= UINT64_MAX << from % WORD;
		if (zeros) {
			int bit = w * WORD + __builtin_ctzll(zeros);

			return bit < n ? bit : -1;
		}
	}
	return -1;
}

/* The lowest free slot >= @want among the allocated ones, or -1. */
static int lowest_free(const struct filedesc *fdp, int want)
{
	int nwords = fdp->fd_nslots / WORD, w = want / WORD, fd;

	if (want >= fdp->fd_nslots)
		return -1;
	fd = lowest_zero(fdp->fd_lomap, want, (w + 1) * WORD);
	if (fd >= 0)
		return fd;
	w = w + 1 < nwords ? lowest_zero(fdp->fd_himap, w + 1, nwords) : -1;
	return w < 0 ? -1 : lowest_zero(fdp->fd_lomap, w * WORD, (w + 1) * WORD);
}

static void *grown(void *old, size_t old_size, size_t new_size)
{
	char *p = realloc(old, new_size);

	if (p)
		memset(p + old_size, 0, new_size - old_size);
	return p;
}

/* Doubles the table until it has more than @fd slots. */
static int fdexpand(struct filedesc *fdp, int fd)
{
	size_t old = (size_t)fdp->fd_nslots, n = old ? old : FIRST_SIZE;
	void *p;

	while (n <= (size_t)fd)
		n *= 2;
	if (n == old)
		return 0;
	/* Each array stays valid if a later one cannot grow. */
	p = grown(fdp->fd_slots, old * sizeof(struct fd_slot), n * sizeof(struct fd_slot));
	if (!p)
		return -ENOMEM;
	fdp->fd_slots = p;
	p = grown(fdp->fd_lomap, words(old) * 8, words(n) * 8);
	if (!p)
		return -ENOMEM;
	fdp->fd_lomap = p;
	p = grown(fdp->fd_himap, words(words(old)) * 8, words(words(n)) * 8);
	if (!p)
		return -ENOMEM;
	fdp->fd_himap = p;
	fdp->fd_nslots = (int)n;
	return 0;
}

/* Takes the lowest free slot >= @want; the table is locked. */
static int fdalloc(struct filedesc *fdp, int want, int *fd)
{
	int got, ret;

	if (want < 0)
		return -EINVAL;
	if (want >= fdp->fd_limit)
		return -EMFILE;
	got = lowest_free(fdp, want);
	if (got < 0) {
		got = want > fdp->fd_nslots ? want : fdp->fd_nslots;
		if (got >= fdp->fd_limit)
			return -EMFILE;
		ret = fdexpand(fdp, got);
		if (ret)
			return ret;
	}
	if (got >= fdp->fd_limit)
		return -EMFILE;
	slot_take(fdp, got);
	*fd = got;
	return 0;
}

/**
 * filedesc_new - an empty table
 * @tab: the table of tables it is added to
 * @limit: the first number that it may not use, as RLIMIT_NOFILE
 *
 * Return: the table with one reference, or NULL with errno ENOMEM.
 */
struct filedesc *filedesc_new(struct filetab *tab, int limit)
{
	struct filedesc *fdp = calloc(1, sizeof(*fdp));

	if (!fdp)
		return NULL;
	atomic_init(&fdp->fd_refcnt, 1);
	pthread_mutex_init(&fdp->fd_lock, NULL);
	fdp->fd_limit = limit;
	fdp->tab = tab;
	list_init(&fdp->fles);
	pthread_mutex_lock(&tab->lock);
	list_add_tail(&fdp->list, &tab->tables);
	pthread_mutex_unlock(&tab->lock);
	return fdp;
}

/**
 * falloc - a new file and a larval slot for it
 * @fdp: the table
 * @want: the lowest number that will do
 * @fp: the file; two references: the slot's, for fdinsert(), and the caller's, for FRELE()
 * @fd: the number
 *
 * To give up before fdinsert(): fdremove(), then closef().
 *
 * Return: 0, -EMFILE at the table's limit, -ENFILE when there are too many
 * files (the slot is free again), -EINVAL for a negative number, -ENOMEM.
 */
int falloc(struct filedesc *fdp, int want, struct file **fp, int *fd)
{
	struct file *f;
	int got, ret;

	pthread_mutex_lock(&fdp->fd_lock);
	ret = fdalloc(fdp, want, &got);
	pthread_mutex_unlock(&fdp->fd_lock);
	if (ret)
		return ret;
	f = file_new(fdp->tab);
	if (!f) {
		ret = -errno;
		fdremove(fdp, got);
		return ret;
	}
	FREF(f);
	*fp = f;
	*fd = got;
	return 0;
}

/**
 * fd_reserve - make one exact slot larval
 * @fdp: the table
 * @fd: its number
 *
 * Return: 0, -EBUSY if the slot is taken, or as falloc().
 */
int fd_reserve(struct filedesc *fdp, int fd)
{
	int got, ret;

	pthread_mutex_lock(&fdp->fd_lock);
	ret = slot_taken(fdp, fd) ? -EBUSY : fdalloc(fdp, fd, &got);
	pthread_mutex_unlock(&fdp->fd_lock);
	return ret;
}

/**
 * fdinsert - a larval slot becomes mature
 * @fdp: the table
 * @fd: the slot, which the caller made larval
 * @fdflags: FD_CLOEXEC or 0
 * @fp: its file; one reference becomes the slot's
 */
void fdinsert(struct filedesc *fdp, int fd, int fdflags, struct file *fp)
{
	struct filetab *tab = fp->f_tab;

	pthread_mutex_lock(&fdp->fd_lock);
	assert(slot_taken(fdp, fd) && !fdp->fd_slots[fd].fp);
	pthread_mutex_lock(&tab->lock);
	if (!fp->f_inserted) {
		fp->f_inserted = true;
		list_del(&fp->f_list);
		list_add_tail(&fp->f_list, &tab->files);
	}
	pthread_mutex_unlock(&tab->lock);
	fdp->fd_slots[fd] = (struct fd_slot){ fp, (uint32_t)fdflags };
	pthread_mutex_unlock(&fdp->fd_lock);
}

/**
 * fdremove - a slot, larval or mature, becomes free; no reference moves
 * @fdp: the table
 * @fd: the slot
 */
void fdremove(struct filedesc *fdp, int fd)
{
	pthread_mutex_lock(&fdp->fd_lock);
	assert(slot_taken(fdp, fd));
	slot_free(fdp, fd);
	pthread_mutex_unlock(&fdp->fd_lock);
}

/**
 * fdrelease - close a descriptor
 * @fdp: the table
 * @fd: its number
 *
 * Return: 0, or -EBADF if the slot is free or larval.
 */
int fdrelease(struct filedesc *fdp, int fd)
{
	struct file *fp;

	pthread_mutex_lock(&fdp->fd_lock);
	fp = slot_taken(fdp, fd) ? fdp->fd_slots[fd].fp : NULL;
	if (fp) {
		FREF(fp);
		slot_free(fdp, fd);
	}
	pthread_mutex_unlock(&fdp->fd_lock);
	return fp ? closef(fp, fdp) : -EBADF;
}

/**
 * fd_dup2 - a second descriptor for an open file, at an exact number
 * @fdp: the table
 * @from: the descriptor
 * @to: the number; what is there is closed
 * @fdflags: flags of the new descriptor
 *
 * Return: 0; -EBADF if @from is not open or @to is out of range; -EBUSY if
 * @to is larval; -EDEADLK if the file has too many references; -ENOMEM.
 */
int fd_dup2(struct filedesc *fdp, int from, int to, int fdflags)
{
	struct file *fp, *old = NULL;
	int got, ret = 0;

	pthread_mutex_lock(&fdp->fd_lock);
	fp = slot_taken(fdp, from) ? fdp->fd_slots[from].fp : NULL;
	if (!fp || to < 0 || to >= fdp->fd_limit)
		ret = -EBADF;
	else if (from == to)
		fp = NULL;
	else if (atomic_load(&fp->f_count) >= FDUP_MAX_COUNT)
		ret = -EDEADLK;
	else if (!slot_taken(fdp, to))
		ret = fdalloc(fdp, to, &got);
	else if (!(old = fdp->fd_slots[to].fp))
		ret = -EBUSY;
	if (!ret && fp) {
		FREF(fp);
		if (old)
			FREF(old);
		fdp->fd_slots[to] = (struct fd_slot){ fp, (uint32_t)fdflags };
	}
	pthread_mutex_unlock(&fdp->fd_lock);
	return !ret && old ? closef(old, fdp) : ret;
}

/**
 * fd_getfile - the file behind a descriptor
 * @fdp: the table
 * @fd: its number
 *
 * Return: the file with a reference for the caller, or NULL if the slot is
 * free or larval.
 */
struct file *fd_getfile(struct filedesc *fdp, int fd)
{
	struct file *fp;

	pthread_mutex_lock(&fdp->fd_lock);
	fp = slot_taken(fdp, fd) ? fdp->fd_slots[fd].fp : NULL;
	if (fp)
		FREF(fp);
	pthread_mutex_unlock(&fdp->fd_lock);
	return fp;
}

/**
 * fdcopy - a table as fork makes it: the same files at the same numbers
 * @fdp: the table; its larval slots are not copied
 *
 * Return: the copy with one reference, or NULL with errno ENOMEM.
 */
struct filedesc *fdcopy(struct filedesc *fdp)
{
	struct filedesc *copy = filedesc_new(fdp->tab, fdp->fd_limit);

	if (!copy)
		return NULL;
	pthread_mutex_lock(&fdp->fd_lock);
	if (fdp->fd_nslots && fdexpand(copy, fdp->fd_nslots - 1) < 0) {
		pthread_mutex_unlock(&fdp->fd_lock);
		fdfree(copy);
		errno = ENOMEM;
		return NULL;
	}
	for (int fd = 0; fd < fdp->fd_nslots; fd++) {
		if (!fdp->fd_slots[fd].fp)
			continue;
		FREF(fdp->fd_slots[fd].fp);
		slot_take(copy, fd);
		copy->fd_slots[fd] = fdp->fd_slots[fd];
	}
	pthread_mutex_unlock(&fdp->fd_lock);
	return copy;
}

/**
 * fdfree - one user of a table less; the last one closes everything
 * @fdp: the table; not to be touched afterwards
 */
void fdfree(struct filedesc *fdp)
{
	if (atomic_fetch_sub(&fdp->fd_refcnt, 1) != 1)
		return;
	for (int fd = 0; fd < fdp->fd_nslots; fd++)
		fdrelease(fdp, fd);
	pthread_mutex_lock(&fdp->tab->lock);
	list_del(&fdp->list);
	pthread_mutex_unlock(&fdp->tab->lock);
	pthread_mutex_destroy(&fdp->fd_lock);
	free(fdp->fd_slots);
	free(fdp->fd_lomap);
	free(fdp->fd_himap);
	free(fdp);
}

/**
 * fd_flags - the flags of a descriptor
 * @fdp: the table
 * @fd: its number
 *
 * Return: FD_CLOEXEC or 0; -EBADF if the slot is free or larval.
 */
int fd_flags(struct filedesc *fdp, int fd)
{
	int ret = -EBADF;

	pthread_mutex_lock(&fdp->fd_lock);
	if (slot_taken(fdp, fd) && fdp->fd_slots[fd].fp)
		ret = (int)fdp->fd_slots[fd].flags;
	pthread_mutex_unlock(&fdp->fd_lock);
	return ret;
}
