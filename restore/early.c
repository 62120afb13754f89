/*
 * early - threads with tables of descriptors of their own.
 *
 * A table is shared by birth only. So such threads are the first that a task
 * makes, before its children: one with a new table, which makes the others that
 * have the same table, and then the children that do. If no process has the
 * table, a helper is born into it, restores its files as any task does, and
 * exits; the table stays with the threads. They sleep until memory has been
 * replaced, and are then given what the other threads get, which are made there.
 *
 * A task may itself be born into a table that only a thread of it is to keep:
 * that thread is made first, then the task leaves the table.
 *
 * A thread and the leader never run at the same time: what the thread is to do
 * it does while the leader waits. So they get by with one errno, and what the
 * thread clones has memory in which nobody was at work.
 */
#include "restore/early.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <stdio.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/pidfd.h"
#include "restore/arch.h"
#include "restore/engine.h"

/* As large as that of a task: its children run on it. */
#define STACK_SIZE (8ul << 20)

/* A thread that waits for work; in memory of its process only. */
struct early_thread {
	struct restore_ctx *ctx;
	struct pstree_item *me;
	struct filedesc *fdt;
	atomic_uint asked, done; /* futexes: equal while there is nothing to do */
	int (*fn)(struct restore_ctx *ctx, struct pstree_item *me, void *arg);
	void *arg;
	int ret;
};

static void wait_while(atomic_uint *word, unsigned is)
{
	while (atomic_load(word) == is)
		syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, is, NULL, NULL, 0);
}

static void set_and_wake(atomic_uint *word, unsigned to)
{
	atomic_store(word, to);
	syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void thread_main(void *arg)
{
	struct early_thread *t = arg;

	for (unsigned n = 0;; n++) {
		wait_while(&t->asked, n);
		t->ret = t->fn(t->ctx, t->me, t->arg);
		set_and_wake(&t->done, n + 1);
	}
}

static struct early_thread *find(const struct pstree_item *me, const struct filedesc *fdt)
{
	for (size_t i = 0; i < me->restore->nr_early; i++)
		if (me->restore->early[i].fdt == fdt)
			return &me->restore->early[i];
	return NULL;
}

/**
 * early_in - call a function in a thread or process that has a table
 * @ctx: the run
 * @me: the calling task, its early threads made
 * @fdt: the table, of one of its threads; or of the task itself, or NULL
 * @fn: the function; what it leaves must not depend on the calling thread
 * @arg: its argument
 *
 * Return: what @fn returned.
 */
int early_in(struct restore_ctx *ctx, struct pstree_item *me, struct filedesc *fdt,
	     int (*fn)(struct restore_ctx *ctx, struct pstree_item *me, void *arg), void *arg)
{
	struct early_thread *t = fdt && fdt != me->fdt ? find(me, fdt) : NULL;
	unsigned n;

	if (!t)
		return fn(ctx, me, arg);
	n = atomic_load(&t->done);
	t->fn = fn;
	t->arg = arg;
	set_and_wake(&t->asked, n + 1);
	wait_while(&t->done, n);
	return t->ret;
}

/* What a thread is born with. */
struct new_thread {
	const struct task_thread *th;
	struct early_thread *t;
	uint64_t files; /* CLONE_FILES or 0 */
};

static int make(struct restore_ctx *ctx, struct pstree_item *me, void *arg)
{
	const struct new_thread *new = arg;
	pid_t tid = new->th->tid;
	struct clone_args args = {
		.flags = CLONE_VM | CLONE_FS | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
			 new->files,
		.set_tid = (uint64_t)(uintptr_t)&tid,
		.set_tid_size = 1,
		.stack_size = STACK_SIZE,
	};
	void *stack = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	int ret;

	if (stack == MAP_FAILED)
		return fail(ctx->report, "no-memory", errno, "pid %d: stack of a thread", me->pid);
	args.stack = (uint64_t)(uintptr_t)stack;
	*new->t = (struct early_thread){ .ctx = ctx, .me = me, .fdt = new->th->fdt };
	ret = arch_clone_thread(&args, thread_main, new->t);
	if (ret < 0)
		return fail(ctx->report, ret == -EEXIST ? "pid-in-use" : "clone", -ret,
			    "pid %d: make thread %d", me->pid, tid);
	return 0;
}

static int make_all(struct restore_ctx *ctx, struct pstree_item *me, bool born_in)
{
	struct restore_task *rt = me->restore;
	int ret = 0;

	for (size_t i = 1; i < me->nr_threads && !ret; i++) {
		struct new_thread new = { .th = &me->threads[i], .t = &rt->early[rt->nr_early] };
		const struct early_thread *first;

		if (!new.th->fdt || (new.th->fdt == rt->born_in) != born_in)
			continue;
		first = find(me, new.th->fdt);
		new.files = first || born_in ? CLONE_FILES : 0;
		ret = early_in(ctx, me, first ? first->fdt : NULL, make, &new);
		rt->nr_early += !ret;
	}
	return ret;
}

/* One that a thread of this task is to keep. */
static int leave_table(struct restore_ctx *ctx, struct pstree_item *me)
{
	const struct filedesc *fdt = me->restore->born_in;

	if (!fdt || fdt == me->fdt)
		return 0;
	if (unshare(CLONE_FILES) < 0)
		return fail(ctx->report, "clone", errno, "pid %d: unshare(CLONE_FILES)", me->pid);
	engine_left(ctx, fdt);
	return 0;
}

/**
 * early_threads - make the threads that have tables of their own
 * @ctx: the run
 * @me: the calling task; it has no children yet
 *
 * Return: 0 or -errno, recorded.
 */
int early_threads(struct restore_ctx *ctx, struct pstree_item *me)
{
	size_t n = 0;
	int ret;

	for (size_t i = 0; item_alive(me) && i < me->nr_threads; i++)
		n += me->threads[i].fdt != NULL;
	if (!n)
		return 0;
	me->restore->early = arena_array(ctx->arena, struct early_thread, n);
	ret = make_all(ctx, me, true);
	if (!ret)
		ret = leave_table(ctx, me);
	return ret ? ret : make_all(ctx, me, false);
}

static pid_t highest_pid(void)
{
	FILE *f = fopen("/proc/sys/kernel/pid_max", "re");
	long max = 0;

	if (!f || fscanf(f, "%ld", &max) != 1 || max < 1)
		max = 32768;
	if (f)
		fclose(f);
	return (pid_t)(max - 1);
}

static bool pid_taken(const struct pstree *t, pid_t pid)
{
	const struct pstree_item *it;

	if (kill(pid, 0) == 0 || errno != ESRCH)
		return true;
	list_for_each(it, &t->items, list) {
		if (it->pid == pid || it->pgid == pid || it->sid == pid)
			return true;
		for (size_t i = 0; i < it->nr_threads; i++)
			if (it->threads[i].tid == pid)
				return true;
	}
	return false;
}

/* What is put into such a table at the end goes by a pidfd of its thread. */
static int check_kernel(struct restore_ctx *ctx, const struct pstree_item *it,
			const struct filedesc *fdt)
{
	cleanup_close int fd = pidfd_of_thread(ctx->tool);

	if (fd >= 0 || errno != EINVAL)
		return 0;
	return fail(
		ctx->report, "thread-files", EOPNOTSUPP,
		"pid %d: the table of descriptors fdinfo-%u.img is of a thread alone, which takes "
		"PIDFD_THREAD (Linux 6.9) to restore",
		it->pid, fdt->id);
}

/**
 * early_plan - a helper for each table that no process has
 * @ctx: the run; the tasks are planned
 *
 * Return: 0 or -errno, recorded.
 */
int early_plan(struct restore_ctx *ctx)
{
	pid_t pid = highest_pid();
	struct pstree_item *it, *h;

	list_for_each(it, &ctx->tree->items, list) {
		for (size_t i = 0; item_alive(it) && i < it->nr_threads; i++) {
			struct filedesc *fdt = it->threads[i].fdt;

			if (fdt && check_kernel(ctx, it, fdt) < 0)
				return -EOPNOTSUPP;
			if (!fdt || fdt->owner || fdt->tid != it->threads[i].tid)
				continue;
			/* From the top, where the kernel is hardly ever about to give numbers. */
			while (pid > 300 && pid_taken(ctx->tree, pid))
				pid--;
			h = pstree_add(ctx->tree, it, pid--);
			if (!h)
				return fail(ctx->report, "pid-in-use", EAGAIN,
					    "no number for a process that restores the files of "
					    "thread %d",
					    fdt->tid);
			h->state = TASK_HELPER;
			h->sid = it->sid;
			h->pgid = it->pgid;
			h->fdt = fdt;
			fdt->owner = h;
		}
	}
	return 0;
}

/* The table, if any, that a task has from birth, and keeps, or a thread of it. */
static struct filedesc *birth_table(const struct pstree_item *it)
{
	const struct pstree_item *mid = it->restore->midwife;

	if (!mid || it->restore->birth == BIRTH_ADOPT)
		return NULL;
	if (item_has_table(mid, it->fdt))
		return it->fdt;
	for (size_t i = 0; i < it->nr_threads; i++)
		if (it->threads[i].fdt && item_has_table(mid, it->threads[i].fdt))
			return it->threads[i].fdt;
	return NULL;
}

static int check_table(struct restore_ctx *ctx, struct idmap *users, struct pstree_item *it,
		       struct filedesc *fdt)
{
	const struct pstree_item *first = idmap_get(users, (uintptr_t)fdt);

	if (!first)
		idmap_put(users, (uintptr_t)fdt, it);
	if (!first || first == it || fdt == it->restore->born_in)
		return 0;
	return fail(ctx->report, "files-shared", 0,
		    "pid %d shares a table of descriptors with pid %d but not with its parent %d: "
		    "such sharing cannot be rebuilt",
		    it->pid, first->pid, it->parent ? it->parent->pid : 0);
}

/**
 * early_births - whom each task shares its table with when it is born
 * @ctx: the run; births are planned
 *
 * Return: 0, or -errno with every cause recorded.
 */
int early_births(struct restore_ctx *ctx)
{
	struct idmap users = { 0 };
	struct pstree_item *it;
	int ret = 0;

	list_for_each(it, &ctx->tree->items, list) {
		if (!it->fdt)
			continue;
		it->restore->born_in = birth_table(it);
		ret = check_table(ctx, &users, it, it->fdt) ?: ret;
		for (size_t i = 0; i < it->nr_threads; i++)
			if (it->threads[i].fdt)
				ret = check_table(ctx, &users, it, it->threads[i].fdt) ?: ret;
	}
	idmap_free(&users);
	return ret;
}
