/*
 * upgrade - the service is followed by a new one without a request lost.
 *
 * SIGUSR2 starts the program anew, as it is on disk by now, with the same
 * arguments. It is offered the listener, that of the door, and every idle connection; while it
 * looks at them nobody reads from them, so what clients say meanwhile waits in
 * the kernel. If it says OK it serves from then on, and this process finishes
 * the requests that it has taken, and the connections of those clients, and
 * ends. If it does not, everything stays as it was.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/server.h"
#include "lib/fdframe.h"
#include "lib/fdlisten.h"
#include "lib/fdupgrade.h"

#define TIME_MS 10000
#define STATE "criu-lite service 1" /* then a blank and 1 if the socket's name is ours */
#define LISTENER "listener"
#define DOOR "door"
#define CLIENT "client"

static struct fd_item *offered(const struct server *s, size_t *n)
{
	struct fd_item *items = calloc(s->nr_clients + 2, sizeof(*items));
	const struct client *c;

	if (!items)
		return NULL;
	*n = 0;
	items[*n].fd = s->listen_fd;
	strcpy(items[(*n)++].name, LISTENER);
	if (s->door_listen >= 0) {
		items[*n].fd = s->door_listen;
		strcpy(items[(*n)++].name, DOOR);
	}
	list_for_each(c, &s->clients, list) {
		if (c->state != CLIENT_IDLE)
			continue;
		items[*n].fd = c->fd;
		strcpy(items[(*n)++].name, CLIENT);
	}
	return items;
}

/* The path of the program; what was replaced on disk has " (deleted)" behind it. */
static int program(char *path, size_t size)
{
	static const char gone[] = " (deleted)";
	ssize_t n = readlink("/proc/self/exe", path, size - 1);

	if (n <= 0)
		return -errno;
	path[n] = '\0';
	if ((size_t)n > strlen(gone) && !strcmp(path + n - strlen(gone), gone))
		path[n - (ssize_t)strlen(gone)] = '\0';
	return 0;
}

/* Those that the successor has now; nothing is said on them by us any more. */
static void let_go(struct server *s)
{
	struct client *c, *next;

	s->own_address = false;
	ready_end(s);
	listen_close(s);
	door_child_leave(s);
	list_for_each_safe(c, next, &s->clients, list)
		if (c->state == CLIENT_IDLE)
			client_close(s, c);
	s->leaving = true;
}

static int start(struct server *s, struct fd_upgrade *u, const char *path)
{
	cleanup_close int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const char *argv[ARGS_MAX + 1] = { path };
	char state[64];
	struct fd_upgrade_opts o = { .argv = argv, .timeout_ms = TIME_MS, .state = state };
	struct fd_item *items = offered(s, &o.n);
	int ret;

	for (size_t i = 1; i < ARGS_MAX && s->o->argv[i]; i++)
		argv[i] = s->o->argv[i];
	if (s->o->start_dir >= 0 && fchdir(s->o->start_dir) < 0)
		log_warn(s->report, "the directory of the start is gone: %s", strerror(errno));
	o.items = items;
	o.len = (size_t)snprintf(state, sizeof(state), STATE " %d", s->own_address);
	ret = items ? fd_upgrade_start(u, &o) : -ENOMEM;
	if (!ret)
		ret = fd_upgrade_commit(u);
	free(items);
	if (here >= 0 && fchdir(here) < 0)
		log_warn(s->report, "the work directory is gone: %s", strerror(errno));
	return ret;
}

/**
 * upgrade_run - start a successor and hand over to it
 * @s: the server
 *
 * Blocks until it has answered, 10 s at most.
 */
void upgrade_run(struct server *s)
{
	struct fd_upgrade u = { .why = "" };
	char path[PATH_MAX], text[64];
	int ret = program(path, sizeof(path));

	if (s->leaving || s->ending)
		return;
	if (!ret)
		ret = start(s, &u, path);
	if (ret < 0) {
		log_error(s->report, "not upgraded, the service goes on: %s: %s", u.why,
			  strerror(-ret));
		return;
	}
	log_msg(s->report, "process %d serves from here on; %zu requests are at work here", u.pid,
		s->nr_served);
	let_go(s);
	snprintf(text, sizeof(text), "MAINPID=%d", u.pid);
	fd_notify(text, NULL, 0);
}

static bool is_door(const struct fd_item *i)
{
	return i->kind == FD_KIND_LISTENER && !strcmp(i->name, DOOR);
}

static bool is_ours(const struct fd_offer *in)
{
	if (in->len != strlen(STATE) + 2 || memcmp(in->state, STATE " ", strlen(STATE) + 1) ||
	    !in->n || in->items[0].kind != FD_KIND_LISTENER || strcmp(in->items[0].name, LISTENER))
		return false;
	for (size_t i = 1 + (in->n > 1 && is_door(in->items + 1)); i < in->n; i++)
		if (in->items[i].kind != FD_KIND_STREAM || strcmp(in->items[i].name, CLIENT))
			return false;
	return true;
}

/**
 * upgrade_take - take over from the service that has started us, if one has
 * @s: the server: its listeners and clients are set
 *
 * Return: 1 if it was so; 0 if this is an ordinary start; -errno, recorded.
 */
int upgrade_take(struct server *s)
{
	struct fd_offer in;
	size_t first = 1;
	int ret = fd_offer_take(&in);

	if (ret == -ENOENT)
		return 0;
	if (ret < 0 || !is_ours(&in)) {
		fd_offer_refuse(&in, "the offer is not of a service that this one knows");
		return fail(s->report, "service", ret < 0 ? -ret : EPROTO,
			    "an offer of another service");
	}
	ret = fd_offer_accept(&in);
	if (ret < 0)
		return fail(s->report, "service", -ret, "the old service goes on");
	s->own_address = ((const char *)in.state)[in.len - 1] == '1';
	s->listen_fd = take_fd(&in.items[0].fd);
	if (in.n > 1 && is_door(in.items + 1))
		s->door_listen = take_fd(&in.items[first++].fd);
	for (size_t i = first; i < in.n; i++)
		client_add(s, take_fd(&in.items[i].fd));
	fd_offer_free(&in);
	return 1;
}

/**
 * upgrade_activated - take the listener that a service manager has opened, if one has
 * @s: the server
 *
 * Its name is the manager's and stays.
 *
 * Return: 1 if it was so; 0; -errno, recorded.
 */
int upgrade_activated(struct server *s)
{
	struct fd_item *items = NULL;
	size_t n = 0;
	int type, ret = fd_listen_take(&items, &n, 1);
	socklen_t len = sizeof(type);

	if (ret < 0)
		return fail(s->report, "service", -ret, "LISTEN_FDS");
	if (n && (n > 1 || items[0].kind != FD_KIND_LISTENER ||
		  getsockopt(items[0].fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0 ||
		  type != SOCK_SEQPACKET))
		ret = fail(s->report, "service", EPROTOTYPE,
			   "LISTEN_FDS: one socket with ListenSequentialPacket= is expected");
	else if (n)
		s->listen_fd = take_fd(&items[0].fd);
	for (size_t i = 0; i < n; i++)
		close_owned(&items[i].fd);
	free(items);
	return ret < 0 ? ret : s->listen_fd >= 0;
}
