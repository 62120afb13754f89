/*
 * action - action scripts: each is run at each stage, one after the other,
 * with the stage in the environment; their exit statuses are OR-ed, and
 * anything but 0 is a veto. The caller behind a request of the RPC is asked
 * before them.
 */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/arena.h"
#include "cmd/cmd.h"
#include "daemon/rpc.h"

static char **action_env(struct cmd *c, const char *name, pid_t root)
{
	struct arena *a = c->o->arena;
	char **env = NULL;
	size_t n = 0;

	for (char **e = environ; *e; e++)
		if (strncmp(*e, "CRTOOLS_", 8))
			arena_push(a, env, n) = *e;
	arena_push(a, env, n) = arena_printf(a, "CRTOOLS_SCRIPT_ACTION=%s", name);
	arena_push(a, env, n) =
		arena_printf(a, "CRTOOLS_IMAGE_DIR=/proc/%d/fd/%d", getpid(), c->images_fd);
	if (root > 0)
		arena_push(a, env, n) = arena_printf(a, "CRTOOLS_INIT_PID=%d", root);
	arena_push(a, env, n) = NULL;
	return env;
}

/* Return: the exit status, as a shell has it; -errno when it cannot be run. */
static int run_script(const struct cmd *c, const char *script, char **env)
{
	char *argv[] = { (char *)script, NULL };
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t at;
	sigset_t set;
	pid_t pid;
	int ret, status;

	posix_spawn_file_actions_init(&fa);
	posix_spawnattr_init(&at);
	sigemptyset(&set);
	posix_spawnattr_setsigmask(&at, &set);
	sigaddset(&set, SIGPIPE);
	posix_spawnattr_setsigdefault(&at, &set);
	posix_spawnattr_setflags(&at, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (c->o->json) /* standard output is for the result */
		posix_spawn_file_actions_adddup2(&fa, STDERR_FILENO, STDOUT_FILENO);
	ret = posix_spawnp(&pid, script, &fa, &at, argv, env);
	posix_spawnattr_destroy(&at);
	posix_spawn_file_actions_destroy(&fa);
	if (ret)
		return -ret;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/**
 * action_run - run every action script for one stage
 * @c: the run
 * @name: CRIU's name of the stage
 * @root: pid of the tree's root, 0 while there is none
 *
 * Return: 0, or the OR of the exit statuses; each one that is not 0 has been
 * recorded.
 */
int action_run(struct cmd *c, const char *name, pid_t root)
{
	int all = 0;
	char **env;

	if (c->job && c->job->action && c->job->action(c->job->arg, name, root) < 0)
		all = 1; /* recorded */
	if (!c->o->scripts.n)
		return all;
	env = action_env(c, name, root);
	for (size_t i = 0; i < c->o->scripts.n; i++) {
		const char *script = c->o->scripts.v[i];
		int ret = run_script(c, script, env);

		log_debug(c->r, "action script %s, %s: %d", script, name, ret);
		if (ret < 0)
			fail(c->r, "action-script", -ret, "action script %s, %s: cannot be run",
			     script, name);
		else if (ret)
			fail(c->r, "action-script", 0, "action script %s, %s: exit status %d",
			     script, name, ret);
		all |= ret < 0 ? 127 : ret;
	}
	return all;
}
