/*
 * stats - stats-dump and stats-restore are images of the service kind, as
 * crit(1) reads them. A run has done its work by then, so what cannot be
 * written is a warning.
 */
#include "cmd/stats.h"

#include <stdio.h>
#include <string.h>

#include <json-c/json.h>

#include "base/arena.h"
#include "cmd/cmd.h"
#include "dump/dump.h"
#include "image/image.h"
#include "restore/restore.h"

#include "proto/stats.pb-c.h"

static uint32_t clamp32(uint64_t n)
{
	return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static int write_stats(struct cmd *c, struct report *r, enum image_kind kind, const StatsEntry *e)
{
	struct image_writer *w = NULL;
	struct image_dir *d = NULL;
	int ret = image_dir_open(&d, c->work_fd, r, c->o->arena), end;

	if (ret < 0)
		return ret;
	ret = image_create(&w, d, kind, 0);
	if (ret >= 0) {
		ret = image_put(w, &e->base);
		end = image_finish(&w);
		ret = ret < 0 ? ret : end;
	}
	image_dir_close(d);
	return ret;
}

/* The causes of a failure here are not causes of the run's. */
static void save_stats(struct cmd *c, enum image_kind kind, const StatsEntry *e)
{
	struct report *r = report_new();
	int ret;

	report_log_to(r, -1, LOG_MSG);
	ret = write_stats(c, r, kind, e);
	if (ret < 0)
		log_warn(c->r, "statistics not written: %s: %s",
			 report_cause(r, 0) ? report_cause(r, 0)->text : "", strerror(-ret));
	report_free(r);
}

static void add(struct cmd *c, const char *name, uint64_t value)
{
	json_object_object_add(c->stats, name, json_object_new_uint64(value));
}

static void show(const struct cmd *c)
{
	if (!c->o->display_stats || c->o->json || c->job)
		return;
	printf("Displaying %s stats:\n", verb_name(c->o->verb));
	json_object_object_foreach(c->stats, name, value)
	{
		size_t len = strlen(name);
		bool time = len > 3 && !strcmp(name + len - 3, "_us");

		printf("%.*s: %s%s\n", (int)(time ? len - 3 : len), name,
		       json_object_get_string(value), time ? " us" : "");
	}
	fflush(stdout);
}

/**
 * stats_dump - publish the figures of a dump
 * @c: the run; c->stats is made
 * @s: the figures
 */
void stats_dump(struct cmd *c, const struct dump_stats *s)
{
	DumpStatsEntry dump = DUMP_STATS_ENTRY__INIT;
	StatsEntry e = STATS_ENTRY__INIT;

	dump.freezing_time = clamp32(s->freezing_us);
	dump.frozen_time = clamp32(s->frozen_us);
	dump.memdump_time = clamp32(s->memdump_us);
	dump.memwrite_time = clamp32(s->memwrite_us);
	dump.pages_scanned = s->pages_scanned;
	dump.pages_skipped_parent = s->pages_skipped_parent;
	dump.pages_written = s->pages_written;
	dump.pages_lazy = s->pages_lazy;
	dump.has_shpages_scanned = dump.has_shpages_written = 1;
	dump.has_shpages_skipped_parent = 1;
	dump.shpages_scanned = s->shpages_scanned;
	dump.shpages_written = s->shpages_written;
	e.dump = &dump;
	save_stats(c, IMAGE_STATS_DUMP, &e);

	/* Nobody sees them. */
	if (c->job)
		return;
	c->stats = json_object_new_object();
	add(c, "freezing_us", s->freezing_us);
	add(c, "frozen_us", s->frozen_us);
	add(c, "memdump_us", s->memdump_us);
	add(c, "memwrite_us", s->memwrite_us);
	add(c, "fsync_us", s->fsync_us);
	add(c, "total_us", s->total_us);
	add(c, "pages_scanned", s->pages_scanned);
	add(c, "pages_written", s->pages_written);
	add(c, "pages_skipped_parent", s->pages_skipped_parent);
	add(c, "pages_lazy", s->pages_lazy);
	add(c, "shpages_scanned", s->shpages_scanned);
	add(c, "shpages_written", s->shpages_written);
	add(c, "tasks", s->tasks);
	add(c, "threads", s->threads);
	add(c, "files", s->files);
	show(c);
}

/**
 * stats_restore - publish the figures of a restore
 * @c: the run; c->stats is made
 * @s: the figures
 */
void stats_restore(struct cmd *c, const struct restore_stats *s)
{
	RestoreStatsEntry restore = RESTORE_STATS_ENTRY__INIT;
	StatsEntry e = STATS_ENTRY__INIT;

	restore.pages_compared = s->pages_compared;
	restore.pages_skipped_cow = s->pages_skipped_cow;
	restore.forking_time = clamp32(s->forking_us);
	restore.restore_time = clamp32(s->restore_us);
	restore.has_pages_restored = 1;
	restore.pages_restored = s->pages_restored;
	e.restore = &restore;
	save_stats(c, IMAGE_STATS_RESTORE, &e);

	c->stats = json_object_new_object();
	add(c, "forking_us", s->forking_us);
	add(c, "restore_us", s->restore_us);
	add(c, "total_us", s->total_us);
	add(c, "pages_compared", s->pages_compared);
	add(c, "pages_skipped_cow", s->pages_skipped_cow);
	add(c, "pages_restored", s->pages_restored);
	add(c, "tasks", s->tasks);
	add(c, "threads", s->threads);
	add(c, "files", s->files);
	show(c);
}
