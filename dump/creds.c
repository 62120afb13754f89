/*
 * creds - credentials and limits.
 */
#include "dump/tasks.h"

#include <errno.h>
#include <sys/resource.h>

static void cap_words(struct arena *a, uint64_t set, size_t *n, uint32_t **out)
{
	*n = 2;
	*out = arena_array(a, uint32_t, 2);
	(*out)[0] = (uint32_t)set;
	(*out)[1] = (uint32_t)(set >> 32);
}

/**
 * creds_entry - credentials of a thread, but for its securebits
 * @a: where the message is made
 * @st: its status; the list of groups becomes part of the message
 *
 * Return: the message.
 */
CredsEntry *creds_entry(struct arena *a, const struct proc_status *st)
{
	CredsEntry *e = arena_new_of(a, CredsEntry);

	creds_entry__init(e);
	e->uid = st->uid[0];
	e->euid = st->uid[1];
	e->suid = st->uid[2];
	e->fsuid = st->uid[3];
	e->gid = st->gid[0];
	e->egid = st->gid[1];
	e->sgid = st->gid[2];
	e->fsgid = st->gid[3];
	cap_words(a, st->cap_inh, &e->n_cap_inh, &e->cap_inh);
	cap_words(a, st->cap_prm, &e->n_cap_prm, &e->cap_prm);
	cap_words(a, st->cap_eff, &e->n_cap_eff, &e->cap_eff);
	cap_words(a, st->cap_bnd, &e->n_cap_bnd, &e->cap_bnd);
	cap_words(a, st->cap_amb, &e->n_cap_amb, &e->cap_amb);
	e->n_groups = st->nr_groups;
	e->groups = st->groups;
	e->has_no_new_privs = st->no_new_privs != 0;
	e->no_new_privs = st->no_new_privs;
	return e;
}

/* Another user's limits: prlimit(2) wants CAP_SYS_RESOURCE even to read them. */
static int limits_read(struct dump_ctx *ctx, struct pstree_item *it,
		       struct rlimit64 r[RLIM_NLIMITS])
{
	int ret = 0;

	for (int i = 0; i < RLIM_NLIMITS && !ret; i++)
		ret = prlimit64(it->pid, (enum __rlimit_resource)i, NULL, &r[i]);
	if (!ret)
		return 0;
	ret = proc_read(it->dump->proc_fd, "limits", &ctx->text);
	return ret ? ret : proc_parse_limits(ctx->text.p, r);
}

/**
 * task_limits - resource limits of a process
 * @ctx: the dump
 * @it: the process; its leader's message gets them
 *
 * Return: 0 or -errno recorded.
 */
int task_limits(struct dump_ctx *ctx, struct pstree_item *it)
{
	TaskRlimitsEntry *e = arena_new_of(ctx->arena, TaskRlimitsEntry);
	RlimitEntry *rows = arena_array(ctx->arena, RlimitEntry, RLIM_NLIMITS);
	struct rlimit64 r[RLIM_NLIMITS];
	int ret = limits_read(ctx, it, r);

	if (ret)
		return fail(ctx->report, "process-read", -ret, "pid %d: /proc/%d/limits", it->pid,
			    it->pid);
	task_rlimits_entry__init(e);
	e->n_rlimits = RLIM_NLIMITS;
	e->rlimits = arena_array(ctx->arena, RlimitEntry *, RLIM_NLIMITS);
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		rlimit_entry__init(&rows[i]);
		rows[i].cur = r[i].rlim_cur;
		rows[i].max = r[i].rlim_max;
		e->rlimits[i] = &rows[i];
	}
	item_core(it)->tc->rlimits = e;
	return 0;
}
