/*
 * seccomp - modes and filters. Filters form a tree: each names the one that
 * was there before it. Threads with equal chains share them.
 */
#include "dump/tasks.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>

#ifndef PTRACE_SECCOMP_GET_METADATA
#define PTRACE_SECCOMP_GET_METADATA 0x420d
#endif

#define NO_FILTER UINT32_MAX

struct metadata {
	uint64_t index, flags;
};

static bool filter_is(const SeccompFilter *f, const void *code, size_t len, uint32_t flags,
		      uint32_t prev)
{
	return f->filter.len == len && !memcmp(f->filter.data, code, len) && f->flags == flags &&
	       (f->has_prev ? f->prev : NO_FILTER) == prev;
}

/* The number of a filter in the image; added if it is new. */
static uint32_t filter_put(struct dump_ctx *ctx, const void *code, size_t len, uint32_t flags,
			   uint32_t prev)
{
	SeccompEntry *all = ctx->seccomp;
	SeccompFilter *f;

	if (!all) {
		all = ctx->seccomp = arena_new_of(ctx->arena, SeccompEntry);
		seccomp_entry__init(all);
	}
	for (size_t i = 0; i < all->n_seccomp_filters; i++)
		if (filter_is(all->seccomp_filters[i], code, len, flags, prev))
			return (uint32_t)i;
	f = arena_new_of(ctx->arena, SeccompFilter);
	seccomp_filter__init(f);
	f->filter.data = arena_memdup(ctx->arena, code, len);
	f->filter.len = len;
	f->has_flags = 1;
	f->flags = flags;
	f->has_prev = prev != NO_FILTER;
	f->prev = prev == NO_FILTER ? 0 : prev;
	arena_push(ctx->arena, all->seccomp_filters, all->n_seccomp_filters) = f;
	return (uint32_t)all->n_seccomp_filters - 1;
}

/* Oldest first, so that each knows the one before it. */
static int filters_read(struct dump_ctx *ctx, pid_t tid, uint32_t count, uint32_t *last)
{
	struct sock_filter code[BPF_MAXINSNS];
	uint32_t prev = NO_FILTER;

	while (count--) {
		struct metadata md = { .index = count };
		long n = ptrace((enum __ptrace_request)PTRACE_SECCOMP_GET_FILTER, tid,
				(void *)(uintptr_t)count, NULL);

		if (n < 0 || n > BPF_MAXINSNS ||
		    ptrace((enum __ptrace_request)PTRACE_SECCOMP_GET_FILTER, tid,
			   (void *)(uintptr_t)count, code) < 0)
			return fail(ctx->report, "seccomp-filter", n > 0 ? EINVAL : errno,
				    "thread %d: read seccomp filter %u; it takes CAP_SYS_ADMIN",
				    tid, count);
		ptrace((enum __ptrace_request)PTRACE_SECCOMP_GET_METADATA, tid, (void *)sizeof(md),
		       &md);
		prev = filter_put(ctx, code, (size_t)n * sizeof(*code), (uint32_t)md.flags, prev);
	}
	*last = prev;
	return 0;
}

/**
 * seccomp_collect - the mode and the filters of a thread
 * @ctx: the dump
 * @it: its process
 * @i: its index; its status has been read
 *
 * Return: 0, or -errno recorded.
 */
int seccomp_collect(struct dump_ctx *ctx, struct pstree_item *it, size_t i)
{
	const struct dump_thread *th = &it->dump->threads[i];
	ThreadCoreEntry *tc = it->threads[i].core->thread_core;
	uint32_t last;
	int ret;

	if (!th->status.seccomp)
		return 0;
	if (!ctx->seccomp_suspended) {
		it->dump->refused = true;
		return fail(ctx->report, "seccomp-denied", EPERM,
			    "pid %d: thread %d is under seccomp, which takes CAP_SYS_ADMIN to dump",
			    it->pid, th->tid);
	}
	it->dump->where.seccomp = 1;
	tc->has_seccomp_mode = 1;
	tc->seccomp_mode = th->status.seccomp == 1 ? SECCOMP_MODE__strict : SECCOMP_MODE__filter;
	if (th->status.seccomp != 2)
		return 0;
	ret = filters_read(ctx, th->tid, th->status.seccomp_filters, &last);
	if (ret)
		return ret;
	tc->has_seccomp_filter = 1;
	tc->seccomp_filter = last;
	return 0;
}
