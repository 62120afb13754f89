/*
 * vmas - the memory map of each task: smaps to messages. What is mapped from
 * files is tied to the file table later, by dump_vma_files().
 */
#include "dump/vmas.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel/smaps.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

/* What smaps calls a mapping that is not a file's. */
static const struct {
	const char *name;
	uint32_t status;
} special[] = {
	{ "[heap]", VMA_AREA_HEAP | VMA_AREA_REGULAR },
	{ "[vdso]", VMA_AREA_VDSO | VMA_AREA_REGULAR },
	{ "[vvar]", VMA_AREA_VVAR | VMA_AREA_REGULAR },
	{ "[vvar_vclock]", VMA_AREA_VVAR | VMA_AREA_REGULAR },
	{ "[vsyscall]", VMA_AREA_VSYSCALL },
};

/* What this version does not dump: the mapping's name begins so. */
static const struct {
	const char *prefix, *id, *what;
} refused_names[] = {
	{ IO_URING_LINK, "memory-io-uring",
	  "an io_uring; programs often have a switch or variable to do without" },
	{ "anon_inode:", "memory-device", "memory of a kernel object" },
	{ "[uprobes]", "memory-uprobes", "a uprobe's code (a tracing tool is at work)" },
};

static const struct {
	uint64_t flag;
	const char *id, *what;
} refused_flags[] = {
	{ SMAPS_FLAG(ss), "memory-shadow-stack", "a shadow stack" },
	{ SMAPS_FLAG(uw) | SMAPS_FLAG(ui), "memory-userfaultfd",
	  "memory that a userfaultfd protects from writing, or sees minor faults of," },
	{ SMAPS_FLAG(io) | SMAPS_FLAG(pf), "memory-device", "memory of a device" },
};

/* One walk over the map of a task. */
struct vma_walk {
	struct dump_ctx *ctx;
	struct pstree_item *it;
	uint64_t last_end, best_gap; /* for the hints of remote_open() */
	uint64_t group;              /* of neighbours that map the same file */
	uint64_t ino;
	uint32_t dev_major, dev_minor;
	const char *name;
};

static void vma_refuse(const struct vma_walk *w, const struct smaps_vma *s, VmaEntry *e,
		       const char *id, const char *what)
{
	bool ring = !strcmp(s->name, IO_URING_LINK), told = ring && w->it->dump->io_uring;

	e->status &= ~(uint32_t)(VMA_FILE_PRIVATE | VMA_FILE_SHARED);
	/* It is two mappings and a descriptor, which are told of once. */
	w->it->dump->io_uring |= ring;
	if (told)
		return;
	fail(w->ctx->report, id, EOPNOTSUPP, "pid %d (%s): %s at %llx-%llx%s%s", w->it->pid,
	     w->it->dump->stat.comm, what, (unsigned long long)s->start, (unsigned long long)s->end,
	     *s->name ? " " : "", s->name);
}

/* Records what stands in the way; such a mapping is looked at no more. */
static void vma_check(const struct vma_walk *w, const struct smaps_vma *s, VmaEntry *e)
{
	const size_t names = sizeof(refused_names) / sizeof(*refused_names);
	const size_t flags = sizeof(refused_flags) / sizeof(*refused_flags);

	for (size_t i = 0; i < names; i++)
		if (!strncmp(s->name, refused_names[i].prefix, strlen(refused_names[i].prefix))) {
			vma_refuse(w, s, e, refused_names[i].id, refused_names[i].what);
			return;
		}
	if (e->status & (VMA_AREA_VVAR | VMA_AREA_VDSO | VMA_AREA_VSYSCALL))
		return;
	for (size_t i = 0; i < flags; i++)
		if (s->flags & refused_flags[i].flag) {
			vma_refuse(w, s, e, refused_flags[i].id, refused_flags[i].what);
			return;
		}
	if (s->flags & SMAPS_UNKNOWN)
		log_warn(w->ctx->report, "pid %d: %llx-%llx has a VmFlags letter not known here",
			 w->it->pid, (unsigned long long)s->start, (unsigned long long)s->end);
}

static uint64_t vma_madv(uint64_t flags)
{
	static const struct {
		uint64_t flag;
		int advice;
	} rows[] = {
		{ SMAPS_FLAG(rr), MADV_RANDOM },   { SMAPS_FLAG(sr), MADV_SEQUENTIAL },
		{ SMAPS_FLAG(dc), MADV_DONTFORK }, { SMAPS_FLAG(mg), MADV_MERGEABLE },
		{ SMAPS_FLAG(hg), MADV_HUGEPAGE }, { SMAPS_FLAG(nh), MADV_NOHUGEPAGE },
		{ SMAPS_FLAG(dd), MADV_DONTDUMP }, { SMAPS_FLAG(wf), MADV_WIPEONFORK },
	};
	uint64_t out = 0;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		if (flags & rows[i].flag)
			out |= 1ull << rows[i].advice;
	return out;
}

static uint32_t vma_map_flags(const struct smaps_vma *s, bool anon)
{
	uint32_t out = s->shared ? MAP_SHARED : MAP_PRIVATE;

	if (anon)
		out |= MAP_ANONYMOUS;
	if (s->flags & SMAPS_FLAG(gd))
		out |= MAP_GROWSDOWN;
	if (s->flags & (SMAPS_FLAG(lo) | SMAPS_FLAG(lf)))
		out |= MAP_LOCKED;
	if (s->flags & SMAPS_FLAG(nr))
		out |= MAP_NORESERVE;
	if (s->flags & SMAPS_FLAG(ht))
		out |= (uint32_t)MAP_HUGETLB | (uint32_t)__builtin_ctzll(s->page_size | 1ull << 63)
						       << MAP_HUGE_SHIFT;
	return out;
}

/* Shared anonymous memory: a file without a name on the kernel's own shmem mount. */
static bool is_shmem(const struct smaps_vma *s)
{
	return s->shared && s->ino && !s->dev_major &&
	       (!strcmp(s->name, "/dev/zero (deleted)") || !strncmp(s->name, "[anon_shmem:", 12));
}

static bool is_sysv(const struct smaps_vma *s)
{
	return s->shared && !s->dev_major && !strncmp(s->name, "/SYSV", 5);
}

/* The ring of io_setup(2), made and written by the kernel. */
static bool is_aio_ring(const struct smaps_vma *s)
{
	return s->shared && !s->dev_major && !strncmp(s->name, "/[aio]", 6);
}

/* MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB: each has a file that nobody else can know. */
static bool is_private_huge(const struct smaps_vma *s)
{
	return !s->shared && s->flags & SMAPS_FLAG(ht) && !strncmp(s->name, "/anon_hugepage", 14);
}

static uint32_t vma_status(const struct smaps_vma *s)
{
	for (size_t i = 0; i < sizeof(special) / sizeof(*special); i++)
		if (!strcmp(s->name, special[i].name))
			return special[i].status | VMA_ANON_PRIVATE;
	if (is_shmem(s))
		return VMA_AREA_REGULAR | VMA_ANON_SHARED;
	if (is_sysv(s))
		return VMA_AREA_REGULAR | VMA_ANON_SHARED | VMA_AREA_SYSVIPC;
	if (is_aio_ring(s))
		return VMA_AREA_AIORING;
	if (!strncmp(s->name, "socket:[", 8))
		return VMA_AREA_REGULAR | VMA_AREA_SOCKET;
	if (s->ino && !is_private_huge(s))
		return VMA_AREA_REGULAR | (s->shared ? VMA_FILE_SHARED : VMA_FILE_PRIVATE);
	return VMA_AREA_REGULAR | VMA_ANON_PRIVATE;
}

/* Remembers where remote calls may live: the vdso and the middle of the largest hole. */
static void vma_hint(struct vma_walk *w, const struct smaps_vma *s, const VmaEntry *e)
{
	struct remote_where *where = &w->it->dump->where;

	if (e->status & VMA_AREA_VSYSCALL)
		return;
	if (e->status & VMA_AREA_VDSO) {
		where->start = s->start;
		where->end = s->end;
	}
	if (s->start - w->last_end > w->best_gap) {
		w->best_gap = s->start - w->last_end;
		where->area = (w->last_end + w->best_gap / 2) & ~((2ull << 20) - 1);
	}
	w->last_end = s->end;
}

/**
 * shmem_mapped - the largest mapping of a shared object
 * @ctx: the dump
 * @shm: the object
 *
 * Return: where it is, or NULL: it is not mapped.
 */
struct dump_shmem *shmem_mapped(const struct dump_ctx *ctx, const struct shmem *shm)
{
	struct dump_shmem *m = ctx->shmems;

	while (m && m->shm != shm)
		m = m->next;
	return m;
}

static void vma_shmem(const struct vma_walk *w, struct vma *v, const struct smaps_vma *s)
{
	uint64_t len = s->end - s->start;
	struct dump_shmem *m;

	int ret = 0;

	v->shmem = pstree_shmem(w->ctx->tree, s->ino);
	v->e->shmid = s->ino;
	if (is_sysv(s))
		ret = sysv_describe(w->ctx, v->shmem, s->page_size);
	else if (v->shmem->sysv)
		ret = -EEXIST;
	if (ret) {
		fail(w->ctx->report, "memory-sysv", -ret,
		     "pid %d (%s): System V shared memory %llu at %llx%s", w->it->pid,
		     w->it->dump->stat.comm, (unsigned long long)s->ino,
		     (unsigned long long)s->start,
		     ret == -EEXIST ? ": other shared memory has the same number" : "");
		return;
	}
	if (v->shmem->size < s->pgoff + len)
		v->shmem->size = s->pgoff + len;
	m = shmem_mapped(w->ctx, v->shmem);
	if (!m) {
		m = arena_new_of(w->ctx->arena, struct dump_shmem);
		m->shm = v->shmem;
		m->next = w->ctx->shmems;
		w->ctx->shmems = m;
	}
	if (m->len >= len)
		return;
	m->it = w->it;
	m->start = s->start;
	m->pgoff = s->pgoff;
	m->len = len;
}

/* One for a ring of so many pages, whatever was asked for: io_setup(2) rounds up. */
static void vma_aio(const struct vma_walk *w, VmaEntry *e)
{
	MmEntry *mm = w->it->mm;
	AioRingEntry *a = arena_new_of(w->ctx->arena, AioRingEntry);

	aio_ring_entry__init(a);
	a->id = e->start;
	a->ring_len = (uint32_t)(e->end - e->start);
	a->nr_req = AIO_REQUESTS(a->ring_len);
	arena_push(w->ctx->arena, mm->aios, mm->n_aios) = a;
}

/* A number that neighbours have in common if they map the same file under the same name. */
static uint64_t vma_group(struct vma_walk *w, const struct smaps_vma *s)
{
	if (!w->name || w->ino != s->ino || w->dev_major != s->dev_major ||
	    w->dev_minor != s->dev_minor || strcmp(w->name, s->name) != 0) {
		w->ino = s->ino;
		w->dev_major = s->dev_major;
		w->dev_minor = s->dev_minor;
		w->name = s->name;
		w->group++;
	}
	return w->group;
}

/* What the format has no field for. */
static void vma_extra(struct arena *a, VmaEntry *e, const struct smaps_vma *s)
{
	size_t len = strlen(s->name), skip = strcspn(s->name, ":") + 1;

	e->extra = (s->flags & SMAPS_FLAG(lf) ? VMA_EXTRA_ONFAULT : 0) |
		   (s->flags & SMAPS_FLAG(dp) ? VMA_EXTRA_DROPPABLE : 0) |
		   (s->flags & SMAPS_FLAG(sl) ? VMA_EXTRA_SEALED : 0);
	e->has_extra = e->extra != 0;
	if (!strncmp(s->name, "[anon", 5) && len > skip && s->name[len - 1] == ']') {
		e->name = arena_strdup(a, s->name + skip);
		e->name[len - skip - 1] = '\0';
	}
}

static int vma_add(void *arg, const struct smaps_vma *s)
{
	struct vma_walk *w = arg;
	struct pstree_item *it = w->it;
	uint32_t status = vma_status(s);
	struct vma *v = it->nr_vmas ? &it->vmas[it->nr_vmas - 1] : NULL;

	/* The vvar pages are several mappings since Linux 6.13; the format has one. */
	if (v && status & VMA_AREA_VVAR && v->e->status & VMA_AREA_VVAR && v->e->end == s->start) {
		v->e->end = s->end;
		w->last_end = s->end;
		return 0;
	}
	v = &arena_push(w->ctx->arena, it->vmas, it->nr_vmas);
	/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): an array with members is not NULL */
	*v = (struct vma){ .e = arena_new_of(w->ctx->arena, VmaEntry), .vmflags = s->flags };
	vma_entry__init(v->e);
	v->e->start = s->start;
	v->e->end = s->end;
	v->e->status = status;
	v->e->prot = s->prot;
	v->e->fd = -1;
	v->e->flags = vma_map_flags(s, status & (VMA_ANON_PRIVATE | VMA_ANON_SHARED));
	v->e->madv = vma_madv(s->flags);
	v->e->has_madv = v->e->madv != 0;
	if (status & (VMA_FILE_SHARED | VMA_FILE_PRIVATE | VMA_ANON_SHARED | VMA_AREA_SOCKET)) {
		v->e->pgoff = s->pgoff;
		v->e->shmid = vma_group(w, s); /* until the file has an id */
		v->e->has_fdflags = 1;
		v->e->fdflags = s->shared && s->flags & SMAPS_FLAG(mw) ? O_RDWR : O_RDONLY;
	}
	if (status & VMA_ANON_SHARED) {
		v->e->has_fdflags = !!(status & VMA_AREA_SYSVIPC);
		vma_shmem(w, v, s);
	}
	if (status & VMA_AREA_AIORING)
		vma_aio(w, v->e);
	vma_extra(w->ctx->arena, v->e, s);
	vma_check(w, s, v->e);
	vma_hint(w, s, v->e);
	return 0;
}

static int mm_auxv(struct dump_ctx *ctx, struct pstree_item *it)
{
	int ret = proc_read(it->dump->proc_fd, "auxv", &ctx->text);
	size_t n = ctx->text.len / sizeof(uint64_t);

	if (ret)
		return fail(ctx->report, "process-read", -ret, "pid %d: /proc/%d/auxv", it->pid,
			    it->pid);
	it->mm->mm_saved_auxv = arena_memdup(ctx->arena, ctx->text.p, n * sizeof(uint64_t));
	/* The closing pair of zeros is not part of it. */
	while (n >= 2 && !it->mm->mm_saved_auxv[n - 1] && !it->mm->mm_saved_auxv[n - 2])
		n -= 2;
	it->mm->n_mm_saved_auxv = n;
	return 0;
}

static void mm_bounds(struct pstree_item *it, MmEntry *mm)
{
	const struct proc_stat *st = &it->dump->stat;

	mm->mm_start_code = st->start_code;
	mm->mm_end_code = st->end_code;
	mm->mm_start_data = st->start_data;
	mm->mm_end_data = st->end_data;
	mm->mm_start_stack = st->start_stack;
	mm->mm_start_brk = st->start_brk;
	mm->mm_brk = st->start_brk;
	mm->mm_arg_start = st->arg_start;
	mm->mm_arg_end = st->arg_end;
	mm->mm_env_start = st->env_start;
	mm->mm_env_end = st->env_end;
}

static int item_vmas(struct dump_ctx *ctx, struct pstree_item *it)
{
	struct vma_walk w = { .ctx = ctx, .it = it, .last_end = 1 << 16 };
	int ret = proc_read(it->dump->proc_fd, "smaps", &ctx->text);

	it->mm = arena_new_of(ctx->arena, MmEntry);
	mm_entry__init(it->mm);
	if (!ret)
		ret = smaps_parse(ctx->text.p, vma_add, &w);
	if (ret)
		return fail(ctx->report, "process-read", -ret, "pid %d: /proc/%d/smaps", it->pid,
			    it->pid);
	mm_bounds(it, it->mm);
	return mm_auxv(ctx, it);
}

/**
 * dump_vmas - the memory map of every task
 * @ctx: the dump; all tasks are stopped
 *
 * Return: 0 or -errno recorded. What cannot be dumped is recorded and is no error.
 */
int dump_vmas(struct dump_ctx *ctx)
{
	struct pstree_item *it;
	int ret = 0;

	list_for_each(it, &ctx->tree->items, list) {
		/* The map of a process whose leader has ended is out of reach. */
		if (ret || !item_alive(it) || it->dump->stat.state == 'Z')
			continue;
		ret = item_vmas(ctx, it);
	}
	return ret;
}
