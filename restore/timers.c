/*
 * timers - interval timers and POSIX timers. A POSIX timer must come back
 * with its number: the kernel gives a chosen one since 6.15
 * (PR_TIMER_CREATE_RESTORE_IDS); before, numbers only grow, so timers are made
 * and deleted until the wanted one comes.
 */
#include "restore/timers.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#ifndef PR_TIMER_CREATE_RESTORE_IDS
#define PR_TIMER_CREATE_RESTORE_IDS 77
#endif

/* Numbers that an older kernel is counted up to before this gives up. */
#define MAX_COUNT_UP 100000

static bool can_choose_id(struct pstree_item *it)
{
	return remote_call1(it->restore->remote, it->pid, SYS_prctl, PR_TIMER_CREATE_RESTORE_IDS, 1,
			    0, 0, 0, 0) == 0;
}

static int create_timer(struct restore_ctx *ctx, struct pstree_item *it, const PosixTimerEntry *e,
			bool chosen, int *last)
{
	struct remote *r = it->restore->remote;
	struct sigevent ev = { .sigev_notify = (int)e->it_sigev_notify,
			       .sigev_signo = (int)e->si_signo,
			       .sigev_value.sival_ptr = (void *)e->sival_ptr };
	int id = (int)e->it_id;
	unsigned long evp, idp;

	if (e->has_notify_thread_id && e->notify_thread_id)
		ev._sigev_un._tid = e->notify_thread_id;
	remote_reset(r);
	evp = batch_data(r, &ev, sizeof(ev));
	idp = batch_data(r, &id, sizeof(id));
	for (int n = 0; evp && idp && n < MAX_COUNT_UP; n++) {
		long ret =
			remote_call1(r, it->pid, SYS_timer_create, e->clock_id, evp, idp, 0, 0, 0);

		if (ret < 0)
			return fail(ctx->report, "timer", (int)-ret,
				    "pid %d: create POSIX timer %u", it->pid, e->it_id);
		if (remote_read(r, idp, last, sizeof(*last)) < 0)
			break;
		if (*last == (int)e->it_id)
			return 0;
		remote_call1(r, it->pid, SYS_timer_delete, (unsigned long)*last, 0, 0, 0, 0, 0);
		if (chosen || *last > (int)e->it_id)
			break;
	}
	return fail(ctx->report, "timer", 0,
		    "pid %d: POSIX timer %u cannot get its number on this "
		    "kernel",
		    it->pid, e->it_id);
}

static int create_timers(struct restore_ctx *ctx, struct pstree_item *it, const TaskTimersEntry *t)
{
	bool chosen = can_choose_id(it);
	int last = -1, ret = 0;

	for (size_t i = 0; i < t->n_posix && ret >= 0; i++)
		ret = create_timer(ctx, it, t->posix[i], chosen, &last);
	if (chosen)
		remote_call1(it->restore->remote, it->pid, SYS_prctl, PR_TIMER_CREATE_RESTORE_IDS,
			     0, 0, 0, 0, 0);
	return ret;
}

/*
 * A timer with an interval and nothing left has just expired: its signal is
 * pending, and the kernel would have set it going again at delivery. Zero
 * would stop it for good.
 */
#define SHORTEST_US 1

static void add_itimer(struct batch *b, struct remote *r, int which, const ItimerEntry *e)
{
	struct itimerval v = {
		.it_interval = { (time_t)e->isec, (suseconds_t)e->iusec },
		.it_value = { (time_t)e->vsec, (suseconds_t)e->vusec },
	};

	if (!e->vsec && !e->vusec)
		v.it_value.tv_usec = SHORTEST_US;
	if (e->isec || e->iusec || e->vsec || e->vusec)
		batch_add(b, "setitimer", SYS_setitimer, (unsigned long)which,
			  batch_data(r, &v, sizeof(v)), 0, 0, 0, 0);
}

/**
 * timers_restore - create and arm the timers of a process
 * @ctx: the run
 * @it: the process; its threads exist
 *
 * Return: 0 or -errno, recorded.
 */
int timers_restore(struct restore_ctx *ctx, struct pstree_item *it)
{
	const TaskTimersEntry *t = item_core(it)->tc->timers;
	struct remote *r = it->restore->remote;
	struct batch b = { .arena = ctx->arena };
	int ret;

	if (!t)
		return 0;
	if (t->n_posix && (ret = create_timers(ctx, it, t)) < 0)
		return ret;
	remote_reset(r);
	add_itimer(&b, r, ITIMER_REAL, t->real);
	add_itimer(&b, r, ITIMER_VIRTUAL, t->virt);
	add_itimer(&b, r, ITIMER_PROF, t->prof);
	for (size_t i = 0; i < t->n_posix; i++) {
		const PosixTimerEntry *e = t->posix[i];
		struct itimerspec v = {
			.it_interval = { (time_t)e->isec, (long)e->insec },
			.it_value = { (time_t)e->vsec, (long)e->vnsec },
		};

		if ((ret = batch_room(ctx, r, it->pid, &b, sizeof(v))) < 0)
			return ret;
		if ((e->isec || e->insec) && !e->vsec && !e->vnsec)
			v.it_value.tv_nsec = SHORTEST_US * 1000L;
		batch_add(&b, "timer_settime", SYS_timer_settime, e->it_id, 0,
			  batch_data(r, &v, sizeof(v)), 0, 0, 0);
	}
	return batch_run(ctx, r, it->pid, &b);
}
