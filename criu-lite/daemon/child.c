/* child - a process of the service that does one thing beside it, and ends with it. */
#include "daemon/server.h"

#include <signal.h>
#include <sys/prctl.h>
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
