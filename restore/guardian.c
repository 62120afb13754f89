/*
 * guardian - a process in a session of its own that outlives the tool. If the
 * tool ends before the restore is committed, it kills every task that was
 * born, so that a restore killed at any instant leaves nothing behind. Until
 * the tasks are traced they also die with their parents, and while they are
 * traced with the tool (PTRACE_O_EXITKILL): what is left for the guardian is
 * the moment in which they are let go one by one.
 */
#include "restore/ctx.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "restore/network.h"
#include "restore/sysv.h"

/* Start time of a process in clock ticks since boot; 0 if it is not there. */
static unsigned long long start_time(pid_t pid)
{
	char path[32], buf[1024], *p;
	cleanup_close int fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || (n = read(fd, buf, sizeof(buf) - 1)) <= 0)
		return 0;
	buf[n] = 0;
	p = strrchr(buf, ')');
	for (int i = 2; p && i < 22; i++)
		p = strchr(p + 1, ' ');
	return p ? strtoull(p, NULL, 10) : 0;
}

/*
 * The process that was born as @it, or -1: a pid that was never ours, or that has somebody else
 * who is older or younger.
 */
static int pidfd_of_birth(const struct restore_ctx *ctx, const struct pstree_item *it)
{
	enum restore_phase phase = restore_get_phase(ctx, it);
	unsigned long long start, born = ctx->shared->born[it->restore->index];
	cleanup_close int fd = -1;

	if (phase < RST_BORN || phase == RST_REAPED)
		return -1;
	fd = pidfd_open(it->pid, 0);
	start = fd < 0 ? 0 : start_time(it->pid);
	/* What was read is of the process of the descriptor if that is still there. */
	if (fd < 0 || start < ctx->since || start > born || pidfd_send_signal(fd, 0, NULL, 0) < 0)
		return -1;
	return take_fd(&fd);
}

/* Once each: whoever has the pid afterwards is not ours. */
static void end_task(const struct restore_ctx *ctx, const struct pstree_item *it)
{
	cleanup_close int fd = it->restore->ended ? -1 : pidfd_of_birth(ctx, it);

	if (fd >= 0 && pidfd_send_signal(fd, SIGKILL, NULL, 0) == 0)
		it->restore->ended = true;
}

/* Births that have been announced take place or not: no pid is in doubt any more. */
static void await_births(const struct restore_ctx *ctx)
{
	for (int n = 0; n < 200; n++) {
		struct pstree_item *it;
		bool making = false;

		list_for_each(it, &ctx->tree->items, list)
			making |= restore_get_phase(ctx, it) == RST_MAKING;
		if (!making)
			return;
		usleep(1000);
	}
}

/**
 * restore_end_tasks - kill every task that was born, and nobody else
 * @ctx: the run
 *
 * A pid that was never ours, is not ours any more, or is in use since before
 * this restore is left alone. Nobody is born afterwards.
 */
void restore_end_tasks(struct restore_ctx *ctx)
{
	struct pstree_item *it;

	/* Tasks on their way into life look at this first, so nobody is missed in the end. */
	restore_abort(ctx);
	list_for_each(it, &ctx->tree->items, list)
		end_task(ctx, it);
	await_births(ctx);
	list_for_each(it, &ctx->tree->items, list)
		end_task(ctx, it);
}

/* They are dead, and what they had open is closed; or they take longer than 0.5 s. */
static void await_deaths(const struct restore_ctx *ctx)
{
	for (int n = 0; n < 500; n++) {
		const struct pstree_item *it;
		bool alive = false;

		list_for_each(it, &ctx->tree->items, list) {
			cleanup_close int fd = pidfd_of_birth(ctx, it);
			struct pollfd p = { .fd = fd, .events = POLLIN };

			alive |= fd >= 0 && poll(&p, 1, 1) == 0;
		}
		if (!alive)
			return;
	}
}

static void guardian_main(struct restore_ctx *ctx, int tool_fd)
{
	struct pollfd p[2] = { { .fd = 0, .events = POLLIN }, { .fd = 1, .events = POLLIN } };
	int ask = ctx->ask < 0 ? -1 : fcntl(ctx->ask, F_DUPFD, 2);
	uint64_t asked;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	prctl(PR_SET_NAME, "criu-lite-guard");
	dup2(tool_fd, 0);
	dup2(ask < 0 ? 0 : ask, 1);
	if (ask < 0)
		p[1].fd = -1;
	close_range(2, ~0U, 0);
	while (!p[0].revents) {
		if (poll(p, 2, -1) < 0)
			continue;
		if (p[1].revents && read_all(1, &asked, sizeof(asked)) == 0)
			network_asked(ctx);
	}
	if (atomic_load(&ctx->shared->committed)) {
		network_rescue(ctx);
		_exit(0);
	}
	if (atomic_load(&ctx->shared->thawed))
		network_freeze(ctx);
	restore_end_tasks(ctx);
	await_deaths(ctx);
	network_rescue(ctx);
	sysv_undo(ctx);
	doors_undo(ctx);
	_exit(0);
}

/**
 * restore_guardian_start - fork the guardian
 * @ctx: the run; the shared page exists
 *
 * Return: 0 or -errno, recorded.
 */
int restore_guardian_start(struct restore_ctx *ctx)
{
	/* Not a pipe: its other end would be open in every task that is on its way. */
	cleanup_close int tool_fd = pidfd_open(ctx->tool, 0);

	if (tool_fd < 0)
		return fail(ctx->report, "guardian", errno,
			    "pidfd_open() for the guardian process");
	ctx->since = start_time(ctx->tool);
	ctx->ask = network_needed(ctx) ? eventfd(0, EFD_CLOEXEC) : -1;
	if (network_needed(ctx) && ctx->ask < 0)
		return fail(ctx->report, "guardian", errno, "eventfd() for the guardian process");
	ctx->guardian = fork();
	if (ctx->guardian == 0)
		guardian_main(ctx, tool_fd);
	if (ctx->guardian < 0)
		return fail(ctx->report, "guardian", errno, "fork the guardian process");
	ctx->since = start_time(ctx->guardian);
	return 0;
}

/**
 * restore_guardian_end - the guardian's work is over
 * @ctx: the run; committed, or every task it might kill is dead already
 *
 * It goes while we do what is left: taking its memory down takes a while.
 */
void restore_guardian_end(const struct restore_ctx *ctx)
{
	if (ctx->guardian > 0)
		kill(ctx->guardian, SIGKILL);
}

/**
 * restore_guardian_stop - the guardian is no more
 * @ctx: the run; as for restore_guardian_end()
 */
void restore_guardian_stop(struct restore_ctx *ctx)
{
	if (ctx->guardian <= 0)
		return;
	restore_guardian_end(ctx);
	while (waitpid(ctx->guardian, NULL, 0) < 0 && errno == EINTR)
		;
	close_owned(&ctx->ask);
	ctx->guardian = 0;
}
