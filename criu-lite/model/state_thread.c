/*
 * state_thread - what belongs to a thread: its mask and pending signals, how
 * it is scheduled, what it has registered with the kernel, credentials,
 * seccomp, registers.
 */
#include "model/state_parts.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

static const char *policy_name(uint32_t policy)
{
	switch (policy) {
	case SCHED_OTHER:
		return "other";
	case SCHED_FIFO:
		return "fifo";
	case SCHED_RR:
		return "rr";
	case SCHED_BATCH:
		return "batch";
	case SCHED_IDLE:
		return "idle";
	default:
		return "unknown";
	}
}

static void put_schedule(struct json_object *o, const ThreadCoreEntry *tc)
{
	uint32_t policy = tc->has_sched_policy ? tc->sched_policy : 0;

	state_put(o, "sched",
		  state_fmt("%s%s", policy_name(policy & ~(uint32_t)SCHED_RESET_ON_FORK),
			    policy & SCHED_RESET_ON_FORK ? "+reset" : ""));
	if (tc->has_sched_prio && tc->sched_prio)
		state_put(o, "sched_prio", state_u64(tc->sched_prio));
	if (tc->has_sched_nice && tc->sched_nice)
		state_put(o, "nice", json_object_new_int(tc->sched_nice));
}

static void put_registered(struct state_ctx *s, struct json_object *o, const ThreadCoreEntry *tc)
{
	if (tc->futex_rla)
		state_put(o, "robust_list",
			  state_fmt("%#llx+%u", (unsigned long long)tc->futex_rla,
				    tc->futex_rla_len));
	if (tc->sas && !(tc->sas->ss_flags & SS_DISABLE))
		state_put(o, "altstack", state_msg(s, &tc->sas->base));
	if (tc->rseq_entry && tc->rseq_entry->rseq_abi_pointer)
		state_put(o, "rseq", state_msg(s, &tc->rseq_entry->base));
	if (tc->has_pdeath_sig && tc->pdeath_sig)
		state_put(o, "pdeath_signal", json_object_new_int((int)tc->pdeath_sig));
}

/* Filters have numbers in an image only: a thread names the first one that has the same. */
static void put_seccomp(struct json_object *o, const struct pstree_item *it,
			const ThreadCoreEntry *tc)
{
	static const char *const modes[] = { "disabled", "strict", "filter" };

	if (!tc->has_seccomp_mode || !tc->seccomp_mode)
		return;
	state_put(o, "seccomp",
		  state_str(tc->seccomp_mode <= 2u ? modes[tc->seccomp_mode] : "unknown"));
	if (tc->seccomp_mode != SECCOMP_MODE__filter)
		return;
	for (size_t i = 0; i < it->nr_threads; i++) {
		const ThreadCoreEntry *other = it->threads[i].core->thread_core;

		if (other->has_seccomp_mode && other->seccomp_mode == SECCOMP_MODE__filter &&
		    other->seccomp_filter == tc->seccomp_filter) {
			state_put(o, "seccomp_as", json_object_new_int(it->threads[i].tid));
			return;
		}
	}
}

static void put_registers(struct state_ctx *s, struct json_object *o, const CoreEntry *core)
{
#if defined(__x86_64__)
	const ThreadInfoX86 *info = core->thread_info;
	struct json_object *tls, *one;

	if (!info)
		return;
	state_put(o, "clear_tid", state_hex(info->clear_tid_addr));
	state_put(o, "registers", state_msg(s, &info->gpregs->base));
	state_put(o, "fpu", state_msg(s, &info->fpregs->base));
	tls = json_object_new_array();
	for (size_t i = 0; i < info->n_tls; i++)
		if ((one = state_msg(s, &info->tls[i]->base)))
			json_object_array_add(tls, one);
	state_put(o, "tls", tls);
#else
#error "no registers for this architecture"
#endif
}

/* A table of its own, told once: by a task or thread of a lower id, or here. */
static void put_table(struct state_ctx *s, struct json_object *o, const struct task_thread *th)
{
	pid_t first = th->fdt ? state_table_first(s, th->fdt) : 0;

	if (first == th->tid)
		state_put(o, "fds", state_fds(s, th->fdt, th->tid));
	else if (first)
		state_put(o, "files", json_object_new_int(first));
}

static struct json_object *show_thread(struct state_ctx *s, const struct pstree_item *it,
				       const struct task_thread *th)
{
	const ThreadCoreEntry *tc = th->core->thread_core;
	const TaskCoreEntry *leader = th->core->tc;
	struct json_object *o = json_object_new_object();

	/* For the leader, images of other tools may have these two with the process only. */
	if (!leader && tc->comm)
		state_put(o, "comm", state_str(tc->comm));
	state_put(o, "sigmask",
		  state_hex(tc->has_blk_sigset ? tc->blk_sigset
			    : leader           ? leader->blk_sigset
					       : 0));
	state_put(o, "pending", state_signals(tc->signals_p));
	put_schedule(o, tc);
	put_registered(s, o, tc);
	put_seccomp(o, it, tc);
	state_put(o, "creds", tc->creds ? state_msg(s, &tc->creds->base) : NULL);
	put_registers(s, o, th->core);
	put_table(s, o, th);
	state_put(o, "extra", state_msg_extra(s, &tc->base));
	return o;
}

static int by_tid(const void *a, const void *b)
{
	const struct task_thread *x = *(const struct task_thread *const *)a;
	const struct task_thread *y = *(const struct task_thread *const *)b;

	return x->tid < y->tid ? -1 : x->tid > y->tid;
}

/**
 * state_threads - the threads of a task
 * @s: the snapshot
 * @it: the task, alive or stopped
 *
 * Return: an object by thread id.
 */
struct json_object *state_threads(struct state_ctx *s, const struct pstree_item *it)
{
	const struct task_thread **order =
		arena_array(s->a, const struct task_thread *, it->nr_threads);
	struct json_object *o = json_object_new_object();
	char key[16];

	for (size_t i = 0; i < it->nr_threads; i++)
		order[i] = &it->threads[i];
	qsort(order, it->nr_threads, sizeof(*order), by_tid);
	for (size_t i = 0; i < it->nr_threads; i++) {
		if (!order[i]->core || !order[i]->core->thread_core)
			continue;
		snprintf(key, sizeof(key), "%d", order[i]->tid);
		state_put(o, key, show_thread(s, it, order[i]));
	}
	return o;
}
