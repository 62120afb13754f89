/*
 * state_msg - any message of the images as JSON, field by field as its
 * descriptor tells and state_rules.c changes it, so a field or a type added to
 * the format needs no line here. Optional fields that are zero are as good as
 * absent ones. Fields from 1000 up, which images of other tools lack, go into
 * a member "extra".
 */
#include "model/state_rules.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/epoll.h>

#include "proto/core.pb-c.h"
#include "proto/fown.pb-c.h"

#define OURS 1000 /* the first field number that is not of the shared format */

static size_t element_size(ProtobufCType type)
{
	switch (type) {
	case PROTOBUF_C_TYPE_INT64:
	case PROTOBUF_C_TYPE_SINT64:
	case PROTOBUF_C_TYPE_SFIXED64:
	case PROTOBUF_C_TYPE_UINT64:
	case PROTOBUF_C_TYPE_FIXED64:
	case PROTOBUF_C_TYPE_DOUBLE:
		return 8;
	case PROTOBUF_C_TYPE_STRING:
	case PROTOBUF_C_TYPE_MESSAGE:
		return sizeof(void *);
	case PROTOBUF_C_TYPE_BYTES:
		return sizeof(ProtobufCBinaryData);
	default:
		return 4;
	}
}

/* The value of a field that holds a number; signed ones are sign-extended. */
static uint64_t number(ProtobufCType type, const void *p)
{
	uint64_t wide;
	uint32_t word;

	if (element_size(type) == 8) {
		memcpy(&wide, p, 8);
		return wide;
	}
	memcpy(&word, p, 4);
	switch (type) {
	case PROTOBUF_C_TYPE_INT32:
	case PROTOBUF_C_TYPE_SINT32:
	case PROTOBUF_C_TYPE_SFIXED32:
	case PROTOBUF_C_TYPE_ENUM:
		return (uint64_t)(int64_t)(int32_t)word;
	default:
		return word;
	}
}

static bool is_signed(ProtobufCType type)
{
	return type == PROTOBUF_C_TYPE_INT32 || type == PROTOBUF_C_TYPE_SINT32 ||
	       type == PROTOBUF_C_TYPE_SFIXED32 || type == PROTOBUF_C_TYPE_INT64 ||
	       type == PROTOBUF_C_TYPE_SINT64 || type == PROTOBUF_C_TYPE_SFIXED64;
}

static struct json_object *enum_name(const ProtobufCFieldDescriptor *f, int value)
{
	const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(f->descriptor, value);

	return v ? state_str(v->name) : json_object_new_int(value);
}

static struct json_object *object_name(struct state_ctx *s, const struct state_rule *r, uint64_t id)
{
	const struct state_place *p = idmap_get(&s->objects[r->space], id);

	return p ? state_place_name(p) : id ? state_str("outside") : NULL;
}

static struct json_object *show_number(struct state_ctx *s, const struct state_rule *r,
				       const ProtobufCFieldDescriptor *f, uint64_t v)
{
	struct file_desc *d;

	switch (r->act) {
	case NZ:
	case LEFT:
		return v ? state_u64(v) : NULL;
	case HEX:
		return state_hex(v);
	case EVENTS:
		return state_hex(v & ~(uint64_t)(EPOLLERR | EPOLLHUP));
	case OCT:
		return state_fmt("%#o", (unsigned)v);
	case OFLAGS:
		return state_open_flags((uint32_t)v);
	case FILE_ID:
		d = v <= UINT32_MAX ? file_desc_find(s->t, (uint32_t)v) : NULL;
		return d ? state_str(state_file_name(s, d)) : state_str("outside");
	case SELF:
	case PEER:
		return object_name(s, r, v);
	default:
		break;
	}
	if (f->type == PROTOBUF_C_TYPE_ENUM)
		return enum_name(f, (int)v);
	if (f->type == PROTOBUF_C_TYPE_BOOL)
		return json_object_new_boolean((int)v);
	return is_signed(f->type) ? json_object_new_int64((int64_t)v) : state_u64(v);
}

static struct json_object *show_element(struct state_ctx *s, const struct state_rule *r,
					const ProtobufCFieldDescriptor *f, const void *p)
{
	const ProtobufCBinaryData *b = p;

	switch (f->type) {
	case PROTOBUF_C_TYPE_STRING:
		return state_str(*(char *const *)p);
	case PROTOBUF_C_TYPE_MESSAGE:
		return state_msg(s, *(ProtobufCMessage *const *)p);
	case PROTOBUF_C_TYPE_BYTES:
		return b->len ? state_bytes(b->data, b->len) : NULL;
	default:
		return show_number(s, r, f, number(f->type, p));
	}
}

static bool all_zero(const unsigned char *p, size_t len)
{
	while (len && !p[len - 1])
		len--;
	return !len;
}

static struct json_object *show_address(const uint32_t *words, size_t n)
{
	char buf[INET6_ADDRSTRLEN] = "";

	if (n == 1 || n == 4)
		inet_ntop(n == 1 ? AF_INET : AF_INET6, words, buf, sizeof(buf));
	return state_str(buf);
}

static struct json_object *show_repeated(struct state_ctx *s, const struct state_rule *r,
					 const ProtobufCFieldDescriptor *f, const char *p, size_t n)
{
	size_t size = element_size(f->type);
	struct json_object *out;
	uint64_t caps = 0;

	if (!n)
		return NULL;
	switch (r->act) {
	case HASH:
		return all_zero((const void *)p, n * size) ? NULL : state_checksum(p, n * size);
	case CAPS:
		memcpy(&caps, p, n * size < 8 ? n * size : 8);
		return state_hex(caps);
	case ADDR:
		return show_address((const void *)p, n);
	default:
		break;
	}
	out = json_object_new_array_ext((int)n);
	for (size_t i = 0; i < n; i++) {
		struct json_object *v = show_element(s, r, f, p + i * size);

		if (v)
			json_object_array_add(out, v);
	}
	if (r->act == SET)
		state_sort(out);
	if (!json_object_array_length(out)) {
		json_object_put(out);
		out = NULL;
	}
	return out;
}

/* An optional field counts only with a value that is not zero. */
static bool is_set(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	const char *p = (const char *)m + f->offset;
	protobuf_c_boolean has;
	const char *text;

	if (f->type == PROTOBUF_C_TYPE_MESSAGE)
		return *(void *const *)p != NULL;
	if (f->type == PROTOBUF_C_TYPE_STRING) {
		text = *(char *const *)p;
		return text && (f->label == PROTOBUF_C_LABEL_REQUIRED || *text);
	}
	if (f->label == PROTOBUF_C_LABEL_REQUIRED)
		return true;
	memcpy(&has, (const char *)m + f->quantifier_offset, sizeof(has));
	if (f->type == PROTOBUF_C_TYPE_BYTES)
		return has && ((const ProtobufCBinaryData *)p)->len;
	return has && number(f->type, p);
}

static struct json_object *show_field(struct state_ctx *s, const struct state_rule *r,
				      const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
	const char *p = (const char *)m + f->offset;
	size_t n;

	if (f->label == PROTOBUF_C_LABEL_REPEATED) {
		memcpy(&n, (const char *)m + f->quantifier_offset, sizeof(n));
		return show_repeated(s, r, f, *(char *const *)p, n);
	}
	return is_set(m, f) ? show_element(s, r, f, p) : NULL;
}

/* Messages that say nothing. */
static bool is_idle(const ProtobufCMessage *m)
{
	if (m->descriptor == &fown_entry__descriptor) {
		const FownEntry *e = (const FownEntry *)m;

		return !e->pid && !e->signum;
	}
	if (m->descriptor == &user_desc_t__descriptor) {
		const UserDescT *e = (const UserDescT *)m;

		return !e->base_addr && !e->limit && e->seg_not_present;
	}
	return false;
}

/* The number under which epoll knows a file is not always one that leads to it today. */
static void show_watch(struct json_object *o, const ProtobufCMessage *m)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(m->descriptor, "number");
	protobuf_c_boolean has;
	struct json_object *extra;

	if (!f || strcmp(m->descriptor->name, "eventpoll_tfd_entry"))
		return;
	memcpy(&has, (const char *)m + f->quantifier_offset, sizeof(has));
	if (has)
		state_put(o, "tfd", state_u64(number(f->type, (const char *)m + f->offset)));
	if (json_object_object_get_ex(o, "extra", &extra))
		json_object_object_del(extra, "number");
}

static void add(struct json_object **o, const char *key, struct json_object *v)
{
	if (v && !*o)
		*o = json_object_new_object();
	if (v)
		state_put(*o, key, v);
}

/**
 * state_msg_extra - the fields of a message that not all images have
 * @s: the snapshot
 * @m: the message
 *
 * Return: an object; NULL if there is none.
 */
struct json_object *state_msg_extra(struct state_ctx *s, const ProtobufCMessage *m)
{
	struct json_object *o = NULL;

	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		const struct state_rule *r;

		r = state_rule(m->descriptor, f);
		if (r->act != OMIT && (f->id >= OURS || r->act == EXTRA))
			add(&o, f->name, show_field(s, r, m, f));
	}
	return o;
}

/**
 * state_msg - a message as JSON
 * @s: the snapshot
 * @m: the message, or NULL
 *
 * Return: an object; NULL if there is nothing in it.
 */
struct json_object *state_msg(struct state_ctx *s, const ProtobufCMessage *m)
{
	struct json_object *o = NULL;

	if (!m || is_idle(m))
		return NULL;
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		const struct state_rule *r = state_rule(m->descriptor, f);

		if (r->act == OMIT || r->act == SILENT || r->act == EXTRA || f->id >= OURS)
			continue;
		add(&o, r->act == LEFT ? "remaining_s" : f->name, show_field(s, r, m, f));
	}
	add(&o, "extra", state_msg_extra(s, m));
	if (o)
		show_watch(o, m);
	return o;
}

/**
 * state_msg_object - which kernel object a description is an opening of
 * @m: the message
 * @space: the sort of object
 * @id: its number in this tree or image
 *
 * Return: false if it has none that others could refer to.
 */
bool state_msg_object(const ProtobufCMessage *m, enum state_space *space, uint64_t *id)
{
	for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
		const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
		const struct state_rule *r = state_rule(m->descriptor, f);

		if ((r->act != SELF && r->act != SILENT) || f->label == PROTOBUF_C_LABEL_REPEATED ||
		    !is_set(m, f))
			continue;
		*space = r->space;
		*id = number(f->type, (const char *)m + f->offset);
		return true;
	}
	return false;
}
