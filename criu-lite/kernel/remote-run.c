/*
 * remote-run - start the stub in a thread, learn that it has finished, stop it.
 *
 * The end of a batch is a word in memory, not a signal and not a trap: a signal
 * would be left behind if the tool died, a trap would touch the disposition of
 * SIGTRAP. The tool polls the word, then interrupts the thread, which by then
 * spins or sleeps in the stub.
 */
#include "kernel/remote-internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/backoff.h"
#include "kernel/ptrace.h"

/* How a thread runs in the stub. */
struct arch_job remote_job(const struct remote *r, const struct remote_thread *t)
{
	return (struct arch_job){
		.code = r->code, .frame = t->frame, .sp = t->sp, .flags = r->stub_flags
	};
}

/* Registers with which a thread would go home if it were let go. It must be stopped. */
int remote_park(const struct remote *r, const struct remote_thread *t)
{
	struct user_regs_struct regs = t->saved;
	struct arch_job job = remote_job(r, t);

	arch_regs_park(&regs, &job);
	return ptrace_set_regs(t->tid, &regs);
}

/*
 * A stop of a thread that runs the stub. Returns 1 if it has finished (@regs
 * are set), 0 if it runs on, -errno.
 */
static int stub_stopped(const struct remote *r, struct remote_thread *t,
			const struct ptrace_stop *stop, struct user_regs_struct *regs)
{
	int sig = stop->kind == PTRACE_STOP_SIGNAL ? stop->sig : 0, ret;

	t->running = false;
	ret = ptrace_get_regs(t->tid, regs);
	if (ret < 0)
		return ret;
	if (stop->kind == PTRACE_STOP_EVENT || stop->kind == PTRACE_STOP_GROUP) {
		switch (arch_where(regs, r->code)) {
		case ARCH_OUTSIDE:
			t->stale = true;
			return -ESTALE;
		case ARCH_WAITING:
			return 1;
		case ARCH_RUNNING:
			break;
		}
	} else if (sig && sig != SIGSTOP) {
		/* All but SIGSTOP is blocked: the stub itself has faulted. */
		return -EFAULT;
	}
	/* A stop for job control, or the second event of a task that is in one. */
	ret = ptrace_resume(t->tid, sig);
	t->running = !ret;
	return ret;
}

/*
 * Waits for the stop of a thread that has been asked for it at the end of the stub. Returns 0 or
 * -errno; -EAGAIN: it was not at its end and runs on.
 */
static int stub_stop_wait(const struct remote *r, struct remote_thread *t,
			  struct user_regs_struct *regs)
{
	struct ptrace_stop stop;
	int ret = ptrace_wait_stop(t->tid, r->limit_ms, &stop);

	if (!ret) {
		ret = stub_stopped(r, t, &stop, regs);
		if (!ret && stop.kind != PTRACE_STOP_EVENT && stop.kind != PTRACE_STOP_GROUP)
			/* Another stop came first; ours is still on its way. */
			ret = ptrace_wait_stop(t->tid, r->limit_ms, &stop)
				      ?: stub_stopped(r, t, &stop, regs);
	}
	if (ret > 0)
		return 0;
	return ret ? ret : -EAGAIN;
}

/* Stops a thread that runs the stub, at its end. As stub_stop_wait(). */
static int stub_stop(const struct remote *r, struct remote_thread *t, struct user_regs_struct *regs)
{
	return ptrace_interrupt(t->tid) ?: stub_stop_wait(r, t, regs);
}

/* Stops a thread wherever it is in the stub. Its registers are then whatever they are. */
int remote_settle(struct remote *r, struct remote_thread *t, struct user_regs_struct *regs)
{
	struct ptrace_stop stop;
	int ret;

	if (t->running) {
		ret = ptrace_interrupt_wait(t->tid, r->limit_ms, &stop);
		if (ret < 0)
			return ret;
		t->running = false;
	}
	ret = ptrace_get_regs(t->tid, regs);
	if (ret < 0)
		return ret;
	t->stale = t->stale || arch_where(regs, r->code) == ARCH_OUTSIDE;
	return t->stale ? -ESTALE : 0;
}

/*
 * Puts up to a slot full of calls into the slot of a stopped thread, and its registers to them.
 * Let go, it runs them and returns to its own state.
 */
int remote_batch_load(struct remote *r, struct remote_thread *t, const struct remote_call *calls,
		      size_t n, unsigned int flags)
{
	unsigned long addr = remote_slot_addr(r, t);
	struct user_regs_struct regs = t->saved;
	struct arch_job job = remote_job(r, t);
	struct slot slot = { .done = 0 };
	int ret;

	_Static_assert(sizeof(*calls) == sizeof(slot.records[0]), "calls are records");
	if (n > REMOTE_RECORDS)
		n = REMOTE_RECORDS;
	memcpy(slot.records, calls, n * sizeof(*calls));
	for (size_t i = 0; i < n; i++)
		slot.records[i].ret = -ECANCELED;
	if (flags & REMOTE_STOP_ON_ERROR)
		job.flags |= ARCH_STUB_STOP_ON_ERROR;
	arch_regs_run(&regs, &job, addr + offsetof(struct slot, records), n, addr);
	ret = remote_write(r, addr, &slot, offsetof(struct slot, records[n]));
	return ret ?: ptrace_set_regs(t->tid, &regs);
}

/* Lets a thread run what remote_batch_load() has put there. */
int remote_batch_go(struct remote_thread *t, size_t n)
{
	int ret = ptrace_resume(t->tid, 0);

	if (ret < 0)
		return ret;
	t->running = true;
	t->asked = false;
	t->started = n < REMOTE_RECORDS ? n : REMOTE_RECORDS;
	return 0;
}

static int batch_start(struct remote *r, struct remote_thread *t, const struct remote_call *calls,
		       size_t n, unsigned int flags)
{
	return remote_batch_load(r, t, calls, n, flags) ?: remote_batch_go(t, n);
}

/* How the end of what a thread runs shows itself in memory. */
struct stub_end {
	unsigned long done; /* a word that becomes 1, or 0 */
	unsigned long page; /* or a page that */
	bool appears;       /* appears or vanishes */
};

/* Returns 1 if the stub has come to its end, 0 or -errno. */
static int stub_ended(struct remote *r, const struct stub_end *end)
{
	uint32_t done;
	int ret;

	if (!end->done)
		return remote_readable(r, end->page) == end->appears;
	ret = remote_read(r, end->done, &done, sizeof(done));
	return ret < 0 ? ret : !!done;
}

/* Waits for the end and stops the thread there, passing over stops for job control. */
static int stub_wait(struct remote *r, struct remote_thread *t, const struct stub_end *end,
		     struct user_regs_struct *regs)
{
	struct ptrace_stop stop;
	struct backoff b;
	int ret;

	backoff_init(&b, r->limit_ms);
	for (unsigned int i = 0;; i++) {
		bool late = b.nap_ns > 20000, stopped = false;

		if (late || i % 16 == 15) {
			ret = ptrace_wait_stop(t->tid, 0, &stop);
			stopped = !ret;
			ret = ret ?: stub_stopped(r, t, &stop, regs);
			if (ret && ret != -ETIMEDOUT)
				return ret < 0 ? ret : 0;
		}
		ret = stub_ended(r, end);
		if (ret < 0)
			return ret;
		/*
		 * A page tells nothing if the call has failed: then look at the thread, but let
		 * it come to run between two stops.
		 */
		if (ret || (late && !end->done && !stopped)) {
			ret = stub_stop(r, t, regs);
			if (ret != -EAGAIN)
				return ret;
		}
		ret = backoff_pause(&b);
		if (ret < 0)
			return ret;
	}
}

/*
 * Runs one call that needs no memory, and makes the area appear or vanish,
 * which is how its end is seen. On success the thread is stopped in the stub.
 */
int remote_once(struct remote *r, struct remote_thread *t, long nr, const unsigned long args[6],
		bool appears, long *result)
{
	const struct stub_end end = { .page = r->area, .appears = appears };
	struct user_regs_struct regs = t->saved;
	struct arch_job job = remote_job(r, t);
	int ret;

	arch_regs_once(&regs, &job, nr, args);
	ret = ptrace_set_regs(t->tid, &regs) ?: ptrace_resume(t->tid, 0);
	if (ret < 0)
		return ret;
	t->running = true;
	ret = stub_wait(r, t, &end, &regs);
	if (!ret)
		*result = arch_once_result(&regs, r->code);
	return ret;
}

static int batch_fetch(struct remote *r, struct remote_thread *t, struct remote_call *calls)
{
	int ret = remote_read(r, remote_slot_addr(r, t) + offsetof(struct slot, records), calls,
			      t->started * sizeof(*calls));

	t->started = 0;
	return ret;
}

static int batch_finish(struct remote *r, struct remote_thread *t, struct remote_call *calls)
{
	const struct stub_end end = { .done = remote_slot_addr(r, t) };
	struct user_regs_struct regs;
	int ret = stub_wait(r, t, &end, &regs);

	if (ret < 0)
		return ret;
	ret = remote_park(r, t);
	return ret ?: batch_fetch(r, t, calls);
}

/* A thread that can be given something to do. */
static int find_idle(struct remote *r, pid_t tid, struct remote_thread **out)
{
	struct remote_thread *t = *out = remote_thread_find(r, tid);

	if (!t)
		return -ENOENT;
	if (t->stale)
		return -ESTALE;
	return t->running || t->started ? -EBUSY : 0;
}

/**
 * remote_start - start a batch in one thread and do not wait for it.
 * @tid: an attached thread with no batch under way
 * @calls: what to run, in this order
 * @flags: REMOTE_STOP_ON_ERROR
 *
 * remote_finish() must be given the same array, count and flags. Returns 0 or
 * -errno.
 */
int remote_start(struct remote *r, pid_t tid, const struct remote_call *calls, size_t n,
		 unsigned int flags)
{
	struct remote_thread *t;
	int ret = find_idle(r, tid, &t);

	if (ret < 0)
		return ret;
	return n ? batch_start(r, t, calls, n, flags) : 0;
}

/**
 * remote_hold - a thread that has nothing to do is not to run should the tool die
 * @r: the session
 * @tid: a thread of it, stopped, without a batch under way
 *
 * After a batch a thread goes home as soon as the tool is dead. After this it sleeps in the
 * stub for REMOTE_PATIENCE_MS first, time for somebody else to take back what was done to it. The
 * next call puts an end to that.
 *
 * Return: 0, -ENOENT, -ESTALE, -EBUSY or another -errno.
 */
int remote_hold(struct remote *r, pid_t tid)
{
	struct user_regs_struct regs;
	struct remote_thread *t;
	struct arch_job job;
	int ret = find_idle(r, tid, &t);

	if (ret < 0)
		return ret;
	regs = t->saved;
	job = remote_job(r, t);
	arch_regs_sleep(&regs, &job);
	return ptrace_set_regs(t->tid, &regs);
}

static bool batch_failed(const struct remote_call *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (calls[i].ret < 0 && calls[i].ret >= -4095)
			return true;
	return false;
}

/**
 * remote_finish - wait for a batch and fetch its results.
 *
 * A batch too long for the thread's slot is run in parts here. The ret of a call
 * that was not run is -ECANCELED. Returns 0 if the batch has run, whatever the
 * calls returned, or -errno: then the results are undefined. After -ETIMEDOUT the batch is still
 * under way; remote_close() and remote_detach_thread() put an end to it.
 */
int remote_finish(struct remote *r, pid_t tid, struct remote_call *calls, size_t n,
		  unsigned int flags)
{
	struct remote_thread *t = remote_thread_find(r, tid);
	size_t at = 0;
	int ret;

	if (!t)
		return -ENOENT;
	while (at < n) {
		size_t part = t->started;

		if (!part)
			return -EINVAL;
		ret = batch_finish(r, t, calls + at);
		if (ret < 0)
			return ret;
		at += part;
		if (at == n)
			break;
		if ((flags & REMOTE_STOP_ON_ERROR) && batch_failed(calls + at - part, part)) {
			for (; at < n; at++)
				calls[at].ret = -ECANCELED;
			break;
		}
		ret = batch_start(r, t, calls + at, n - at, flags);
		if (ret < 0)
			return ret;
	}
	return 0;
}

/* Asks a thread to stop if its batch ends soon. Others are waited for one at a time. */
static int batch_ask(struct remote *r, struct remote_thread *t)
{
	const struct stub_end end = { .done = remote_slot_addr(r, t) };
	struct backoff b;
	int ret;

	backoff_init(&b, 1);
	while (!(ret = stub_ended(r, &end)))
		if (backoff_pause(&b) < 0)
			return 0;
	if (ret > 0)
		ret = ptrace_interrupt(t->tid);
	t->asked = !ret;
	return ret;
}

/* Its results, and its own state back unless it is the host. */
static int batch_home(struct remote *r, struct remote_thread *t, struct remote_call *calls)
{
	const struct stub_end end = { .done = remote_slot_addr(r, t) };
	struct user_regs_struct regs;
	int ret = -EAGAIN;

	if (t->asked)
		ret = stub_stop_wait(r, t, &regs);
	if (ret == -EAGAIN)
		ret = stub_wait(r, t, &end, &regs);
	if (ret < 0)
		return ret;
	if (t->tid == r->tid)
		return remote_park(r, t) ?: batch_fetch(r, t, calls);
	/* It stands at the end of the stub: from there too it would go home by itself. */
	ret = ptrace_set_sigmask(t->tid, t->mask) ?: ptrace_set_regs(t->tid, &t->saved);
	ret = ret ?: batch_fetch(r, t, calls);
	if (!ret)
		t->tid = 0;
	return ret;
}

/**
 * remote_finish_home - wait for the batches of several threads, all begun without flags, and
 * give the threads back.
 * @batches: what was started, a slot full each at most; the last one is waited for first
 * @failed: gets the thread of an error
 *
 * As remote_finish() and remote_detach_thread() of each, but that they stop together; the thread
 * of remote_open() stays attached. Returns 0 or -errno: then some may still be under way or
 * attached.
 */
int remote_finish_home(struct remote *r, const struct remote_batch *batches, size_t n,
		       pid_t *failed)
{
	struct remote_thread *t;
	int ret = 0;

	for (size_t i = n; i-- && !ret;) {
		*failed = batches[i].tid;
		t = remote_thread_find(r, batches[i].tid);
		if (!t)
			return -ENOENT;
		if (t->started != batches[i].n)
			return -EINVAL;
		ret = batch_ask(r, t);
	}
	for (size_t i = n; i-- && !ret;) {
		*failed = batches[i].tid;
		t = remote_thread_find(r, batches[i].tid);
		ret = batch_home(r, t, batches[i].calls);
	}
	return ret;
}

/** remote_run - run a batch: remote_start() and remote_finish(). */
int remote_run(struct remote *r, pid_t tid, struct remote_call *calls, size_t n, unsigned int flags)
{
	int ret = remote_start(r, tid, calls, n, flags);

	return ret < 0 ? ret : remote_finish(r, tid, calls, n, flags);
}

/**
 * remote_call1 - run one call.
 *
 * Returns its result, or -errno of the call or of running it.
 */
long remote_call1(struct remote *r, pid_t tid, long nr, unsigned long a0, unsigned long a1,
		  unsigned long a2, unsigned long a3, unsigned long a4, unsigned long a5)
{
	struct remote_call call = { .nr = nr, .args = { a0, a1, a2, a3, a4, a5 } };
	int ret = remote_run(r, tid, &call, 1, 0);

	return ret < 0 ? ret : call.ret;
}

/** remote_set_limit - how long one batch may take, in ms; 10000 at first. */
void remote_set_limit(struct remote *r, unsigned int limit_ms)
{
	r->limit_ms = limit_ms;
}
