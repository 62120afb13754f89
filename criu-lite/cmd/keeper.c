/*
 * keeper - waits at one end of a pipe. It is told whom to end; the end of the
 * pipe without a word that all is decided means that its parent is gone.
 */
#include "cmd/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

#define GONE_MS 5000 /* that a killed process may take to be gone */

/* Whoever sees us gone knows that it is, too. */
static void end(pid_t whom)
{
	struct pollfd p = { .fd = (int)syscall(SYS_pidfd_open, whom, 0), .events = POLLIN };

	kill(-whom, SIGKILL);
	kill(whom, SIGKILL);
	if (p.fd >= 0)
		poll(&p, 1, GONE_MS);
}

static void keep(int pipe, const atomic_bool *stays) __attribute__((noreturn));
static void keep(int pipe, const atomic_bool *stays)
{
	pid_t word, whom = 0;
	sigset_t all;

	/* In a session of its own, and deaf: what ends the parent is not to end us. */
	setsid();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	/* Nobody is to wait for the end of file of what our parent had open. */
	if (dup2(pipe, 0) < 0)
		_exit(1);
	syscall(SYS_close_range, 1, UINT_MAX, 0);
	while (read_all(0, &word, sizeof(word)) == 0) {
		if (word <= 0)
			_exit(0);
		whom = word;
	}
	if (stays && atomic_load(stays))
		_exit(0);
	if (whom > 0 && getsid(whom) == whom)
		end(whom);
	_exit(0);
}

/**
 * keeper_begin - start it
 * @k: filled
 * @stays: in shared memory: nobody is to be ended any more once it is set; or NULL
 *
 * Return: 0 or -errno.
 */
int keeper_begin(struct keeper *k, const atomic_bool *stays)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	k->pid = fork();
	if (k->pid == 0) {
		close(p[1]);
		keep(p[0], stays);
	}
	close(p[0]);
	k->pipe = p[1];
	if (k->pid < 0) {
		close(p[1]);
		return -errno;
	}
	return 0;
}

/**
 * keeper_tell - whom to end
 * @k: the keeper
 * @successor: a leader of a session, alive
 */
void keeper_tell(struct keeper *k, pid_t successor)
{
	/* A keeper that is gone cannot help, and is no reason to give up. */
	(void)!write_all(k->pipe, &successor, sizeof(successor));
}

/**
 * keeper_end - all is decided
 * @k: the keeper
 */
void keeper_end(struct keeper *k)
{
	pid_t done = 0;

	(void)!write_all(k->pipe, &done, sizeof(done));
	close(k->pipe);
	while (waitpid(k->pid, NULL, 0) < 0 && errno == EINTR)
		;
}
