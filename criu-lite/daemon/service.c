/*
 * service - the loop of the daemon.
 *
 * SIGTERM and SIGINT end it: no new clients, the idle ones are let go, and
 * requests that it has taken are done and answered; a second one ends it at
 * once. SIGUSR2: upgrade.c.
 */
#include "daemon/service.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/server.h"
#include "lib/fdlisten.h"

#define TICK_MS 250 /* how often limits are looked at while there is work */
#define QUIET_MS 3  /* without a word from anybody: who asks twice in a row has done so by then */
#define EVENTS 64

#define MAX_CLIENTS 1024
#define TIME_LIMIT 600 /* seconds */

/**
 * service_now - the time that limits count in
 *
 * Return: nanoseconds.
 */
uint64_t service_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int block_signals(struct server *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR2);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signal_fd < 0 ? -errno : 0;
}

static int watch(struct server *s, int *fd)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = fd };

	return epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, *fd, &e) < 0 ? -errno : 0;
}

/* A descriptor for each client, and those that its request takes. */
static void raise_fd_limit(void)
{
	struct rlimit l;

	if (getrlimit(RLIMIT_NOFILE, &l) < 0 || l.rlim_cur == l.rlim_max)
		return;
	l.rlim_cur = l.rlim_max;
	setrlimit(RLIMIT_NOFILE, &l);
}

/* *@followed: this is the successor of a running service. *@where: it listens, in words. */
static int server_open(struct server *s, bool *followed, const char **where)
{
	int ret = block_signals(s);

	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (!ret && s->epoll_fd < 0)
		ret = -errno;
	if (!ret)
		ret = watch(s, &s->signal_fd);
	if (ret < 0)
		return fail(s->report, "service", -ret, "event loop");
	raise_fd_limit();
	ret = upgrade_take(s);
	*followed = ret > 0;
	*where = ret > 0 ? "the socket of its predecessor" : "the socket that LISTEN_FDS tells of";
	if (ret == 0)
		ret = upgrade_activated(s);
	if (ret == 0) {
		ret = listen_open(s);
		*where = s->o->address;
	}
	if (ret < 0)
		return ret;
	/* Whoever has opened it: an accept() must never wait. */
	if (fcntl(s->listen_fd, F_SETFL, O_NONBLOCK) < 0 || watch(s, &s->listen_fd) < 0)
		return fail(s->report, "service", errno, "event loop");
	return 0;
}

static bool has_said_something(const struct client *c)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };

	return poll(&p, 1, 0) > 0;
}

/*
 * Idle clients have nothing at stake; what they have said already is done.
 * Connections that have not been accepted wait for the next service, if the
 * listener is somebody else's too.
 */
static void begin_to_end(struct server *s)
{
	struct client *c, *next;

	if (s->ending) {
		worker_end_all(s);
		return;
	}
	fd_notify("STOPPING=1", NULL, 0);
	log_msg(s->report, "the service ends: %zu requests are still at work", s->nr_served);
	s->ending = true;
	ready_end(s);
	listen_close(s);
	list_for_each_safe(c, next, &s->clients, list)
		if (c->state == CLIENT_IDLE && !has_said_something(c))
			client_close(s, c);
}

static void take_signals(struct server *s)
{
	struct signalfd_siginfo si;

	while (read(s->signal_fd, &si, sizeof(si)) == sizeof(si)) {
		if (si.ssi_signo == SIGCHLD)
			worker_reap(s);
		else if (si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT)
			begin_to_end(s);
		else if (si.ssi_signo == SIGUSR2)
			upgrade_run(s);
	}
}

/* The listener was left alone for want of descriptors. */
static void hear_again(struct server *s)
{
	if (s->deaf && s->listen_fd >= 0 && watch(s, &s->listen_fd) == 0)
		s->deaf = false;
}

static int patience(const struct server *s)
{
	if (s->nr_served || s->deaf)
		return TICK_MS;
	return ready_wanted(s) ? QUIET_MS : -1;
}

static void serve(struct server *s)
{
	struct epoll_event ev[EVENTS];

	while (!(s->ending || s->leaving) || s->nr_clients) {
		size_t before = s->nr_clients;
		int n = epoll_wait(s->epoll_fd, ev, EVENTS, patience(s));
		bool accept = false, signals = false;

		/* Clients first: what comes after may make or end some. */
		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr == &s->signal_fd)
				signals = true;
			else if (ev[i].data.ptr == &s->listen_fd)
				accept = true;
			else
				client_read(s, ev[i].data.ptr);
		}
		if (accept)
			client_accept(s);
		if (signals)
			take_signals(s);
		if (s->nr_served)
			worker_limits(s);
		if (s->nr_clients < before || n == 0)
			hear_again(s);
		if (n == 0)
			ready_make(s);
	}
}

static void server_close(struct server *s)
{
	struct client *c, *next;

	list_for_each_safe(c, next, &s->clients, list)
		client_close(s, c);
	ready_end(s);
	listen_close(s);
	/* A successor's may be taking its place just now. */
	if (!s->leaving)
		pidfile_remove(s);
	close_owned(&s->signal_fd);
	close_owned(&s->epoll_fd);
	close_owned(&s->door_listen);
}

/* A successor has neither the descriptor nor anybody to tell: its predecessor does that. */
static void say_ready(const struct service_opts *o, bool followed)
{
	if (!followed)
		fd_notify("READY=1", NULL, 0);
	if (followed || o->ready_fd < 0)
		return;
	write_all(o->ready_fd, "", 1);
	close(o->ready_fd);
}

/**
 * service_run - the service, until it is told to end
 * @given: what is asked for; 0 for a limit is its default
 * @host: does the work
 * @r: gets the cause of a failure, and the log
 *
 * Return: 0, or -errno, recorded.
 */
int service_run(const struct service_opts *given, const struct rpc_host *host, struct report *r)
{
	struct service_opts o = *given;
	struct server s = { .o = &o,
			    .host = host,
			    .report = r,
			    .listen_fd = -1,
			    .signal_fd = -1,
			    .epoll_fd = -1,
			    .door_listen = -1 };
	const char *where = NULL;
	bool followed = false;
	int ret;

	if (!o.address)
		o.address = SERVICE_ADDRESS;
	if (!o.max_clients)
		o.max_clients = MAX_CLIENTS;
	if (!o.max_requests)
		o.max_requests = 4 * (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	if (!o.time_limit)
		o.time_limit = TIME_LIMIT;
	list_init(&s.clients);
	list_init(&s.queue);
	/* Before the one that this one follows ends, and its guard with it. */
	ret = o.detach ? 0 : guard_child_start(&s);
	if (ret >= 0)
		ret = server_open(&s, &followed, &where);
	if (ret >= 0 && o.detach && !followed && daemon(1, 0) < 0)
		ret = fail(r, "service", errno, "go into the background");
	if (ret >= 0 && o.detach)
		ret = guard_child_start(&s);
	if (ret >= 0)
		ret = door_child_start(&s);
	if (ret >= 0)
		ret = attach_child_start(&s);
	if (ret >= 0)
		ret = pidfile_write(&s);
	if (ret >= 0) {
		say_ready(&o, followed);
		log_msg(r, "the service listens at %s", where);
		serve(&s);
	}
	server_close(&s);
	return ret < 0 ? ret : 0;
}
