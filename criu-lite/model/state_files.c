/*
 * state_files - descriptors. Ids of files, pipes and sockets differ between a
 * tree and its image, so everything is named by its place: the first
 * descriptor that leads to it, as PID/FD.
 */
#include "model/state_parts.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

static bool place_before(const struct state_place *a, const struct state_place *b)
{
	if ((a->fd < 0) != (b->fd < 0))
		return a->fd >= 0;
	if (a->pid != b->pid)
		return a->pid < b->pid;
	return a->fd != b->fd ? a->fd < b->fd : a->addr < b->addr;
}

/**
 * state_note - note where something is met; its first place is kept
 * @s: the snapshot
 * @map: places by key
 * @key: what is met
 * @at: where
 */
void state_note(struct state_ctx *s, struct idmap *map, uint64_t key, struct state_place at)
{
	struct state_place *p = idmap_get(map, key);

	if (!p) {
		p = arena_new_of(s->a, struct state_place);
		*p = at;
		idmap_put(map, key, p);
	} else if (place_before(&at, p)) {
		*p = at;
	}
}

/**
 * state_table_first - the first task of a table of descriptors
 * @s: the snapshot
 * @fdt: the table
 *
 * Return: the lowest pid of the tasks that share it, or id of a thread that has
 * it apart from its process; 0 if no task has it.
 */
pid_t state_table_first(const struct state_ctx *s, const struct filedesc *fdt)
{
	const struct state_place *p = idmap_get(&s->tables, (uintptr_t)fdt);

	return p ? p->pid : 0;
}

static void index_desc(struct state_ctx *s, struct file_desc *d)
{
	const struct fdinfo_list_entry *fle;
	enum state_space space;
	uint64_t object;

	list_for_each(fle, &d->fles, of_desc) {
		pid_t first = state_table_first(s, fle->fdt);

		if (first && !fle->fake)
			state_note(s, &s->descs, d->id,
				   (struct state_place){ .pid = first, .fd = fle->fd });
	}
	if (d->msg && idmap_get(&s->descs, d->id) && state_msg_object(d->msg, &space, &object))
		state_note(s, &s->objects[space], object,
			   *(struct state_place *)idmap_get(&s->descs, d->id));
}

/* What is only mapped is named by its first mapping. */
static void index_mapped(struct state_ctx *s, const struct pstree_item *it, const struct vma *v)
{
	struct state_place at = { .pid = it->pid, .fd = -1, .addr = v->e->start };
	enum state_space space;
	uint64_t object;

	state_note(s, &s->descs, v->file->id, at);
	if (v->file->msg && state_msg_object(v->file->msg, &space, &object))
		state_note(s, &s->objects[space], object, at);
}

/**
 * state_files_index - find the place of every file and of every object behind one
 * @s: the snapshot
 */
void state_files_index(struct state_ctx *s)
{
	struct pstree_item *it;
	struct file_desc *d;

	list_for_each(it, &s->t->items, list) {
		if (item_alive(it) && it->fdt)
			state_note(s, &s->tables, (uintptr_t)it->fdt,
				   (struct state_place){ .pid = it->pid });
		for (size_t i = 0; item_alive(it) && i < it->nr_threads; i++)
			if (it->threads[i].fdt)
				state_note(s, &s->tables, (uintptr_t)it->threads[i].fdt,
					   (struct state_place){ .pid = it->threads[i].tid });
	}
	list_for_each(d, &s->t->files.descs, list)
		index_desc(s, d);
	list_for_each(it, &s->t->items, list)
		for (size_t i = 0; item_alive(it) && i < it->nr_vmas; i++)
			if (it->vmas[i].file)
				index_mapped(s, it, &it->vmas[i]);
}

static const char *place_text(struct state_ctx *s, const struct state_place *p)
{
	if (p->fd < 0)
		return arena_printf(s->a, "%d@%llx", p->pid, (unsigned long long)p->addr);
	return arena_printf(s->a, "%d/%d", p->pid, p->fd);
}

/**
 * state_place_name - a place as PID/FD, or PID@ADDRESS
 * @p: the place
 *
 * Return: a string.
 */
struct json_object *state_place_name(const struct state_place *p)
{
	if (p->fd < 0)
		return state_fmt("%d@%llx", p->pid, (unsigned long long)p->addr);
	return state_fmt("%d/%d", p->pid, p->fd);
}

/**
 * state_file_name - how a file is called where others refer to it
 * @s: the snapshot
 * @d: the file
 *
 * Return: its path if it was opened by one, else its type and its place.
 */
const char *state_file_name(struct state_ctx *s, const struct file_desc *d)
{
	const struct state_place *p = idmap_get(&s->descs, d->id);
	const ProtobufCFieldDescriptor *f;
	const char *type = d->outside ? "outside" : file_types[d->kind].name, *path;

	if (!d->outside && d->kind == FILE_KIND_reg && d->msg) {
		f = protobuf_c_message_descriptor_get_field_by_name(d->msg->descriptor, "name");
		path = f ? *(char *const *)((const char *)d->msg + f->offset) : NULL;
		if (path)
			return path;
	}
	return p ? arena_printf(s->a, "%s:%s", type, place_text(s, p)) : type;
}

static size_t count_fles(const struct file_desc *d)
{
	const struct fdinfo_list_entry *fle;
	size_t n = 0;

	list_for_each(fle, &d->fles, of_desc)
		n += !fle->fake;
	return n;
}

static struct json_object *show_fd(struct state_ctx *s, pid_t id,
				   const struct fdinfo_list_entry *fle)
{
	const struct file_desc *d = fle->desc;
	const struct state_place *p = idmap_get(&s->descs, d->id);
	struct json_object *o = json_object_new_object();

	state_put(o, "kind", state_str(d->outside ? "outside" : file_types[d->kind].name));
	if (fle->fdflags & FD_CLOEXEC)
		state_put(o, "cloexec", json_object_new_boolean(1));
	if (p && count_fles(d) > 1)
		state_put(o, "sharing", state_place_name(p));
	if (!d->outside && (!p || (p->pid == id && p->fd == fle->fd)))
		state_put(o, "file", state_msg(s, d->msg));
	return o;
}

/**
 * state_fds - the descriptors of a table
 * @s: the snapshot
 * @fdt: the table
 * @id: the first task or thread that has it
 *
 * A description is told at the first of its descriptors only.
 *
 * Return: an object by number.
 */
struct json_object *state_fds(struct state_ctx *s, const struct filedesc *fdt, pid_t id)
{
	struct json_object *o = json_object_new_object();
	const struct fdinfo_list_entry *fle;
	char key[16];

	list_for_each(fle, &fdt->fles, in_table) {
		if (fle->fake)
			continue;
		snprintf(key, sizeof(key), "%d", fle->fd);
		state_put(o, key, show_fd(s, id, fle));
	}
	return o;
}

/* The checksum that one of the descriptions of a pipe has, or 0. */
static uint64_t data_hash(const ProtobufCMessage *m)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(m->descriptor, "data_hash");
	protobuf_c_boolean has;
	uint64_t hash = 0;

	if (!f || f->type != PROTOBUF_C_TYPE_FIXED64)
		return 0;
	memcpy(&has, (const char *)m + f->quantifier_offset, sizeof(has));
	if (has)
		memcpy(&hash, (const char *)m + f->offset, sizeof(hash));
	return hash;
}

/**
 * state_pipes - what is in the pipes and FIFOs
 * @s: the snapshot
 *
 * Any of the ends may have been the one that was read, so this is told apart
 * from them.
 *
 * Return: an object of checksums by type and place.
 */
struct json_object *state_pipes(struct state_ctx *s)
{
	struct json_object *o = json_object_new_object();
	const struct file_desc *d;

	list_for_each(d, &s->t->files.descs, list) {
		uint64_t hash = d->msg && !d->outside ? data_hash(d->msg) : 0, id;
		const struct state_place *p;
		enum state_space space;

		if (!hash || !state_msg_object(d->msg, &space, &id))
			continue;
		p = idmap_get(&s->objects[space], id);
		if (p)
			state_put(o,
				  arena_printf(s->a, "%s:%s", file_types[d->kind].name,
					       place_text(s, p)),
				  state_hex(hash));
	}
	return o;
}
