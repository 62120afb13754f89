/*
 * option_rows - every option, by one declarative table: those honoured, those
 * that only permit something, and those of CRIU 4.2 that are refused by name.
 */
#include "cmd/options.h"

#define DUMP VERB_BIT(dump)
#define RESTORE VERB_BIT(restore)
#define CHECK VERB_BIT(check)
#define CYCLE VERB_BIT(cycle)
#define SERVICE VERB_BIT(service)
#define CPUINFO VERB_BIT(cpuinfo)
#define SEEING (VERB_BIT(state) | VERB_BIT(diff))
#define UPGRADE VERB_BIT(upgrade)
#define FDCMD VERB_BIT(fd)
#define RUNS (DUMP | RESTORE | CYCLE)
#define FIELD(f) .field = offsetof(struct options, f)

#define FLAG(n, l, f, v, h)                                                                    \
	{                                                                                      \
		.name = n, .no = "no-" n, .letter = l, .type = OPT_FLAG, FIELD(f), .verbs = v, \
		.help = h                                                                      \
	}
#define VALUE(n, l, t, a, f, v, h)                                                           \
	{                                                                                    \
		.name = n, .letter = l, .type = t, .arg = a, FIELD(f), .verbs = v, .help = h \
	}
#define WORD(n, a, w, l, v, h)                                                             \
	{                                                                                  \
		.name = n, .type = OPT_WORD, .arg = a, .verbs = v, .words = w, .lacks = l, \
		.help = h                                                                  \
	}
/* Known to CRIU; --no-NAME of a flag is granted, as the thing is never done. */
#define REFUSED(n, l, w)                                                                    \
	{                                                                                   \
		.name = n, .no = "no-" n, .letter = l, .type = OPT_FLAG, .verbs = VERB_ALL, \
		.lacks = w                                                                  \
	}
#define REFUSED_ARG(n, l, a, w)                                                                   \
	{                                                                                         \
		.name = n, .letter = l, .type = OPT_TEXT, .arg = a, .verbs = VERB_ALL, .lacks = w \
	}

const struct option_row option_rows[] = {
	/* clang-format off */
	FLAG("help", 'h', help, VERB_ALL, "show this text, or that of one command"),
	FLAG("version", 'V', version, VERB_ALL, "show the version"),
	VALUE("config", 0, OPT_TEXT, "FILE", config, VERB_ALL, "read this configuration file, too"),
	FLAG("default-config", 0, default_config, VERB_ALL, "leave out the default configuration files"),
	FLAG("json", 0, json, VERB_ALL, "print one result object on standard output"),
	FLAG("exit-codes", 0, exit_codes, VERB_ALL, "exit statuses finer than 0 and 1"),
	VALUE("close", 0, OPT_FD, "FD", close_fd, VERB_ALL, "close this descriptor first"),

	VALUE("tree", 't', OPT_NUMBER, "PID", tree, DUMP | VERB_BIT(cleanup), "the root of the process tree"),
	VALUE("images-dir", 'D', OPT_TEXT, "DIR", images_dir, RUNS | CPUINFO, "directory of the images (default: .)"),
	VALUE("work-dir", 'W', OPT_TEXT, "DIR", work_dir, DUMP | RESTORE | SERVICE | CPUINFO, "directory of log, pidfile and statistics (default: that of the images)"),
	VALUE("log-file", 'o', OPT_TEXT, "FILE", log_file, DUMP | RESTORE | SERVICE | CPUINFO, "log file, - for standard error (default: dump.log, restore.log or cpuinfo.log)"),
	VALUE("verbosity", 'v', OPT_VERBOSITY, "[N]", verbosity, VERB_ALL, "how much is logged: 0 nothing, 1 errors, 2 warnings, 3 information, 4 all"),
	FLAG("leave-running", 'R', leave_running, DUMP, "let the tree run on after the dump"),
	FLAG("leave-stopped", 's', leave_stopped, DUMP | RESTORE, "leave the tree stopped at the end"),
	FLAG("restore-detached", 'd', detach, RESTORE | SERVICE, "leave the tree to init and return; service: go into the background"),
	FLAG("restore-sibling", 'S', sibling, RESTORE, "make the root a child of the caller (with -d)"),
	FLAG("shell-job", 'j', shell_job, RUNS, "the tree is a job of a shell: its session is outside"),
	FLAG("verify", 0, verify, RESTORE, "compare the restored tree with the image before it runs"),
	VALUE("status-fd", 0, OPT_FD, "FD", status_fd, DUMP | RESTORE | SERVICE | VERB_BIT(guard) | FDCMD, "write one zero byte when done, when clients can connect or files are guarded, and close it"),
	VALUE("pidfile", 0, OPT_TEXT, "FILE", pidfile, DUMP | RESTORE | SERVICE | UPGRADE, "restore: write the root's pid to a new file; service: its own; upgrade: replace it"),
	VALUE("timeout", 0, OPT_NUMBER, "SECONDS", timeout, RUNS | SEEING | UPGRADE | FDCMD, "time limit (default: 10)"),
	VALUE("action-script", 0, OPT_LIST, "FILE", scripts, DUMP | RESTORE, "program to run at each stage (repeatable)"),
	FLAG("display-stats", 0, display_stats, DUMP | RESTORE, "print the statistics at the end"),

	FLAG("files-only", 0, files_only, RESTORE, "start a program afresh with descriptors of the image"),
	VALUE("pid", 0, OPT_NUMBER, "PID", old_pid, UPGRADE | RESTORE, "the program that is replaced; with --files-only: whose descriptors of the image"),
	VALUE("fds", 0, OPT_TEXT, "LIST", fds, UPGRADE | RESTORE | FDCMD, "[NAME=]NUMBER,..., or listeners, sockets, all (default: listeners; with --files-only: sockets)"),
	VALUE("env", 0, OPT_TEXT, "HOW", hand, UPGRADE | RESTORE | FDCMD, "LISTEN_FDS, or NAME=PATTERN with %d for each number (default: LISTEN_FDS)"),
	VALUE("ready", 0, OPT_TEXT, "HOW", ready, UPGRADE | RESTORE, "notify, probe:ADDRESS, offer or exec (default: notify; with --files-only: exec)"),
	VALUE("stop", 0, OPT_TEXT, "SIGNAL", stop, UPGRADE, "what ends the old program then, or none (default: TERM)"),

	FLAG("raw", 0, raw, FDCMD, "send, recv: one message, as Go and Python send it; no names"),
	VALUE("payload", 0, OPT_TEXT, "TEXT", payload, FDCMD, "send: what goes with the descriptors"),
	FLAG("accept", 0, accept, FDCMD, "send, recv: wait for a peer that connects to the socket"),
	VALUE("expect", 0, OPT_NUMBER, "N", expect, FDCMD, "recv: exactly so many, or fail"),
	VALUE("at", 0, OPT_TEXT, "N,N...", at, FDCMD, "numbers in the program (default: from 3 on)"),
	VALUE("store", 0, OPT_TEXT, "SOCKET", store, FDCMD, "hold: be the store of sd_notify(3) at this NOTIFY_SOCKET"),
	FLAG("sh", 0, sh, FDCMD, "print assignments for a shell"),

	FLAG("tcp-established", 0, tcp_established, RUNS, "permit established TCP connections"),
	FLAG("tcp-close", 0, tcp_close, RUNS, "let TCP connections come back closed"),
	FLAG("skip-in-flight", 0, skip_in_flight, RUNS, "lose TCP connections that are being opened or wait to be accepted, and messages that wait on netlink sockets"),
	VALUE("tcp", 0, OPT_LIST, "PID:FD=POLICY", tcp_rules, RUNS, "one TCP connection: repair, close or fail (repeatable)"),
	{ .name = "network-lock", .type = OPT_WORD, .arg = "METHOD", FIELD(network_lock), .verbs = RUNS, .words = " nftables iptables skip ", .help = "how TCP connections are held back: nftables (iptables means the same) or skip, which leaves it to you" },
	FLAG("file-locks", 'l', file_locks, RUNS, "permit file locks"),
	FLAG("link-remap", 0, link_remap, RUNS, "permit names for files whose own was deleted; they go at the restore"),
	FLAG("force-irmap", 0, force_irmap, RUNS, "look for the names of what inotify and fanotify watch"),
	VALUE("irmap-scan-path", 0, OPT_LIST, "PATH", irmap_paths, RUNS, "look for them below this directory first (repeatable)"),
	VALUE("external", 0, OPT_LIST, "TYPE[ID]:NAME", externals, DUMP | RESTORE, "file[MNT:INO], tty[RDEV:DEV], unix[INO], dev[MAJOR/MINOR]:NAME: it stays outside; restore: dev[NAME]:PATH (repeatable)"),
	VALUE("inherit-fd", 0, OPT_LIST, "fd[N]:KEY", inherits, RESTORE, "our descriptor N in place of the file called KEY (repeatable)"),
	VALUE("map", 0, OPT_LIST, "PID:FD=TARGET", maps, RESTORE, "a path, or fd[N], in place of one descriptor of one task (repeatable)"),
	VALUE("ghost-limit", 0, OPT_SIZE, "SIZE", ghost_limit, RUNS, "largest deleted file that goes into the image (default: 1M)"),
	FLAG("ghost-fiemap", 0, permitted, RUNS, "permit FIEMAP for deleted files"),
	{ .name = "ext-unix-sk", .no = "no-ext-unix-sk", .letter = 'x', .type = OPT_FLAG, .arg = "[INO,...]", FIELD(ext_unix_sk), .list = offsetof(struct options, ext_unix_inos), .verbs = RUNS, .help = "permit Unix sockets connected to the outside, or those named even if they come back closed" },
	FLAG("evasive-devices", 0, evasive_devices, RUNS, "permit another path to the same device"),
	FLAG("unprivileged", 0, permitted, VERB_ALL, "permit to run without root, as is always done"),
	FLAG("weak-sysctls", 0, permitted, RESTORE, "permit missing sysctls"),
	WORD("manage-cgroups", "[MODE]", " ignore none ", "restoring control groups", RUNS, "ignore or none: control groups stay as they are"),
	WORD("pre-dump-mode", "MODE", " splice read ", NULL, DUMP, "splice or read; has no effect on a dump"),
	WORD("file-validation", "METHOD", " buildid ", "comparing files by size only", RESTORE, "buildid: how files are compared"),

	VALUE("feature", 0, OPT_TEXT, "NAME", feature, CHECK, "look for one feature; list shows their names"),
	FLAG("extra", 0, extra, CHECK, "look for what some trees need, too"),
	FLAG("experimental", 0, experimental, CHECK, "look for experimental features, too"),
	FLAG("all", 0, all, CHECK, "--extra --experimental"),
	VALUE("count", 'n', OPT_NUMBER, "N", cycles, CYCLE, "how many cycles (default: 1)"),
	FLAG("tap", 0, tap, CYCLE, "print the results as Test Anything Protocol"),

	VALUE("door", 0, OPT_TEXT, "PATH", door, SERVICE, "serve requests as calls of a door on this path, too"),
	FLAG("attach-doors", 0, attach_doors, SERVICE, "let users attach doors to files of their own, and take them off"),
	VALUE("address", 0, OPT_TEXT, "PATH", address, SERVICE, "socket of the service, @NAME for an abstract one (default: criu_service.socket)"),
	VALUE("guard", 0, OPT_LIST, "FILE", guards, SERVICE, "make record locks on this file mandatory (repeatable)"),
	FLAG("daemon", 0, daemon, SERVICE, "go into the background, as -d"),
	VALUE("max-clients", 0, OPT_NUMBER, "N", max_clients, SERVICE, "connections at once (default: 1024)"),
	VALUE("max-requests", 0, OPT_NUMBER, "N", max_requests, SERVICE, "requests at work at once, others wait (default: 4 for each processor)"),
	VALUE("time-limit", 0, OPT_NUMBER, "SECONDS", time_limit, SERVICE, "longest time for a request (default: 600)"),
	VALUE("memory-limit", 0, OPT_SIZE, "SIZE", memory_limit, SERVICE, "most memory that a request may take for itself (default: no limit)"),

	REFUSED("freeze-cgroup", 0, "freezing by control group"),
	REFUSED("lazy-pages", 0, "memory on demand"),
	REFUSED("page-server", 0, "sending memory over the network"),
	REFUSED("track-mem", 0, "incremental dumps"),
	REFUSED("auto-dedup", 0, "incremental dumps"),
	REFUSED("stream", 0, "streamed images"),
	REFUSED("log-pid", 0, "a log file for each process"),
	REFUSED("mntns-compat-mode", 0, "mount namespaces"),
	REFUSED("enable-external-sharing", 0, "mount namespaces"),
	REFUSED("enable-external-masters", 0, "mount namespaces"),
	REFUSED("skip-file-rwx-check", 0, "files whose mode has changed"),
	REFUSED("allow-uprobes", 0, "traced programs (uprobes)"),
	REFUSED("exec-cmd", 0, "a command in place of the tool"),
	REFUSED("tls", 0, "sending memory over the network"),
	REFUSED("tls-no-cn-verify", 0, "sending memory over the network"),
	REFUSED("deprecated", 0, "deprecated behaviour"),
	REFUSED_ARG("tls-cacert", 0, "FILE", "sending memory over the network"),
	REFUSED_ARG("tls-cacrl", 0, "FILE", "sending memory over the network"),
	REFUSED_ARG("tls-cert", 0, "FILE", "sending memory over the network"),
	REFUSED_ARG("tls-key", 0, "FILE", "sending memory over the network"),
	REFUSED_ARG("port", 0, "PORT", "sending memory over the network"),
	REFUSED_ARG("ps-socket", 0, "FD", "sending memory over the network"),
	REFUSED_ARG("prev-images-dir", 0, "DIR", "incremental dumps"),
	REFUSED_ARG("root", 'r', "PATH", "another root directory"),
	REFUSED_ARG("libdir", 'L', "DIR", "plugins"),
	REFUSED_ARG("cpu-cap", 0, "[CAP]", "a choice of processor checks"),
	REFUSED_ARG("cgroup-root", 0, "PATH", "control groups"),
	REFUSED_ARG("cgroup-yard", 0, "PATH", "control groups"),
	REFUSED_ARG("cgroup-props", 0, "SPEC", "control groups"),
	REFUSED_ARG("cgroup-props-file", 0, "FILE", "control groups"),
	REFUSED_ARG("cgroup-dump-controller", 0, "NAME", "control groups"),
	REFUSED_ARG("lsm-profile", 0, "TYPE:NAME", "security module profiles"),
	REFUSED_ARG("lsm-mount-context", 0, "CTX", "security module profiles"),
	REFUSED_ARG("empty-ns", 0, "NS", "namespaces"),
	REFUSED_ARG("join-ns", 'J', "NS", "namespaces"),
	REFUSED_ARG("veth-pair", 0, "IN=OUT", "network namespaces"),
	REFUSED_ARG("skip-mnt", 0, "PATH", "mount namespaces"),
	REFUSED_ARG("enable-fs", 0, "[NAMES]", "mount namespaces"),
	REFUSED_ARG("ext-mount-map", 'M', "KEY:VAL", "mount namespaces"),
	/* clang-format on */
};

const size_t option_rows_nr = sizeof(option_rows) / sizeof(option_rows[0]);
