/*
 * worker - a process for each request that touches processes.
 *
 * It takes on the caller's credentials, does the work and answers; whatever
 * happens to it, the service and the other clients do not notice. One that
 * ends without an answer, or that is over its limits, is answered for by the
 * service. A worker may be killed at any instant: a dump then leaves its tree
 * as it was, a restore leaves nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/caller.h"
#include "daemon/server.h"
#include "kernel/procfs.h"

#define REPLY_MS 10000

static int reply(void *arg, const void *msg, size_t len)
{
	/* Who does not listen any more is not told; the work is done all the same. */
	wire_send(*(int *)arg, msg, len, REPLY_MS);
	return 0;
}

static int notify(void *arg, const char *action, pid_t root)
{
	return wire_notify(*(int *)arg, action, root);
}

/* What belongs to the service and its other clients. */
static void close_others(struct server *s, const struct client *me)
{
	struct client *c;

	close_owned(&s->listen_fd);
	close_owned(&s->signal_fd);
	close_owned(&s->epoll_fd);
	close_owned(&s->door_listen);
	ready_forget(s);
	list_for_each(c, &s->clients, list) {
		if (c == me)
			continue;
		close(c->fd);
		for (size_t i = 0; c->ask && i < c->ask->nr_fds; i++)
			close(c->ask->fds[i]);
	}
}

/* Signals as any program has them, and no standard output for commands to print to. */
static void make_ordinary(void)
{
	cleanup_close int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	unsetenv("NOTIFY_SOCKET");
	if (null >= 0)
		dup2(null, STDOUT_FILENO);
}

/**
 * worker_begin - a child of the service becomes a worker
 * @s: the server, as it was when the child was made
 * @mine: the client that it is for; NULL: not known yet
 */
void worker_begin(struct server *s, const struct client *mine)
{
	close_others(s, mine);
	make_ordinary();
}

/**
 * worker_serve - do a request in this process, with its caller's credentials
 * @host: does the work
 * @fd: the connection that it has come by
 * @req: the request
 * @fds: that have come with it
 * @nr_fds: how many
 * @guardian: for a dump, made ahead; or NULL
 * @own_ns: the namespaces of this process
 *
 * Return: exit status; 0: it has been answered.
 */
int worker_serve(const struct rpc_host *host, int fd, const CriuReq *req, int *fds, size_t nr_fds,
		 struct dump_guardian *guardian, const struct proc_namespaces *own_ns)
{
	struct rpc_caller caller;
	struct rpc_call call = {
		.caller = &caller,
		.req = req,
		.fds = fds,
		.nr_fds = nr_fds,
		.notify = notify,
		.reply = reply,
		.arg = &fd,
		.guardian = guardian,
		.own_ns = own_ns,
	};

	if (caller_of_socket(fd, own_ns, &caller) < 0)
		return 1;
	return rpc_dispatch(host, &call) < 0;
}

static pid_t worker_fork(struct server *s, struct client *c)
{
	struct wire_request *ask = c->ask;
	struct proc_namespaces own_ns;
	pid_t pid = fork();

	if (pid == 0) {
		worker_begin(s, c);
		proc_namespaces_own(&own_ns);
		_exit(worker_serve(s->host, c->fd, ask->req, ask->fds, ask->nr_fds, NULL, &own_ns));
	}
	return pid;
}

static void start(struct server *s, struct client *c)
{
	c->worker = ready_give(s, c) ?: worker_fork(s, c);
	s->served_any = true;
	if (c->worker < 0) {
		client_refuse(c, "rpc-busy", "the service cannot start a process for the request");
		c->worker = 0;
		client_done(s, c);
		return;
	}
	c->state = CLIENT_SERVED;
	c->start_ns = service_now();
	c->stopped = NULL;
	s->nr_served++;
	log_info(s->report, "worker %d: a request of type %d by user %u", c->worker,
		 (int)c->ask->req->type, c->uid);
}

/* One user may have half of the workers, so that another one's request goes past its queue. */
static bool has_share(const struct server *s, uid_t uid)
{
	const struct client *c;
	size_t own = 0;

	if (uid == 0)
		return true;
	list_for_each(c, &s->clients, list)
		own += c->state == CLIENT_SERVED && c->uid == uid;
	return own < (s->o->max_requests + 1) / 2;
}

/**
 * worker_start_next - start those who wait, as far as the limits allow
 * @s: the server
 */
void worker_start_next(struct server *s)
{
	struct client *c, *next;

	list_for_each_safe(c, next, &s->queue, wait) {
		if (s->nr_served >= s->o->max_requests)
			return;
		if (!has_share(s, c->uid))
			continue;
		list_del(&c->wait);
		start(s, c);
	}
}

static struct client *client_of(struct server *s, pid_t worker)
{
	struct client *c;

	list_for_each(c, &s->clients, list)
		if (c->state == CLIENT_SERVED && c->worker == worker)
			return c;
	return NULL;
}

static void answer_for(struct server *s, struct client *c, int status)
{
	char text[160];

	if (c->stopped)
		snprintf(text, sizeof(text), "%s", c->stopped);
	else if (WIFSIGNALED(status))
		snprintf(text, sizeof(text),
			 "the process at work on the request ended by signal %d", WTERMSIG(status));
	else
		snprintf(text, sizeof(text), "the process at work on the request ended with %d",
			 WEXITSTATUS(status));
	log_warn(s->report, "worker %d: %s", c->worker, text);
	client_refuse(c, "rpc-worker", text);
}

/**
 * worker_reap - see to the workers that have ended
 * @s: the server
 */
void worker_reap(struct server *s)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		struct client *c = client_of(s, pid);

		ready_ended(s, pid);
		if (!c && (guard_child_ended(s, pid) || door_child_ended(s, pid) ||
			   attach_child_ended(s, pid)))
			continue;
		if (!c)
			continue;
		s->nr_served--;
		if (!WIFEXITED(status) || WEXITSTATUS(status))
			answer_for(s, c, status);
		client_done(s, c);
	}
	worker_start_next(s);
}

/* Memory that a process has for itself, in bytes. */
static uint64_t memory_of(pid_t pid)
{
	unsigned long size, resident, shared;
	struct proc_text t = { 0 };
	uint64_t bytes = 0;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/statm", pid);
	if (proc_read(AT_FDCWD, path, &t) == 0 &&
	    sscanf(t.p, "%lu %lu %lu", &size, &resident, &shared) == 3 && resident > shared)
		bytes = (uint64_t)(resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE);
	proc_text_free(&t);
	return bytes;
}

/**
 * worker_limits - end workers that are over their limits
 * @s: the server
 */
void worker_limits(struct server *s)
{
	uint64_t now = service_now();
	struct client *c;

	list_for_each(c, &s->clients, list) {
		if (c->state != CLIENT_SERVED || c->stopped)
			continue;
		if (now - c->start_ns > s->o->time_limit * UINT64_C(1000000000))
			c->stopped = "the request took longer than the service allows";
		else if (s->o->memory_limit && memory_of(c->worker) > s->o->memory_limit)
			c->stopped = "the request took more memory than the service allows";
		if (c->stopped)
			kill(c->worker, SIGKILL);
	}
}

/**
 * worker_end_all - end every worker, as the service has to end now
 * @s: the server
 */
void worker_end_all(struct server *s)
{
	struct client *c;

	list_for_each(c, &s->clients, list) {
		if (c->state != CLIENT_SERVED)
			continue;
		c->stopped = "the service was told to end at once";
		kill(c->worker, SIGKILL);
	}
}
