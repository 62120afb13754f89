/*
 * bpfmap - dump of BPF maps: what they are, and every key with its value, or
 * with its values where each processor has one. Maps whose values are other
 * kernel objects are refused. The other half is restore/types/bpfmap.c.
 */
#include "dump/files.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "kernel/bpfmap.h"
#include "proto/bpfmap-data.pb-c.h"
#include "proto/bpfmap.pb-c.h"

static int bpfmap_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return !strcmp(fi->link, "anon_inode:bpf-map");
}

/* Keys and values of a map, one after the other. */
struct content {
	char *keys, *values;
	size_t n;
	size_t value_bytes;
	uint64_t hash; /* of all pairs, in whatever order */
};

static int read_pair(const struct fd_info *fi, const struct bpf_map_info *i, struct content *c,
		     const char *before)
{
	char *key = c->keys + c->n * i->key_size, *value = c->values + c->n * c->value_bytes;
	union bpf_attr attr = { .map_fd = (uint32_t)fi->local,
				.key = (uint64_t)(uintptr_t)before,
				.next_key = (uint64_t)(uintptr_t)key };
	int ret = bpf_call(BPF_MAP_GET_NEXT_KEY, &attr);

	if (ret)
		return ret;
	attr = (union bpf_attr){ .map_fd = (uint32_t)fi->local,
				 .key = (uint64_t)(uintptr_t)key,
				 .value = (uint64_t)(uintptr_t)value };
	ret = bpf_call(BPF_MAP_LOOKUP_ELEM, &attr);
	if (ret)
		return ret;
	c->hash += XXH3_64bits_withSeed(value, c->value_bytes, XXH3_64bits(key, i->key_size));
	c->n++;
	return 0;
}

static int read_all(const struct fd_info *fi, const struct bpf_map_info *i, struct content *c)
{
	int ret = 0;

	c->keys = malloc((size_t)i->max_entries * i->key_size);
	c->values = malloc((size_t)i->max_entries * c->value_bytes);
	if (!c->keys || !c->values)
		return -ENOMEM;
	while (!ret && c->n < i->max_entries)
		ret = read_pair(fi, i, c, c->n ? c->keys + (c->n - 1) * i->key_size : NULL);
	return ret == -ENOENT ? 0 : ret;
}

static int put_content(struct dump_ctx *ctx, const struct bpf_map_info *i, struct content *c,
		       int cpus)
{
	BpfmapDataEntry e = BPFMAP_DATA_ENTRY__INIT;

	e.map_id = i->id;
	e.keys_bytes = (uint32_t)(c->n * i->key_size);
	e.values_bytes = (uint32_t)(c->n * c->value_bytes);
	e.count = (uint32_t)c->n;
	e.has_cpus = bpf_map_per_cpu(i->type);
	e.cpus = (uint32_t)cpus;
	/* Keys and values follow each other; they are moved together for that. */
	c->keys = realloc(c->keys, (size_t)e.keys_bytes + e.values_bytes + 1);
	if (!c->keys)
		abort();
	memcpy(c->keys + e.keys_bytes, c->values, e.values_bytes);
	return file_side_put(ctx, IMAGE_BPFMAP_DATA, &e.base, c->keys,
			     (size_t)e.keys_bytes + e.values_bytes);
}

static int put_data(struct dump_ctx *ctx, const struct fd_info *fi, const struct bpf_map_info *i,
		    BpfmapFileEntry *file)
{
	int cpus = bpf_map_per_cpu(i->type) ? bpf_possible_cpus() : 1, ret = 0;
	struct content c = { .value_bytes = bpf_value_bytes(i->type, i->value_size, cpus) };

	if (cpus < 0)
		return file_blocker(ctx, fi, "bpf-map", -cpus, "how many processors there can be");
	ret = read_all(fi, i, &c);
	if (!ret && c.n * (c.value_bytes + i->key_size) > UINT32_MAX)
		ret = -EFBIG;
	if (ret)
		ret = file_blocker(ctx, fi, "bpf-map", -ret, "read its content");
	else
		ret = put_content(ctx, i, &c, cpus);
	file->has_data_hash = 1;
	file->data_hash = c.hash;
	free(c.keys);
	free(c.values);
	return ret;
}

static int bpfmap_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	BpfmapFileEntry *e = (BpfmapFileEntry *)d->msg, *seen;
	struct bpf_map_info i;
	uint64_t v = 0;
	int ret = bpf_map_info(fi->local, &i);

	if (ret)
		return file_blocker(ctx, fi, "bpf-map", -ret, "BPF_OBJ_GET_INFO_BY_FD");
	if (!bpf_map_plain(i.type))
		return file_blocker(ctx, fi, "bpf-map", EOPNOTSUPP,
				    "a BPF map of type %u (%s); hash tables, arrays and tries of "
				    "plain values can be dumped",
				    i.type, bpf_map_type(i.type));
	if (i.btf_id)
		log_warn(ctx->report, "pid %d fd %d: the BPF map comes back without its BTF types",
			 fi->task->pid, fi->fd);
	e->map_type = i.type;
	e->key_size = i.key_size;
	e->value_size = i.value_size;
	e->map_id = i.id;
	e->max_entries = i.max_entries;
	e->map_flags = i.map_flags;
	e->ifindex = i.ifindex;
	e->has_map_extra = i.map_extra != 0;
	e->map_extra = i.map_extra;
	e->map_name = arena_strdup(ctx->arena, i.name);
	if (!file_info_u64(fi, "memlock", 10, &v))
		e->memlock = v;
	e->frozen = !file_info_u64(fi, "frozen", 10, &v) && v;
	seen = file_seen(ctx, FILE_KIND_bpfmap, i.id);
	if (seen) {
		e->has_data_hash = 1;
		e->data_hash = seen->data_hash;
		return 0;
	}
	file_see(ctx, FILE_KIND_bpfmap, i.id, e);
	return put_data(ctx, fi, &i, e);
}

const struct file_dump_ops bpfmap_dump_ops = { .probe = bpfmap_probe, .dump = bpfmap_dump };
