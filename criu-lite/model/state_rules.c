/*
 * state_rules - which fields are ids of the kernel or of one image and how
 * they are named instead, which are clocks, and which are read better in
 * another form. Every field without a line here appears as it is. The first
 * line that fits holds.
 */
#include "model/state_rules.h"

#include <string.h>

#define ROW(msg, field, act)       \
	{                          \
		msg, field, act, 0 \
	}

static const struct state_rule rules[] = {
	{ "pipe_entry", "pipe_id", SELF, SPACE_PIPE },
	ROW("pipe_entry", "data_hash", OMIT),
	{ "fifo_entry", "pipe_id", SELF, SPACE_FIFO },
	ROW("fifo_entry", "data_hash", OMIT),
	{ "unix_sk_entry", "ino", SILENT, SPACE_UNIX },
	{ "unix_sk_entry", "peer", PEER, SPACE_UNIX },
	{ "unix_sk_entry", "waiting", PEER, SPACE_UNIX },
	ROW("unix_sk_entry", "node", OMIT),
	ROW("unix_queued_entry", "hash", HEX),
	ROW("unix_queued_entry", "rights", FILE_ID),
	{ "memfd_file_entry", "inode_id", SELF, SPACE_MEMFD },
	{ "tty_file_entry", "tty_info_id", SELF, SPACE_TTY },
	ROW("inet_sk_entry", "ino", OMIT),
	ROW("inet_sk_entry", "src_addr", ADDR),
	ROW("inet_sk_entry", "dst_addr", ADDR),
	ROW("netlink_sk_entry", "ino", OMIT),
	ROW("packet_sock_entry", "ino", OMIT),
	ROW("pidfd_entry", "ino", OMIT),
	ROW("bpfmap_file_entry", "map_id", OMIT),
	ROW("bpfmap_file_entry", "memlock", OMIT),
	ROW("bpfmap_file_entry", "data_hash", HEX),
	ROW("reg_file_entry", "mode", OCT),
	ROW("reg_file_entry", "build_id", EXTRA),
	ROW("reg_file_entry", "checksum", EXTRA),
	ROW("reg_file_entry", "checksum_config", EXTRA),
	ROW("reg_file_entry", "checksum_parameter", EXTRA),
	ROW("door_entry", "ino", OMIT),
	ROW("door_entry", "name", OMIT),
	ROW("door_entry", "mode", OCT),
	ROW("door_ticket_entry", "attributes", HEX),
	ROW("door_ticket_entry", "listener", FILE_ID),
	ROW("door_ticket_entry", "open_outside", OMIT),
	ROW("eventpoll_file_entry", "tfd", SET),
	ROW("eventpoll_tfd_entry", "dev", OMIT),
	ROW("eventpoll_tfd_entry", "inode", OMIT),
	ROW("eventpoll_tfd_entry", "pos", OMIT),
	ROW("eventpoll_tfd_entry", "events", EVENTS),
	ROW("eventpoll_tfd_entry", "data", HEX),
	ROW("signalfd_entry", "sigmask", HEX),
	ROW("timerfd_entry", "ticks", OMIT),
	ROW("timerfd_entry", "expires", OMIT),
	ROW("inotify_file_entry", "wd", SET),
	ROW("inotify_file_entry", "queued", OMIT),
	ROW("inotify_wd_entry", "mask", HEX),
	ROW("inotify_wd_entry", "ignored_mask", HEX),
	ROW("inotify_wd_entry", "i_ino", OMIT),
	ROW("fanotify_file_entry", "mark", SET),
	ROW("fanotify_file_entry", "faflags", HEX),
	ROW("fanotify_mark_entry", "mask", HEX),
	ROW("fanotify_mark_entry", "mflags", HEX),
	ROW("fanotify_mark_entry", "ignored_mask", HEX),
	ROW("fanotify_inode_mark_entry", "i_ino", OMIT),
	ROW("fh_entry", "handle", OMIT),
	ROW("fh_entry", "file_id", OMIT),
	ROW("file_perms_entry", "mode", OCT),
	ROW("sk_opts_entry", "so_filter", HASH),
	ROW("thread_core_entry", "files_id", OMIT),
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
	ROW("thread_core_entry", "restart", OMIT),
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
	ROW("guard_entry", NULL, HEX),
	ROW("vma_entry", "extra", HEX),
	ROW(NULL, "id", OMIT),
	ROW(NULL, "mnt_id", OMIT),
	ROW(NULL, "ns_id", OMIT),
	ROW(NULL, "regf_id", FILE_ID),
	ROW(NULL, "file_id", FILE_ID),
};

#undef ROW

static const struct state_rule plain = { .act = SHOW }, open_flags = { .act = OFLAGS };

/**
 * state_rule - the rule of a field
 * @md: type of the message
 * @f: the field
 *
 * Return: the first that fits, never NULL.
 */
const struct state_rule *state_rule(const ProtobufCMessageDescriptor *md,
				    const ProtobufCFieldDescriptor *f)
{
	for (size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
		const struct state_rule *r = &rules[i];

		if ((!r->msg || !strcmp(r->msg, md->name)) &&
		    (!r->field || !strcmp(r->field, f->name)))
			return r;
	}
	/* What files have in common: flags of the description beside their owner. */
	if (!strcmp(f->name, "flags") && protobuf_c_message_descriptor_get_field_by_name(md, "id"))
		return &open_flags;
	return &plain;
}
