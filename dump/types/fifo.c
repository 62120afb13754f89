/*
 * fifo - dump. A FIFO is a pipe with a name: its entry refers to a regfile
 * entry that has the path, and its data goes to an image of its own. The
 * other half is restore/types/fifo.c.
 */
#include "dump/files.h"

#include <fcntl.h>

#include "proto/fifo.pb-c.h"

/* A FIFO met before, by inode. */
struct fifo_seen {
	struct fifo_seen *next; /* of the same inode number on another device */
	dev_t dev;
	uint32_t pipe_id;
	bool data;
};

static int fifo_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return S_ISFIFO(fi->st.st_mode) && fi->st.st_dev != ctx->files->pipe_dev &&
	       !(fi->flags & O_PATH);
}

static struct fifo_seen *fifo_see(struct dump_ctx *ctx, const struct fd_info *fi, uint32_t id)
{
	struct fifo_seen *first = file_seen(ctx, FILE_KIND_fifo, fi->st.st_ino), *f;

	for (f = first; f; f = f->next)
		if (f->dev == fi->st.st_dev)
			return f;
	f = arena_new_of(ctx->arena, struct fifo_seen);
	/* Inode numbers are ids as long as no two devices have the same. */
	*f = (struct fifo_seen){ .dev = fi->st.st_dev,
				 .pipe_id = first ? id | 0x80000000u : (uint32_t)fi->st.st_ino };
	if (first) {
		f->next = first->next;
		first->next = f;
	} else {
		file_see(ctx, FILE_KIND_fifo, fi->st.st_ino, f);
	}
	return f;
}

static int fifo_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	struct file_desc *reg = file_desc_make(ctx, FILE_KIND_reg, fi);
	struct fifo_seen *f = fifo_see(ctx, fi, d->id);
	FifoEntry *e = (FifoEntry *)d->msg;
	int size = fcntl(fi->local, F_GETPIPE_SZ), ret;

	ret = reg_describe(ctx, reg, fi);
	if (ret)
		return ret;
	e->has_regf_id = 1;
	e->regf_id = reg->id;
	e->pipe_id = f->pipe_id;
	e->has_capacity = size > 0;
	e->capacity = size > 0 ? (uint32_t)size : 0;
	if (f->data || (fi->flags & O_ACCMODE) == O_WRONLY)
		return 0;
	ret = pipe_peek(ctx, fi, IMAGE_FIFO_DATA, f->pipe_id, &e->data_hash);
	e->has_data_hash = !ret;
	f->data = true;
	return ret;
}

const struct file_dump_ops fifo_dump_ops = { .probe = fifo_probe, .dump = fifo_dump };
