/*
 * dump - the subcommand: a process tree to images. A signal that ends the
 * program undoes the dump: the kernel releases what was traced.
 */
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/progress.h"
#include "cmd/stats.h"
#include "daemon/rpc.h"
#include "dump/dump.h"

struct dump_run {
	struct cmd *c;
	struct progress bar;
};

static int on_action(void *arg, const char *name)
{
	struct dump_run *run = arg;
	int ret = action_run(run->c, name, run->c->pid);

	/* CRIU ends with the status of a post-dump script that refuses. */
	if (!strcmp(name, "post-dump"))
		run->c->veto = ret & 0x7f;
	return ret;
}

static void on_progress(void *arg, uint64_t done, uint64_t total)
{
	progress_step(&((struct dump_run *)arg)->bar, done, total);
}

static void on_done(void *arg, const struct dump_stats *stats)
{
	stats_dump(((struct dump_run *)arg)->c, stats);
}

/**
 * cmd_dump - `criu-lite dump`
 * @c: the run
 *
 * Return: 0 or -errno, recorded.
 */
int cmd_dump(struct cmd *c)
{
	const struct options *o = c->o;
	struct dump_run run = { .c = c };
	struct dump_opts opts = {
		.pid = (pid_t)o->tree,
		.final = o->leave_running   ? DUMP_LEAVE_RUNNING
			 : o->leave_stopped ? DUMP_LEAVE_STOPPED
					    : DUMP_KILL,
		.shell_job = o->shell_job,
		.tcp_established = o->tcp_established,
		.tcp_close = o->tcp_close,
		.skip_in_flight = o->skip_in_flight,
		.network_lock = network_lock_method(c),
		.nr_tcp_rules = o->tcp_rules.n,
		.file_locks = o->file_locks,
		.link_remap = o->link_remap,
		.force_irmap = o->force_irmap,
		.irmap_paths = o->irmap_paths.v,
		.nr_irmap_paths = o->irmap_paths.n,
		.externals = o->externals.v,
		.nr_externals = o->externals.n,
		.ext_unix_sk = o->ext_unix_sk,
		.ext_unix_inos = o->ext_unix_inos.v,
		.nr_ext_unix_inos = o->ext_unix_inos.n,
		.evasive_devices = o->evasive_devices,
		.ghost_limit = o->ghost_limit,
		.timeout = o->timeout,
		.waits = c->job ? c->job->waits : 0,
		.own_ns = c->job ? c->job->own_ns : NULL,
		.progress = on_progress,
		.action = on_action,
		.done = on_done,
		.arg = &run,
	};
	struct dump_guardian guardian = { 0 };
	struct tcp_rule *rules = NULL;
	int ret;

	opts.guardian = c->job ? c->job->guardian : &guardian;
	c->pid = opts.pid;
	ret = session_open(c, "dump.log");
	if (!ret)
		ret = tcp_rules_parse(c, &rules);
	if (ret < 0)
		return ret;
	opts.tcp_rules = rules;
	opts.images_fd = c->images_fd;
	progress_start(&run.bar, "dump");
	ret = dump_tree(&opts, c->r);
	progress_end(&run.bar);
	if (ret < 0) {
		dump_guardian_end(&guardian);
		log_error(c->r, "Dumping FAILED.");
		return ret;
	}
	c->veto = 0;
	session_ready(c);
	dump_guardian_end(&guardian);
	log_info(c->r, "Dumping finished successfully");
	return 0;
}
