/*
 * files_dead - a process for the moment: what is to lead to a process that is
 * gone, a pidfd or a file of /proc, is opened while one is there.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

/* Ends as the process of the image did; what only stops is no end. */
static void die_as(int status)
{
	int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	struct rlimit no_core = { 0 };
	sigset_t one;

	if (sig && sig != SIGSTOP && sig != SIGTSTP && sig != SIGTTIN && sig != SIGTTOU) {
		setrlimit(RLIMIT_CORE, &no_core);
		signal(sig, SIG_DFL);
		sigemptyset(&one);
		sigaddset(&one, sig);
		sigprocmask(SIG_UNBLOCK, &one, NULL);
		kill((pid_t)syscall(SYS_getpid), sig);
	}
	_exit(WEXITSTATUS(status));
}

/**
 * dead_begin - in the tool, before the first fork: start a process
 * @p: filled; all zero before
 * @at: its pid, or 0 for any
 * @status: how it is to end, as wait(2) stores it
 *
 * Return: 0, or -errno; -EEXIST if the pid is in use.
 */
int dead_begin(struct dead_process *p, pid_t at, int status)
{
	struct clone_args a = { .exit_signal = SIGCHLD,
				.set_tid = at > 0 ? (uint64_t)(uintptr_t)&at : 0,
				.set_tid_size = at > 0 };
	int fds[2];
	char c;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	p->pid = (pid_t)syscall(SYS_clone3, &a, sizeof(a));
	if (p->pid == 0) {
		close(fds[1]);
		while (read(fds[0], &c, 1) < 0 && errno == EINTR)
			;
		die_as(status);
	}
	at = p->pid < 0 ? -errno : 0;
	close(fds[0]);
	if (at < 0)
		close(fds[1]);
	else
		p->hold = fds[1];
	return at;
}

/**
 * dead_end - let the process end, and reap it
 * @p: as dead_begin() filled it
 */
void dead_end(struct dead_process *p)
{
	if (p->pid <= 0)
		return;
	close(p->hold);
	while (waitpid(p->pid, NULL, 0) < 0 && errno == EINTR)
		;
	p->pid = 0;
}

/**
 * file_gone_end - the files of every task are restored: those processes go
 * @ctx: the run; perhaps none was started
 *
 * Return: 0.
 */
int file_gone_end(struct restore_ctx *ctx)
{
	struct gone_process *g = ctx->files ? ctx->files->gone_processes : NULL;

	for (; g; g = g->next) {
		/* Tasks may still have a copy of what would let it end. */
		if (g->p.pid > 0)
			kill(g->p.pid, SIGKILL);
		dead_end(&g->p);
	}
	return 0;
}
