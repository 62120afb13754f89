/*
 * seccomp - filters are a tree in seccomp.img, each entry naming the one
 * installed before it. They are installed oldest first and stay suspended
 * (PTRACE_O_SUSPEND_SECCOMP) until the thread is let go.
 */
#include "restore/seccomp.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "image/image.h"
#include "proto/seccomp.pb-c.h"

/* What a filter keeps of the flags that it was installed with. */
#define KEPT_FLAGS (SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW)

/**
 * seccomp_load - read seccomp.img and check its links
 * @ctx: the run
 *
 * Return: 0 (also when there is none) or -errno, recorded.
 */
int seccomp_load(struct restore_ctx *ctx)
{
	struct image_reader *r;
	ProtobufCMessage *m;
	int ret = image_open(&r, ctx->images, IMAGE_SECCOMP, 0);

	if (ret < 0)
		return ret == -ENOENT ? 0 : ret;
	ret = image_get(r, &seccomp_entry__descriptor, &m);
	if (ret > 0)
		ctx->seccomp = (SeccompEntry *)m;
	image_close(&r);
	for (size_t i = 0; ret > 0 && i < ctx->seccomp->n_seccomp_filters; i++) {
		const SeccompFilter *f = ctx->seccomp->seccomp_filters[i];

		if ((f->has_prev && f->prev >= i) || f->filter.len % sizeof(struct sock_filter) ||
		    f->filter.len > BPF_MAXINSNS * sizeof(struct sock_filter) || !f->filter.len)
			return fail(ctx->report, "image-seccomp", 0,
				    "seccomp.img: filter %zu is damaged", i);
	}
	return ret < 0 ? ret : 0;
}

static int add_filter(struct restore_ctx *ctx, struct batch *b, struct remote *r, pid_t tid,
		      uint32_t id)
{
	const SeccompFilter *f = ctx->seccomp->seccomp_filters[id];
	struct sock_fprog prog = { .len = (unsigned short)(f->filter.len /
							   sizeof(struct sock_filter)) };
	unsigned long code, at;
	int ret = batch_room(ctx, r, tid, b, f->filter.len + sizeof(prog));

	if (ret < 0)
		return ret;
	code = batch_data(r, f->filter.data, f->filter.len);
	prog.filter = (void *)code;
	at = batch_data(r, &prog, sizeof(prog));
	if (!code || !at)
		return fail(ctx->report, "remote-call", ENOMEM, "thread %d: work area", tid);
	batch_add(b, "seccomp", SYS_seccomp, SECCOMP_SET_MODE_FILTER,
		  f->has_flags ? f->flags & KEPT_FLAGS : 0, at, 0, 0, 0);
	return 0;
}

/* The filters of a thread, oldest first. Returns how many, or -errno recorded. */
static int chain_of(struct restore_ctx *ctx, const struct task_thread *t, uint32_t **out)
{
	const ThreadCoreEntry *tc = t->core->thread_core;
	uint32_t id = tc->seccomp_filter, *ids;
	int n = 0, at;

	if (!tc->has_seccomp_mode || tc->seccomp_mode != SECCOMP_MODE__filter)
		return 0;
	if (!ctx->seccomp || id >= ctx->seccomp->n_seccomp_filters)
		return fail(ctx->report, "image-seccomp", 0,
			    "thread %d: seccomp filter %u is not in seccomp.img", t->tid, id);
	/* Each link goes to a lower number: seccomp_load() has seen to it. */
	for (n = 1; ctx->seccomp->seccomp_filters[id]->has_prev; n++)
		id = ctx->seccomp->seccomp_filters[id]->prev;
	ids = arena_array(ctx->arena, uint32_t, (size_t)n);
	id = tc->seccomp_filter;
	for (at = n; at-- > 0; id = ctx->seccomp->seccomp_filters[id]->prev)
		ids[at] = id;
	*out = ids;
	return n;
}

/* How many of the oldest filters all threads have in common. */
static int common_of(struct restore_ctx *ctx, const struct pstree_item *it)
{
	uint32_t *first = NULL, *ids = NULL;
	int common = chain_of(ctx, &it->threads[0], &first);

	for (size_t i = 1; i < it->nr_threads && common > 0; i++) {
		int n = chain_of(ctx, &it->threads[i], &ids), same = 0;

		if (n < 0)
			return n;
		while (same < n && same < common && ids[same] == first[same])
			same++;
		common = same;
	}
	return common;
}

static int add_filters(struct restore_ctx *ctx, struct batch *b, struct remote *r,
		       const struct task_thread *t, int from, int to)
{
	uint32_t *ids = NULL;
	int n = chain_of(ctx, t, &ids), ret = 0;

	for (int i = from; ids && i < n && (to < 0 || i < to) && ret >= 0; i++)
		ret = add_filter(ctx, b, r, t->tid, ids[i]);
	return n < 0 ? n : ret;
}

/**
 * seccomp_add_shared - the filters that all threads of a process share
 * @ctx: the run; seccomp_load() was called
 * @b: a batch that the leader runs before it makes threads
 * @it: the process
 *
 * A thread inherits the very filters of its maker, which is what
 * SECCOMP_FILTER_FLAG_TSYNC looks for later.
 *
 * Return: 0 or -errno, recorded.
 */
int seccomp_add_shared(struct restore_ctx *ctx, struct batch *b, const struct pstree_item *it)
{
	int common = common_of(ctx, it);

	if (common <= 0)
		return common;
	it->restore->seccomp_shared = common;
	return add_filters(ctx, b, it->restore->remote, &it->threads[0], 0, common);
}

/**
 * seccomp_size - room that seccomp_add() takes in the work area
 * @ctx: the run
 * @it: the process
 * @t: its thread
 *
 * Return: bytes, more than a MiB not counted exactly, or -errno recorded.
 */
int seccomp_size(struct restore_ctx *ctx, const struct pstree_item *it, const struct task_thread *t)
{
	uint32_t *ids = NULL;
	int n = chain_of(ctx, t, &ids), size = 0;

	for (int i = it->restore->seccomp_shared; i < n && size < (1 << 20); i++)
		size += (int)ctx->seccomp->seccomp_filters[ids[i]]->filter.len + 64;
	return n < 0 ? n : size;
}

/**
 * seccomp_add - what a thread has of its own: further filters, or strict mode
 * @ctx: the run; seccomp_load() was called
 * @b: the thread's batch
 * @it: its process
 * @t: the thread
 *
 * Return: 0 or -errno, recorded.
 */
int seccomp_add(struct restore_ctx *ctx, struct batch *b, const struct pstree_item *it,
		const struct task_thread *t)
{
	const ThreadCoreEntry *tc = t->core->thread_core;

	if (tc->has_seccomp_mode && tc->seccomp_mode == SECCOMP_MODE__strict)
		batch_add(b, "strict seccomp", SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0,
			  0, 0);
	return add_filters(ctx, b, it->restore->remote, t, it->restore->seccomp_shared, -1);
}
