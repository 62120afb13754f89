/*
 * files_kept - what the last descriptor of a socket costs. A task that is
 * killed closes its descriptors one after the other, and of a socket the last
 * one takes the queue with it: of ten thousand that is a third of a dump. So
 * the copies of sockets that were looked at are kept until the tree has died,
 * which then only lets go of them, and are closed by two threads.
 *
 * This program's own table is made large enough for them at once: the kernel
 * waits for an RCU grace period each time one grows that threads share.
 */
#include "dump/files.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"

#define SPARE 1024 /* numbers for whatever else is open meanwhile */

/* Numbers up to @top, of which there may be more than the soft limit allows. */
static bool grow_table(struct dump_files *f, size_t top)
{
	struct rlimit l;
	int fd;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || top >= l.rlim_max)
		return false;
	if (top >= l.rlim_cur) {
		f->nofile = f->nofile ? f->nofile : l.rlim_cur;
		l.rlim_cur = l.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &l) < 0)
			return false;
	}
	fd = fcntl(f->own_dir, F_DUPFD_CLOEXEC, (int)top);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/**
 * files_kept_room - make room for the copies of a large table
 * @ctx: the dump; it has one thread
 * @n: descriptors of the table
 */
void files_kept_room(struct dump_ctx *ctx, size_t n)
{
	bool wanted = ctx->write && ctx->opts->final == DUMP_KILL;
	size_t open = ctx->nr_kept + SPARE;

	if (grow_table(ctx->files, open + (wanted ? n : 0)))
		ctx->kept_room = wanted ? ctx->nr_kept + n : 0;
	else
		grow_table(ctx->files, open);
}

/**
 * files_kept_put - the copy of a descriptor is not wanted any more
 * @ctx: the dump
 * @fi: the descriptor, the first of its description that was met
 */
void files_kept_put(struct dump_ctx *ctx, struct fd_info *fi)
{
	if (fi->domain == AF_UNIX && fi->local >= 0 && ctx->nr_kept < ctx->kept_room)
		arena_push(ctx->arena, ctx->kept, ctx->nr_kept) = take_fd(&fi->local);
	file_info_put(fi);
}

/**
 * files_kept_limit - this program's limit of descriptors as it was
 * @ctx: the dump
 */
void files_kept_limit(struct dump_ctx *ctx)
{
	struct rlimit l;

	if (ctx->files->nofile && getrlimit(RLIMIT_NOFILE, &l) == 0) {
		l.rlim_cur = ctx->files->nofile;
		setrlimit(RLIMIT_NOFILE, &l);
	}
}

struct half {
	const int *fds;
	size_t n;
};

static void *close_half(void *arg)
{
	const struct half *h = arg;

	for (size_t i = 0; i < h->n; i++)
		close(h->fds[i]);
	return NULL;
}

/**
 * files_kept_close - close what was kept
 * @ctx: the dump; the tree has died, or lives on
 */
void files_kept_close(struct dump_ctx *ctx)
{
	struct half low = { ctx->kept, ctx->nr_kept / 2 }, high;
	pthread_t helper;
	bool helped;

	if (!ctx->nr_kept)
		return;
	high = (struct half){ ctx->kept + low.n, ctx->nr_kept - low.n };
	helped = low.n && !pthread_create(&helper, NULL, close_half, &low);

	close_half(&high);
	if (helped)
		pthread_join(helper, NULL);
	else
		close_half(&low);
	ctx->nr_kept = 0;
}
