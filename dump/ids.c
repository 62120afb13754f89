/*
 * ids - which kernel objects tasks have in common, as numbers.
 */
#include "dump/tasks.h"

#include <uuid.h>

#include "kernel/kcmp.h"

/* The numbers of this program's own namespaces, which are those of every task. */
static const TaskKobjIdsEntry own_ids = {
	PROTOBUF_C_MESSAGE_INIT(&task_kobj_ids_entry__descriptor),
	.vm_id = 1,
	.files_id = 1,
	.fs_id = 1,
	.sighand_id = 1,
	.has_pid_ns_id = 1,
	.pid_ns_id = 1,
	.has_net_ns_id = 1,
	.net_ns_id = 2,
	.has_ipc_ns_id = 1,
	.ipc_ns_id = 3,
	.has_uts_ns_id = 1,
	.uts_ns_id = 4,
	.has_time_ns_id = 1,
	.time_ns_id = 5,
	.has_mnt_ns_id = 1,
	.mnt_ns_id = 6,
	.has_user_ns_id = 1,
	.user_ns_id = 7,
	.has_cgroup_ns_id = 1,
	.cgroup_ns_id = 8,
};

/* Tasks in the order that kcmp gives one kind of their objects. */
struct order {
	enum kcmp_object what;
	struct pstree_item **items;
	uint32_t *ids;
	size_t n;
	uint32_t last;
};

static uint32_t object_id(struct order *o, struct pstree_item *it)
{
	size_t lo = 0, hi = o->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		int c = kcmp(it->pid, o->items[mid]->pid, o->what, 0, 0);

		/* A kernel without kcmp(2): each its own. */
		if (c < 0)
			return ++o->last;
		if (!c)
			return o->ids[mid];
		if (c == 1)
			hi = mid;
		else
			lo = mid + 1;
	}
	for (size_t i = o->n++; i > lo; i--) {
		o->items[i] = o->items[i - 1];
		o->ids[i] = o->ids[i - 1];
	}
	o->items[lo] = it;
	return o->ids[lo] = ++o->last;
}

static void order_init(struct order *o, struct arena *a, enum kcmp_object what, size_t n)
{
	*o = (struct order){
		.what = what,
		.items = arena_array(a, struct pstree_item *, n + 1),
		.ids = arena_array(a, uint32_t, n + 1),
		.last = 1, /* that is this program */
	};
}

/**
 * ids_collect - numbers for the objects of every live task
 * @ctx: the dump; the number of the table of files comes with dump_files()
 *
 * Return: 0.
 */
int ids_collect(struct dump_ctx *ctx)
{
	struct order fs, sighand;
	struct pstree_item *it;
	uint32_t vm = 1;

	order_init(&fs, ctx->arena, CL_KCMP_FS, ctx->tree->nr_items);
	order_init(&sighand, ctx->arena, CL_KCMP_SIGHAND, ctx->tree->nr_items);
	list_for_each(it, &ctx->tree->items, list) {
		if (!item_alive(it))
			continue;
		it->ids = arena_memdup(ctx->arena, &own_ids, sizeof(own_ids));
		it->ids->vm_id = ++vm;
		it->ids->fs_id = object_id(&fs, it);
		it->ids->sighand_id = object_id(&sighand, it);
	}
	return 0;
}

/* CRIU would give such threads the table of their process: it must not take the image. */
static bool threads_apart(const struct pstree *t)
{
	const struct pstree_item *it;

	list_for_each(it, &t->items, list)
		for (size_t i = 0; i < it->nr_threads; i++)
			if (it->threads[i].fdt)
				return true;
	return false;
}

/**
 * ids_inventory - what is said of the tree as a whole
 * @ctx: the dump; a second call changes nothing
 */
void ids_inventory(struct dump_ctx *ctx)
{
	InventoryEntry *inv;
	unsigned char id[16];

	if (ctx->tree->inventory)
		return;
	inv = arena_new_of(ctx->arena, InventoryEntry);
	inventory_entry__init(inv);
	inv->img_version = threads_apart(ctx->tree) ? 3 : 2;
	inv->has_fdinfo_per_id = 1;
	inv->fdinfo_per_id = 1;
	inv->root_ids = arena_memdup(ctx->arena, &own_ids, sizeof(own_ids));
	inv->has_ns_per_id = 1;
	inv->ns_per_id = 1;
	inv->has_lsmtype = 1;
	inv->lsmtype = LSMTYPE__NO_LSM;
	inv->has_network_lock_method = 1;
	inv->plugins_entry = arena_new_of(ctx->arena, PluginsEntry);
	plugins_entry__init(inv->plugins_entry);
	uuid_generate(id);
	inv->dump_criu_run_id = arena_alloc(ctx->arena, UUID_STR_LEN);
	uuid_unparse_lower(id, inv->dump_criu_run_id);
	ctx->tree->inventory = inv;
}
