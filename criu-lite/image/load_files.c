/*
 * load_files - files.img to descs, and fdinfo images to tables of fles.
 */
#include "image/load.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/fdinfo.pb-c.h"
#include "proto/regfile.pb-c.h"

#define FD_MAX (1u << 20) /* as fs.nr_open is usually */

/* The id in the typed message; every type has one as its first field. */
static bool same_id(const ProtobufCMessage *m, uint32_t id)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(m->descriptor, "id");
	uint32_t inner;

	if (!f || f->type != PROTOBUF_C_TYPE_UINT32)
		return true;
	memcpy(&inner, (const char *)m + f->offset, sizeof(inner));
	return inner == id;
}

static const char *type_name(FdTypes type)
{
	const ProtobufCEnumValue *v =
		protobuf_c_enum_descriptor_get_value(&fd_types__descriptor, (int)type);

	return v ? v->name : "unknown";
}

/* The typed message of an entry; NULL if it has none. */
static int typed_message(struct image_reader *r, const struct file_type *type, const FileEntry *e,
			 ProtobufCMessage **m)
{
	if (type->fd_type == FD_TYPES__EXT)
		return image_unpack(r, type->msg, &e->ext->message, m);
	*m = *(ProtobufCMessage *const *)((const char *)e + type->field);
	return 0;
}

static int load_file(struct loader *l, struct image_reader *r, const FileEntry *e)
{
	const struct file_type *type = file_type_find(e->type, e->ext ? e->ext->kind : NULL);
	ProtobufCMessage *m;
	int ret;

	if (!type)
		return fail(l->report, "image-unsupported-file", EOPNOTSUPP,
			    "files.img: file %#x is of type %s (%d), which is not supported", e->id,
			    type_name(e->type), (int)e->type);
	ret = typed_message(r, type, e, &m);
	if (ret)
		return ret;
	if (!m || !same_id(m, e->id))
		return fail(l->report, "image-file-id", EBADMSG,
			    "files.img: file %#x has no %s of that id", e->id, type->name);
	if (type->fd_type == FD_TYPES__REG) {
		const char *name = ((const RegFileEntry *)m)->name;

		if (!*name || strlen(name) >= PATH_MAX)
			return fail(l->report, "image-file-id", EBADMSG,
				    "files.img: file %#x has no path, or one of over %d bytes",
				    e->id, PATH_MAX - 1);
	}
	if (!file_desc_add(l->t, e->id, (enum file_kind)(type - file_types), m))
		return fail(l->report, "image-file-id", EBADMSG,
			    "files.img: id %#x of a %s is 0 or taken", e->id, type->name);
	return 0;
}

/**
 * load_files - every open file of the tree
 * @l: the loader
 *
 * All files of unsupported types are recorded.
 *
 * Return: 0 or -errno, recorded.
 */
int load_files(struct loader *l)
{
	int ret, unsupported = 0, fd;
	struct image_reader *r;
	ProtobufCMessage *m;
	uint64_t size;

	ret = image_open_in(&r, l->d, l->a, IMAGE_FILES, 0);
	if (ret == -ENOENT && !image_open_file(l->d, "reg-files.img", &fd, &size)) {
		close(fd);
		return fail(l->report, "image-version", EOPNOTSUPP,
			    "reg-files.img: images of old CRIU versions, which have no "
			    "files.img, are not supported: dump again with a newer one");
	}
	if (ret == -ENOENT)
		return fail(l->report, "image-missing", ENOENT,
			    "files.img: not in the image directory");
	if (ret)
		return ret;
	while ((ret = image_get(r, &file_entry__descriptor, &m)) > 0) {
		ret = load_file(l, r, (const FileEntry *)m);
		if (ret == -EOPNOTSUPP)
			unsupported = ret;
		else if (ret)
			break;
	}
	image_close(&r);
	return ret ? ret : unsupported;
}

static int by_fd(const void *a, const void *b)
{
	const FdinfoEntry *x = *(FdinfoEntry *const *)a, *y = *(FdinfoEntry *const *)b;

	return x->fd < y->fd ? -1 : x->fd > y->fd;
}

static int load_fle(struct loader *l, struct filedesc *fdt, const FdinfoEntry *e)
{
	struct file_desc *desc = file_desc_find(l->t, e->id);

	if (e->fd >= FD_MAX)
		return fail(l->report, "image-fd", EBADMSG,
			    "fdinfo-%u.img: descriptor %u is above %u", fdt->id, e->fd, FD_MAX - 1);
	if (!desc || file_types[desc->kind].fd_type != e->type)
		return fail(l->report, "image-file-id", EBADMSG,
			    "fdinfo-%u.img: descriptor %u leads to %s %#x, which files.img lacks",
			    fdt->id, e->fd, type_name(e->type), e->id);
	if (e->flags & ~(uint32_t)FD_CLOEXEC)
		return fail(l->report, "image-fd", EBADMSG,
			    "fdinfo-%u.img: descriptor %u has unknown flags %#x", fdt->id, e->fd,
			    e->flags);
	if (!fle_new(desc, fdt, (int)e->fd, e->flags))
		return fail(l->report, "image-fd", EBADMSG,
			    "fdinfo-%u.img: descriptor %u is there twice", fdt->id, e->fd);
	return 0;
}

static int load_fles(struct loader *l, struct filedesc *fdt)
{
	FdinfoEntry **list = NULL;
	struct image_reader *r;
	ProtobufCMessage *m;
	size_t n = 0;
	int ret = load_open(l, &r, IMAGE_FDINFO, fdt->id);

	if (ret)
		return ret;
	while ((ret = image_get(r, &fdinfo_entry__descriptor, &m)) > 0)
		arena_push(l->a, list, n) = (FdinfoEntry *)m;
	image_close(&r);
	if (n)
		qsort(list, n, sizeof(*list), by_fd);
	for (size_t i = 0; i < n && !ret; i++)
		ret = load_fle(l, fdt, list[i]);
	return ret;
}

/* The table of an id, read when its first user is met. 1: it is a new one. */
static int find_table(struct loader *l, uint32_t id, struct filedesc **out)
{
	struct filedesc *fdt = idmap_get(&l->tables, id);
	int ret;

	if (fdt) {
		*out = fdshare(fdt);
		return 0;
	}
	fdt = filedesc_new(&l->t->files, (int)FD_MAX);
	if (!fdt)
		return fail(l->report, "image-fd", ENOMEM, "fdinfo-%u.img: table of descriptors",
			    id);
	fdt->id = id;
	idmap_put(&l->tables, id, fdt);
	*out = fdt;
	ret = load_fles(l, fdt);
	return ret ? ret : 1;
}

/**
 * load_table - the table of a task, made when its first user is met
 * @l: the loader
 * @it: the task, with its ids
 *
 * Return: 0 or -errno, recorded.
 */
int load_table(struct loader *l, struct pstree_item *it)
{
	int ret = find_table(l, it->ids->files_id, &it->fdt);

	if (ret > 0)
		it->fdt->owner = it;
	return ret < 0 ? ret : 0;
}

/**
 * load_thread_tables - tables that threads have apart from their process
 * @l: the loader; the tables of all processes are there
 * @it: the task
 *
 * Return: 0 or -errno, recorded.
 */
int load_thread_tables(struct loader *l, struct pstree_item *it)
{
	for (size_t i = 1; i < it->nr_threads; i++) {
		struct task_thread *th = &it->threads[i];
		const ThreadCoreEntry *tc = th->core->thread_core;
		int ret;

		if (!tc->has_files_id || tc->files_id == it->fdt->id)
			continue;
		ret = find_table(l, tc->files_id, &th->fdt);
		if (ret < 0)
			return ret;
		if (ret > 0) {
			th->fdt->thread_of = it;
			th->fdt->tid = th->tid;
		}
	}
	return 0;
}
