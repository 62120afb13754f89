/*
 * file_ops - the types of file_types.def as restore/ sees them.
 */
#include "restore/engine.h"

#include "model/pstree.h"

#define FILE_TYPE(name, fd_type, field, msg) extern const struct file_desc_ops name##_desc_ops;
#include "model/file_types.def"
#undef FILE_TYPE

static const struct file_desc_ops *const file_ops[FILE_KINDS] = {
#define FILE_TYPE(name, fd_type, field, msg) [FILE_KIND_##name] = &name##_desc_ops,
#include "model/file_types.def"
#undef FILE_TYPE
};

/**
 * engine_bind_type - give a desc the ops of its type
 * @d: the desc
 */
void engine_bind_type(struct file_desc *d)
{
	d->ops = file_ops[d->kind];
}

/**
 * engine_bind_types - give every desc of a loaded tree the ops of its type
 * @t: the tree
 */
void engine_bind_types(struct pstree *t)
{
	struct file_desc *d;

	list_for_each(d, &t->files.descs, list)
		engine_bind_type(d);
}
