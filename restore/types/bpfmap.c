/*
 * bpfmap - restore. The tool makes each map and fills it before the first
 * fork; a description that it was not made for is opened by the map's new id.
 * The other half is dump/types/bpfmap.c.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/bpfmap.h"
#include "proto/bpfmap-data.pb-c.h"
#include "proto/bpfmap.pb-c.h"

struct bpfmap_priv {
	int fd; /* the tool's, of this description */
};

/* What was in a map. */
struct map_data {
	const BpfmapDataEntry *e;
	const char *keys, *values;
	uint32_t new_id; /* 0: not made yet */
};

static int each_data(const struct pstree *t, struct image_reader *r, const ProtobufCMessage *m)
{
	struct map_data *data = arena_new_of(t->arena, struct map_data);
	size_t len;
	char *raw;
	int ret;

	data->e = (const BpfmapDataEntry *)m;
	len = (size_t)data->e->keys_bytes + data->e->values_bytes;
	if (len > image_rest(r))
		return fail(t->report, "image-truncated", EBADMSG,
			    "bpfmap-data.img: map %u has %zu bytes that are not there",
			    data->e->map_id, len);
	raw = arena_alloc(t->arena, len + 1);
	ret = len ? image_get_raw(r, raw, len) : 0;
	data->keys = raw;
	data->values = raw + data->e->keys_bytes;
	rfile_see(t, FILE_KIND_bpfmap, data->e->map_id, data);
	return ret;
}

static int make_map(struct file_desc *d, const BpfmapFileEntry *e)
{
	union bpf_attr attr = { .map_type = e->map_type,
				.key_size = e->key_size,
				.value_size = e->value_size,
				.max_entries = e->max_entries,
				/* What the description was opened for is another thing. */
				.map_flags = e->map_flags,
				.map_ifindex = e->ifindex,
				.map_extra = e->has_map_extra ? e->map_extra : 0 };
	int fd;

	if (snprintf(attr.map_name, sizeof(attr.map_name), "%s", e->map_name) >=
	    (int)sizeof(attr.map_name))
		return file_fail(d, EBADMSG, "a name that is too long");
	fd = bpf_call(BPF_MAP_CREATE, &attr);
	return fd < 0 ? file_fail(d, -fd, "make a BPF map of type %u", e->map_type) : fd;
}

/* How many bytes a value @has in the image, and how many bpf(2) @takes. */
static int value_bytes(struct file_desc *d, const BpfmapFileEntry *e, const BpfmapDataEntry *data,
		       size_t *has, size_t *takes)
{
	int cpus = bpf_map_per_cpu(e->map_type) ? bpf_possible_cpus() : 1;

	if (cpus < 0)
		return file_fail(d, -cpus, "how many processors there can be");
	*takes = bpf_value_bytes(e->map_type, e->value_size, cpus);
	*has = *takes;
	if (!bpf_map_per_cpu(e->map_type))
		return 0;
	if (!data->cpus || data->cpus > (uint32_t)cpus)
		return file_fail(d, data->cpus ? EOPNOTSUPP : EBADMSG,
				 "each of %u processors has a value of its own in it, and here "
				 "there can be only %d",
				 data->cpus, cpus);
	*has = bpf_value_bytes(e->map_type, e->value_size, (int)data->cpus);
	return 0;
}

static int fill_map(struct file_desc *d, int fd, const BpfmapFileEntry *e,
		    const struct map_data *data)
{
	union bpf_attr attr;
	size_t has, takes;
	int ret = 0;
	char *value;

	if (value_bytes(d, e, data->e, &has, &takes) < 0)
		return -1;
	if ((uint64_t)data->e->count * e->key_size != data->e->keys_bytes ||
	    (uint64_t)data->e->count * has != data->e->values_bytes)
		return file_fail(d, EBADMSG, "its content is of another size than it");
	/* Processors that the image does not know have zeros. */
	value = arena_alloc(d->tree->arena, takes);
	for (uint32_t i = 0; i < data->e->count && ret >= 0; i++) {
		memcpy(value, data->values + i * has, has);
		attr = (union bpf_attr){ .map_fd = (uint32_t)fd,
					 .key = (uint64_t)(uintptr_t)(data->keys +
								      (size_t)i * e->key_size),
					 .value = (uint64_t)(uintptr_t)value };
		ret = bpf_call(BPF_MAP_UPDATE_ELEM, &attr);
	}
	if (ret < 0)
		return file_fail(d, -ret, "put back what was in it");
	attr = (union bpf_attr){ .map_fd = (uint32_t)fd };
	ret = e->frozen ? bpf_call(BPF_MAP_FREEZE, &attr) : 0;
	return ret < 0 ? file_fail(d, -ret, "freeze it") : 0;
}

static int new_id(struct file_desc *d, int fd, uint32_t *id)
{
	struct bpf_map_info info;
	int ret = bpf_map_info(fd, &info);

	*id = info.id;
	return ret < 0 ? file_fail(d, -ret, "BPF_OBJ_GET_INFO_BY_FD") : 0;
}

static uint32_t access_of(uint32_t flags)
{
	return (flags & O_ACCMODE) == O_RDONLY   ? BPF_F_RDONLY
	       : (flags & O_ACCMODE) == O_WRONLY ? BPF_F_WRONLY
						 : 0;
}

static int open_map(struct file_desc *d, const BpfmapFileEntry *e, uint32_t id)
{
	union bpf_attr attr = { .map_id = id, .open_flags = access_of(e->flags) };
	int fd = bpf_call(BPF_MAP_GET_FD_BY_ID, &attr);

	return fd < 0 ? file_fail(d, -fd, "open it once more") : fd;
}

static int bpfmap_prepare(struct pstree *t, struct file_desc *d)
{
	const BpfmapFileEntry *e = file_desc_entry(d);
	struct bpfmap_priv *p = file_desc_priv(d);
	struct map_data *data;
	bool first;

	p->fd = -1;
	if (file_side_load(t, IMAGE_BPFMAP_DATA, &bpfmap_data_entry__descriptor, each_data))
		return -EIO;
	data = rfile_seen(t, FILE_KIND_bpfmap, e->map_id);
	if (!data) {
		file_fail(d, EBADMSG, "bpfmap-data.img has no map %u", e->map_id);
		return -EBADMSG;
	}
	first = !data->new_id;
	p->fd = first ? make_map(d, e) : open_map(d, e, data->new_id);
	if (p->fd < 0)
		return -EIO;
	file_keep(t, &p->fd);
	if (first && (fill_map(d, p->fd, e, data) < 0 || new_id(d, p->fd, &data->new_id) < 0))
		return -EIO;
	/* What can only be read or written was not made so, but opened. */
	if (first && access_of(e->flags)) {
		int fd = open_map(d, e, data->new_id);

		if (fd < 0)
			return -EIO;
		close_owned(&p->fd);
		p->fd = fd;
	}
	return 0;
}

static int bpfmap_open(struct file_desc *d, int *new_fd)
{
	const BpfmapFileEntry *e = file_desc_entry(d);
	const struct bpfmap_priv *p = file_desc_priv(d);
	cleanup_close int fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return file_fail(d, errno, "duplicate it");
	if (file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

const struct file_desc_ops bpfmap_desc_ops = {
	.open = bpfmap_open,
	.prepare = bpfmap_prepare,
	.priv_size = sizeof(struct bpfmap_priv),
};
