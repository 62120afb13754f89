/*
 * guardian - a process in a session of its own that outlives the tool. Tasks
 * find back to their own registers without help; what a tool that was killed
 * leaves in them, the work area and the bytes in the vdso, is taken out by the
 * guardian. The journal is a pipe: a pid when remote calls begin in a task,
 * its negative when they have ended, end of file when the tool has gone. Names
 * that files get for a restore are in it too, until there is an image.
 */
#include "dump/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

/* How often a task that is still on its way home is looked after again, every 10 ms. */
#define TRIES 500

/* The tasks with remote calls under way. */
struct open_tasks {
	pid_t *pids;
	size_t n, room;
};

static void note(struct open_tasks *t, pid_t pid)
{
	if (pid < 0) {
		for (size_t i = 0; i < t->n; i++)
			if (t->pids[i] == -pid)
				t->pids[i--] = t->pids[--t->n];
		return;
	}
	if (t->n == t->room) {
		t->room = t->room ? 2 * t->room : 64;
		t->pids = realloc(t->pids, t->room * sizeof(*t->pids));
		if (!t->pids)
			abort();
	}
	t->pids[t->n++] = pid;
}

/* In the place of a pid: a struct name follows. */
#define NAME_FOLLOWS INT_MIN

/* A file with a name for a restore. */
struct name {
	dev_t dev;
	ino_t ino;
	char path[PATH_MAX];
};

static void note_name(struct name **names, size_t *n, int pipe_fd)
{
	*names = realloc(*names, (*n + 1) * sizeof(**names));
	if (!*names)
		abort();
	if (read_all(pipe_fd, &(*names)[*n], sizeof(**names)) == 0)
		++*n;
}

static void remove_name(const struct name *name)
{
	struct stat st;

	if (lstat(name->path, &st) == 0 && st.st_dev == name->dev && st.st_ino == name->ino)
		unlink(name->path);
}

static void guardian_main(int pipe_fd, int images_fd)
{
	struct open_tasks open = { 0 };
	struct name *names = NULL;
	size_t nr_names = 0;
	sigset_t all;
	pid_t pid;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	prctl(PR_SET_NAME, GUARDIAN_NAME);
	pipe_fd = fcntl(pipe_fd, F_DUPFD, 2);
	dup2(images_fd, 1);
	dup2(pipe_fd, 0);
	close_range(2, ~0U, 0);
	while (read_all(0, &pid, sizeof(pid)) == 0) {
		if (pid == NAME_FOLLOWS)
			note_name(&names, &nr_names, 0);
		else
			note(&open, pid);
	}
	/* An image that is complete refers to them. */
	while (nr_names && faccessat(1, "inventory.img", F_OK, 0) < 0)
		remove_name(&names[--nr_names]);
	for (size_t i = 0; i < open.n; i++)
		for (int n = 0; n < TRIES && remote_rescue(open.pids[i]) < 0; n++)
			usleep(10000);
	_exit(0);
}

/**
 * dump_guardian_start - fork the guardian
 * @ctx: the dump; nothing is stopped yet
 *
 * Return: 0 or -errno recorded.
 */
int dump_guardian_start(struct dump_ctx *ctx)
{
	int p[2];

	ctx->guardian_pipe = -1;
	if (pipe2(p, O_CLOEXEC) < 0)
		return fail(ctx->report, "guardian", errno, "pipe for the guardian process");
	ctx->guardian = fork();
	if (ctx->guardian == 0) {
		close(p[1]);
		guardian_main(p[0], ctx->opts->images_fd);
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
 * dump_guardian_note - remote calls begin or have ended in a task
 * @ctx: the dump
 * @pid: the task when they begin, its negative when they have ended
 */
void dump_guardian_note(struct dump_ctx *ctx, pid_t pid)
{
	if (ctx->guardian > 0 && write_all(ctx->guardian_pipe, &pid, sizeof(pid)) < 0)
		log_warn(ctx->report, "the guardian process is gone");
}

/**
 * dump_guardian_name - a file is about to get a name that a failed dump takes away
 * @ctx: the dump
 * @path: the name, absolute; shorter than PATH_MAX
 * @dev: of the file
 * @ino: of the file
 */
void dump_guardian_name(struct dump_ctx *ctx, const char *path, dev_t dev, ino_t ino)
{
	struct name name = { .dev = dev, .ino = ino };
	pid_t head = NAME_FOLLOWS;

	if (ctx->guardian <= 0)
		return;
	memcpy(name.path, path, strlen(path) + 1);
	if (write_all(ctx->guardian_pipe, &head, sizeof(head)) < 0 ||
	    write_all(ctx->guardian_pipe, &name, sizeof(name)) < 0)
		log_warn(ctx->report, "the guardian process is gone");
}

/**
 * dump_guardian_stop - nothing is left to be taken out
 * @ctx: the dump
 */
void dump_guardian_stop(struct dump_ctx *ctx)
{
	if (ctx->guardian <= 0)
		return;
	close(ctx->guardian_pipe);
	kill(ctx->guardian, SIGKILL);
	waitpid(ctx->guardian, NULL, 0);
	ctx->guardian = 0;
}
