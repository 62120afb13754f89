/*
 * file_desc - descs and fles: how they come into the model, how they are
 * ordered, and how a failure names one.
 *
 * The fles of a table are in ascending order of descriptor. Those of a desc
 * begin with the master: the lowest pid among the owners of the tables, then
 * the lowest descriptor.
 */
#include "model/file_desc.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "model/pstree.h"

/**
 * file_desc_find - the desc of an id
 * @t: the tree
 * @id: the id, from an image perhaps
 *
 * Return: the desc, or NULL.
 */
struct file_desc *file_desc_find(const struct pstree *t, uint32_t id)
{
	return idmap_get(&t->files.by_id, id);
}

/* What getsock() and getvnode() ask for. */
static enum dtype kind_dtype(enum file_kind kind)
{
	if (kind == FILE_KIND_door)
		return DTYPE_VNODE;
	switch (file_types[kind].fd_type) {
	case FD_TYPES__REG:
	case FD_TYPES__FIFO:
	case FD_TYPES__TTY:
	case FD_TYPES__MEMFD:
		return DTYPE_VNODE;
	case FD_TYPES__INETSK:
	case FD_TYPES__UNIXSK:
	case FD_TYPES__PACKETSK:
	case FD_TYPES__NETLINKSK:
		return DTYPE_SOCKET;
	case FD_TYPES__PIPE:
		return DTYPE_PIPE;
	default:
		return DTYPE_OTHER;
	}
}

/* @id 0 asks for a fresh one. */
static struct file_desc *desc_make(struct pstree *t, struct file *fp, uint32_t id,
				   enum file_kind kind, ProtobufCMessage *msg)
{
	struct filetab *tab = &t->files;
	struct file_desc *d;

	pthread_mutex_lock(&tab->lock);
	while (!id) {
		uint32_t next = ++tab->last_id;

		if (next && !idmap_get(&tab->by_id, next))
			id = next;
	}
	d = arena_new_of(tab->arena, struct file_desc);
	*d = (struct file_desc){ .id = id, .kind = kind, .msg = msg, .file = fp, .tree = t };
	list_init(&d->fles);
	if (idmap_put(&tab->by_id, id, d) == d) {
		list_add_tail(&d->list, &tab->descs);
		fp->f_desc = d;
		fp->f_type = kind_dtype(kind);
	} else {
		d = NULL;
	}
	pthread_mutex_unlock(&tab->lock);
	return d;
}

/**
 * file_desc_add - a desc with the id that an image gives it
 * @t: the tree
 * @id: the id
 * @kind: its type
 * @msg: its message, kept
 *
 * Return: the desc, or NULL if the id is 0 or taken, or there are too many files.
 */
struct file_desc *file_desc_add(struct pstree *t, uint32_t id, enum file_kind kind,
				ProtobufCMessage *msg)
{
	struct file *fp = id ? file_new(&t->files) : NULL;
	struct file_desc *d;

	if (!fp)
		return NULL;
	d = desc_make(t, fp, id, kind, msg);
	if (!d)
		FRELE(fp);
	return d;
}

/**
 * file_desc_adopt - the desc of a file that falloc() made
 * @t: the tree
 * @fp: the file, without a desc; the desc takes a reference of its own
 * @kind: its type
 * @msg: its message, kept; may be set later
 *
 * Return: the desc, with a fresh id; never NULL.
 */
struct file_desc *file_desc_adopt(struct pstree *t, struct file *fp, enum file_kind kind,
				  ProtobufCMessage *msg)
{
	FREF(fp);
	return desc_make(t, fp, 0, kind, msg);
}

/**
 * file_desc_new - a desc with a fresh id, and its file
 * @t: the tree
 * @kind: its type
 * @msg: its message, kept; may be set later
 *
 * Return: the desc, or NULL if there are too many files.
 */
struct file_desc *file_desc_new(struct pstree *t, enum file_kind kind, ProtobufCMessage *msg)
{
	struct file *fp = file_new(&t->files);

	return fp ? desc_make(t, fp, 0, kind, msg) : NULL;
}

/**
 * filedesc_pid - by which id a table is called
 * @fdt: the table
 *
 * Return: the pid of its owner, or the id of a thread if only threads have it;
 * 0 if nobody does.
 */
pid_t filedesc_pid(const struct filedesc *fdt)
{
	return fdt->tid ? fdt->tid : fdt->owner ? fdt->owner->pid : 0;
}

static int64_t owner_pid(const struct fdinfo_list_entry *fle)
{
	return fle->fdt->owner ? fle->fdt->owner->pid : INT64_MAX;
}

static bool fle_after(const struct fdinfo_list_entry *a, const struct fdinfo_list_entry *b)
{
	int64_t pa = owner_pid(a), pb = owner_pid(b);

	if (a->forced || b->forced)
		return b->forced;
	return pa != pb ? pa > pb : a->fd > b->fd;
}

/* The access mode is in the message's flags; dump sets them after the desc was made. */
static void file_set_mode(struct file_desc *d)
{
	const ProtobufCFieldDescriptor *f = NULL;
	uint32_t flags = O_RDWR;

	if (d->msg)
		f = protobuf_c_message_descriptor_get_field_by_name(d->msg->descriptor, "flags");
	if (f && f->type == PROTOBUF_C_TYPE_UINT32 && f->label == PROTOBUF_C_LABEL_REQUIRED)
		memcpy(&flags, (char *)d->msg + f->offset, sizeof(flags));
	d->file->f_flag = 0;
	if ((flags & O_ACCMODE) != O_WRONLY)
		d->file->f_flag |= FREAD;
	if ((flags & O_ACCMODE) != O_RDONLY)
		d->file->f_flag |= FWRITE;
}

static void desc_link(struct file_desc *d, struct fdinfo_list_entry *fle)
{
	struct list_head *at = &d->fles;

	while (at->prev != &d->fles &&
	       fle_after(container_of(at->prev, struct fdinfo_list_entry, of_desc), fle))
		at = at->prev;
	list_add_before(&fle->of_desc, at);
}

/**
 * file_desc_sort - put the fles of a desc into order again
 * @d: the desc; its tables have got owners, or other ones
 */
void file_desc_sort(struct file_desc *d)
{
	struct list_head was = d->fles;

	if (list_empty(&d->fles))
		return;
	was.next->prev = was.prev->next = &was;
	list_init(&d->fles);
	while (!list_empty(&was)) {
		struct fdinfo_list_entry *fle = list_first(&was, struct fdinfo_list_entry, of_desc);

		list_del(&fle->of_desc);
		desc_link(d, fle);
	}
}

/* Links @fle into its table, or says false if that number has one. */
static bool table_link(struct fdinfo_list_entry *fle)
{
	struct list_head *at = &fle->fdt->fles;

	for (; at->prev != &fle->fdt->fles; at = at->prev) {
		int fd = container_of(at->prev, struct fdinfo_list_entry, in_table)->fd;

		if (fd == fle->fd)
			return false;
		if (fd < fle->fd)
			break;
	}
	list_add_before(&fle->in_table, at);
	return true;
}

static struct fdinfo_list_entry *fle_add(struct file_desc *d, struct filedesc *fdt, int fd,
					 uint32_t fdflags)
{
	struct filetab *tab = fdt->tab;
	struct fdinfo_list_entry *fle;

	pthread_mutex_lock(&tab->lock);
	fle = arena_new_of(tab->arena, struct fdinfo_list_entry);
	*fle = (struct fdinfo_list_entry){ .desc = d, .fdt = fdt, .fd = fd, .fdflags = fdflags };
	if (table_link(fle))
		desc_link(d, fle);
	else
		fle = NULL;
	pthread_mutex_unlock(&tab->lock);
	return fle;
}

/**
 * fle_new - say that a slot of a table leads to a desc
 * @d: the desc
 * @fdt: the table
 * @fd: the slot, free until now; it becomes larval
 * @fdflags: FD_CLOEXEC or 0
 *
 * Two references to the file are taken, as by falloc(): the slot's and the
 * creator's.
 *
 * Return: the fle, or NULL if the number is taken or out of range.
 */
struct fdinfo_list_entry *fle_new(struct file_desc *d, struct filedesc *fdt, int fd,
				  uint32_t fdflags)
{
	struct fdinfo_list_entry *fle;

	if (fd_reserve(fdt, fd) < 0)
		return NULL;
	fle = fle_add(d, fdt, fd, fdflags);
	if (!fle) {
		fdremove(fdt, fd);
		return NULL;
	}
	FREF(d->file);
	FREF(d->file);
	return fle;
}

/**
 * fle_merge - a larval descriptor turns out to be one of a desc
 * @d: the desc, perhaps adopted from @larval itself
 * @fdt: the table
 * @fd: the number that falloc() gave
 * @fdflags: FD_CLOEXEC or 0
 * @larval: the file that falloc() gave; both its references are used up
 *
 * Return: the fle, its slot mature; NULL, everything as it was, if there is
 * an fle of that number.
 */
struct fdinfo_list_entry *fle_merge(struct file_desc *d, struct filedesc *fdt, int fd,
				    uint32_t fdflags, struct file *larval)
{
	struct fdinfo_list_entry *fle = fle_add(d, fdt, fd, fdflags);

	if (!fle)
		return NULL;
	file_set_mode(d);
	FREF(d->file);
	fdinsert(fdt, fd, (int)fdflags, d->file);
	FRELE(larval);
	FRELE(larval);
	return fle;
}

/**
 * fle_find - the entry of a descriptor number
 * @fdt: the table
 * @fd: the number
 * @from: an entry of the table to look from, of a number that is not greater; or NULL
 *
 * Return: the entry, or NULL.
 */
struct fdinfo_list_entry *fle_find(const struct filedesc *fdt, int fd,
				   struct fdinfo_list_entry *from)
{
	const struct list_head *at = from ? &from->in_table : fdt->fles.next;

	for (; at != &fdt->fles; at = at->next) {
		struct fdinfo_list_entry *fle =
			container_of(at, struct fdinfo_list_entry, in_table);

		if (fle->fd >= fd)
			return fle->fd == fd ? fle : NULL;
	}
	return NULL;
}

/**
 * fle_mature - the slot of a new fle can be looked up from now on
 * @fle: the fle, from fle_new(); the slot's reference goes to the table
 */
void fle_mature(struct fdinfo_list_entry *fle)
{
	file_set_mode(fle->desc);
	fdinsert(fle->fdt, fle->fd, (int)fle->fdflags, fle->desc->file);
}

/* The path in the message, if its type has one and it is set. */
static void desc_path(const struct file_desc *d, char *out, size_t size)
{
	const ProtobufCFieldDescriptor *f;
	const ProtobufCBinaryData *b;
	const char *s;

	out[0] = 0;
	f = d->msg ? protobuf_c_message_descriptor_get_field_by_name(d->msg->descriptor, "name")
		   : NULL;
	if (!f || f->label == PROTOBUF_C_LABEL_REPEATED)
		return;
	if (f->type == PROTOBUF_C_TYPE_STRING) {
		s = *(char *const *)((const char *)d->msg + f->offset);
		if (s && *s)
			snprintf(out, size, " (%s)", s);
	} else if (f->type == PROTOBUF_C_TYPE_BYTES) {
		b = (const void *)((const char *)d->msg + f->offset);
		if (b->len > 1 && !b->data[0])
			snprintf(out, size, " (@%.*s)", (int)b->len - 1, (char *)b->data + 1);
		else if (b->len)
			snprintf(out, size, " (%.*s)", (int)b->len, (char *)b->data);
	}
}

/**
 * file_fail_at - record why a file cannot be restored; called as file_fail()
 * @d: the file
 * @file: source file
 * @line: source line
 * @err: errno value; 0 if there is none
 * @fmt: what was tried
 *
 * The id of the cause is "file-" and the type. Its text names the type, the
 * id, the path if there is one, and the master's pid and descriptor.
 *
 * Return: -1.
 */
int file_fail_at(const struct file_desc *d, const char *file, int line, int err, const char *fmt,
		 ...)
{
	char what[256], path[192], who[48] = "", id[32];
	const char *type = file_types[d->kind].name;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	desc_path(d, path, sizeof(path));
	if (!list_empty(&d->fles)) {
		const struct fdinfo_list_entry *m =
			list_first(&d->fles, struct fdinfo_list_entry, of_desc);

		snprintf(who, sizeof(who), "pid %d fd %d: ", filedesc_pid(m->fdt), m->fd);
	}
	snprintf(id, sizeof(id), "file-%s", type);
	report_fail(d->tree->report, file, line, id, err, "%s%s %#x%s: %s", who, type, d->id, path,
		    what);
	return -1;
}
