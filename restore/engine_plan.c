/*
 * engine_plan - before any fork: which tables there are and who restores
 * them, the order of the fles, what the types need of each other, numbers,
 * inboxes, and the memory that the processes share.
 */
#include "restore/engine_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"

static int max_fd(const struct filedesc *fdt)
{
	if (list_empty(&fdt->fles))
		return -1;
	return container_of(fdt->fles.prev, struct fdinfo_list_entry, in_table)->fd;
}

/* The first user of a table owns it. */
static void plan_tables(struct restore_engine *e)
{
	struct pstree *t = e->ctx->tree;
	struct pstree_item *it;

	e->tables = arena_array(t->arena, struct engine_table, t->nr_items);
	list_for_each(it, &t->items, list) {
		struct engine_table *et = &e->tables[e->nr_tables];

		/* Dead tasks have none; a helper may stand in for threads. */
		if (!it->fdt)
			continue;
		if (it->fdt->engine) {
			it->fdt->engine->sharers++;
			continue;
		}
		*et = (struct engine_table){
			.fdt = it->fdt, .index = e->nr_tables++, .rx = -1, .tx = -1
		};
		it->fdt->owner = it;
		it->fdt->engine = et;
	}
	/* Whoever is born into a table and leaves it is waited for, too. */
	list_for_each(it, &t->items, list)
		if (it->restore && it->restore->born_in && it->restore->born_in != it->fdt)
			it->restore->born_in->engine->sharers++;
}

/* Tables that no living task has are not restored: their fles go. */
static void plan_order(struct file_desc *d)
{
	struct fdinfo_list_entry *fle, *tmp;

	list_for_each_safe(fle, tmp, &d->fles, of_desc) {
		if (fle->fdt->engine)
			continue;
		list_del(&fle->of_desc);
		list_del(&fle->in_table);
	}
	file_desc_sort(d);
}

static int plan_descs(struct restore_engine *e)
{
	struct pstree *t = e->ctx->tree;
	struct file_desc *d;
	int ret = 0;

	list_for_each(d, &t->files.descs, list) {
		if (!d->ops || !d->ops->open) {
			ret = fail(e->ctx->report, "file-kind", EOPNOTSUPP,
				   "file id %#x: type %s cannot be restored", d->id,
				   file_types[d->kind].name);
			continue;
		}
		if (d->ops->priv_size)
			d->priv = arena_alloc(t->arena, d->ops->priv_size);
		plan_order(d);
	}
	return ret;
}

/* All that fails is recorded, not only the first. */
static int plan_types(struct restore_engine *e)
{
	struct pstree *t = e->ctx->tree;
	struct file_desc *d;
	int ret = 0, err;

	list_for_each(d, &t->files.descs, list)
		if (d->ops->place && (err = d->ops->place(t, d)) < 0)
			ret = ret ? ret : err;
	if (ret)
		return ret;
	list_for_each(d, &t->files.descs, list)
		if (d->ops->prepare && (err = d->ops->prepare(t, d)) < 0)
			ret = ret ? ret : err;
	if (ret)
		return ret;
	list_for_each(d, &t->files.descs, list)
		if (d->ops->check && (err = d->ops->check(t, d)) < 0)
			ret = ret ? ret : err;
	return ret;
}

static void plan_table(struct restore_engine *e, struct engine_table *t)
{
	struct fdinfo_list_entry *fle;

	list_for_each(fle, &t->fdt->fles, in_table) {
		arena_push(e->ctx->arena, t->fle, t->n) = fle;
		fle->index = e->nr_fles++;
		if (file_master(fle->desc)->fdt != t->fdt)
			t->receives = true;
	}
	t->base = max_fd(t->fdt) + 1;
}

static int plan_numbers(struct restore_engine *e)
{
	struct pstree_item *it;
	int top = 0;
	size_t most = 0;

	for (size_t i = 0; i < e->nr_tables; i++) {
		plan_table(e, &e->tables[i]);
		if (e->tables[i].base > top)
			top = e->tables[i].base;
		if (e->tables[i].n > most)
			most = e->tables[i].n;
	}
	list_for_each(it, &e->ctx->tree->items, list)
		if (it->restore && it->fdt && it->fdt->engine)
			it->restore->service_fd_base = it->fdt->engine->base;
	return engine_raise_limit(e, top, most);
}

static int plan_shared(struct restore_engine *e)
{
	size_t head = (sizeof(*e->shared) + 15) & ~(size_t)15;
	char *mem;

	e->shared_size = head + sizeof(uint64_t) * (2 * e->nr_tables + e->nr_fles);
	mem = mmap(NULL, e->shared_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		return fail(e->ctx->report, "no-memory", errno, "memory shared by %zu tables",
			    e->nr_tables);
	e->shared = (struct engine_shared *)mem;
	e->shared->idle = (_Atomic uint64_t *)(mem + head);
	e->shared->wait = e->shared->idle + e->nr_tables;
	e->shared->here = e->shared->wait + e->nr_fles;
	return 0;
}

/**
 * engine_plan - all that is known about files before the first fork
 * @ctx: the run; the tree is loaded, its descs have their ops
 *
 * Makes ctx->engine, runs every ops->prepare() and ops->check(), numbers the
 * fles, sets service_fd_base of the restore_tasks there are, and raises the
 * soft limit of descriptors of this process to the hard one. ctx->shared is
 * made after this, with a stage for each of engine_count() fles.
 *
 * Return: 0 or -errno, recorded.
 */
int engine_plan(struct restore_ctx *ctx)
{
	struct restore_engine *e = arena_new_of(ctx->tree->arena, struct restore_engine);
	int ret;

	*e = (struct restore_engine){ .ctx = ctx, .log_before = -1 };
	ctx->engine = e;
	ctx->tree->files.engine = e;
	engine_service(ctx, report_log_fd(ctx->report));
	plan_tables(e);
	ret = outside_plan(ctx);
	if (!ret)
		ret = plan_descs(e);
	if (!ret)
		ret = plan_types(e);
	e->planned = true;
	if (!ret)
		ret = plan_numbers(e);
	if (!ret)
		ret = plan_shared(e);
	return ret ? ret : transport_open(e);
}

/**
 * engine_count - how many fles there are
 * @ctx: the run, planned
 *
 * Return: the number of stages that struct restore_shared has to have.
 */
size_t engine_count(const struct restore_ctx *ctx)
{
	return ctx->engine->nr_fles;
}

/**
 * engine_free - in the tool, when every task is parked or gone
 * @ctx: the run; perhaps not planned
 */
void engine_free(struct restore_ctx *ctx)
{
	struct restore_engine *e = ctx->engine;

	if (!e)
		return;
	for (size_t i = 0; i < e->nr_tables; i++) {
		close_owned(&e->tables[i].rx);
		close_owned(&e->tables[i].tx);
		e->tables[i].fdt->engine = NULL;
	}
	if (e->log_before >= 0) {
		close_owned(report_log_fd(ctx->report));
		*report_log_fd(ctx->report) = e->log_before;
	}
	if (e->shared)
		munmap(e->shared, e->shared_size);
	ctx->tree->files.engine = NULL;
	ctx->engine = NULL;
}

/**
 * engine_service - a descriptor of the tool that tasks need meanwhile
 * @ctx: the run, planned; the log is known already
 * @fd: the variable that holds it, or -1; when the number is one that a task
 * wants, the task moves the descriptor and changes its copy of the variable
 */
void engine_service(struct restore_ctx *ctx, int *fd)
{
	struct restore_engine *e = ctx->engine;

	arena_push(ctx->arena, e->services, e->nr_services) = fd;
}

/**
 * engine_need - a task needs a descriptor of a file while files are restored
 * @t: the tree
 * @d: the file
 * @who: the task
 *
 * Only from ops->prepare(). If the task has none it gets a fake one, which
 * engine_finish() closes.
 *
 * Return: the fle, or NULL if @who has no table of descriptors.
 */
struct fdinfo_list_entry *engine_need(struct pstree *t, struct file_desc *d,
				      struct pstree_item *who)
{
	struct fdinfo_list_entry *fle;
	int fd;

	if (t->files.engine->planned || !who || !who->fdt || !who->fdt->engine)
		return NULL;
	list_for_each(fle, &d->fles, of_desc)
		if (fle->fdt == who->fdt)
			return fle;
	fd = max_fd(who->fdt) + 1;
	if (who->fdt->fd_limit <= fd)
		who->fdt->fd_limit = fd + 1;
	fle = fle_new(d, who->fdt, fd, FD_CLOEXEC);
	if (fle)
		fle->fake = true;
	return fle;
}

/**
 * engine_force_master - this fle's process is to open the file
 * @fle: the fle; only from ops->prepare()
 */
void engine_force_master(struct fdinfo_list_entry *fle)
{
	file_master(fle->desc)->forced = false;
	fle->forced = true;
	file_desc_sort(fle->desc);
}
