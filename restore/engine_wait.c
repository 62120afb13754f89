/*
 * engine_wait - stages, sleep, and the end of waiting.
 *
 * ctx->shared->files, a futex, changes after everything that another process
 * may wait for. Each process wakes whom it has given something to do: the
 * tables it has sent to, and, when a stage has changed, all that have a file
 * which could not be opened yet. What a process does only to its own slaves
 * concerns nobody else.
 *
 * A process that found nothing to do at some event says so and sleeps. When
 * all have found nothing to do at the same event, messages included, nobody
 * ever will: what waits for what is then recorded.
 */
#include "restore/engine_priv.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Types may wait for something outside that no event tells of: looked at this often, */
#define NAP_NS UINT64_C(100000000)
/* and given up after so long without any event. */
#define STILL_NS UINT64_C(450000000)

/* The graph of what waits is recorded so long before the deadline, at which the tool ends all. */
#define GRAPH_NS UINT64_C(150000000)

/* Causes that a wait graph may take. */
#define GRAPH_LINES 48

/**
 * fle_set_stage - move an fle forward
 * @e: the engine
 * @fle: an fle of this process's table
 * @stage: its next stage
 */
void fle_set_stage(struct restore_engine *e, struct fdinfo_list_entry *fle, enum fle_stage stage)
{
	if (stage <= fle_get_stage(e, fle))
		return;
	atomic_store(&e->ctx->shared->stage[fle->index], (unsigned char)stage);
	/* The creator's reference; the table has its own. */
	if (stage == FLE_RESTORED)
		FRELE(fle->desc->file);
	e->progress = true;
	/* Conditions look at masters only. */
	if (fle == file_master(fle->desc))
		e->wake |= WAKE_STAGES;
}

/**
 * file_stage_reached - is a file that far?
 * @d: the file
 * @stage: of its master; a file in no table counts as restored
 *
 * From open(), false also says what the file being opened waits for.
 *
 * Return: true if it is.
 */
bool file_stage_reached(struct file_desc *d, enum fle_stage stage)
{
	struct restore_engine *e = d->tree->files.engine;
	const struct fdinfo_list_entry *m = file_master(d);

	if (!m || (e->ctx->shared && fle_get_stage(e, m) >= stage))
		return true;
	if (e->current)
		e->awaits = (uint64_t)d->id << 8 | stage;
	return false;
}

/**
 * engine_progress - a type says that it got on, though no stage changed
 * @t: the tree; everything in this process is looked at again
 */
void engine_progress(struct pstree *t)
{
	t->files.engine->progress = true;
	t->files.engine->wake |= WAKE_STAGES;
}

/**
 * engine_wake - wake those for whom there is something to do since the last call
 * @e: the engine
 */
void engine_wake(struct restore_engine *e)
{
	struct restore_shared *s = e->ctx->shared;

	if (!e->wake)
		return;
	atomic_fetch_add(&s->files, 1);
	if (atomic_load(&s->waiting))
		syscall(SYS_futex, &s->files, FUTEX_WAKE_BITSET, INT_MAX, NULL, NULL, e->wake);
	e->wake = 0;
}

static const char *stage_word(enum fle_stage stage)
{
	return stage == FLE_OPEN ? "open" : "restored";
}

static struct file_desc *awaited(const struct restore_engine *e, const struct file_desc *d,
				 enum fle_stage *stage)
{
	const struct fdinfo_list_entry *m = file_master(d);
	uint64_t w = m ? atomic_load(&e->shared->wait[m->index]) : 0;

	*stage = (enum fle_stage)(w & 0xff);
	return w ? file_desc_find(e->ctx->tree, (uint32_t)(w >> 8)) : NULL;
}

static void graph_line(struct restore_engine *e, const struct fdinfo_list_entry *fle, int err)
{
	const struct fdinfo_list_entry *m = file_master(fle->desc);
	const char *type = file_types[fle->desc->kind].name;
	enum fle_stage stage = fle_get_stage(e, m), want;
	struct file_desc *dep = awaited(e, fle->desc, &want);
	char on[160] = "", self[80];

	snprintf(self, sizeof(self), "pid %d fd %d%s: %s %#x", filedesc_pid(fle->fdt), fle->fd,
		 fle->fake ? " (helper)" : "", type, fle->desc->id);
	if (fle != m)
		fail(e->ctx->report, "file-waits", err, "%s waits for pid %d fd %d to open it",
		     self, filedesc_pid(m->fdt), m->fd);
	if (fle != m)
		return;
	if (dep)
		snprintf(on, sizeof(on), ", waits for pid %d fd %d: %s %#x to be %s",
			 filedesc_pid(file_master(dep)->fdt), file_master(dep)->fd,
			 file_types[dep->kind].name, dep->id, stage_word(want));
	fail(e->ctx->report, "file-waits", err, "%s is %s%s", self,
	     stage == FLE_OPEN ? "open but not restored" : "not open", on);
}

/* "pipe 0x1 -> pipe 0x2 -> pipe 0x1" if the files that wait do so in a ring. */
static bool graph_ring(struct restore_engine *e, struct file_desc *d, char *out, size_t size)
{
	struct file_desc *slow = d, *fast = d;
	enum fle_stage s;
	size_t at;

	do {
		slow = awaited(e, slow, &s);
		fast = awaited(e, fast, &s);
		fast = fast ? awaited(e, fast, &s) : NULL;
	} while (fast && fast != slow);
	if (!fast)
		return false;
	at = (size_t)snprintf(out, size, ": %s %#x", file_types[fast->kind].name, fast->id);
	do {
		slow = awaited(e, slow, &s);
		if (slow && at < size)
			at += (size_t)snprintf(out + at, size - at, " -> %s %#x",
					       file_types[slow->kind].name, slow->id);
	} while (slow && slow != fast && at < size);
	return true;
}

static void graph_record(struct restore_engine *e, const char *id, int err, const char *what)
{
	char ring[256] = "";
	size_t waiting = 0, lines = 0;

	for (size_t i = 0; i < e->nr_tables; i++) {
		for (size_t k = 0; k < e->tables[i].n; k++) {
			struct fdinfo_list_entry *fle = e->tables[i].fle[k];

			if (fle_get_stage(e, fle) == FLE_RESTORED)
				continue;
			waiting++;
			if (!ring[0] && fle == file_master(fle->desc))
				graph_ring(e, fle->desc, ring, sizeof(ring));
		}
	}
	fail(e->ctx->report, id, err, "%s: %zu descriptors are not restored%s", what, waiting,
	     ring);
	/* Masters say why; slaves only follow them. */
	for (int slaves = 0; slaves < 2; slaves++) {
		for (size_t i = 0; i < e->nr_tables; i++) {
			for (size_t k = 0; k < e->tables[i].n && lines < GRAPH_LINES; k++) {
				struct fdinfo_list_entry *fle = e->tables[i].fle[k];

				if (fle_get_stage(e, fle) == FLE_RESTORED ||
				    (fle != file_master(fle->desc)) != slaves)
					continue;
				graph_line(e, fle, err);
				lines++;
			}
		}
	}
}

/* The first process that sees the end of waiting says so for all. */
static void engine_judge(struct restore_engine *e, const char *id, int err, const char *what)
{
	if (atomic_exchange(&e->shared->judge, 1))
		return;
	graph_record(e, id, err, what);
	e->verdict = -err;
	restore_abort(e->ctx);
}

static bool all_idle(struct restore_engine *e, unsigned event)
{
	for (size_t i = 0; i < e->nr_tables; i++) {
		uint64_t idle = atomic_load(&e->shared->idle[i]);

		if (idle != TABLE_DONE && idle != (TABLE_IDLE | event))
			return false;
	}
	return atomic_load(&e->ctx->shared->files) == event;
}

/**
 * engine_sleep - nothing to do: wait for the next event, or find out that there is none to come
 * @e: the engine
 * @seen: the event before this process last looked at everything
 * @bits: of the futex: what wakes it
 *
 * On return things are to be looked at again, ctx->shared->abort first.
 */
void engine_sleep(struct restore_engine *e, unsigned seen, uint32_t bits)
{
	struct restore_shared *s = e->ctx->shared;
	uint64_t now = restore_now(), nap = NAP_NS, limit = e->ctx->deadline_ns - GRAPH_NS;
	struct timespec ts;

	if (now >= limit) {
		engine_judge(e, "files-timeout", ETIMEDOUT, "the time limit has passed");
		nap = NAP_NS / 10;
	} else if (limit - now < nap) {
		nap = limit - now;
	}
	if (!e->still_since_ns || e->still_event != seen) {
		e->still_event = seen;
		e->still_since_ns = now;
	}
	if (e->my)
		atomic_store(&e->shared->idle[e->my->index], TABLE_IDLE | seen);
	if (now - e->still_since_ns >= STILL_NS && all_idle(e, seen)) {
		engine_judge(e, "files-deadlock", EDEADLK, "files wait for each other");
		nap = NAP_NS / 10;
	}
	/* With a bitset the time is absolute. */
	ts.tv_sec = (time_t)((now + nap) / 1000000000);
	ts.tv_nsec = (long)((now + nap) % 1000000000);
	atomic_fetch_add(&s->waiting, 1);
	if (!atomic_load(&s->abort))
		syscall(SYS_futex, &s->files, FUTEX_WAIT_BITSET, seen, &ts, NULL, bits);
	atomic_fetch_sub(&s->waiting, 1);
}
