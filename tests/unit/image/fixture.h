/*
 * fixture - a small tree made by hand, written to a directory of its own: a
 * leader with two threads, a stopped child that shares its descriptors, a
 * zombie, a pipe, an eventfd, a mapped file and a shared memory object.
 */
#ifndef CL_TESTS_IMAGE_FIXTURE_H
#define CL_TESTS_IMAGE_FIXTURE_H

#include <check.h>
#undef fail /* check.h has one of its own, long deprecated */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "image/image.h"
#include "model/file_desc.h"
#include "model/pstree.h"

#include "proto/eventfd.pb-c.h"
#include "proto/pipe.pb-c.h"
#include "proto/regfile.pb-c.h"

#define PAGE 4096u

static inline struct report *quiet(void)
{
	struct report *r = report_new();

	report_log_to(r, -1, LOG_ERROR);
	return r;
}

static inline char *dir_make(void)
{
	char *path = strdup("/dev/shm/cl-image-XXXXXX");

	if (!mkdtemp(path)) {
		free(path);
		path = strdup("/tmp/cl-image-XXXXXX");
		ck_assert_ptr_nonnull(mkdtemp(path));
	}
	return path;
}

static inline int dir_fd(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static inline void dir_remove(char *path)
{
	int fd = dir_fd(path);
	DIR *dir = fdopendir(dup(fd));
	struct dirent *e;

	while ((e = readdir(dir)))
		unlinkat(fd, e->d_name, 0);
	closedir(dir);
	close(fd);
	rmdir(path);
	free(path);
}

static inline FownEntry *fown(struct arena *a)
{
	FownEntry *f = arena_new_of(a, FownEntry);

	fown_entry__init(f);
	return f;
}

static inline struct file_desc *add_reg(struct pstree *t, const char *name)
{
	RegFileEntry *m = arena_new_of(t->arena, RegFileEntry);
	struct file_desc *d = file_desc_new(t, FILE_KIND_reg, &m->base);

	reg_file_entry__init(m);
	m->id = d->id;
	m->name = arena_strdup(t->arena, name);
	m->fown = fown(t->arena);
	return d;
}

static inline struct file_desc *add_pipe(struct pstree *t, uint32_t pipe_id, uint32_t flags)
{
	PipeEntry *m = arena_new_of(t->arena, PipeEntry);
	struct file_desc *d = file_desc_new(t, FILE_KIND_pipe, &m->base);

	pipe_entry__init(m);
	m->id = d->id;
	m->pipe_id = pipe_id;
	m->flags = flags;
	m->fown = fown(t->arena);
	return d;
}

static inline struct file_desc *add_eventfd(struct pstree *t, uint64_t counter)
{
	EventfdFileEntry *m = arena_new_of(t->arena, EventfdFileEntry);
	struct file_desc *d = file_desc_new(t, FILE_KIND_eventfd, &m->base);

	eventfd_file_entry__init(m);
	m->id = d->id;
	m->counter = counter;
	m->fown = fown(t->arena);
	return d;
}

static inline ThreadInfoX86 *fake_regs(struct arena *a, uint64_t ip)
{
	ThreadInfoX86 *info = arena_new_of(a, ThreadInfoX86);

	thread_info_x86__init(info);
	info->gpregs = arena_new_of(a, UserX86RegsEntry);
	user_x86_regs_entry__init(info->gpregs);
	info->gpregs->ip = ip;
	info->fpregs = arena_new_of(a, UserX86FpregsEntry);
	user_x86_fpregs_entry__init(info->fpregs);
	info->fpregs->n_st_space = 32;
	info->fpregs->st_space = arena_array(a, uint32_t, 32);
	info->fpregs->n_xmm_space = 64;
	info->fpregs->xmm_space = arena_array(a, uint32_t, 64);
	return info;
}

static inline void add_process_part(struct arena *a, CoreEntry *core, enum task_state state)
{
	TaskCoreEntry *tc = arena_new_of(a, TaskCoreEntry);
	ItimerEntry *timer = arena_new_of(a, ItimerEntry);
	SaEntry *sa = arena_new_of(a, SaEntry);

	task_core_entry__init(tc);
	core->tc = tc;
	tc->task_state = state;
	tc->comm = arena_strdup(a, "fixture");
	if (state == TASK_DEAD)
		return;
	itimer_entry__init(timer);
	tc->timers = arena_new_of(a, TaskTimersEntry);
	task_timers_entry__init(tc->timers);
	tc->timers->real = tc->timers->virt = tc->timers->prof = timer;
	tc->rlimits = arena_new_of(a, TaskRlimitsEntry);
	task_rlimits_entry__init(tc->rlimits);
	sa_entry__init(sa);
	tc->n_sigactions = 62;
	tc->sigactions = arena_array(a, SaEntry *, 62);
	for (int i = 0; i < 62; i++)
		tc->sigactions[i] = sa;
}

static inline void add_thread(struct pstree *t, struct pstree_item *it, pid_t tid,
			      enum task_state state)
{
	struct task_thread *th = &arena_push(t->arena, it->threads, it->nr_threads);
	CoreEntry *core = arena_new_of(t->arena, CoreEntry);

	core_entry__init(core);
	core->mtype = CORE_ENTRY__MARCH__X86_64;
	*th = (struct task_thread){ .tid = tid, .core = core };
	it->state = state;
	if (it->nr_threads == 1)
		add_process_part(t->arena, core, state);
	if (state == TASK_DEAD)
		return;
	core->thread_info = fake_regs(t->arena, 0x401000 + (uint64_t)tid);
	core->thread_core = arena_new_of(t->arena, ThreadCoreEntry);
	thread_core_entry__init(core->thread_core);
	core->thread_core->creds = arena_new_of(t->arena, CredsEntry);
	creds_entry__init(core->thread_core->creds);
}

static inline VmaEntry *vma_entry(struct arena *a, uint64_t start, uint64_t pages, uint32_t status,
				  uint64_t shmid)
{
	VmaEntry *e = arena_new_of(a, VmaEntry);

	vma_entry__init(e);
	e->start = start;
	e->end = start + pages * PAGE;
	e->status = VMA_AREA_REGULAR | status;
	e->shmid = shmid;
	e->prot = PROT_READ;
	e->flags = MAP_PRIVATE;
	e->fd = -1;
	return e;
}

static inline void add_mm(struct pstree *t, struct pstree_item *it, struct file_desc *exe,
			  uint32_t pages_id)
{
	struct arena *a = t->arena;

	it->mm = arena_new_of(a, MmEntry);
	mm_entry__init(it->mm);
	it->mm->exe_file_id = exe->id;
	it->nr_vmas = 3;
	it->vmas = arena_array(a, struct vma, 3);
	it->vmas[0].e = vma_entry(a, 0x400000, 2, VMA_FILE_PRIVATE, exe->id);
	it->vmas[0].file = exe;
	it->vmas[1].e = vma_entry(a, 0x402000, 4, VMA_ANON_PRIVATE, 0);
	it->vmas[2].e = vma_entry(a, 0x7f0000000000, 8, VMA_ANON_SHARED, 77);
	it->vmas[2].shmem = pstree_shmem(t, 77);
	it->nr_runs = 2;
	it->runs = arena_array(a, struct page_run, 2);
	/* The first run spans two mappings. */
	it->runs[0] = (struct page_run){ 0x401000, 2, 0, PE_PRESENT };
	it->runs[1] = (struct page_run){ 0x405000, 1, 2 * PAGE, PE_PRESENT };
	it->pages_id = pages_id;
}

static inline struct pstree_item *add_task(struct pstree *t, struct pstree_item *parent, pid_t pid,
					   enum task_state state, struct filedesc *fdt,
					   struct file_desc *exe)
{
	struct pstree_item *it = pstree_add(t, parent, pid);

	it->pgid = it->sid = 100;
	add_thread(t, it, pid, state);
	if (state == TASK_DEAD)
		return it;
	it->ids = arena_new_of(t->arena, TaskKobjIdsEntry);
	task_kobj_ids_entry__init(it->ids);
	it->ids->files_id = fdt->id;
	it->fs = arena_new_of(t->arena, FsEntry);
	fs_entry__init(it->fs);
	it->fs->cwd_id = it->fs->root_id = exe->id;
	it->fdt = fdt;
	if (!fdt->owner)
		fdt->owner = it;
	add_mm(t, it, exe, (uint32_t)pid);
	return it;
}

static inline struct pstree *tree_make(struct report *r)
{
	struct pstree *t = pstree_new(r);
	struct file_desc *exe = add_reg(t, "/bin/fixture"), *in = add_pipe(t, 5, O_RDONLY),
			 *out = add_pipe(t, 5, O_WRONLY), *ev = add_eventfd(t, 0x1234567890ull);
	struct filedesc *fdt = filedesc_new(&t->files, 1024);
	struct pstree_item *root;
	struct shmem *shm;

	fdt->id = 2;
	root = add_task(t, NULL, 100, TASK_ALIVE, fdt, exe);
	add_thread(t, root, 103, TASK_ALIVE);
	add_task(t, root, 101, TASK_STOPPED, fdshare(fdt), exe);
	add_task(t, root, 102, TASK_DEAD, NULL, NULL);
	ck_assert_ptr_nonnull(fle_new(in, fdt, 0, 0));
	ck_assert_ptr_nonnull(fle_new(out, fdt, 1, 0));
	ck_assert_ptr_nonnull(fle_new(out, fdt, 2, FD_CLOEXEC));
	ck_assert_ptr_nonnull(fle_new(ev, fdt, 700, 0));
	shm = pstree_shmem(t, 77);
	shm->size = 8 * PAGE;
	shm->pages_id = 1;
	shm->nr_runs = 1;
	shm->runs = arena_array(t->arena, struct page_run, 1);
	shm->runs[0] = (struct page_run){ 3 * PAGE, 2, 0, PE_PRESENT };
	t->inventory = arena_new_of(t->arena, InventoryEntry);
	inventory_entry__init(t->inventory);
	t->inventory->img_version = 2;
	t->inventory->has_fdinfo_per_id = t->inventory->fdinfo_per_id = 1;
	return t;
}

static inline void pages_make(struct image_dir *d, uint32_t id, size_t pages, char fill)
{
	uint64_t len[64], hash[64];
	char page[PAGE];
	int fd;

	ck_assert_int_eq(image_pages_create(d, id, &fd), 0);
	for (size_t i = 0; i < pages; i++) {
		memset(page, fill + (int)i, sizeof(page));
		ck_assert_int_eq(pwrite_all(fd, page, PAGE, (off_t)(i * PAGE)), 0);
		len[i] = PAGE;
		hash[i] = image_hash(page, PAGE);
	}
	close(fd);
	ck_assert_int_eq(image_pages_done(d, id, pages * PAGE, len, hash, pages), 0);
}

static inline struct image_dir *dir_open(const char *path, struct report *r)
{
	struct image_dir *d = NULL;
	int fd = dir_fd(path);

	ck_assert_int_eq(image_dir_open(&d, fd, r, NULL), 0);
	close(fd);
	return d;
}

static inline void save_all(struct image_dir *d, struct pstree *t, char fill)
{
	pages_make(d, 1, 2, fill);
	pages_make(d, 100, 3, fill);
	pages_make(d, 101, 3, fill);
	ck_assert_int_eq(image_save_tree(d, t), 0);
}

/* A complete image; @fill is what its pages hold. */
static inline char *image_make(char fill)
{
	char *path = dir_make();
	struct report *r = quiet();
	struct pstree *t = tree_make(r);
	struct image_dir *d = dir_open(path, r);

	save_all(d, t, fill);
	ck_assert_int_eq(image_commit(d, t), 0);
	ck_assert_uint_eq(report_count(r), 0);
	image_dir_close(d);
	pstree_free(t);
	report_free(r);
	return path;
}

/* The id of the first cause, or "" if @path verifies. */
static inline const char *verify_id(const char *path, char *text)
{
	static char id[32];
	struct report *r = quiet();
	struct image_dir *d = dir_open(path, r);
	int ret = image_verify(d);

	ck_assert_int_eq(!ret, !report_count(r));
	snprintf(id, sizeof(id), "%s", ret ? report_cause(r, 0)->id : "");
	if (text)
		snprintf(text, 464, "%s", ret ? report_cause(r, 0)->text : "");
	image_dir_close(d);
	report_free(r);
	return id;
}

/* The id of the first cause, or "" if @path loads. */
static inline const char *load_id(const char *path)
{
	static char id[32];
	struct report *r = quiet();
	struct image_dir *d = dir_open(path, r);
	struct pstree *t;
	int ret = image_load_tree(d, r, &t);

	ck_assert_int_eq(!ret, !report_count(r));
	snprintf(id, sizeof(id), "%s", ret ? report_cause(r, 0)->id : "");
	if (!ret)
		pstree_free(t);
	image_dir_close(d);
	report_free(r);
	return id;
}

struct blob {
	uint8_t *bytes;
	size_t len;
};

static inline struct blob blob_get(const char *dir, const char *name)
{
	struct blob b;
	struct stat st;
	int dfd = dir_fd(dir), fd = openat(dfd, name, O_RDONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(fstat(fd, &st), 0);
	b.len = (size_t)st.st_size;
	b.bytes = malloc(b.len + 1);
	ck_assert_int_eq(read_all(fd, b.bytes, b.len), 0);
	close(fd);
	close(dfd);
	return b;
}

static inline void blob_put(const char *dir, const char *name, const void *bytes, size_t len)
{
	int dfd = dir_fd(dir), fd = openat(dfd, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write_all(fd, bytes, len), 0);
	close(fd);
	close(dfd);
}

/* Every file of a directory; ends with NULL. */
static inline char **dir_names(const char *path)
{
	char **names = calloc(256, sizeof(*names));
	DIR *dir = opendir(path);
	struct dirent *e;
	size_t n = 0;

	while ((e = readdir(dir)))
		if (e->d_name[0] != '.' && n < 255)
			names[n++] = strdup(e->d_name);
	closedir(dir);
	return names;
}

static inline void names_free(char **names)
{
	for (char **n = names; *n; n++)
		free(*n);
	free(names);
}

/* Makes it an image without a manifest, as CRIU's are. */
static inline void manifest_forget(const char *path)
{
	static const uint8_t inventory[] = { 0x16, 0x31, 0x31, 0x58, 4, 0, 0, 0, 8, 2, 16, 1 };

	blob_put(path, "inventory.img", inventory, sizeof(inventory));
}

static inline int run_suite(Suite *s)
{
	SRunner *sr = srunner_create(s);
	int failed;

	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

#endif
