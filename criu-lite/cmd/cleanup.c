/*
 * cleanup - what a run that was killed has left behind is removed: sockets in
 * repair mode and tables of nf_tables that a journal tells of, and the code and
 * the memory that stand in tasks of a tree.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include <stdlib.h>

#include "base/arena.h"
#include "cmd/cmd.h"
#include "kernel/net_undo.h"
#include "kernel/remote.h"

static void add_children(struct arena *a, pid_t pid, pid_t **list, size_t *n)
{
	char *path = arena_printf(a, "/proc/%d/task/%d/children", pid, pid);
	FILE *f = fopen(path, "re");
	int child;

	if (!f)
		return;
	while (fscanf(f, "%d", &child) == 1 && child > 0)
		arena_push(a, *list, *n) = child;
	fclose(f);
}

#define GUARDIAN_TRIES 100
#define GUARDIAN_NAP_US 30000

static int rescue(struct cmd *c, pid_t pid)
{
	int ret = remote_rescue(pid);

	/* The guardian of the run that died may be at it right now. */
	for (int n = 0; n < GUARDIAN_TRIES && ret == -EPERM; n++) {
		usleep(GUARDIAN_NAP_US);
		ret = remote_rescue(pid);
	}
	if (ret == -EPERM)
		return fail(c->r, "rescue", EPERM,
			    "pid %d: cannot be traced, or the run that works on it is alive", pid);
	if (ret < 0)
		return fail(c->r, "rescue", -ret, "pid %d: removing what was left in it", pid);
	return 0;
}

static int undo_network(struct cmd *c)
{
	struct net_undo_found found;
	int ret = net_undo_all(&found);

	if (ret < 0)
		return fail(c->r, "network-undo", -ret, "take back what a run that died has set");
	if (!c->o->json && found.runs)
		printf("%u runs that died: %u tables of nf_tables removed, %u sockets out of "
		       "repair mode.\n",
		       found.runs, found.tables, found.sockets);
	else if (!c->o->json && !c->o->tree)
		puts("Nothing to clean up; -t PID looks into the tasks of a tree.");
	return 0;
}

/**
 * cmd_cleanup - `criu-lite cleanup [-t PID]`
 * @c: the run
 *
 * Return: 0 or -errno, recorded.
 */
int cmd_cleanup(struct cmd *c)
{
	struct arena *a = c->o->arena;
	pid_t *list = NULL;
	size_t n = 0;
	int ret = 0, err;

	session_log_stderr(c);
	ret = undo_network(c);
	if (!c->o->tree)
		return ret;
	c->pid = (pid_t)c->o->tree;
	arena_push(a, list, n) = c->pid;
	for (size_t i = 0; i < n; i++) {
		add_children(a, list[i], &list, &n);
		err = rescue(c, list[i]);
		/* A task that has gone meanwhile is clean, but not the one asked for. */
		if (err < 0 && (err != -ESRCH || i == 0))
			ret = ret < 0 ? ret : err;
	}
	return ret;
}
