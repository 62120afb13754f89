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

/* Longest chain that is followed; the kernel allows 32768 instructions in all. */
#define MAX_CHAIN 8192

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
	struct sock_fprog prog = { .len = (unsigned short)(f->filter.len / sizeof(struct sock_filter)) };
	unsigned long code = batch_data(r, f->filter.data, f->filter.len), at;

	prog.filter = (void *)code;
	at = batch_data(r, &prog, sizeof(prog));
	if (!code || !at)
		return fail(ctx->report, "remote-call", ENOMEM, "thread %d: work area", tid);
	batch_add(b, "seccomp", SYS_seccomp, SECCOMP_SET_MODE_FILTER, f->has_flags ? f->flags : 0, at,
		  0, 0, 0);
	return 0;
}

/**
 * seccomp_add - the calls that put a thread under its seccomp mode
 * @ctx: the run; seccomp_load() was called
 * @b: the thread's batch
 * @r: its address space
 * @t: the thread
 *
 * Return: 0 or -errno, recorded.
 */
int seccomp_add(struct restore_ctx *ctx, struct batch *b, struct remote *r,
		const struct task_thread *t)
{
	const ThreadCoreEntry *tc = t->core->thread_core;
	uint32_t chain[MAX_CHAIN], n = 0, id = tc->seccomp_filter;
	int ret;

	if (!tc->has_seccomp_mode || tc->seccomp_mode == SECCOMP_MODE__disabled)
		return 0;
	if (tc->seccomp_mode == SECCOMP_MODE__strict) {
		batch_add(b, "strict seccomp", SYS_prctl, PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0, 0,
			  0, 0);
		return 0;
	}
	for (;; id = ctx->seccomp->seccomp_filters[id]->prev) {
		if (!ctx->seccomp || id >= ctx->seccomp->n_seccomp_filters || n == MAX_CHAIN)
			return fail(ctx->report, "image-seccomp", 0,
				    "thread %d: seccomp filter %u is not in seccomp.img", t->tid, id);
		chain[n++] = id;
		if (!ctx->seccomp->seccomp_filters[id]->has_prev)
			break;
	}
	while (n-- > 0)
		if ((ret = add_filter(ctx, b, r, t->tid, chain[n])) < 0)
			return ret;
	return 0;
}
