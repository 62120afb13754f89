/* engine_priv - what the files of the engine share. Nobody else includes this. */
#ifndef CL_RESTORE_ENGINE_PRIV_H
#define CL_RESTORE_ENGINE_PRIV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "restore/ctx.h"
#include "restore/engine.h"

/* A table of descriptors that is to be restored. */
struct engine_table {
	struct filedesc *fdt;
	size_t index;
	struct fdinfo_list_entry **fle; /* ascending descriptor */
	size_t n;
	int base;       /* the first number above all of them */
	bool receives;  /* has slaves of masters elsewhere */
	size_t sharers; /* tasks that have this table beside its owner, or had it at birth */
	int rx, tx;     /* the inbox; -1 if it does not receive */
	struct fdinfo_list_entry **out; /* to be sent there from this process */
	size_t n_out, sent;
};

/* engine_shared.idle: low half the event at which a table had nothing to do. */
#define TABLE_IDLE (UINT64_C(1) << 32)
#define TABLE_DONE (UINT64_C(2) << 32)

/* In memory that all processes share, beside struct restore_shared. */
struct engine_shared {
	atomic_uint judge;      /* whoever sets it records why nothing goes on */
	atomic_uint starving;   /* somebody could not send: tell all when an inbox has room */
	_Atomic uint64_t *idle; /* by engine_table.index */
	_Atomic uint64_t *wait; /* by fle.index: the awaited desc's id << 8 | stage; 0 for none */
	_Atomic uint64_t *here; /* by engine_table.index: sharers that open nothing any more */
};

struct restore_engine {
	struct restore_ctx *ctx;
	bool planned;
	struct engine_table *tables;
	size_t nr_tables;
	size_t nr_fles;
	size_t batch;   /* descriptors in one message */
	int **services; /* owners' variables of descriptors that must stay open */
	size_t nr_services;
	struct engine_shared *shared;
	size_t shared_size;
	int log_before; /* the log's number when the tool's descriptors have been moved; or -1 */

	/* From here on: of the calling process. */
	struct pstree_item *me;
	struct engine_table *my;     /* NULL unless this process restores a table */
	int placeholder;             /* what planned numbers hold */
	struct file_desc *current;   /* whose open() runs */
	uint64_t awaits;             /* what it waits for, as in engine_shared.wait */
	bool progress;               /* in this pass: look at everything here again */
	uint32_t wake;               /* bits of those whom this pass has given something to do */
	struct engine_table **dirty; /* with something to send */
	size_t nr_dirty;
	size_t slaves_left;
	unsigned still_event; /* since when nothing has happened anywhere */
	uint64_t still_since_ns;
	int verdict; /* -errno if this process recorded why nothing goes on */
};

static inline struct fdinfo_list_entry *file_master(const struct file_desc *d)
{
	return list_empty(&d->fles) ? NULL
				    : list_first(&d->fles, struct fdinfo_list_entry, of_desc);
}

static inline enum fle_stage fle_get_stage(const struct restore_engine *e,
					   const struct fdinfo_list_entry *fle)
{
	return atomic_load(&e->ctx->shared->stage[fle->index]);
}

/* engine_claim.c: planned numbers in the calling process. */
int engine_claim_numbers(struct restore_engine *e);
int engine_keep_number(struct restore_engine *e, struct fdinfo_list_entry *fle);
int engine_plant(struct restore_engine *e, struct fdinfo_list_entry *fle, int fd);

/* engine_ahead.c: what lands, by several processes. */
int engine_open_ahead(struct restore_engine *e);

/* engine_fds.c: other numbers. */
int engine_raise_limit(struct restore_engine *e, int top, size_t most);
int engine_dup_aside(const struct engine_table *t, int fd);
struct fdinfo_list_entry *engine_table_find(const struct engine_table *t, int fd);

/* transport.c: descriptors to and from other processes. */
int transport_open(struct restore_engine *e);
void transport_post(struct restore_engine *e, struct fdinfo_list_entry *fle);
int transport_flush(struct restore_engine *e, bool *left);
int transport_drain(struct restore_engine *e);

/* engine_wait.c: stages, sleep, and the end of waiting. */
void fle_set_stage(struct restore_engine *e, struct fdinfo_list_entry *fle, enum fle_stage stage);
void engine_wake(struct restore_engine *e);
void engine_sleep(struct restore_engine *e, unsigned seen, uint32_t bits);

/* A table's own bit of the futex; several may have one. */
static inline uint32_t table_bit(const struct engine_table *t)
{
	return UINT32_C(1) << t->index % 31;
}

#endif
