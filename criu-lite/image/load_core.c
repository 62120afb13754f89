/*
 * load_core - core images. Restoring trusts the lengths of what it finds in
 * them: register sets, signal tables and queues, limits, names.
 */
#include "image/load.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/resource.h>

#define COMM_MAX 15
#define NR_SIGACTIONS 62 /* signals 1 to 64 but SIGKILL and SIGSTOP */
#define SIGINFO_BYTES 128
#define CAP_WORDS 2
#define SAME_OR_NONE(n, want) (!(n) || (n) == (want))

static int bad_core(struct loader *l, const struct task_thread *th, const char *what)
{
	return fail(l->report, "image-task", EBADMSG, "core-%d.img: %s", th->tid, what);
}

/**
 * load_core - the core image of a thread
 * @l: the loader
 * @th: the thread, with its tid
 * @leader: whether it stands for the process
 *
 * Return: 0 or -errno, recorded.
 */
int load_core(struct loader *l, struct task_thread *th, bool leader)
{
	ProtobufCMessage *m;
	CoreEntry *core;
	int ret = load_one(l, IMAGE_CORE, (uint64_t)th->tid, &core_entry__descriptor, &m);

	if (ret)
		return ret;
	core = (CoreEntry *)m;
	if (leader != !!core->tc)
		return bad_core(l, th,
				leader ? "a leader without what belongs to the process"
				       : "a thread with what belongs to its leader");
	if (leader && strlen(core->tc->comm) > COMM_MAX)
		return bad_core(l, th, "name longer than 15 bytes");
	th->core = core;
	return 0;
}

#if defined(__x86_64__)
/* A machine-dependent part of unknown size would be copied over something else. */
static int check_regs(struct loader *l, const struct task_thread *th)
{
	const ThreadInfoX86 *info = th->core->thread_info;
	const UserX86XsaveEntry *x;

	if (th->core->mtype != CORE_ENTRY__MARCH__X86_64)
		return fail(l->report, "image-arch", EOPNOTSUPP,
			    "core-%d.img: made on another architecture (%d)", th->tid,
			    (int)th->core->mtype);
	if (!info)
		return bad_core(l, th, "a living thread without registers");
	if (info->gpregs->has_mode && info->gpregs->mode != USER_X86_REGS_MODE__NATIVE)
		return fail(l->report, "image-arch", EOPNOTSUPP,
			    "core-%d.img: a 32-bit task, which is not supported", th->tid);
	x = info->fpregs->xsave;
	if (info->fpregs->n_st_space != 32 || info->fpregs->n_xmm_space != 64 ||
	    (x && (!SAME_OR_NONE(x->n_ymmh_space, 64) || x->n_bndreg_state > 8 ||
		   x->n_bndcsr_state > 8 || !SAME_OR_NONE(x->n_opmask_reg, 8) ||
		   !SAME_OR_NONE(x->n_zmm_upper, 64) || !SAME_OR_NONE(x->n_hi16_zmm, 128) ||
		   x->n_pkru > 2)))
		return bad_core(l, th, "register sets of the wrong size");
	if (th->core->thread_core && th->core->thread_core->has_restart &&
	    (th->core->thread_core->restart < 512 || th->core->thread_core->restart > 514))
		return bad_core(l, th, "a call left for no reason that the kernel has");
	if (info->n_tls > 3)
		return bad_core(l, th, "more than three TLS descriptors");
	return 0;
}
#else
#error "no core image for this architecture"
#endif

static int check_queue(struct loader *l, const struct task_thread *th, const SignalQueueEntry *q)
{
	for (size_t i = 0; q && i < q->n_signals; i++)
		if (q->signals[i]->siginfo.len != SIGINFO_BYTES)
			return bad_core(l, th, "a pending signal that is not 128 bytes");
	return 0;
}

static int check_creds(struct loader *l, const struct task_thread *th, const CredsEntry *c)
{
	if (!c)
		return fail(l->report, "image-version", EOPNOTSUPP,
			    "core-%d.img: no credentials in it; images of old CRIU versions, which "
			    "have creds-%d.img, are not supported",
			    th->tid, th->tid);
	if (c->n_cap_inh > CAP_WORDS || c->n_cap_prm > CAP_WORDS || c->n_cap_eff > CAP_WORDS ||
	    c->n_cap_bnd > CAP_WORDS || c->n_cap_amb > CAP_WORDS)
		return bad_core(l, th, "more than 64 capabilities");
	if (c->n_groups > NGROUPS_MAX)
		return bad_core(l, th, "more than 65536 groups");
	return 0;
}

static int check_process(struct loader *l, const struct task_thread *th, const TaskCoreEntry *tc)
{
	if (!tc->timers || !tc->rlimits || !tc->n_sigactions)
		return fail(l->report, "image-version", EOPNOTSUPP,
			    "core-%d.img: no timers, limits or signal actions in it; images of old "
			    "CRIU versions, which have them elsewhere, are not supported",
			    th->tid);
	if (tc->n_sigactions != NR_SIGACTIONS)
		return bad_core(l, th, "not 62 signal actions");
	if (tc->rlimits->n_rlimits > RLIM_NLIMITS)
		return bad_core(l, th, "more resource limits than there are");
	return check_queue(l, th, tc->signals_s);
}

/**
 * check_core - whether the core of a living thread has all that it must have
 * @l: the loader
 * @th: the thread
 * @leader: whether it stands for the process
 *
 * Return: 0 or -errno, recorded.
 */
int check_core(struct loader *l, const struct task_thread *th, bool leader)
{
	const ThreadCoreEntry *tc = th->core->thread_core;
	int ret = check_regs(l, th);

	if (ret)
		return ret;
	if (!tc)
		return bad_core(l, th, "a living thread without what belongs to threads");
	if (tc->comm && strlen(tc->comm) > COMM_MAX)
		return bad_core(l, th, "name longer than 15 bytes");
	ret = check_creds(l, th, tc->creds);
	if (!ret)
		ret = check_queue(l, th, tc->signals_p);
	if (!ret && leader)
		ret = check_process(l, th, th->core->tc);
	return ret;
}
