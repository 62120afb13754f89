/*
 * cmd - what the subcommands share: one run of the program, from the options
 * to the exit status. A subcommand returns 0, its own positive exit status, or
 * -errno with the causes recorded; main() prints those and chooses the status.
 */
#ifndef CL_CMD_CMD_H
#define CL_CMD_CMD_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/report.h"
#include "cmd/options.h"

#define CL_VERSION "0.1"
#define CL_CRIU_MAJOR 4 /* the interface that is spoken */
#define CL_CRIU_MINOR 2
#define CL_CRIU_VERSION "4.2"

struct dump_opts;
struct json_object;
struct pstree;
struct rpc_host;
struct rpc_job;

struct cmd {
	struct options *o;
	struct report *r;
	int images_fd, work_fd; /* -1 until session_open() */
	int log_fd;             /* -1: no log */
	pid_t pid;              /* the root of the tree, for --json */
	bool answered;          /* the JSON result has been printed */
	bool pidfile_written;
	int veto;                  /* exit status of a post-dump script that refused */
	struct json_object *stats; /* figures for --json */
	char **argv;               /* the words of the command line */
	struct rpc_job *job;       /* the request of the RPC behind it, or NULL */
};

#define VERB(name, min, max, synopsis, summary) int cmd_##name(struct cmd *c);
#include "cmd/verbs.def"
#undef VERB

/* run.c */
int cmd_run(struct cmd *c, int argc, char **argv);

/* rpc_host.c: the commands, as the service sees them. */
extern const struct rpc_host rpc_host;

/* help.c */
int print_help(enum verb verb);

/* session.c: directories, log, pidfile, status descriptor. */
int session_open(struct cmd *c, const char *log_name);
void session_log_refusal(struct cmd *c, const char *log_name, const char *end);
void session_log_stderr(struct cmd *c);
int session_pidfile(struct cmd *c, pid_t pid);
void session_pidfile_undo(struct cmd *c);
void session_ready(struct cmd *c);
void session_close(struct cmd *c);

/* result.c: what is printed at the end. */
void cmd_warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void result_answer(struct cmd *c, int ret);
int result_finish(struct cmd *c, int ret);
int print_json(struct json_object *o);

/* action.c */
int action_run(struct cmd *c, const char *name, pid_t root);

/* outside.c: --inherit-fd and --map, read and checked. */
struct restore_opts;
int outside_parse(struct cmd *c, struct restore_opts *opts);

/* verify.c: 0, or -errno with every difference recorded. */
int verify_tree(struct cmd *c, struct pstree *image);

/* source.c: the state of a live tree, an image or a saved snapshot. */
int source_live(struct cmd *c, const struct dump_opts *how, struct pstree **out);
int source_state(struct cmd *c, const char *what, struct json_object **out);
int source_outline(struct cmd *c, const char *what, struct json_object **out);

/* network.c */
struct tcp_rule;
int tcp_rules_parse(struct cmd *c, struct tcp_rule **rules);
unsigned network_lock_method(const struct cmd *c);

#endif
