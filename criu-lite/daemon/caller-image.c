/*
 * caller-image - does an image give its tasks credentials that the caller has
 * not? The kernel would refuse most of them; but a process that restores has
 * one capability more than its caller.
 */
#include <errno.h>
#include <linux/capability.h>

#include "base/report.h"
#include "daemon/caller.h"
#include "model/pstree.h"

#include "proto/core.pb-c.h"

#define CAP_BIT(c) (UINT64_C(1) << (c))

static uint64_t word64(const uint32_t *w, size_t n)
{
	return (n > 0 ? w[0] : 0) | (n > 1 ? (uint64_t)w[1] << 32 : 0);
}

static bool has_group(const struct rpc_caller *c, gid_t gid)
{
	for (size_t i = 0; i < c->nr_groups; i++)
		if (c->groups[i] == gid)
			return true;
	return gid == c->gid;
}

/* What of @e the caller has not; NULL: it has all of it. */
static const char *exceeds(const struct rpc_caller *c, const CredsEntry *e)
{
	uint64_t caps = word64(e->cap_prm, e->n_cap_prm) | word64(e->cap_eff, e->n_cap_eff) |
			word64(e->cap_inh, e->n_cap_inh);
	bool uids =
		e->uid == c->uid && e->euid == c->uid && e->suid == c->uid && e->fsuid == c->uid;

	if (!uids && !(c->caps & CAP_BIT(CAP_SETUID)))
		return "user ids";
	if (!(c->caps & CAP_BIT(CAP_SETGID))) {
		if (!has_group(c, e->gid) || !has_group(c, e->egid) || !has_group(c, e->sgid) ||
		    !has_group(c, e->fsgid))
			return "group ids";
		for (size_t i = 0; i < e->n_groups; i++)
			if (!has_group(c, e->groups[i]))
				return "supplementary groups";
	}
	return caps & ~c->caps ? "capabilities" : NULL;
}

/**
 * caller_may_have - has the caller all credentials that an image would give to tasks?
 * @c: the caller
 * @r: gets the cause
 * @image: the loaded image, before its first process is made
 *
 * Return: 0 or -EPERM, recorded.
 */
int caller_may_have(const struct rpc_caller *c, struct report *r, struct pstree *image)
{
	struct pstree_item *it;

	list_for_each(it, &image->items, list) {
		for (size_t i = 0; item_alive(it) && i < it->nr_threads; i++) {
			const CoreEntry *core = it->threads[i].core;
			const CredsEntry *e =
				core && core->thread_core ? core->thread_core->creds : NULL;
			/* Without any they would be those of this process. */
			const char *what = e ? exceeds(c, e) : "no credentials,";

			if (what)
				return fail(r, "rpc-denied", EPERM,
					    "pid %d of the image has %s%s user %u has not", it->pid,
					    what, e ? " that" : " which", c->uid);
		}
	}
	return 0;
}
