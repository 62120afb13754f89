/*
 * pipe - dump. What is in a pipe is copied with tee(2) into a pipe of our
 * own and read there, so nothing is taken from it. The other half is
 * restore/types/pipe.c.
 */
#include "dump/files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <xxhash.h>

#include "proto/pipe-data.pb-c.h"
#include "proto/pipe.pb-c.h"

#define DEFAULT_CAPACITY 65536

/* What is known of one pipe, by inode. */
struct pipe_seen {
	bool data;    /* its entry is written */
	bool held[2]; /* read end, write end: in the tree */
	bool open[2]; /* somewhere, as the other end sees it */
	uint32_t capacity;
};

static struct pipe_seen *pipe_see(struct dump_ctx *ctx, ino_t ino)
{
	struct pipe_seen *p = file_seen(ctx, FILE_KIND_pipe, ino);

	if (!p) {
		p = arena_new_of(ctx->arena, struct pipe_seen);
		*p = (struct pipe_seen){ 0 };
		file_see(ctx, FILE_KIND_pipe, ino, p);
	}
	return p;
}

static int pipe_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return S_ISFIFO(fi->st.st_mode) && fi->st.st_dev == ctx->files->pipe_dev &&
	       !(fi->flags & O_PATH);
}

/* Reads all that is in our own pipe; each packet is one read. */
static int drain(struct dump_ctx *ctx, int fd, PipeDataEntry *e, char *buf, size_t len)
{
	size_t n = 0;

	while (n < len) {
		ssize_t got = read(fd, buf + n, len - n);

		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		arena_push(ctx->arena, e->packet, e->n_packet) = (uint32_t)got;
		n += (size_t)got;
	}
	if (e->n_packet == 1)
		e->n_packet = 0;
	return 0;
}

static int copy_out(struct dump_ctx *ctx, const struct fd_info *fi, PipeDataEntry *e, char *buf,
		    size_t len)
{
	const int *own = ctx->files->scratch;
	ssize_t n;

	if (fcntl(own[1], F_GETPIPE_SZ) < (int)e->size &&
	    fcntl(own[1], F_SETPIPE_SZ, (int)e->size) < 0)
		return file_blocker(ctx, fi, "pipe-size", errno, "a pipe of our own of %u bytes",
				    e->size);
	n = tee(fi->local, own[1], len, SPLICE_F_NONBLOCK);
	if (n != (ssize_t)len)
		return file_blocker(ctx, fi, "pipe-read", n < 0 ? errno : EIO,
				    "tee() of %zu bytes copied %zd", len, n);
	n = drain(ctx, own[0], e, buf, len);
	if (n < 0)
		return file_blocker(ctx, fi, "pipe-read", (int)-n, "read of a copy of its data");
	return 0;
}

/**
 * pipe_peek - write what is in a pipe or FIFO to its image
 * @ctx: the dump
 * @fi: a descriptor that can be read from
 * @k: the image
 * @pipe_id: the number by which the ends refer to it
 * @hash: XXH3 of the data
 *
 * Return: 0, or -errno with a blocker recorded.
 */
int pipe_peek(struct dump_ctx *ctx, const struct fd_info *fi, enum image_kind k, uint32_t pipe_id,
	      uint64_t *hash)
{
	PipeDataEntry e = PIPE_DATA_ENTRY__INIT;
	int size = fcntl(fi->local, F_GETPIPE_SZ), len = 0, ret = 0;
	char *buf = NULL;

	if (size < 0 || ioctl(fi->local, FIONREAD, &len) < 0)
		return file_blocker(ctx, fi, "pipe-read", errno, "FIONREAD");
	e.pipe_id = pipe_id;
	e.bytes = (uint32_t)len;
	e.has_size = 1;
	e.size = (uint32_t)size;
	if (len) {
		buf = malloc((size_t)len);
		ret = buf ? copy_out(ctx, fi, &e, buf, (size_t)len) : -ENOMEM;
	}
	if (!ret) {
		*hash = XXH3_64bits(buf ? buf : "", (size_t)len);
		ret = file_side_put(ctx, k, &e.base, buf, (size_t)len);
	}
	free(buf);
	return ret;
}

/* An end cannot count its peers, but it knows if there are none. */
static void note_ends(struct pipe_seen *p, const struct fd_info *fi)
{
	struct pollfd poll_fd = { .fd = fi->local };
	int mode = fi->flags & O_ACCMODE, other = mode == O_RDONLY;

	if (mode == O_RDWR) {
		p->held[0] = p->held[1] = true;
		return;
	}
	p->held[!other] = true;
	if (!p->open[other] && poll(&poll_fd, 1, 0) >= 0)
		p->open[other] = !(poll_fd.revents & (POLLERR | POLLHUP));
}

static int pipe_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	struct pipe_seen *p = pipe_see(ctx, fi->st.st_ino);
	PipeEntry *e = (PipeEntry *)d->msg;
	int size = fcntl(fi->local, F_GETPIPE_SZ), ret;

	e->pipe_id = (uint32_t)fi->st.st_ino;
	e->has_capacity = size > 0;
	e->capacity = p->capacity = size > 0 ? (uint32_t)size : 0;
	note_ends(p, fi);
	if (p->data || (fi->flags & O_ACCMODE) == O_WRONLY)
		return 0;
	ret = pipe_peek(ctx, fi, IMAGE_PIPES_DATA, e->pipe_id, &e->data_hash);
	e->has_data_hash = !ret;
	p->data = true;
	return ret;
}

/*
 * The other end is held outside of the tree only: as often as not by chance,
 * in a descriptor that was inherited and never used. So it is no blocker.
 */
static void warn_outside(struct dump_ctx *ctx, const struct fd_info *fi, const struct pipe_seen *p)
{
	int other = (fi->flags & O_ACCMODE) == O_RDONLY;

	if (ctx->write && !p->held[other] && p->open[other])
		log_warn(ctx->report,
			 "pid %d fd %d: the %s end of this pipe is held outside of the tree only; "
			 "after the restore nobody has it",
			 fi->task->pid, fi->fd, other ? "write" : "read");
}

/* A pipe whose read ends are all closed or elsewhere still has a capacity. */
static int pipe_finish(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	struct pipe_seen *p = pipe_see(ctx, fi->st.st_ino);
	PipeDataEntry e = PIPE_DATA_ENTRY__INIT;

	warn_outside(ctx, fi, p);
	if (p->data || p->capacity == DEFAULT_CAPACITY)
		return 0;
	p->data = true;
	e.pipe_id = (uint32_t)fi->st.st_ino;
	e.has_size = 1;
	e.size = p->capacity;
	return file_side_put(ctx, IMAGE_PIPES_DATA, &e.base, NULL, 0);
}

const struct file_dump_ops pipe_dump_ops = {
	.probe = pipe_probe,
	.dump = pipe_dump,
	.finish = pipe_finish,
};
