/*
 * state_mem - mappings. The kernel merges and splits neighbours that are
 * alike, so these are told as one; checksums of content add up.
 */
#include "model/state_parts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define BY_KERNEL (VMA_AREA_VDSO | VMA_AREA_VVAR | VMA_AREA_VSYSCALL)
/* Names that follow from the bounds in the mm, not kinds of memory. */
#define NAMES (VMA_AREA_STACK | VMA_AREA_HEAP)

struct flag_name {
	uint64_t flag;
	const char *name;
};

/* Bits of madvise(2) advice that stay with a mapping; see VmaEntry.madv. */
static const struct flag_name advices[] = {
	{ 1ull << MADV_RANDOM, "random" },     { 1ull << MADV_SEQUENTIAL, "sequential" },
	{ 1ull << MADV_DONTFORK, "dontfork" }, { 1ull << MADV_MERGEABLE, "mergeable" },
	{ 1ull << MADV_HUGEPAGE, "hugepage" }, { 1ull << MADV_NOHUGEPAGE, "nohugepage" },
	{ 1ull << MADV_DONTDUMP, "dontdump" }, { 1ull << 18, "wipeonfork" },
};

static const struct flag_name map_flags[] = {
	{ MAP_GROWSDOWN, "growsdown" }, { MAP_LOCKED, "locked" }, { MAP_NORESERVE, "noreserve" },
	{ MAP_HUGETLB, "hugetlb" },     { MAP_SYNC, "sync" },
};

static struct json_object *flag_names(const struct flag_name *rows, size_t n, uint64_t flags)
{
	char buf[256] = "";
	size_t len = 0;

	for (size_t i = 0; i < n; i++) {
		if (!(flags & rows[i].flag))
			continue;
		flags &= ~rows[i].flag;
		len += (size_t)snprintf(buf + len, sizeof(buf) - len, "%s%s", len ? "|" : "",
					rows[i].name);
	}
	if (flags)
		snprintf(buf + len, sizeof(buf) - len, "%s%#llx", len ? "|" : "",
			 (unsigned long long)flags);
	return *buf ? json_object_new_string(buf) : NULL;
}

static uint64_t own_flags(const VmaEntry *e)
{
	return e->flags & ~(uint64_t)(MAP_PRIVATE | MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED);
}

static const char *kind_of(const VmaEntry *e)
{
	if (e->status & VMA_AREA_VDSO)
		return "vdso";
	if (e->status & VMA_AREA_VVAR)
		return "vvar";
	if (e->status & VMA_AREA_AIORING)
		return "aio";
	if (e->status & (VMA_FILE_PRIVATE | VMA_FILE_SHARED))
		return "file";
	if (e->status & VMA_AREA_SOCKET)
		return "socket";
	return e->status & VMA_ANON_SHARED ? "shared" : "anonymous";
}

static const struct state_place *shmem_place(struct state_ctx *s, const struct vma *v)
{
	return v->shmem ? idmap_get(&s->shmems, v->shmem->shmid) : NULL;
}

static bool same_extra(struct state_ctx *s, const VmaEntry *a, const VmaEntry *b)
{
	struct json_object *x = state_msg_extra(s, &a->base), *y = state_msg_extra(s, &b->base);
	bool same = x == y || (x && y && json_object_equal(x, y));

	json_object_put(x);
	json_object_put(y);
	return same;
}

static bool file_backed(const struct vma *v)
{
	return v->file || v->shmem;
}

/* Are these neighbours one mapping? */
static bool continues(struct state_ctx *s, const struct vma *a, const struct vma *b)
{
	const VmaEntry *x = a->e, *y = b->e;

	if (x->end != y->start || x->prot != y->prot || x->flags != y->flags ||
	    (x->status & ~NAMES) != (y->status & ~NAMES) ||
	    (x->has_madv ? x->madv : 0) != (y->has_madv ? y->madv : 0) ||
	    (x->has_fdflags ? x->fdflags : 0) != (y->has_fdflags ? y->fdflags : 0) ||
	    a->shmem != b->shmem || !a->file != !b->file)
		return false;
	if (file_backed(a) && x->pgoff + (x->end - x->start) != y->pgoff)
		return false;
	if (a->file && a->file != b->file &&
	    strcmp(state_file_name(s, a->file), state_file_name(s, b->file)))
		return false;
	return same_extra(s, x, y);
}

static void show_prot(struct json_object *o, const VmaEntry *e)
{
	state_put(o, "prot",
		  state_fmt("%c%c%c%c", e->prot & PROT_READ ? 'r' : '-',
			    e->prot & PROT_WRITE ? 'w' : '-', e->prot & PROT_EXEC ? 'x' : '-',
			    e->flags & MAP_SHARED ? 's' : 'p'));
}

/* One member, so that a change is one difference. */
static struct json_object *show_content(uint64_t pages, uint64_t hash)
{
	if (!pages)
		return state_str("none");
	return state_fmt("%llu pages xxh3:%016llx", (unsigned long long)pages,
			 (unsigned long long)hash);
}

static struct json_object *show_vma(struct state_ctx *s, const struct vma *v, uint64_t pages,
				    uint64_t hash)
{
	struct json_object *o = json_object_new_object();
	const VmaEntry *e = v->e;
	const struct state_place *p = shmem_place(s, v);

	state_put(o, "kind", state_str(kind_of(e)));
	show_prot(o, e);
	if (e->status & BY_KERNEL)
		return o;
	state_put(o, "flags",
		  flag_names(map_flags, sizeof(map_flags) / sizeof(*map_flags), own_flags(e)));
	if (e->has_madv)
		state_put(o, "madvise",
			  flag_names(advices, sizeof(advices) / sizeof(*advices), e->madv));
	if (v->file)
		state_put(o, "file", state_str(state_file_name(s, v->file)));
	if (v->file && e->flags & MAP_SHARED && e->has_fdflags)
		state_put(o, "opened", state_open_flags(e->fdflags & O_ACCMODE));
	if (p)
		state_put(o, "object", state_place_name(p));
	if (file_backed(v))
		state_put(o, "offset", state_hex(e->pgoff));
	if (!(e->flags & MAP_SHARED))
		state_put(o, "content", show_content(pages, hash));
	state_put(o, "extra", state_msg_extra(s, &e->base));
	return o;
}

/**
 * state_vmas - the memory map of a task
 * @s: the snapshot
 * @it: the task
 *
 * Return: an object by range.
 */
struct json_object *state_vmas(struct state_ctx *s, const struct pstree_item *it)
{
	struct json_object *o = json_object_new_object();

	for (size_t i = 0, last; i < it->nr_vmas; i = last + 1) {
		const struct vma *v = &it->vmas[i];
		uint64_t pages = v->hashed_pages, hash = v->hash;
		char key[40];

		for (last = i;
		     last + 1 < it->nr_vmas && continues(s, v + (last - i), v + (last - i) + 1);
		     last++) {
			pages += it->vmas[last + 1].hashed_pages;
			hash += it->vmas[last + 1].hash;
		}
		if (v->e->status & VMA_AREA_VSYSCALL)
			continue;
		snprintf(key, sizeof(key), "%llx-%llx", (unsigned long long)v->e->start,
			 (unsigned long long)it->vmas[last].e->end);
		state_put(o, key, show_vma(s, v, pages, hash));
	}
	return o;
}

/**
 * state_mem_index - find the place of every shared object: its first mapping
 * @s: the snapshot
 */
void state_mem_index(struct state_ctx *s)
{
	struct pstree_item *it;

	list_for_each(it, &s->t->items, list)
		for (size_t i = 0; item_alive(it) && i < it->nr_vmas; i++)
			if (it->vmas[i].shmem)
				state_note(s, &s->shmems, it->vmas[i].shmem->shmid,
					   (struct state_place){ .pid = it->pid,
								 .fd = -1,
								 .addr = it->vmas[i].e->start });
}

/**
 * state_shmems - the shared memory objects that are mapped
 * @s: the snapshot
 *
 * Return: an object of their contents by place.
 */
struct json_object *state_shmems(struct state_ctx *s)
{
	struct json_object *o = json_object_new_object();
	const struct shmem *m;

	list_for_each(m, &s->t->shmems, list) {
		const struct state_place *p = idmap_get(&s->shmems, m->shmid);
		struct json_object *name;

		if (!p)
			continue;
		name = state_place_name(p);
		state_put(o, json_object_get_string(name), show_content(m->hashed_pages, m->hash));
		if (m->sysv)
			state_put(o, arena_printf(s->a, "sysv:%llu", (unsigned long long)m->shmid),
				  state_msg(s, &m->sysv->base));
		json_object_put(name);
	}
	return o;
}

/**
 * state_memfds - the contents of memfds
 * @s: the snapshot
 *
 * The model does not say which is whose, so they are a list by content.
 *
 * Return: a list.
 */
struct json_object *state_memfds(struct state_ctx *s)
{
	struct json_object *list = json_object_new_array();
	const struct shmem *m;

	list_for_each(m, &s->t->shmems, list)
		if (!idmap_get(&s->shmems, m->shmid))
			json_object_array_add(list, state_fmt("%llu bytes, %llu pages xxh3:%016llx",
							      (unsigned long long)m->size,
							      (unsigned long long)m->hashed_pages,
							      (unsigned long long)m->hash));
	state_sort(list);
	return list;
}
