/* child - a process of the service that does one thing beside it, and ends with it. */
#include "daemon/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"

/**
 * child_fork - make such a process
 * @s: the server
 * @name: what it is called, 15 bytes at most
 *
 * What only the service may have open, it has alone.
 *
 * Return: as fork(2) does; a child whose service has gone meanwhile is ended.
 */
pid_t child_fork(struct server *s, const char *name)
{
	pid_t service = getpid(), pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	prctl(PR_SET_NAME, name);
	if (getppid() != service)
		_exit(1);
	close_owned(&s->listen_fd);
	close_owned(&s->epoll_fd);
	close_owned(&s->signal_fd);
	ready_forget(s);
	return 0;
}

/**
 * child_start - a child that says when it is ready
 * @s: the server
 * @k: what it does
 * @pid: gets its pid; 0 if there is none
 *
 * Return: 0 when it is ready, or -errno, recorded.
 */
int child_start(struct server *s, const struct child_kind *k, pid_t *pid)
{
	int ready[2], err;
	ssize_t got = 0;
	char c;

	if (pipe2(ready, O_CLOEXEC) < 0)
		return fail(s->report, k->error, errno, "pipe2()");
	*pid = child_fork(s, k->name);
	if (*pid == 0) {
		close(ready[0]);
		_exit(k->serve(s, ready[1]) < 0);
	}
	err = errno;
	close(ready[1]);
	do
		got = *pid < 0 ? 0 : read(ready[0], &c, 1);
	while (got < 0 && errno == EINTR);
	close(ready[0]);
	if (got == 1)
		return 0;
	if (*pid > 0)
		/* It has recorded why. */
		waitpid(*pid, NULL, 0);
	else
		fail(s->report, k->error, err, "fork %s", k->what);
	*pid = 0;
	return -ECANCELED;
}
