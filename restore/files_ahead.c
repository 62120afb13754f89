/*
 * files_ahead - every path of the image is looked up once before the first
 * process is made. With many of them that is a good part of a restore, and
 * the looks do not depend on each other: a thread for each CPU takes a run
 * after the other.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/stat.h>

#include "base/fd.h"

#define MAX_WORKERS 8
#define RUN 256 /* paths that a worker takes at once; neighbours have a directory in common */

struct ahead {
	struct path_look *looks;
	size_t n;
	atomic_size_t next;
};

static void look(struct path_dir *c, struct path_look *l)
{
	const char *base;
	int dir = path_dir_enter(c, l->path, &base);
	struct stat st;

	l->err = fstatat(dir, base, &st, AT_SYMLINK_NOFOLLOW) < 0 ? errno : 0;
	l->mode = st.st_mode;
	l->size = (uint64_t)st.st_size;
}

static void *look_worker(void *arg)
{
	struct path_dir c = PATH_DIR_INIT;
	struct ahead *a = arg;
	size_t i;

	while ((i = atomic_fetch_add(&a->next, RUN)) < a->n)
		for (size_t k = i; k < a->n && k < i + RUN; k++)
			look(&c, &a->looks[k]);
	path_dir_close(&c);
	return NULL;
}

/**
 * files_look - look paths up, as lstat(2) does
 * @looks: the paths, absolute; each gets its answer
 * @n: how many
 */
void files_look(struct path_look *looks, size_t n)
{
	struct ahead a = { .looks = looks, .n = n };
	pthread_t workers[MAX_WORKERS];
	size_t want = n / RUN, started = 0;
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) < 0)
		want = 0;
	else if (want > (size_t)CPU_COUNT(&cpus))
		want = (size_t)CPU_COUNT(&cpus);
	if (want > MAX_WORKERS)
		want = MAX_WORKERS;
	while (started + 1 < want && !pthread_create(&workers[started], NULL, look_worker, &a))
		started++;
	look_worker(&a);
	while (started-- > 0)
		pthread_join(workers[started], NULL);
}
