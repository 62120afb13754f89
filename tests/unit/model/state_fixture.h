/*
 * state_fixture - snapshots of models, and what the tests look at in them.
 */
#ifndef TEST_STATE_FIXTURE_H
#define TEST_STATE_FIXTURE_H

#include "../image/fixture.h"

#include <errno.h>
#include <json-c/json.h>
#include <signal.h>

#include "model/memhash.h"
#include "model/state.h"

#include "proto/eventpoll.pb-c.h"
#include "tests/unit/run_tests.h"

static struct report *report;
static char *text;
static size_t ndiff;

static inline void setup(void)
{
	report = quiet();
}

static inline void teardown(void)
{
	free(text);
	text = NULL;
	report_free(report);
}

static inline struct json_object *state_of(struct pstree *t)
{
	struct json_object *o = NULL;

	ck_assert_int_eq(state_json(t, &o), 0);
	return o;
}

/* Compares and frees both; lines are in text. */
static inline size_t compare(struct json_object *a, struct json_object *b)
{
	size_t len;
	FILE *f;

	free(text);
	f = open_memstream(&text, &len);
	ck_assert_int_eq(state_diff(a, b, f, &ndiff), 0);
	fclose(f);
	json_object_put(a);
	json_object_put(b);
	return ndiff;
}

static inline struct pstree_item *task(struct pstree *t, pid_t pid)
{
	struct pstree_item *it = pstree_find(t, pid);

	ck_assert_ptr_nonnull(it);
	return it;
}

static inline struct fdinfo_list_entry *slot(struct pstree *t, int fd)
{
	struct fdinfo_list_entry *fle;

	list_for_each(fle, &task(t, 100)->fdt->fles, in_table)
		if (fle->fd == fd)
			return fle;
	ck_abort();
}

static inline TaskCoreEntry *process(struct pstree *t)
{
	return item_core(task(t, 100))->tc;
}

static inline ThreadCoreEntry *thread(struct pstree *t)
{
	return task(t, 100)->threads[1].core->thread_core;
}

static inline void mut_pending(struct pstree *t)
{
	SignalQueueEntry *q = arena_new_of(t->arena, SignalQueueEntry);
	siginfo_t *si = arena_new_of(t->arena, siginfo_t);

	signal_queue_entry__init(q);
	q->n_signals = 1;
	q->signals = arena_array(t->arena, SiginfoEntry *, 1);
	q->signals[0] = arena_new_of(t->arena, SiginfoEntry);
	siginfo_entry__init(q->signals[0]);
	memset(si, 0, sizeof(*si));
	si->si_signo = SIGUSR1;
	si->si_pid = 7;
	q->signals[0]->siginfo = (ProtobufCBinaryData){ sizeof(*si), (uint8_t *)si };
	thread(t)->signals_p = q;
}

static inline void mut_shared_content(struct pstree *t)
{
	static const char page[PAGE] = "x";

	memhash_shmem(pstree_shmem(t, 77), PAGE, page, 1);
}

static inline void mut_lost_alarm(struct pstree *t)
{
	ItimerEntry *e = arena_new_of(t->arena, ItimerEntry);

	itimer_entry__init(e);
	e->vsec = 60;
	process(t)->timers->real = e;
}

/* Runs the tests of @t; returns the exit status. */
static inline int state_tests(TCase *t)
{
	tcase_add_checked_fixture(t, setup, teardown);
	return run_tests("state", t);
}

#endif
