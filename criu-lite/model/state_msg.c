/*
 * state_msg - any message of the images as JSON, field by field as its
 * descriptor tells. A table says which fields are ids of the kernel or of one
 * image and how they are named instead, which are clocks, and which are read
 * better in another form; every other field appears as it is, so a field or a
 * type added to the format needs no line here. Optional fields that are zero
 * are as good as absent ones. Fields from 1000 up, which images of other tools
 * lack, go into a member "extra".
 */
#include "model/state_parts.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "proto/core.pb-c.h"
#include "proto/fown.pb-c.h"

#define OURS 1000 /* the first field number that is not of the shared format */

enum act {
	SHOW,
	OMIT,
	NZ,     /* shown unless zero */
	HEX,
	OCT,
	OFLAGS, /* flags of open(2) */
	HASH,   /* repeated numbers by their checksum, unless all are zero */
	CAPS,   /* two words of a capability set */
	SET,    /* repeated, in an order without meaning */
	ADDR,   /* a network address */
	FILE_ID,/* id of another file */
	SELF,   /* number of the kernel object, shown as its place */
	SILENT, /* the same, not shown */
	PEER,   /* number of another kernel object */
	LEFT,   /* what is left of a timer, in seconds */
	EXTRA,  /* not in all images */
};

struct rule {
	const char *msg, *field; /* NULL: any */
	enum act act;
	enum state_space space;
};

#define ROW(msg, field, act) { msg, field, act, 0 }

static const struct rule rules[] = {
	{ "pipe_entry", "pipe_id", SELF, SPACE_PIPE },
	ROW("pipe_entry", "data_hash", HEX),
	{ "fifo_entry", "pipe_id", SELF, SPACE_FIFO },
	ROW("fifo_entry", "data_hash", HEX),
	{ "unix_sk_entry", "ino", SILENT, SPACE_UNIX },
	{ "unix_sk_entry", "peer", PEER, SPACE_UNIX },
	{ "memfd_file_entry", "inode_id", SELF, SPACE_MEMFD },
	{ "tty_file_entry", "tty_info_id", SELF, SPACE_TTY },
	ROW("inet_sk_entry", "ino", OMIT),
	ROW("inet_sk_entry", "src_addr", ADDR),
	ROW("inet_sk_entry", "dst_addr", ADDR),
	ROW("netlink_sk_entry", "ino", OMIT),
	ROW("packet_sock_entry", "ino", OMIT),
	ROW("pidfd_entry", "ino", OMIT),
	ROW("reg_file_entry", "mode", OCT),
	ROW("reg_file_entry", "build_id", EXTRA),
	ROW("reg_file_entry", "checksum", EXTRA),
	ROW("reg_file_entry", "checksum_config", EXTRA),
	ROW("reg_file_entry", "checksum_parameter", EXTRA),
	ROW("eventpoll_file_entry", "tfd", SET),
	ROW("eventpoll_tfd_entry", "dev", OMIT),
	ROW("eventpoll_tfd_entry", "inode", OMIT),
	ROW("eventpoll_tfd_entry", "pos", OMIT),
	ROW("eventpoll_tfd_entry", "events", HEX),
	ROW("eventpoll_tfd_entry", "data", HEX),
	ROW("signalfd_entry", "sigmask", HEX),
	ROW("timerfd_entry", "ticks", OMIT),
	ROW("inotify_file_entry", "wd", SET),
	ROW("inotify_wd_entry", "mask", HEX),
	ROW("inotify_wd_entry", "ignored_mask", HEX),
	ROW("fh_entry", "handle", OMIT),
	ROW("file_perms_entry", "mode", OCT),
	ROW("sk_opts_entry", "so_filter", HASH),
	ROW("creds_entry", "cap_inh", CAPS),
	ROW("creds_entry", "cap_prm", CAPS),
	ROW("creds_entry", "cap_eff", CAPS),
	ROW("creds_entry", "cap_bnd", CAPS),
	ROW("creds_entry", "cap_amb", CAPS),
	ROW("creds_entry", "groups", SET),
	ROW("creds_entry", "secbits", HEX),
	ROW("creds_entry", "apparmor_data", OMIT),
	ROW("sa_entry", "sigaction", HEX),
	ROW("sa_entry", "flags", HEX),
	ROW("sa_entry", "restorer", HEX),
	ROW("sa_entry", "mask", HEX),
	ROW("posix_timer_entry", "it_id", OMIT),
	ROW("posix_timer_entry", "overrun", OMIT),
	ROW("posix_timer_entry", "sival_ptr", HEX),
	ROW(NULL, "isec", NZ),
	ROW(NULL, "iusec", NZ),
	ROW(NULL, "insec", NZ),
	ROW(NULL, "vsec", LEFT),
	ROW(NULL, "vusec", OMIT),
	ROW(NULL, "vnsec", OMIT),
	ROW("rseq_entry", "rseq_cs_pointer", OMIT),
	ROW("rseq_entry", "rseq_abi_size", SHOW),
	ROW("rseq_entry", NULL, HEX),
	ROW("thread_sas_entry", "ss_size", SHOW),
	ROW("thread_sas_entry", NULL, HEX),
	ROW("user_x86_regs_entry", "orig_ax", OMIT),
	ROW("user_x86_regs_entry", "mode", OMIT),
	ROW("user_x86_regs_entry", NULL, HEX),
	ROW("user_x86_fpregs_entry", "st_space", HASH),
	ROW("user_x86_fpregs_entry", "xmm_space", HASH),
	ROW("user_x86_fpregs_entry", "padding", OMIT),
	ROW("user_x86_fpregs_entry", "mxcsr_mask", OMIT),
	ROW("user_x86_fpregs_entry", "xsave", SHOW),
	ROW("user_x86_fpregs_entry", NULL, HEX),
	ROW("user_x86_xsave_entry", "xstate_bv", OMIT),
	ROW("user_x86_xsave_entry", "pkru", HEX),
	ROW("user_x86_xsave_entry", "cet", SHOW),
	ROW("user_x86_xsave_entry", NULL, HASH),
	ROW("user_x86_cet_entry", NULL, HEX),
	ROW(NULL, "id", OMIT),
	ROW(NULL, "mnt_id", OMIT),
	ROW(NULL, "ns_id", OMIT),
	ROW(NULL, "regf_id", FILE_ID),
	ROW(NULL, "file_id", FILE_ID),
};

#undef ROW

static const struct rule plain = { .act = SHOW }, open_flags = { .act = OFLAGS };

static const struct rule *rule_of(const ProtobufCMessageDescriptor *md,
				  const ProtobufCFieldDescriptor *f)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		const struct rule *r = &rules[i];

		if ((!r->msg || !strcmp(r->msg, md->name)) &&
		    (!r->field || !strcmp(r->field, f->name)))
			return r;
	}
	/* What files have in common: flags of the description beside their owner. */
	if (!strcmp(f->name, "flags") && protobuf_c_message_descriptor_get_field_by_name(md, "id"))
		return &open_flags;
	return &plain;
}

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

static struct json_object *object_name(struct state_ctx *s, const struct rule *r, uint64_t id)
{
	const struct state_place *p = idmap_get(&s->objects[r->space], id);

	return p ? state_place_name(p) : id ? state_str("outside") : NULL;
}

static struct json_object *show_number(struct state_ctx *s, const struct rule *r,
				       const ProtobufCFieldDescriptor *f, uint64_t v)
{
	struct file_desc *d;

	switch (r->act) {
	case NZ:
	case LEFT:
		return v ? state_u64(v) : NULL;
	case HEX:
		return state_hex(v);
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

static struct json_object *show_element(struct state_ctx *s, const struct rule *r,
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

static struct json_object *show_repeated(struct state_ctx *s, const struct rule *r,
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

static struct json_object *show_field(struct state_ctx *s, const struct rule *r,
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
		const struct rule *r;

		r = rule_of(m->descriptor, f);
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
		const struct rule *r = rule_of(m->descriptor, f);

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
		const struct rule *r = rule_of(m->descriptor, f);

		if ((r->act != SELF && r->act != SILENT) ||
		    f->label == PROTOBUF_C_LABEL_REPEATED || !is_set(m, f))
			continue;
		*space = r->space;
		*id = number(f->type, (const char *)m + f->offset);
		return true;
	}
	return false;
}
