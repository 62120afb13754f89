/*
 * files_fetch - the descriptors of a table, one after the other. With a large
 * one a thread helps: it runs ahead and fetches, and learns what one call each
 * tells, of Unix sockets their options too. That is more than half of what a
 * table costs, and depends on nothing else; who wants a descriptor that is not
 * there yet does the same meanwhile.
 */
#include "dump/files.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "dump/files_sock.h"

#define WORTH 256 /* so many are worth a thread */
#define BATCH ((size_t)12)
#define AHEAD ((size_t)32) /* batches */

struct slot {
	struct fd_info fi;
	int err;
	struct sock_values opts;
};

struct file_fetch {
	struct pstree_item *it;
	const int *fds;
	size_t n, taken;
	bool threaded;
	bool reuseport; /* Unix sockets may have that option */
	pthread_t helper;
	sem_t room;               /* batches that may be begun */
	atomic_size_t begun;      /* descriptors, by either thread */
	atomic_bool ready[AHEAD]; /* whole batches */
	struct slot slots[];      /* AHEAD * BATCH; none without a helper, as they are 100 KiB */
};

static int fetch(struct pstree_item *it, int fd, struct fd_info *fi)
{
	*fi = (struct fd_info){ .task = it, .fd = fd, .local = -1, .mnt_id = -1 };
	return file_info_fetch(fi, it->dump->pidfd);
}

static void fetch_batch(struct file_fetch *f)
{
	size_t from = atomic_fetch_add(&f->begun, BATCH);

	for (size_t i = from; i < f->n && i < from + BATCH; i++) {
		struct slot *s = &f->slots[i % (AHEAD * BATCH)];

		s->err = fetch(f->it, f->fds[i], &s->fi);
		if (s->err || s->fi.domain != AF_UNIX)
			continue;
		sock_values_read(s->fi.local, f->reuseport, &s->opts);
		s->fi.opts = &s->opts;
	}
	atomic_store(&f->ready[from / BATCH % AHEAD], true);
}

static void *help(void *arg)
{
	struct file_fetch *f = arg;

	do {
		while (sem_wait(&f->room) < 0 && errno == EINTR)
			;
		if (atomic_load(&f->begun) < f->n)
			fetch_batch(f);
	} while (atomic_load(&f->begun) < f->n);
	return NULL;
}

/* Is there a CPU for a helper, and room for the descriptors that it holds? */
static bool helper_fits(void)
{
	cleanup_close int lowest = open("/", O_PATH | O_CLOEXEC);
	struct rlimit files;
	cpu_set_t set;

	if (lowest < 0 || getrlimit(RLIMIT_NOFILE, &files) < 0 ||
	    (size_t)lowest + 2 * AHEAD * BATCH > files.rlim_cur)
		return false;
	return sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 1;
}

/**
 * file_fetch_start - begin to fetch descriptors of a task
 * @it: the task
 * @fds: which; to be kept until the end
 * @n: how many
 *
 * Return: what file_fetch_next() takes.
 */
struct file_fetch *file_fetch_start(struct pstree_item *it, const int *fds, size_t n)
{
	bool help_wanted = n >= WORTH && helper_fits();
	size_t slots = help_wanted ? AHEAD * BATCH : 0;
	struct file_fetch *f = calloc(1, sizeof(*f) + slots * sizeof(*f->slots));

	if (!f)
		abort();
	f->it = it;
	f->fds = fds;
	f->n = n;
	if (!help_wanted)
		return f;
	sem_init(&f->room, 0, AHEAD);
	f->reuseport = sock_values_reuseport();
	f->threaded = !pthread_create(&f->helper, NULL, help, f);
	return f;
}

/* The next batch is wanted; the one before it was taken. */
static void want_batch(struct file_fetch *f)
{
	atomic_bool *ready = &f->ready[f->taken / BATCH % AHEAD];

	if (f->taken) {
		atomic_store(&f->ready[(f->taken / BATCH - 1) % AHEAD], false);
		sem_post(&f->room);
	}
	while (!atomic_load(ready))
		if (atomic_load(&f->begun) < f->n && sem_trywait(&f->room) == 0)
			fetch_batch(f);
		else
			sched_yield();
}

/**
 * file_fetch_next - the next of the descriptors
 * @f: begun by file_fetch_start()
 * @fi: filled as by file_info_fetch(); its options are gone with the next one
 *
 * Return: what file_info_fetch() returned.
 */
int file_fetch_next(struct file_fetch *f, struct fd_info *fi)
{
	struct slot *s;

	if (!f->threaded)
		return fetch(f->it, f->fds[f->taken++], fi);
	s = &f->slots[f->taken % (AHEAD * BATCH)];
	if (f->taken % BATCH == 0)
		want_batch(f);
	f->taken++;
	*fi = s->fi;
	return s->err;
}

/**
 * file_fetch_end - give back what file_fetch_start() gave
 * @f: begun by it; what was not taken is closed
 */
void file_fetch_end(struct file_fetch *f)
{
	struct fd_info fi;

	for (; f->threaded && f->taken < f->n; file_info_put(&fi))
		file_fetch_next(f, &fi);
	if (f->threaded) {
		sem_post(&f->room);
		pthread_join(f->helper, NULL);
	}
	free(f);
}
