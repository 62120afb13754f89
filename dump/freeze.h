/*
 * freeze - what freeze.c, seize.c and release.c share.
 */
#ifndef CL_DUMP_FREEZE_H
#define CL_DUMP_FREEZE_H

#include "base/idmap.h"
#include "dump/ctx.h"

/* One freezing of a tree. */
struct freeze {
	struct dump_ctx *ctx;
	struct idmap tids; /* every thread met: never seized twice */
	pid_t *list;       /* scratch for directories of numbers */
	size_t room;
	unsigned long options; /* PTRACE_O_ */
	bool rescan;           /* somebody died: orphans may have found a new parent */
};

/* Positive results of freeze_*: not an error. */
#define FREEZE_GONE 1 /* the thread or process does not exist any more */

int freeze_threads(struct freeze *f, struct pstree_item *it);
int freeze_note(struct dump_ctx *ctx, struct pstree_item *it);
int freeze_checks(struct dump_ctx *ctx);
int freeze_check_target(struct dump_ctx *ctx);
bool dump_descends(struct dump_ctx *ctx, pid_t pid, pid_t from, uint64_t born);

#endif
