/*
 * words - the options of a request as the words of the command line.
 *
 * So a request means what the command means: what is not honoured is refused
 * in the same sentence, and what becomes honoured is so in both. Descriptors
 * are not here: they are resolved before (rpc.c).
 *
 * Three options differ, as container runtimes send them with every request:
 * manage_cgroups and its soft mode, where they are not honoured, orphan_pts_master
 * (a permission), and a root that is "/". They are left out, the first with a
 * warning in the log.
 */
#include "daemon/words.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/report.h"

#define DUMP 1
#define RESTORE 2
#define BOTH (DUMP | RESTORE)

/* A field of criu_opts that is one option. */
struct word_row {
	const char *option;
	unsigned where;
	size_t has, value; /* offsets; .has of a text is not looked at */
};

#define ROW(opt, w, f)                                                     \
	{                                                                  \
		opt, w, offsetof(CriuOpts, has_##f), offsetof(CriuOpts, f) \
	}
#define TEXT(opt, w, f)                          \
	{                                        \
		opt, w, 0, offsetof(CriuOpts, f) \
	}
#define LIST(opt, w, f)                                                  \
	{                                                                \
		opt, w, offsetof(CriuOpts, n_##f), offsetof(CriuOpts, f) \
	}

static const struct word_row flags[] = {
	ROW("leave-running", DUMP, leave_running),
	ROW("leave-stopped", BOTH, leave_stopped),
	ROW("ext-unix-sk", BOTH, ext_unix_sk),
	ROW("tcp-established", BOTH, tcp_established),
	ROW("tcp-close", BOTH, tcp_close),
	ROW("skip-in-flight", BOTH, tcp_skip_in_flight),
	ROW("evasive-devices", BOTH, evasive_devices),
	ROW("shell-job", BOTH, shell_job),
	ROW("file-locks", BOTH, file_locks),
	ROW("track-mem", DUMP, track_mem),
	ROW("auto-dedup", BOTH, auto_dedup),
	ROW("link-remap", BOTH, link_remap),
	ROW("force-irmap", BOTH, force_irmap),
	ROW("enable-external-sharing", BOTH, ext_sharing),
	ROW("enable-external-masters", BOTH, ext_masters),
	ROW("weak-sysctls", RESTORE, weak_sysctls),
	ROW("lazy-pages", BOTH, lazy_pages),
	ROW("tls", BOTH, tls),
	ROW("tls-no-cn-verify", BOTH, tls_no_cn_verify),
	ROW("mntns-compat-mode", BOTH, mntns_compat_mode),
	ROW("skip-file-rwx-check", RESTORE, skip_file_rwx_check),
	ROW("unprivileged", BOTH, unprivileged),
	ROW("display-stats", BOTH, display_stats),
	ROW("restore-sibling", RESTORE, rst_sibling),
};

static const struct word_row texts[] = {
	TEXT("log-file", BOTH, log_file),
	TEXT("prev-images-dir", BOTH, parent_img),
	TEXT("cgroup-props", BOTH, cgroup_props),
	TEXT("cgroup-props-file", BOTH, cgroup_props_file),
	TEXT("freeze-cgroup", DUMP, freeze_cgroup),
	TEXT("lsm-profile", RESTORE, lsm_profile),
	TEXT("lsm-mount-context", RESTORE, lsm_mount_context),
	TEXT("tls-cacert", BOTH, tls_cacert),
	TEXT("tls-cacrl", BOTH, tls_cacrl),
	TEXT("tls-cert", BOTH, tls_cert),
	TEXT("tls-key", BOTH, tls_key),
	TEXT("cgroup-yard", BOTH, cgroup_yard),
};

static const struct word_row lists[] = {
	LIST("skip-mnt", BOTH, skip_mnt),
	LIST("enable-fs", BOTH, enable_fs),
	LIST("irmap-scan-path", DUMP, irmap_scan_paths),
	LIST("external", BOTH, external),
	LIST("cgroup-dump-controller", DUMP, cgroup_dump_controller),
};

static const struct word_row numbers[] = {
	ROW("ghost-limit", DUMP, ghost_limit),
	ROW("timeout", BOTH, timeout),
};

#define FIELD(o, off, type) (*(const type *)((const char *)(o) + (off)))

/**
 * words_add - one more word
 * @w: the words
 * @fmt: as for printf(3)
 */
void words_add(struct words *w, const char *fmt, ...)
{
	va_list ap;
	int len;
	char *p;

	va_start(ap, fmt);
	len = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	p = arena_alloc(w->arena, (size_t)len + 1);
	va_start(ap, fmt);
	vsnprintf(p, (size_t)len + 1, fmt, ap);
	va_end(ap);
	arena_push(w->arena, w->argv, w->n) = p;
}

/* Some clients send every text, empty ones too. */
static bool text_given(const char *text)
{
	return text && *text;
}

static void add_rows(struct words *w, const CriuOpts *o, unsigned where)
{
	for (size_t i = 0; i < sizeof(flags) / sizeof(*flags); i++)
		if (flags[i].where & where && FIELD(o, flags[i].has, protobuf_c_boolean) &&
		    FIELD(o, flags[i].value, protobuf_c_boolean))
			words_add(w, "--%s", flags[i].option);
	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++)
		if (texts[i].where & where && text_given(FIELD(o, texts[i].value, char *)))
			words_add(w, "--%s=%s", texts[i].option, FIELD(o, texts[i].value, char *));
	for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
		if (numbers[i].where & where && FIELD(o, numbers[i].has, protobuf_c_boolean))
			words_add(w, "--%s=%u", numbers[i].option,
				  FIELD(o, numbers[i].value, uint32_t));
	for (size_t i = 0; i < sizeof(lists) / sizeof(*lists); i++)
		for (size_t k = 0; lists[i].where & where && k < FIELD(o, lists[i].has, size_t);
		     k++)
			words_add(w, "--%s=%s", lists[i].option,
				  FIELD(o, lists[i].value, char **)[k]);
}

static void add_cgroups(struct words *w, const CriuOpts *o)
{
	static const char *const names[] = { "ignore", "none",   "props", "soft",
					     "full",   "strict", "soft" };
	unsigned mode = o->has_manage_cgroups_mode ? (unsigned)o->manage_cgroups_mode
			: o->has_manage_cgroups && o->manage_cgroups ? CRIU_CG_MODE__SOFT
								     : CRIU_CG_MODE__IGNORE;
	const char *name = mode < sizeof(names) / sizeof(*names) ? names[mode] : "unknown";

	if (mode == CRIU_CG_MODE__IGNORE)
		return;
	if (strcmp(name, "soft") || w->host->honours(w->command, "manage-cgroups", "soft"))
		words_add(w, "--manage-cgroups=%s", name);
	else
		log_warn(w->report, "manage_cgroups: control groups stay as they are");
	for (size_t i = 0; i < o->n_cg_root; i++)
		words_add(w, "--cgroup-root=%s%s%s", o->cg_root[i]->ctrl ? o->cg_root[i]->ctrl : "",
			  o->cg_root[i]->ctrl ? ":" : "", o->cg_root[i]->path);
}

static void add_namespaces(struct words *w, const CriuOpts *o)
{
	if (text_given(o->root) && strcmp(o->root, "/"))
		words_add(w, "--root=%s", o->root);
	if (o->has_auto_ext_mnt && o->auto_ext_mnt)
		words_add(w, "--ext-mount-map=auto");
	for (size_t i = 0; i < o->n_ext_mnt; i++)
		words_add(w, "--ext-mount-map=%s:%s", o->ext_mnt[i]->key, o->ext_mnt[i]->val);
	for (size_t i = 0; i < o->n_veths; i++)
		words_add(w, "--veth-pair=%s=%s", o->veths[i]->if_in, o->veths[i]->if_out);
	for (size_t i = 0; i < o->n_join_ns; i++)
		words_add(w, "--join-ns=%s:%s%s%s", o->join_ns[i]->ns, o->join_ns[i]->ns_file,
			  o->join_ns[i]->extra_opt ? ":" : "",
			  o->join_ns[i]->extra_opt ? o->join_ns[i]->extra_opt : "");
	if (o->has_empty_ns && o->empty_ns)
		words_add(w, "--empty-ns=%s", o->empty_ns == 0x40000000 ? "net" : "unknown");
}

static void add_choices(struct words *w, const CriuOpts *o, unsigned where)
{
	static const char *const locks[] = { NULL, "iptables", "nftables", "skip" };
	static const char *const modes[] = { NULL, "splice", "read" };

	if (o->has_network_lock)
		words_add(w, "--network-lock=%s",
			  o->network_lock <= 3u && o->network_lock ? locks[o->network_lock]
								   : "unknown");
	if (where == DUMP && o->has_pre_dump_mode)
		words_add(w, "--pre-dump-mode=%s",
			  o->pre_dump_mode <= 2u && o->pre_dump_mode ? modes[o->pre_dump_mode]
								     : "unknown");
	if (o->has_cpu_cap && o->cpu_cap != UINT32_MAX)
		words_add(w, "--cpu-cap=%u", o->cpu_cap);
	if (o->n_exec_cmd)
		words_add(w, "--exec-cmd");
	for (size_t i = 0; i < o->n_unix_sk_ino; i++)
		words_add(w, "--ext-unix-sk=%u", o->unix_sk_ino[i]->inode);
	if (!o->ps || where != DUMP)
		return;
	words_add(w, "--page-server");
	if (!w->host->honours(w->command, "page-server", NULL))
		return;
	if (o->ps->address)
		words_add(w, "--address=%s", o->ps->address);
	if (o->ps->has_port)
		words_add(w, "--port=%d", o->ps->port);
}

/**
 * words_of_opts - every option of a request that has a meaning for its command
 * @w: the words; w->command is "restore" or something else
 * @o: the options
 */
void words_of_opts(struct words *w, const CriuOpts *o)
{
	unsigned where = strcmp(w->command, "restore") ? DUMP : RESTORE;

	words_add(w, "--verbosity=%d", o->log_level < 0 ? 0 : o->log_level);
	words_add(w, "--log-file=" RPC_LOG); /* unless there is another one */
	add_rows(w, o, where);
	if (o->has_log_to_stderr && o->log_to_stderr)
		words_add(w, "--log-file=-");
	add_cgroups(w, o);
	add_namespaces(w, o);
	add_choices(w, o, where);
}

/**
 * words_line - the words as one line, for the log
 * @w: the words
 *
 * Return: the arena's text.
 */
char *words_line(const struct words *w)
{
	size_t len = 1;
	char *line, *p;

	for (size_t i = 0; i < w->n; i++)
		len += strlen(w->argv[i]) + 1;
	p = line = arena_alloc(w->arena, len);
	for (size_t i = 0; i < w->n; i++)
		p += sprintf(p, "%s%s", i ? " " : "", w->argv[i]);
	return line;
}
