/*
 * creds - credentials of a thread. Raw system calls change the calling thread
 * only, so each thread gets its own. What a thread has already is not set
 * again: a tree of the tool's own user needs no privilege here.
 *
 * Order: bounding set and groups first, ids while SECBIT_NO_SETUID_FIXUP keeps
 * the capabilities, then the ambient set, the saved securebits, and the other
 * capability sets last. See capabilities(7).
 */
#include "restore/creds.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kernel/procfs.h"

struct caps {
	uint64_t inh, prm, eff, bnd, amb;
};

static uint64_t word64(const uint32_t *w, size_t n)
{
	return (n > 0 ? w[0] : 0) | (n > 1 ? (uint64_t)w[1] << 32 : 0);
}

static struct caps caps_saved(const CredsEntry *c)
{
	return (struct caps){ word64(c->cap_inh, c->n_cap_inh), word64(c->cap_prm, c->n_cap_prm),
			      word64(c->cap_eff, c->n_cap_eff), word64(c->cap_bnd, c->n_cap_bnd),
			      word64(c->cap_amb, c->n_cap_amb) };
}

static int caps_own(struct caps *c)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d) < 0)
		return -errno;
	*c = (struct caps){ .inh = d[0].inheritable | (uint64_t)d[1].inheritable << 32,
			    .prm = d[0].permitted | (uint64_t)d[1].permitted << 32,
			    .eff = d[0].effective | (uint64_t)d[1].effective << 32 };
	for (int cap = 0; cap < 64; cap++) {
		if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1)
			c->bnd |= 1ull << cap;
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1)
			c->amb |= 1ull << cap;
	}
	return 0;
}

static bool same_ids(const CredsEntry *c)
{
	uid_t ru, eu, su;
	gid_t rg, eg, sg;

	getresuid(&ru, &eu, &su);
	getresgid(&rg, &eg, &sg);
	return c->uid == ru && c->euid == eu && c->suid == su && c->fsuid == eu && c->gid == rg &&
	       c->egid == eg && c->sgid == sg && c->fsgid == eg;
}

/**
 * creds_same_groups - does the calling process have these supplementary groups?
 * @c: credentials of the image
 *
 * Return: true if it has them, in this order.
 */
bool creds_same_groups(const CredsEntry *c)
{
	int n = getgroups(0, NULL);
	bool same = false;
	gid_t *own;

	if (n < 0 || (size_t)n != c->n_groups)
		return false;
	own = calloc((size_t)n + 1, sizeof(*own));
	if (own && getgroups(n, own) == n)
		same = n == 0 || memcmp(own, c->groups, (size_t)n * sizeof(*own)) == 0;
	free(own);
	return same;
}

/* Threads have the groups of their leader, which has set them before: see task_misc(). */
static bool leader_groups(const struct pstree_item *it, const CredsEntry *c)
{
	const CredsEntry *l = item_core(it)->thread_core->creds;

	return l && l->n_groups == c->n_groups &&
	       (!c->n_groups ||
		memcmp(l->groups, c->groups, c->n_groups * sizeof(*c->groups)) == 0);
}

/**
 * creds_groups_size - room that the groups of a thread take in the work area
 * @it: its process
 * @t: the thread
 *
 * Return: bytes; 0 if the thread has those of its leader.
 */
size_t creds_groups_size(const struct pstree_item *it, const struct task_thread *t)
{
	const CredsEntry *c = t->core->thread_core->creds;

	return !c || leader_groups(it, c) ? 0 : c->n_groups * sizeof(*c->groups);
}

static int add_groups(struct restore_ctx *ctx, struct batch *b, struct remote *r,
		      const struct pstree_item *it, const struct task_thread *t)
{
	const CredsEntry *c = t->core->thread_core->creds;
	size_t size = c->n_groups * sizeof(*c->groups);
	unsigned long at = 0;
	int ret;

	if (leader_groups(it, c))
		return 0;
	ret = batch_room(ctx, r, t->tid, b, size);
	if (ret < 0)
		return ret;
	if (size && !(at = batch_data(r, c->groups, size)))
		return fail(ctx->report, "remote-call", ENOMEM, "thread %d: work area", t->tid);
	batch_add(b, "setgroups", SYS_setgroups, c->n_groups, at, 0, 0, 0, 0);
	return 0;
}

static void add_ids(struct batch *b, const CredsEntry *c, uint32_t own_secbits)
{
	batch_add(b, "securebits", SYS_prctl, PR_SET_SECUREBITS,
		  own_secbits | SECBIT_NO_SETUID_FIXUP, 0, 0, 0, 0);
	batch_add(b, "setresgid", SYS_setresgid, c->gid, c->egid, c->sgid, 0, 0, 0);
	batch_add(b, "setfsgid", SYS_setfsgid, c->fsgid, 0, 0, 0, 0, 0);
	batch_add(b, "setresuid", SYS_setresuid, c->uid, c->euid, c->suid, 0, 0, 0);
	batch_add(b, "setfsuid", SYS_setfsuid, c->fsuid, 0, 0, 0, 0, 0);
}

static int add_capset(struct restore_ctx *ctx, struct batch *b, struct remote *r, pid_t tid,
		      const struct caps *c)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = {
		{ (uint32_t)c->eff, (uint32_t)c->prm, (uint32_t)c->inh },
		{ (uint32_t)(c->eff >> 32), (uint32_t)(c->prm >> 32), (uint32_t)(c->inh >> 32) },
	};
	unsigned long hp = batch_data(r, &h, sizeof(h)), dp = batch_data(r, d, sizeof(d));

	if (!hp || !dp)
		return fail(ctx->report, "remote-call", ENOMEM, "thread %d: work area", tid);
	batch_add(b, "capset", SYS_capset, hp, dp, 0, 0, 0, 0);
	return 0;
}

/*
 * Ambient capabilities must be permitted and inheritable, and a securebit may
 * forbid to raise them: they come before the saved securebits. The effective
 * ones go last, since securebits need CAP_SETPCAP.
 */
static int add_ambient(struct restore_ctx *ctx, struct batch *b, struct remote *r, pid_t tid,
		       const struct caps *own, const struct caps *saved)
{
	struct caps wide = { .inh = saved->inh, .prm = own->prm, .eff = own->eff };
	int ret;

	if (own->amb & ~saved->amb)
		batch_add(b, "ambient capabilities", SYS_prctl, PR_CAP_AMBIENT,
			  PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0, 0);
	if (!saved->amb)
		return 0;
	ret = add_capset(ctx, b, r, tid, &wide);
	for (int cap = 0; cap < 64 && ret >= 0; cap++)
		if (saved->amb & (1ull << cap))
			batch_add(b, "ambient capability", SYS_prctl, PR_CAP_AMBIENT,
				  PR_CAP_AMBIENT_RAISE, (unsigned long)cap, 0, 0, 0);
	return ret;
}

/* What every task of this restore begins with: the tool's own, asked for once. */
static int own_read(struct restore_ctx *ctx)
{
	struct caps *own = arena_new_of(ctx->arena, struct caps);
	int ret = caps_own(own);

	if (ret < 0)
		return fail(ctx->report, "creds", -ret, "read our own capabilities");
	ctx->own_secbits = (uint32_t)prctl(PR_GET_SECUREBITS);
	ctx->own_caps = own;
	return 0;
}

/**
 * creds_add - the calls that give a thread its credentials
 * @ctx: the run
 * @b: the thread's batch
 * @r: its address space
 * @it: its process
 * @t: the thread
 *
 * Return: 0 or -errno, recorded.
 */
int creds_add(struct restore_ctx *ctx, struct batch *b, struct remote *r,
	      const struct pstree_item *it, const struct task_thread *t)
{
	const CredsEntry *c = t->core->thread_core->creds;
	struct caps own, saved;
	uint32_t secbits;
	bool ids, caps;
	int ret;

	if (!c)
		return fail(ctx->report, "image-creds", 0,
			    "thread %d has no credentials in the image", t->tid);
	if (!ctx->own_caps && (ret = own_read(ctx)) < 0)
		return ret;
	saved = caps_saved(c);
	own = *ctx->own_caps;
	secbits = ctx->own_secbits;
	if (saved.bnd & ~own.bnd)
		return fail(ctx->report, "capability", EPERM,
			    "thread %d has capabilities (%#llx) in its bounding set that we lack",
			    t->tid, (unsigned long long)(saved.bnd & ~own.bnd));
	if (saved.prm & ~own.prm)
		return fail(ctx->report, "capability", EPERM,
			    "thread %d has capabilities (%#llx) that we lack", t->tid,
			    (unsigned long long)(saved.prm & ~own.prm));
	ids = !same_ids(c);
	caps = ids || memcmp(&own, &saved, sizeof(own)) != 0;
	for (int cap = 0; cap < 64; cap++)
		if (own.bnd & ~saved.bnd & (1ull << cap))
			batch_add(b, "drop from the bounding set", SYS_prctl, PR_CAPBSET_DROP,
				  (unsigned long)cap, 0, 0, 0, 0);
	if ((ret = add_groups(ctx, b, r, it, t)) < 0)
		return ret;
	if (ids)
		add_ids(b, c, secbits);
	if (caps && (ret = add_ambient(ctx, b, r, t->tid, &own, &saved)) < 0)
		return ret;
	if (ids || secbits != c->secbits)
		batch_add(b, "securebits", SYS_prctl, PR_SET_SECUREBITS, c->secbits, 0, 0, 0, 0);
	if (caps && (ret = add_capset(ctx, b, r, t->tid, &saved)) < 0)
		return ret;
	if (c->has_no_new_privs && c->no_new_privs)
		batch_add(b, "no_new_privs", SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0, 0);
	return 0;
}
