/*
 * handover - descriptors to a new program: how the command line says it, and
 * the new program under a keeper until it is decided whether it stays.
 */
#ifndef CL_CMD_HANDOVER_H
#define CL_CMD_HANDOVER_H

#include <stdatomic.h>
#include <stdbool.h>

#include "cmd/keeper.h"
#include "cmd/reach.h"
#include "lib/fdupgrade.h"

struct cmd;
struct fd_item;

struct handover {
	struct cmd *c;
	struct fd_upgrade_opts o;
	struct fd_upgrade up;
	struct reach reach;
	struct keeper keeper;
	pid_t *others; /* children of ours that are no part of it */
	size_t nr_others;
	bool running;
	const atomic_bool *stays; /* shared: the new program stays if we are killed; or NULL */
	const char *instead;      /* what is as it was if it fails */
};

int handover_parse(struct cmd *c, struct handover *h, const char *ready);
int handover_start(struct handover *h, const struct fd_item *items, const int *at, size_t n);
int handover_commit(struct handover *h);
void handover_cancel(struct handover *h);

/* To a new file or in the place of an old one, at once. */
int handover_pidfile(struct cmd *c, pid_t pid);

#endif
