/*
 * fifo - restore. Opening a FIFO waits for the other side, so each is opened
 * while this process holds both sides; the first description that can read
 * puts the data back. The path is that of a regfile entry. The other half is
 * dump/types/fifo.c.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/fifo.pb-c.h"
#include "proto/regfile.pb-c.h"

struct fifo_priv {
	struct file_desc *reg;
	bool fills; /* puts the data back */
};

static int fifo_prepare(struct pstree *t, struct file_desc *d)
{
	const FifoEntry *e = file_desc_entry(d);
	struct fifo_priv *p = file_desc_priv(d);
	const RegFileEntry *reg;
	int ret = pipe_content_load(t, IMAGE_FIFO_DATA);

	if (ret)
		return ret;
	p->reg = file_desc_find(t, e->has_regf_id ? e->regf_id : e->id);
	if (!p->reg || p->reg->kind != FILE_KIND_reg) {
		file_fail(d, EBADMSG, "the image has no path for it: file id %#x", e->regf_id);
		return -EBADMSG;
	}
	reg = file_desc_entry(p->reg);
	if ((reg->flags & O_ACCMODE) != O_WRONLY && !rfile_seen(t, FILE_KIND_fifo, e->pipe_id)) {
		rfile_see(t, FILE_KIND_fifo, e->pipe_id, d);
		p->fills = true;
	}
	return 0;
}

static int fifo_fill(struct file_desc *d, int both)
{
	const FifoEntry *e = file_desc_entry(d);
	const struct pipe_content *c = pipe_content_find(d->tree, IMAGE_FIFO_DATA, e->pipe_id);
	int have = 0;

	/* Somebody outside the tree has kept it open, and so what is in it. */
	if (ioctl(both, FIONREAD, &have) == 0 && have)
		return 0;
	return pipe_fill(d, both, c);
}

static int fifo_open(struct file_desc *d, int *new_fd)
{
	struct fifo_priv *p = file_desc_priv(d);
	const RegFileEntry *e = file_desc_entry(p->reg);
	cleanup_close int both = reg_open_path(p->reg, O_RDWR | O_NONBLOCK | O_CLOEXEC);
	cleanup_close int fd = -1;

	if (both < 0)
		return file_fail(p->reg, -both, "open the FIFO");
	fd = reg_open_path(p->reg, (int)e->flags | O_NONBLOCK);
	if (fd < 0)
		return file_fail(p->reg, -fd, "open the FIFO with flags %#o", e->flags);
	if (p->fills && fifo_fill(d, both) < 0)
		return -1;
	if (file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

static bool fifo_key(struct pstree *t, const struct file_desc *d, char *buf, size_t size)
{
	const FifoEntry *e = file_desc_entry(d);
	const struct file_desc *reg = file_desc_find(t, e->has_regf_id ? e->regf_id : e->id);

	if (!reg || reg->kind != FILE_KIND_reg)
		return false;
	return snprintf(buf, size, "%s", ((const RegFileEntry *)reg->msg)->name) < (int)size;
}

const struct file_desc_ops fifo_desc_ops = {
	.open = fifo_open,
	.key = fifo_key,
	.prepare = fifo_prepare,
	.priv_size = sizeof(struct fifo_priv),
};
