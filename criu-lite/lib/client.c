/*
 * client - a request and its options. They are set by name, with what
 * protobuf-c knows of the fields of a message; so an option that is added to
 * rpc.proto needs nothing here.
 */
#include "lib/client.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/client-internal.h"

struct cl_request *cl_request_new(void)
{
	struct cl_request *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	criu_req__init(&q->req);
	criu_opts__init(&q->opts);
	criu_features__init(&q->features);
	q->opts.images_dir_fd = -1;
	q->req.opts = &q->opts;
	q->fd = -1;
	return q;
}

static char **text_at(CriuOpts *o, const ProtobufCFieldDescriptor *f)
{
	return (char **)((char *)o + f->offset);
}

static size_t *count_at(CriuOpts *o, const ProtobufCFieldDescriptor *f)
{
	return (size_t *)((char *)o + f->quantifier_offset);
}

/* Every small message is ours from malloc() and has texts of ours, so protobuf-c can free it. */
static void free_field(CriuOpts *o, const ProtobufCFieldDescriptor *f)
{
	bool message = f->type == PROTOBUF_C_TYPE_MESSAGE;
	void **list = *(void ***)((char *)o + f->offset);

	if (!message && f->type != PROTOBUF_C_TYPE_STRING)
		return;
	if (f->label != PROTOBUF_C_LABEL_REPEATED) {
		if (message && list)
			protobuf_c_message_free_unpacked((ProtobufCMessage *)list, NULL);
		else
			free(list);
		return;
	}
	for (size_t i = 0; i < *count_at(o, f); i++) {
		if (message)
			protobuf_c_message_free_unpacked(list[i], NULL);
		else
			free(list[i]);
	}
	free(list);
}

/**
 * cl_request_free - give a request back
 * @q: the request, or NULL
 */
void cl_request_free(struct cl_request *q)
{
	const ProtobufCMessageDescriptor *d = &criu_opts__descriptor;

	if (!q)
		return;
	for (unsigned i = 0; i < d->n_fields; i++)
		free_field(&q->opts, &d->fields[i]);
	free(q->where);
	free(q);
}

static const ProtobufCFieldDescriptor *find(const char *name)
{
	return protobuf_c_message_descriptor_get_field_by_name(&criu_opts__descriptor, name);
}

static int mark(CriuOpts *o, const ProtobufCFieldDescriptor *f)
{
	if (f->label == PROTOBUF_C_LABEL_OPTIONAL)
		*(protobuf_c_boolean *)((char *)o + f->quantifier_offset) = 1;
	return 0;
}

int cl_set_bool(struct cl_request *q, const char *name, int value)
{
	const ProtobufCFieldDescriptor *f = find(name);

	if (!f)
		return -ENOENT;
	if (f->type != PROTOBUF_C_TYPE_BOOL || f->label == PROTOBUF_C_LABEL_REPEATED)
		return -EINVAL;
	*(protobuf_c_boolean *)((char *)&q->opts + f->offset) = !!value;
	return mark(&q->opts, f);
}

int cl_set_number(struct cl_request *q, const char *name, int64_t value)
{
	const ProtobufCFieldDescriptor *f = find(name);
	bool wide;

	if (!f)
		return -ENOENT;
	if (f->label == PROTOBUF_C_LABEL_REPEATED)
		return -EINVAL;
	if (f->type != PROTOBUF_C_TYPE_INT32 && f->type != PROTOBUF_C_TYPE_UINT32 &&
	    f->type != PROTOBUF_C_TYPE_ENUM)
		return -EINVAL;
	wide = f->type == PROTOBUF_C_TYPE_UINT32;
	if (value < (wide ? 0 : INT32_MIN) || value > (wide ? (int64_t)UINT32_MAX : INT32_MAX))
		return -ERANGE;
	*(uint32_t *)((char *)&q->opts + f->offset) = (uint32_t)value;
	return mark(&q->opts, f);
}

int cl_set_text(struct cl_request *q, const char *name, const char *value)
{
	const ProtobufCFieldDescriptor *f = find(name);
	char *copy;

	if (!f)
		return -ENOENT;
	if (f->type != PROTOBUF_C_TYPE_STRING || f->label == PROTOBUF_C_LABEL_REPEATED)
		return -EINVAL;
	copy = value ? strdup(value) : NULL;
	if (value && !copy)
		return -ENOMEM;
	free(*text_at(&q->opts, f));
	*text_at(&q->opts, f) = copy;
	return 0;
}

/* Appends what is the list's from then on. */
static int push(CriuOpts *o, const ProtobufCFieldDescriptor *f, void *item)
{
	void ***list = (void ***)((char *)o + f->offset);
	size_t *n = count_at(o, f);
	void **more = realloc(*list, (*n + 1) * sizeof(*more));

	if (!more)
		return -ENOMEM;
	more[(*n)++] = item;
	*list = more;
	return 0;
}

int cl_add_text(struct cl_request *q, const char *name, const char *value)
{
	const ProtobufCFieldDescriptor *f = find(name);
	char *copy;
	int ret;

	if (!f)
		return -ENOENT;
	if (f->type != PROTOBUF_C_TYPE_STRING || f->label != PROTOBUF_C_LABEL_REPEATED || !value)
		return -EINVAL;
	copy = strdup(value);
	ret = copy ? push(&q->opts, f, copy) : -ENOMEM;
	if (ret < 0)
		free(copy);
	return ret;
}

/* A small message, empty, at the end of a list. */
static int new_item(struct cl_request *q, const ProtobufCFieldDescriptor *f, ProtobufCMessage **out)
{
	const ProtobufCMessageDescriptor *d = f->descriptor;
	ProtobufCMessage *m = malloc(d->sizeof_message);
	int ret;

	if (!m)
		return -ENOMEM;
	d->message_init(m);
	ret = push(&q->opts, f, m);
	if (ret < 0)
		free(m);
	else
		*out = m;
	return ret;
}

/* The list goes back to what it was. */
static void drop_item(struct cl_request *q, const ProtobufCFieldDescriptor *f, ProtobufCMessage *m)
{
	--*count_at(&q->opts, f);
	protobuf_c_message_free_unpacked(m, NULL);
}

static int fill(ProtobufCMessage *m, const char *const *texts, unsigned n)
{
	const ProtobufCMessageDescriptor *d = m->descriptor;

	for (unsigned i = 0; i < n; i++) {
		if (!texts[i] && i < d->n_fields && d->fields[i].label == PROTOBUF_C_LABEL_REQUIRED)
			return -EINVAL;
		if (!texts[i])
			continue;
		if (i >= d->n_fields || d->fields[i].type != PROTOBUF_C_TYPE_STRING)
			return -EINVAL;
		*(char **)((char *)m + d->fields[i].offset) = strdup(texts[i]);
		if (!*(char **)((char *)m + d->fields[i].offset))
			return -ENOMEM;
	}
	return 0;
}

int cl_add_pair(struct cl_request *q, const char *name, const char *a, const char *b, const char *c)
{
	const ProtobufCFieldDescriptor *f = find(name);
	const char *const texts[] = { a, b, c };
	ProtobufCMessage *m;
	int ret;

	if (!f)
		return -ENOENT;
	if (f->type != PROTOBUF_C_TYPE_MESSAGE || f->label != PROTOBUF_C_LABEL_REPEATED)
		return -EINVAL;
	ret = new_item(q, f, &m);
	if (ret < 0)
		return ret;
	ret = fill(m, texts, 3);
	if (ret < 0)
		drop_item(q, f, m);
	return ret;
}

int cl_add_inherit_fd(struct cl_request *q, const char *key, int fd)
{
	const ProtobufCFieldDescriptor *f = find("inherit_fd");
	ProtobufCMessage *m;
	int ret = key && fd >= 0 ? new_item(q, f, &m) : -EINVAL;

	if (ret < 0)
		return ret;
	((InheritFd *)m)->fd = fd;
	((InheritFd *)m)->key = strdup(key);
	if (((InheritFd *)m)->key)
		return 0;
	drop_item(q, f, m);
	return -ENOMEM;
}

/**
 * cl_add_unix_sk - permit a Unix socket whose peer is outside of the tree
 * @q: the request
 * @inode: of the socket
 *
 * Return: 0 or -ENOMEM.
 */
int cl_add_unix_sk(struct cl_request *q, uint32_t inode)
{
	ProtobufCMessage *m;
	int ret = new_item(q, find("unix_sk_ino"), &m);

	if (!ret)
		((UnixSk *)m)->inode = inode;
	return ret;
}

/**
 * cl_set_page_server - send memory there
 * @q: the request
 * @address: of the page server
 * @port: its port
 *
 * Return: 0; -EINVAL; -ENOMEM.
 */
int cl_set_page_server(struct cl_request *q, const char *address, int port)
{
	CriuPageServerInfo *ps;

	if (!address || port < 0 || port > UINT16_MAX)
		return -EINVAL;
	ps = malloc(sizeof(*ps));
	if (!ps)
		return -ENOMEM;
	criu_page_server_info__init(ps);
	ps->address = strdup(address);
	if (!ps->address) {
		free(ps);
		return -ENOMEM;
	}
	ps->has_port = 1;
	ps->port = port;
	if (q->opts.ps)
		criu_page_server_info__free_unpacked(q->opts.ps, NULL);
	q->opts.ps = ps;
	return 0;
}

void cl_features(struct cl_request *q, unsigned features)
{
	q->req.features = &q->features;
	q->features.has_mem_track = q->features.has_lazy_pages = q->features.has_pidfd_store = 1;
	q->features.mem_track = !!(features & CL_MEM_TRACK);
	q->features.lazy_pages = !!(features & CL_LAZY_PAGES);
	q->features.pidfd_store = !!(features & CL_PIDFD_STORE);
}

void cl_wait_pid(struct cl_request *q, pid_t pid)
{
	q->req.has_pid = 1;
	q->req.pid = (uint32_t)pid;
}

void cl_on_notify(struct cl_request *q,
		  int (*fn)(void *arg, const char *action, pid_t root, int fd), void *arg)
{
	q->notify = fn;
	q->arg = arg;
	q->opts.has_notify_scripts = 1;
	q->opts.notify_scripts = !!fn;
}

static int use(struct cl_request *q, enum cl_way way, const char *where)
{
	char *copy = where ? strdup(where) : NULL;

	if (where && !copy)
		return -ENOMEM;
	free(q->where);
	q->where = copy;
	q->way = way;
	return 0;
}

int cl_use_address(struct cl_request *q, const char *path)
{
	return use(q, CL_WAY_ADDRESS, path);
}

int cl_use_program(struct cl_request *q, const char *program)
{
	return use(q, CL_WAY_PROGRAM, program);
}

void cl_use_fd(struct cl_request *q, int fd)
{
	use(q, CL_WAY_FD, NULL);
	q->fd = fd;
}

int cl_starts_program(const struct cl_request *q)
{
	return q->way == CL_WAY_PROGRAM;
}
