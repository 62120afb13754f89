/*
 * timers - POSIX timers: /proc lists them, the process tells how long they
 * have to go.
 */
#include "dump/tasks.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SOME 1024 /* timers asked for at a time: their answers fit the work area */

static PosixTimerEntry *timer_entry(struct arena *a, const struct proc_timer *t,
				    const struct itimerspec *left, long overrun)
{
	PosixTimerEntry *e = arena_new_of(a, PosixTimerEntry);

	posix_timer_entry__init(e);
	e->it_id = t->id;
	e->clock_id = (uint32_t)t->clock;
	e->si_signo = t->signo;
	e->it_sigev_notify = t->notify;
	e->sival_ptr = t->sival;
	e->overrun = overrun > 0 ? (uint32_t)overrun : 0;
	e->isec = (uint64_t)left->it_interval.tv_sec;
	e->insec = (uint64_t)left->it_interval.tv_nsec;
	e->vsec = (uint64_t)left->it_value.tv_sec;
	e->vnsec = (uint64_t)left->it_value.tv_nsec;
	e->has_notify_thread_id = t->notify_tid != 0;
	e->notify_thread_id = t->notify_tid;
	return e;
}

static int timers_some(struct dump_ctx *ctx, struct pstree_item *it, const struct proc_timer *t,
		       size_t n)
{
	struct remote *r = it->dump->remote;
	struct remote_call *calls = calloc(2 * n, sizeof(*calls));
	struct itimerspec *left = calloc(n, sizeof(*left));
	unsigned long at = remote_alloc(r, n * sizeof(*left), 16);
	TaskTimersEntry *out = item_core(it)->tc->timers;
	int ret = calls && left && at ? 0 : -ENOMEM;

	for (size_t i = 0; i < n && !ret; i++) {
		calls[2 * i] = (struct remote_call){ .nr = SYS_timer_gettime,
						     .args = { t[i].id, at + i * sizeof(*left) } };
		calls[2 * i + 1] =
			(struct remote_call){ .nr = SYS_timer_getoverrun, .args = { t[i].id } };
	}
	if (!ret)
		ret = remote_run(r, it->pid, calls, 2 * n, 0);
	if (!ret)
		ret = remote_read(r, at, left, n * sizeof(*left));
	for (size_t i = 0; i < n && !ret; i++) {
		ret = calls[2 * i].ret < 0 ? (int)calls[2 * i].ret : 0;
		if (!ret)
			arena_push(ctx->arena, out->posix, out->n_posix) =
				timer_entry(ctx->arena, &t[i], &left[i], calls[2 * i + 1].ret);
	}
	remote_reset(r);
	free(left);
	free(calls);
	return ret ? task_fail(ctx, it->pid, ret, "timer_gettime()") : 0;
}

static int by_id(const void *a, const void *b)
{
	const struct proc_timer *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/**
 * timers_ask - the POSIX timers of a process
 * @ctx: the dump
 * @it: the process; its leader is attached to dump->remote and has answered
 *
 * Return: 0 or -errno recorded.
 */
int timers_ask(struct dump_ctx *ctx, struct pstree_item *it)
{
	struct proc_timer *list = NULL;
	size_t n = 0;
	int ret = proc_read(it->dump->proc_fd, "timers", &ctx->text);

	/* A kernel without the file has no POSIX timers that could be listed. */
	if (ret == -ENOENT)
		return 0;
	if (!ret)
		ret = proc_parse_timers(ctx->text.p, &list, &n);
	if (ret)
		return task_fail(ctx, it->pid, ret, "/proc/PID/timers");
	/* Ascending: restore may have to create them in this order to get the same ids. */
	if (n)
		qsort(list, n, sizeof(*list), by_id);
	for (size_t i = 0; i < n && !ret; i += SOME)
		ret = timers_some(ctx, it, list + i, n - i < SOME ? n - i : SOME);
	free(list);
	return ret;
}
