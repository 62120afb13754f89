/*
 * files_pipe - what was in pipes and FIFOs, and how it gets back in. Packets
 * of a pipe in packet mode stay packets.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "proto/pipe-data.pb-c.h"

#define MAX_PIPE (1u << 30) /* bytes; no pipe is larger */

static int load_content(const struct pstree *t, struct image_reader *r, const ProtobufCMessage *m,
			enum image_kind k)
{
	const PipeDataEntry *e = (const PipeDataEntry *)m;
	struct pipe_content *c = arena_new_of(t->arena, struct pipe_content);
	uint64_t sum = 0;
	char *data = NULL;
	int ret = 0;

	for (size_t i = 0; i < e->n_packet; i++)
		sum += e->packet[i];
	if (e->bytes > MAX_PIPE || e->size > MAX_PIPE || (e->n_packet && sum != e->bytes))
		return fail(t->report, "image-pipe", EBADMSG,
			    "the data of pipe %#x: impossible lengths", e->pipe_id);
	/* So that a length that is a lie does not allocate. */
	if (e->bytes && e->bytes <= image_rest(r))
		data = arena_alloc(t->arena, e->bytes);
	if (e->bytes)
		ret = image_get_raw(r, data, e->bytes);
	*c = (struct pipe_content){ .pipe_id = e->pipe_id,
				    .bytes = e->bytes,
				    .capacity = e->has_size ? e->size : 0,
				    .data = data,
				    .packet = e->packet,
				    .nr_packets = e->n_packet };
	if (!ret)
		idmap_put(&restore_files(t)->content[k], e->pipe_id, c);
	return ret;
}

static int each_pipe(const struct pstree *t, struct image_reader *r, const ProtobufCMessage *m)
{
	return load_content(t, r, m, IMAGE_PIPES_DATA);
}

static int each_fifo(const struct pstree *t, struct image_reader *r, const ProtobufCMessage *m)
{
	return load_content(t, r, m, IMAGE_FIFO_DATA);
}

/**
 * pipe_content_load - read pipes-data.img or fifo-data.img, once
 * @t: the tree
 * @k: IMAGE_PIPES_DATA or IMAGE_FIFO_DATA
 *
 * Return: 0 or -errno, recorded.
 */
int pipe_content_load(const struct pstree *t, enum image_kind k)
{
	return file_side_load(t, k, &pipe_data_entry__descriptor,
			      k == IMAGE_PIPES_DATA ? each_pipe : each_fifo);
}

/**
 * pipe_content_find - what was in one pipe
 * @t: the tree
 * @k: as for pipe_content_load()
 * @pipe_id: the pipe
 *
 * Return: the content, or NULL if the image has none.
 */
const struct pipe_content *pipe_content_find(const struct pstree *t, enum image_kind k,
					     uint32_t pipe_id)
{
	return idmap_get(&restore_files(t)->content[k], pipe_id);
}

static int put_packets(struct file_desc *d, int fd, const struct pipe_content *c)
{
	const char *p = c->data;
	int ret;

	if (fcntl(fd, F_SETFL, O_DIRECT | O_NONBLOCK) < 0)
		return file_fail(d, errno, "put the pipe in packet mode");
	for (size_t i = 0; i < c->nr_packets; i++) {
		ret = write_all(fd, p, c->packet[i]);
		if (ret)
			return file_fail(d, -ret, "write packet %zu of %u bytes", i, c->packet[i]);
		p += c->packet[i];
	}
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return file_fail(d, errno, "leave packet mode");
	return 0;
}

/**
 * pipe_fill - capacity and content of a new pipe
 * @d: the file, for the cause of a failure
 * @fd: a descriptor that can be written to, in non-blocking mode
 * @c: its content, or NULL
 *
 * Return: 0, or -1, recorded.
 */
int pipe_fill(struct file_desc *d, int fd, const struct pipe_content *c)
{
	int ret;

	if (!c)
		return 0;
	if (c->capacity && fcntl(fd, F_GETPIPE_SZ) != (int)c->capacity &&
	    fcntl(fd, F_SETPIPE_SZ, (int)c->capacity) < 0)
		return file_fail(d, errno, "F_SETPIPE_SZ %u", c->capacity);
	if (c->nr_packets)
		return put_packets(d, fd, c);
	ret = c->bytes ? write_all(fd, c->data, c->bytes) : 0;
	return ret ? file_fail(d, -ret, "write its %u bytes", c->bytes) : 0;
}
