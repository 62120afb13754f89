/*
 * engine - the open() loop, in every process that restores a table. A pass
 * takes in what others sent, calls open() for each master that is not yet
 * restored, and sends what has become open. It sleeps when a pass changed
 * nothing.
 */
#include "restore/engine_priv.h"

#include <errno.h>

#include "base/fd.h"

/* open() calls between two looks at the inbox and the outboxes. */
#define FLE_PER_FLUSH 128

/**
 * engine_ctx - the run that a tree is restored in
 * @t: the tree
 *
 * Return: the run, or NULL if files are not planned yet.
 */
struct restore_ctx *engine_ctx(const struct pstree *t)
{
	return t->files.engine ? t->files.engine->ctx : NULL;
}

/**
 * engine_here - the task that the calling process becomes
 * @t: the tree
 *
 * Return: the task, or NULL in the tool.
 */
struct pstree_item *engine_here(const struct pstree *t)
{
	return t->files.engine ? t->files.engine->me : NULL;
}

/**
 * engine_master - the task that opens a file
 * @d: the file
 *
 * Return: the task, or NULL for a file in no table.
 */
struct pstree_item *engine_master(const struct file_desc *d)
{
	const struct fdinfo_list_entry *m = file_master(d);

	return m ? m->fdt->owner : NULL;
}

/* Puts a file that has just been opened everywhere it belongs. */
static int serve_out(struct restore_engine *e, struct file_desc *d, int fd)
{
	struct fdinfo_list_entry *master = file_master(d), *fle;
	const struct filedesc *sent_to = e->my->fdt;
	int ret = engine_plant(e, master, fd);

	list_for_each(fle, &d->fles, of_desc) {
		if (ret)
			return ret;
		if (fle == master)
			continue;
		if (fle->fdt == e->my->fdt) {
			ret = engine_plant(e, fle, fd);
			if (!ret) {
				fle_set_stage(e, fle, FLE_RESTORED);
				e->slaves_left--;
			}
		} else if (fle->fdt != sent_to) {
			/* One message for all numbers of a table: they follow each other. */
			sent_to = fle->fdt;
			transport_post(e, fle);
		}
	}
	return ret;
}

/* 0: restored, 1: not yet, -errno: failed and recorded. */
static int run_master(struct restore_engine *e, struct fdinfo_list_entry *fle)
{
	struct file_desc *d = fle->desc;
	cleanup_close int fd = -1;
	int ret;

	e->current = d;
	e->awaits = 0;
	if (fle->opened) {
		fd = fle->fd;
		ret = 0;
	} else {
		ret = d->ops->open(d, &fd);
	}
	e->current = NULL;
	/* In one step: who finds out that all wait reads it while others look again. */
	atomic_store(&e->shared->wait[fle->index], e->awaits);
	if (ret < 0)
		return -EIO;
	if (fd >= 0) {
		int err;

		if (fle_get_stage(e, fle) != FLE_INITIALIZED) {
			file_fail(d, EINVAL, "open() gave a second descriptor");
			return -EINVAL;
		}
		err = serve_out(e, d, fd);
		if (fd == fle->fd)
			take_fd(&fd);
		if (err)
			return err;
	} else if (engine_keep_number(e, fle)) {
		return -EMFILE;
	}
	if (ret == 0) {
		if (fle_get_stage(e, fle) == FLE_INITIALIZED) {
			file_fail(d, EINVAL, "open() gave no descriptor");
			return -EINVAL;
		}
		fle_set_stage(e, fle, FLE_RESTORED);
	}
	return ret ? 1 : 0;
}

/* The masters of this process's table that are not restored yet, by descriptor. */
struct todo {
	struct fdinfo_list_entry **fle;
	size_t n;
};

/* Once over everything. 0: all is done, 1: not yet, -errno: failed and recorded. */
static int engine_pass(struct restore_engine *e, struct todo *todo)
{
	size_t left = 0;
	bool unsent = false;
	int ret = transport_drain(e);

	for (size_t i = 0; i < todo->n && !ret; i++) {
		int r = run_master(e, todo->fle[i]);

		if (r < 0)
			ret = r;
		else if (r > 0)
			todo->fle[left++] = todo->fle[i];
		/* Long tables: let the others begin, and keep our own inbox empty. */
		if (!ret && (i + 1) % FLE_PER_FLUSH == 0) {
			ret = transport_flush(e, &unsent);
			engine_wake(e);
			if (!ret)
				ret = transport_drain(e);
		}
		if (!ret && atomic_load(&e->ctx->shared->abort))
			ret = -ECANCELED;
	}
	if (!ret)
		ret = transport_flush(e, &unsent);
	todo->n = left;
	return ret ? ret : todo->n || e->slaves_left || unsent;
}

static void engine_enter(struct restore_engine *e, struct todo *todo)
{
	struct arena *a = e->ctx->arena;

	todo->fle = arena_array(a, struct fdinfo_list_entry *, e->my->n);
	for (size_t i = 0; i < e->my->n; i++)
		if (e->my->fle[i]->lands)
			todo->fle[todo->n++] = e->my->fle[i];
	for (size_t i = 0; i < e->my->n; i++) {
		if (e->my->fle[i] != file_master(e->my->fle[i]->desc))
			e->slaves_left++;
		else if (!e->my->fle[i]->lands)
			todo->fle[todo->n++] = e->my->fle[i];
	}
}

static int engine_loop(struct restore_engine *e)
{
	struct restore_shared *s = e->ctx->shared;
	struct todo todo = { 0 };
	int ret;

	engine_enter(e, &todo);
	do {
		unsigned seen = atomic_load(&s->files);

		if (atomic_load(&s->abort))
			return e->verdict ? e->verdict : -ECANCELED;
		atomic_store(&e->shared->idle[e->my->index], 0);
		e->progress = false;
		ret = engine_pass(e, &todo);
		if (ret == 0) {
			atomic_store(&e->shared->idle[e->my->index], TABLE_DONE);
			e->wake |= WAKE_STAGES;
		}
		engine_wake(e);
		if (ret > 0 && !e->progress)
			engine_sleep(e, seen, table_bit(e->my) | (todo.n ? WAKE_STAGES : 0));
	} while (ret > 0);
	return ret;
}

/**
 * engine_left - the calling task does nothing to a table any more
 * @ctx: the run
 * @fdt: the table, which somebody else restores: it has it, or has left it
 */
void engine_left(struct restore_ctx *ctx, const struct filedesc *fdt)
{
	struct restore_engine *e = ctx->engine;

	atomic_fetch_add(&e->shared->here[fdt->engine->index], 1);
	e->wake |= table_bit(fdt->engine);
	engine_wake(e);
}

/*
 * A task that shares its table waits for the one that restores it, which
 * begins when all of them wait: what one of them has open would be in the way,
 * and what it closes then could be somebody's file.
 */
static int wait_for_table(struct restore_engine *e, const struct engine_table *t, bool owner)
{
	if (!owner)
		engine_left(e->ctx, t->fdt);
	for (;;) {
		unsigned seen = atomic_load(&e->ctx->shared->files);

		if (owner ? atomic_load(&e->shared->here[t->index]) == t->sharers
			  : atomic_load(&e->shared->idle[t->index]) == TABLE_DONE)
			return 0;
		if (atomic_load(&e->ctx->shared->abort))
			return e->verdict ? e->verdict : -ECANCELED;
		engine_sleep(e, seen, owner ? table_bit(t) : WAKE_STAGES);
	}
}

/**
 * engine_run - restore all files of a task, in that task
 * @ctx: the run
 * @me: the calling task
 *
 * Returns when every descriptor of the task's table is restored and all that
 * other processes expect of this one is sent. One process records what waits
 * for what when none can go on (-EDEADLK) or ctx->deadline_ns is there
 * (-ETIMEDOUT). Any failure sets ctx->shared->abort.
 *
 * Return: 0; -ECANCELED if another process failed; another -errno, recorded.
 */
int engine_run(struct restore_ctx *ctx, struct pstree_item *me)
{
	struct restore_engine *e = ctx->engine;
	struct engine_table *t = me->fdt ? me->fdt->engine : NULL;
	int ret;

	e->me = me;
	if (!t)
		return 0;
	ret = wait_for_table(e, t, t->fdt->owner == me);
	if (t->fdt->owner != me)
		return ret;
	e->my = t;
	if (!ret)
		ret = engine_claim_numbers(e);
	if (!ret)
		ret = engine_open_ahead(e);
	if (!ret)
		ret = engine_loop(e);
	if (ret)
		restore_abort(ctx);
	return ret;
}
