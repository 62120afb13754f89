/*
 * files_flight - files in flight: they are in the queue of a socket, perhaps
 * nowhere else. A queue is read when all tables are known, so that what is
 * open somewhere is found as such; the rest is described as if it were open,
 * through the descriptor that peeking at the queue gave. Sockets that come to
 * light so may have queues themselves.
 */
#include "dump/files.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

/**
 * file_later - a type has to look at a file again when all tables are known
 * @ctx: the dump
 * @d: the file; its ops->later() is to be called
 */
void file_later(struct dump_ctx *ctx, struct file_desc *d)
{
	arena_push(ctx->arena, ctx->files->later, ctx->files->nr_later) = d;
}

static int call_later(struct dump_ctx *ctx, struct file_desc *d)
{
	struct fd_info fi = d->dump->fi;
	int ret;

	fi.local = fi.via ? fcntl(fi.fd, F_DUPFD_CLOEXEC, 0)
			  : (int)syscall(SYS_pidfd_getfd, fi.task->dump->pidfd, fi.fd, 0);
	if (fi.local < 0)
		return file_blocker(ctx, &fi, "file-fetch", errno, "fetch it again");
	ret = file_dump_ops[d->kind]->later(ctx, d, &fi);
	file_info_put(&fi);
	return ret;
}

/**
 * files_later - look at queues, and at what comes to light in them
 * @ctx: the dump; every table has been read
 *
 * Return: 0, or -errno after every blocker has been recorded.
 */
int files_later(struct dump_ctx *ctx)
{
	int bad = 0;

	/* The list grows meanwhile. */
	for (size_t i = 0; i < ctx->files->nr_later; i++) {
		struct file_desc *d = ctx->files->later[i];
		int ret = d->dump ? call_later(ctx, d) : 0;

		bad = bad ? bad : ret;
	}
	return bad;
}

/**
 * file_in_flight - the description of a file that a queue has
 * @ctx: the dump
 * @via: the socket
 * @fd: a descriptor of the file, ours; taken over
 *
 * Return: the description, or NULL with the cause recorded.
 */
struct file_desc *file_in_flight(struct dump_ctx *ctx, const struct fd_info *via, int *fd)
{
	struct dump_files *f = ctx->files;
	struct fd_info fi = { .task = via->task, .fd = *fd, .local = *fd, .mnt_id = -1 };
	struct fd_info *holder = arena_new_of(ctx->arena, struct fd_info);
	struct known_file *k;
	bool found = false;

	*fd = -1;
	*holder = *via;
	fi.via = holder;
	fi.link = fi.fdinfo = "";
	k = file_info_fill(ctx, &fi) ? NULL : file_known(ctx, &fi, &found);
	if (!k || found) {
		file_info_put(&fi);
		return k ? k->d : NULL;
	}
	k->d = file_probe(ctx, &fi);
	if (fi.local >= 0)
		arena_push(ctx->arena, f->flights, f->nr_flights) = fi.local;
	return k->d;
}

/**
 * files_landed - close the descriptors of files in flight
 * @ctx: the dump; nothing is compared any more
 */
void files_landed(struct dump_ctx *ctx)
{
	for (size_t i = 0; i < ctx->files->nr_flights; i++)
		close_owned(&ctx->files->flights[i]);
	ctx->files->nr_flights = 0;
}
