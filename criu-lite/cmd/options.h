/*
 * options - what was asked for: the words of the command line and of the
 * configuration files, as one struct.
 */
#ifndef CL_CMD_OPTIONS_H
#define CL_CMD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct report;

enum verb {
#define VERB(name, min, max, synopsis, summary) VERB_##name,
#include "cmd/verbs.def"
#undef VERB
	VERBS,
	VERB_NONE = VERBS
};

/* What an option that may be repeated was given. */
struct option_list {
	const char **v;
	size_t n;
};

struct options {
	struct arena *arena; /* holds every string from a configuration file */
	enum verb verb;
	const char **args; /* what follows the verb */
	size_t nr_args;
	size_t program; /* index of the first one behind "--"; nr_args without */
	bool help, version;

	const char *images_dir, *work_dir, *log_file, *pidfile;
	const char *config;     /* --config */
	const char *rpc_config; /* that of a request: comes last */
	bool default_config;
	unsigned verbosity; /* 0 to 4: messages, errors, warnings, information, debug */
	unsigned tree, timeout, cycles;
	const char *address;
	const char *door;
	bool attach_doors;
	unsigned max_clients, max_requests, time_limit; /* of the service; 0 is the default */
	uint64_t memory_limit;                          /* bytes; 0: none */
	int status_fd, close_fd;                        /* -1 without */
	struct option_list irmap_paths, scripts, externals, inherits, maps, tcp_rules, guards;
	struct option_list ext_unix_inos; /* numbers; none of them: any */
	uint64_t ghost_limit;             /* bytes; 0 is the default */
	const char *feature;
	unsigned old_pid; /* of upgrade, or of the image with --files-only */
	bool files_only;
	/* of fd */
	bool raw, accept, sh;
	unsigned expect; /* descriptors; 0: any number */
	const char *payload, *at, *store;
	const char *fds, *hand, *ready, *stop;

	bool shell_job, leave_running, leave_stopped, detach, sibling, daemon;
	bool tcp_close, skip_in_flight;
	const char *network_lock; /* NULL: the default */
	bool tcp_established, file_locks, link_remap, force_irmap, ext_unix_sk, evasive_devices;
	bool display_stats, json, exit_codes, verify, tap, extra, experimental, all;
	bool permitted; /* where options go that permit what is done in any case */
};

/* How an argument is read. */
enum option_type {
	OPT_FLAG,      /* none, refused, or for option_row.list; --no-NAME clears it */
	OPT_TEXT,      /* as it is */
	OPT_NUMBER,    /* decimal, not negative */
	OPT_FD,        /* decimal descriptor number */
	OPT_SIZE,      /* bytes, with K, M or G */
	OPT_WORD,      /* one of option_row.words */
	OPT_LIST,      /* may be given several times */
	OPT_VERBOSITY, /* a number, or one more v each */
};

/* One row of the table. Without help it is known to CRIU and not honoured. */
struct option_row {
	const char *name;
	const char *no;  /* of a flag: "no-NAME" */
	const char *arg; /* NULL: takes none; "[X]": may take one */
	const char *help;
	const char *words; /* OPT_WORD: those accepted, each between blanks */
	const char *lacks; /* what it would be, where it is not honoured */
	unsigned verbs;    /* where it has a meaning, as VERB_BIT() */
	enum option_type type;
	uint16_t field; /* offset in struct options */
	uint16_t list;  /* offset of the list that takes the numbers after a flag; 0: none may */
	char letter;
};

#define VERB_BIT(v) (1u << VERB_##v)
#define VERB_ALL ((1u << VERBS) - 1)
#define VERBS_OF_CRIU                                                               \
	(VERB_BIT(dump) | VERB_BIT(restore) | VERB_BIT(check) | VERB_BIT(service) | \
	 VERB_BIT(swrk) | VERB_BIT(cpuinfo))

extern const struct option_row option_rows[];
extern const size_t option_rows_nr;

int options_parse(struct options *o, struct report *r, int argc, char **argv);
const char *verb_name(enum verb verb);

/* For config.c. */
const struct option_row *option_find(const char *name, bool *negated);
int option_apply(struct options *o, struct report *r, const struct option_row *row, bool negated,
		 const char *arg, const char *where);
int config_apply(struct options *o, struct report *r);
void config_apply_last(struct options *o, struct report *r);

#endif
