/*
 * files_desc - the types as dump/ sees them: who describes a file, what they
 * remember of each other, and the images that go with the files.
 */
#include "dump/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "dump/locks.h"

#define FILE_TYPE(name, fd_type, field, msg) extern const struct file_dump_ops name##_dump_ops;
#include "model/file_types.def"
#undef FILE_TYPE

const struct file_dump_ops *const file_dump_ops[FILE_KINDS] = {
#define FILE_TYPE(name, fd_type, field, msg) [FILE_KIND_##name] = &name##_dump_ops,
#include "model/file_types.def"
#undef FILE_TYPE
};

/**
 * file_seen - what a type remembers of the tree so far
 * @ctx: the dump
 * @kind: the type
 * @key: its own key, an inode number as a rule
 *
 * Return: what file_see() was given, or NULL.
 */
void *file_seen(const struct dump_ctx *ctx, enum file_kind kind, uint64_t key)
{
	return idmap_get(&ctx->files->seen[kind], key);
}

/**
 * file_see - remember something for the rest of this dump
 * @ctx: the dump
 * @kind: the type
 * @key: its own key
 * @what: not NULL, from the arena
 */
void file_see(struct dump_ctx *ctx, enum file_kind kind, uint64_t key, void *what)
{
	idmap_put(&ctx->files->seen[kind], key, what);
}

/**
 * file_side_put - one entry for an image that goes with the files
 * @ctx: the dump; nothing is written for a mere state
 * @k: the image; it has no number in its name
 * @m: the entry
 * @raw: payload after it, or NULL
 * @len: its bytes
 *
 * Return: 0 or -errno, recorded.
 */
int file_side_put(struct dump_ctx *ctx, enum image_kind k, const ProtobufCMessage *m,
		  const void *raw, size_t len)
{
	struct image_writer **w = &ctx->files->side[k];
	int ret = 0;

	if (!ctx->write)
		return 0;
	if (!*w)
		ret = image_create(w, ctx->images, k, 0);
	if (!ret)
		ret = image_put(*w, m);
	if (!ret && len)
		ret = image_put_raw(*w, raw, len);
	return ret;
}

static void msg_set_u32(ProtobufCMessage *m, const char *name, uint32_t val)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(m->descriptor, name);

	if (f && f->label == PROTOBUF_C_LABEL_REQUIRED && f->type == PROTOBUF_C_TYPE_UINT32)
		memcpy((char *)m + f->offset, &val, sizeof(val));
}

/**
 * file_desc_make - a new description with the fields that all types have
 * @ctx: the dump
 * @kind: its type
 * @fi: where it was found
 *
 * Return: the description; its message has id, flags and owner.
 */
struct file_desc *file_desc_make(struct dump_ctx *ctx, enum file_kind kind,
				 const struct fd_info *fi)
{
	const ProtobufCMessageDescriptor *md = file_types[kind].msg;
	ProtobufCMessage *m = arena_alloc(ctx->arena, md->sizeof_message);
	const ProtobufCFieldDescriptor *f;
	struct file_desc *d;

	protobuf_c_message_init(md, m);
	d = file_desc_new(ctx->tree, kind, m);
	msg_set_u32(m, "id", d->id);
	msg_set_u32(m, "flags", fi->flags);
	f = protobuf_c_message_descriptor_get_field_by_name(md, "fown");
	if (f) {
		FownEntry *fown = arena_new_of(ctx->arena, FownEntry);

		fown_entry__init(fown);
		if (fi->local >= 0)
			file_fown(fi, fown);
		memcpy((char *)m + f->offset, &fown, sizeof(fown));
	}
	d->dump = arena_new_of(ctx->arena, struct file_desc_dump);
	d->dump->fi = *fi;
	d->dump->fi.local = -1;
	d->dump->fi.opts = NULL;
	return d;
}

/**
 * file_probe - the first type that knows a file describes it
 * @ctx: the dump
 * @fi: the file; its descriptor moves into the description if the type keeps it
 *
 * Return: the description, or NULL with the cause recorded.
 */
struct file_desc *file_probe(struct dump_ctx *ctx, struct fd_info *fi)
{
	struct file_desc *outside = outside_probe(ctx, fi);

	if (outside)
		return outside;
	for (int k = 0; k < FILE_KINDS; k++) {
		const struct file_dump_ops *ops = file_dump_ops[k];
		struct file_desc *d;

		if (!ops->probe(ctx, fi))
			continue;
		d = file_desc_make(ctx, k, fi);
		if (ops->dump(ctx, d, fi) < 0 || locks_look(ctx, d, fi) < 0) {
			d->dump = NULL;
			ctx->files->blocked = true;
			return NULL;
		}
		if (ops->finish && ops->keep)
			d->dump->fi.local = take_fd(&fi->local);
		return d;
	}
	ctx->files->blocked = true;
	if (!(fi->task->dump->io_uring && !strcmp(fi->link, IO_URING_LINK)))
		file_blocker(ctx, fi, "file-kind", EOPNOTSUPP,
			     "%s: this version cannot dump it; close it before the dump",
			     file_unknown(ctx, fi));
	return NULL;
}
