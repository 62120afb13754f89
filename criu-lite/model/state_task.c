/*
 * state_task - what belongs to a process: who it is, its signals, timers,
 * limits and the bounds of its memory. Threads are in state_thread.c.
 */
#include "model/state_parts.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

static const char *const limit_names[RLIM_NLIMITS] = {
	[RLIMIT_CPU] = "cpu",           [RLIMIT_FSIZE] = "fsize",
	[RLIMIT_DATA] = "data",         [RLIMIT_STACK] = "stack",
	[RLIMIT_CORE] = "core",         [RLIMIT_RSS] = "rss",
	[RLIMIT_NPROC] = "nproc",       [RLIMIT_NOFILE] = "nofile",
	[RLIMIT_MEMLOCK] = "memlock",   [RLIMIT_AS] = "as",
	[RLIMIT_LOCKS] = "locks",       [RLIMIT_SIGPENDING] = "sigpending",
	[RLIMIT_MSGQUEUE] = "msgqueue", [RLIMIT_NICE] = "nice",
	[RLIMIT_RTPRIO] = "rtprio",     [RLIMIT_RTTIME] = "rttime",
};

static const char *limit_text(uint64_t v, char buf[static 24])
{
	if (v == UINT64_MAX)
		return "unlimited";
	snprintf(buf, 24, "%llu", (unsigned long long)v);
	return buf;
}

static struct json_object *show_limits(const TaskRlimitsEntry *e)
{
	struct json_object *o = json_object_new_object();
	char soft[24], hard[24];

	for (size_t i = 0; e && i < e->n_rlimits && i < RLIM_NLIMITS; i++)
		state_put(o, limit_names[i],
			  state_fmt("%s:%s", limit_text(e->rlimits[i]->cur, soft),
				    limit_text(e->rlimits[i]->max, hard)));
	return o;
}

/* The image has no entries for the two signals whose action is fixed. */
static struct json_object *show_actions(struct state_ctx *s, const TaskCoreEntry *tc)
{
	struct json_object *o = json_object_new_object();
	char name[16];
	size_t k = 0;

	for (int sig = 1; sig <= 64 && k < tc->n_sigactions; sig++) {
		const SaEntry *e;

		if (sig == SIGKILL || sig == SIGSTOP)
			continue;
		e = tc->sigactions[k++];
		if (e->sigaction || e->flags || e->mask)
			state_put(o, state_signal(sig, name), state_msg(s, &e->base));
	}
	return o;
}

static bool sent_by_timer(const siginfo_t *si)
{
	return si->si_code == SI_TIMER ||
	       (si->si_code == SI_KERNEL &&
		(si->si_signo == SIGALRM || si->si_signo == SIGVTALRM || si->si_signo == SIGPROF));
}

static struct json_object *show_siginfo(const siginfo_t *si)
{
	struct json_object *o = json_object_new_object();
	char name[16];

	state_put(o, "signal", state_str(state_signal(si->si_signo, name)));
	state_put(o, "code", json_object_new_int(si->si_code));
	if (si->si_code <= 0 || si->si_signo == SIGCHLD) {
		state_put(o, "pid", json_object_new_int(si->si_pid));
		state_put(o, "uid", state_u64(si->si_uid));
	}
	if (si->si_code > 0 && si->si_signo == SIGCHLD)
		state_put(o, "status", json_object_new_int(si->si_status));
	else if (si->si_code == SI_QUEUE || si->si_code == SI_MESGQ || si->si_code == SI_ASYNCIO)
		state_put(o, "value", state_hex((uintptr_t)si->si_value.sival_ptr));
	else if (si->si_code > 0 &&
		 (si->si_signo == SIGSEGV || si->si_signo == SIGBUS || si->si_signo == SIGILL ||
		  si->si_signo == SIGFPE || si->si_signo == SIGTRAP))
		state_put(o, "address", state_hex((uintptr_t)si->si_addr));
	return o;
}

/**
 * state_signals - pending signals
 * @q: the queue, or NULL
 *
 * What timers have sent is left out: it depends on when one looks. Signals
 * are taken by number, so only those of the same number have an order.
 *
 * Return: a list.
 */
struct json_object *state_signals(const SignalQueueEntry *q)
{
	struct json_object *list = json_object_new_array();

	for (int signo = 1; signo <= 64; signo++) {
		for (size_t i = 0; q && i < q->n_signals; i++) {
			siginfo_t si;

			if (q->signals[i]->siginfo.len != sizeof(si))
				continue;
			memcpy(&si, q->signals[i]->siginfo.data, sizeof(si));
			if (si.si_signo == signo && !sent_by_timer(&si))
				json_object_array_add(list, show_siginfo(&si));
		}
	}
	return list;
}

static struct json_object *show_timers(struct state_ctx *s, const TaskTimersEntry *e)
{
	struct json_object *o = json_object_new_object(), *posix = json_object_new_object();
	char key[16];

	if (e) {
		state_put(o, "real", state_msg(s, &e->real->base));
		state_put(o, "virtual", state_msg(s, &e->virt->base));
		state_put(o, "prof", state_msg(s, &e->prof->base));
	}
	for (size_t i = 0; e && i < e->n_posix; i++) {
		snprintf(key, sizeof(key), "%u", e->posix[i]->it_id);
		state_put(posix, key, state_msg(s, &e->posix[i]->base));
	}
	state_put(o, "posix", posix);
	return o;
}

static struct json_object *show_mm(struct state_ctx *s, const MmEntry *mm)
{
	struct json_object *o = json_object_new_object();
	size_t n = mm->n_mm_saved_auxv;

	state_put(o, "code",
		  state_fmt("%#llx-%#llx", (unsigned long long)mm->mm_start_code,
			    (unsigned long long)mm->mm_end_code));
	state_put(o, "data",
		  state_fmt("%#llx-%#llx", (unsigned long long)mm->mm_start_data,
			    (unsigned long long)mm->mm_end_data));
	state_put(o, "brk",
		  state_fmt("%#llx-%#llx", (unsigned long long)mm->mm_start_brk,
			    (unsigned long long)mm->mm_brk));
	state_put(o, "stack", state_hex(mm->mm_start_stack));
	state_put(o, "arg",
		  state_fmt("%#llx-%#llx", (unsigned long long)mm->mm_arg_start,
			    (unsigned long long)mm->mm_arg_end));
	state_put(o, "env",
		  state_fmt("%#llx-%#llx", (unsigned long long)mm->mm_env_start,
			    (unsigned long long)mm->mm_env_end));
	/* Pairs of zeros may close the vector or not. */
	while (n >= 2 && !mm->mm_saved_auxv[n - 1] && !mm->mm_saved_auxv[n - 2])
		n -= 2;
	if (n)
		state_put(o, "auxv", state_checksum(mm->mm_saved_auxv, n * sizeof(uint64_t)));
	if (mm->has_dumpable)
		state_put(o, "dumpable", json_object_new_int(mm->dumpable));
	if (mm->has_thp_disabled && mm->thp_disabled)
		state_put(o, "thp_disabled", json_object_new_boolean(1));
	state_put(o, "extra", state_msg_extra(s, &mm->base));
	return o;
}

static void put_file(struct state_ctx *s, struct json_object *o, const char *key, uint32_t id)
{
	const struct file_desc *d = file_desc_find(s->t, id);

	if (d)
		state_put(o, key, state_str(state_file_name(s, d)));
}

static const struct pstree_item *find_real(const struct state_ctx *s, pid_t pid)
{
	const struct pstree_item *it = pstree_find(s->t, pid);

	return it && it->state != TASK_HELPER ? it : NULL;
}

/* Session or group; that of the root may be outside of the tree and then has no name here. */
static struct json_object *show_id(const struct state_ctx *s, pid_t id, pid_t of_root)
{
	if (id == of_root && !find_real(s, id))
		return state_str("outside");
	return json_object_new_int(id);
}

static void put_identity(struct state_ctx *s, struct json_object *o, const struct pstree_item *it)
{
	const struct pstree_item *root = s->t->root;

	state_put(o, "ppid",
		  it->parent ? json_object_new_int(it->parent->pid) : state_str("outside"));
	state_put(o, "pgid", show_id(s, it->pgid, root->pgid));
	state_put(o, "sid", show_id(s, it->sid, root->sid));
	state_put(o, "state",
		  state_str(it->state == TASK_ALIVE     ? "alive"
			    : it->state == TASK_STOPPED ? "stopped"
							: "zombie"));
}

/* What a task has in common with one of a lower pid. */
static struct json_object *show_shares(struct state_ctx *s, const struct pstree_item *it)
{
	struct json_object *o = json_object_new_object();
	const struct state_place *p;
	pid_t first = it->fdt ? state_table_first(s, it->fdt) : 0;

	if (first && first != it->pid)
		state_put(o, "files", json_object_new_int(first));
	p = it->ids && it->ids->fs_id ? idmap_get(&s->fs, it->ids->fs_id) : NULL;
	if (p && p->pid != it->pid)
		state_put(o, "fs", json_object_new_int(p->pid));
	p = it->ids && it->ids->sighand_id ? idmap_get(&s->sighand, it->ids->sighand_id) : NULL;
	if (p && p->pid != it->pid)
		state_put(o, "sighand", json_object_new_int(p->pid));
	return o;
}

static void put_process(struct state_ctx *s, struct json_object *o, const struct pstree_item *it)
{
	const TaskCoreEntry *tc = item_core(it)->tc;

	if (it->state == TASK_STOPPED && tc->has_stop_signo)
		state_put(o, "stop_signal", json_object_new_int((int)tc->stop_signo));
	state_put(o, "personality", state_hex(tc->personality));
	if (tc->has_child_subreaper && tc->child_subreaper)
		state_put(o, "subreaper", json_object_new_boolean(1));
	if (tc->has_oom_score_adj && tc->oom_score_adj)
		state_put(o, "oom_score_adj", json_object_new_int(tc->oom_score_adj));
	if (tc->has_loginuid && tc->loginuid != UINT32_MAX)
		state_put(o, "loginuid", state_u64(tc->loginuid));
	if (tc->has_membarrier_registration_mask && tc->membarrier_registration_mask)
		state_put(o, "membarrier", state_hex(tc->membarrier_registration_mask));
	if (it->fs) {
		state_put(o, "umask", state_fmt("%03o", it->fs->has_umask ? it->fs->umask : 0));
		put_file(s, o, "cwd", it->fs->cwd_id);
		put_file(s, o, "root", it->fs->root_id);
	}
	state_put(o, "shares", show_shares(s, it));
	state_put(o, "limits", show_limits(tc->rlimits));
	state_put(o, "sigactions", show_actions(s, tc));
	state_put(o, "pending", state_signals(tc->signals_s));
	state_put(o, "timers", show_timers(s, tc->timers));
	state_put(o, "extra", state_msg_extra(s, &tc->base));
}

/**
 * state_task - all of a process
 * @s: the snapshot, indexed
 * @it: the process, alive, stopped or dead
 *
 * Return: an object.
 */
struct json_object *state_task(struct state_ctx *s, const struct pstree_item *it)
{
	struct json_object *o = json_object_new_object();
	const TaskCoreEntry *tc = it->nr_threads ? item_core(it)->tc : NULL;

	put_identity(s, o, it);
	if (!tc)
		return o;
	state_put(o, "comm", state_str(tc->comm));
	if (!item_alive(it)) {
		state_put(o, "exit_code", state_u64(tc->exit_code));
		return o;
	}
	if (it->mm)
		put_file(s, o, "exe", it->mm->exe_file_id);
	put_process(s, o, it);
	state_put(o, "threads", state_threads(s, it));
	if (it->mm)
		state_put(o, "mm", show_mm(s, it->mm));
	state_put(o, "vmas", state_vmas(s, it));
	if (it->fdt && state_table_first(s, it->fdt) == it->pid)
		state_put(o, "fds", state_fds(s, it->fdt, it->pid));
	return o;
}
