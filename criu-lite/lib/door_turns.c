/*
 * door_turns - two sides on one processor take turns: who waits lets the other
 * run by sched_yield(), and can go on at once when that one waits in its turn.
 * Neither sleeps then, and neither has to be woken.
 *
 * It is a bet that there are no more than two. A third one that can run gets
 * the processor too, for milliseconds; and where scheduling keeps the two in
 * groups of their own a yield does nothing. The client sees either by its
 * clock: it sleeps as ever then, and does so in thousands of calls to come. Only
 * one that calls often bets at all. The server does as the client does, since
 * half of it is slower than none.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>

#define YIELDS 2
#define SOON 50000ull /* nanoseconds: in time */
/* Calls. One that is lost costs what these bring in together. */
#define WORTH 2000u
#define PAUSE_MIN (2 * WORTH)
#define PAUSE_MAX (1000 * WORTH)

static bool yield_until(const _Atomic uint32_t *word, uint32_t val)
{
	for (int i = 0; i < YIELDS && atomic_load(word) == val; i++)
		sched_yield();
	return atomic_load(word) != val;
}

static void lost(struct door_turns *t)
{
	if (!t->pause || t->won >= WORTH)
		t->pause = PAUSE_MIN;
	else if (t->pause < PAUSE_MAX)
		t->pause *= 2;
	t->skip = t->pause;
	t->won = 0;
}

/* One of @set that the program handles, and that is not blocked by @mask. */
static bool has_handled(const sigset_t *set, const sigset_t *mask)
{
	struct sigaction a;

	for (int sig = 1; sig < NSIG; sig++)
		if (sigismember(set, sig) == 1 && !sigismember(mask, sig) &&
		    sigaction(sig, NULL, &a) == 0 && a.sa_handler != SIG_IGN &&
		    a.sa_handler != SIG_DFL)
			return true;
	return false;
}

/**
 * door_turns_serve - wait for the word of the next call
 * @a: the session's memory
 *
 * Return: whether it is not CALL_PARKED any more.
 */
bool door_turns_serve(const struct door_arena *a)
{
	if (!atomic_load_explicit(&a->turns, memory_order_relaxed) ||
	    !door_same_cpu(&a->client_cpu))
		return false;
	return yield_until(&a->call, CALL_PARKED);
}

/**
 * door_turns_call - wait for the answer of a call
 * @t: how it went so far
 * @a: the session's memory; ret is RET_LOOKING
 *
 * Signals are held off meanwhile, since a handler that ran in between would
 * not interrupt the call.
 *
 * Return: 1 if the answer is there; 0 if it is to be waited for; -EINTR.
 */
int door_turns_call(struct door_turns *t, struct door_arena *a)
{
	sigset_t all, old, pending;
	const bool willing = !t->skip;
	bool done, caught = false;
	uint64_t begin;

	if (atomic_load_explicit(&a->turns, memory_order_relaxed) != willing)
		atomic_store_explicit(&a->turns, willing, memory_order_relaxed);
	if (!willing) {
		t->skip--;
		return 0;
	}
	begin = door_now();
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	done = yield_until(&a->ret, RET_LOOKING);
	if (done && door_now() - begin <= SOON) {
		t->won++;
	} else {
		lost(t);
		atomic_store_explicit(&a->turns, 0, memory_order_relaxed);
		caught = !done && sigpending(&pending) == 0 && has_handled(&pending, &old);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (caught)
		return atomic_load(&a->ret) == RET_DONE ? 1 : -EINTR;
	return done;
}
