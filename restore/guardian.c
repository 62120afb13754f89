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
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "base/fd.h"

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

static void kill_born(struct restore_ctx *ctx, unsigned long long since)
{
	struct pstree_item *it;

	list_for_each (it, &ctx->tree->items, list) {
		cleanup_close int fd = -1;

		if (restore_get_phase(ctx, it) < RST_BORN)
			continue;
		fd = pidfd_open(it->pid, 0);
		/* A pid that is in use since before this restore is not ours. */
		if (fd >= 0 && start_time(it->pid) >= since)
			pidfd_send_signal(fd, SIGKILL, NULL, 0);
	}
}

static void guardian_main(struct restore_ctx *ctx, int pipe_fd)
{
	struct pollfd p = { .fd = pipe_fd, .events = POLLIN };
	unsigned long long since = start_time(getpid());
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	prctl(PR_SET_NAME, "criu-lite-guard");
	dup2(pipe_fd, 0);
	close_range(1, ~0U, 0);
	p.fd = 0;
	while (poll(&p, 1, -1) < 0 && errno == EINTR)
		;
	/* The tool has gone, or has closed its end. Tasks may still be on their way into life. */
	for (int i = 0; i < 20 && !atomic_load(&ctx->shared->committed); i++) {
		kill_born(ctx, since);
		usleep(10000);
	}
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
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return fail(ctx->report, "guardian", errno, "pipe for the guardian process");
	ctx->guardian = fork();
	if (ctx->guardian == 0) {
		close(p[1]);
		guardian_main(ctx, p[0]);
	}
	close(p[0]);
	if (ctx->guardian < 0) {
		close(p[1]);
		return fail(ctx->report, "guardian", errno, "fork the guardian process");
	}
	ctx->guardian_pipe = p[1];
	return 0;
}

/**
 * restore_guardian_stop - the guardian's work is over
 * @ctx: the run; committed, or every task it might kill is dead already
 */
void restore_guardian_stop(struct restore_ctx *ctx)
{
	if (ctx->guardian <= 0)
		return;
	kill(ctx->guardian, SIGKILL);
	waitpid(ctx->guardian, NULL, 0);
	close(ctx->guardian_pipe);
	ctx->guardian = 0;
	ctx->guardian_pipe = -1;
}
