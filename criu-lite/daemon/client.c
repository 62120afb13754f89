/*
 * client - connections of the service.
 *
 * A user may hold half of all connections, root all of them, so that one user
 * cannot keep the others out.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/server.h"

#define ACCEPT_MAX 64 /* at once, before those who are there already get their turn */

/**
 * client_hear - listen to a client, or no longer
 * @s: the server
 * @c: the client
 * @on: which
 */
void client_hear(struct server *s, struct client *c, bool on)
{
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };

	if (epoll_ctl(s->epoll_fd, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, c->fd, &e) < 0)
		log_error(s->report, "client %d: epoll_ctl: %d", c->fd, errno);
}

/**
 * client_add - a connection becomes a client
 * @s: the server
 * @fd: the connection; the client's from now on
 *
 * Return: the client, or NULL: the connection has been closed.
 */
struct client *client_add(struct server *s, int fd)
{
	struct client *c = calloc(1, sizeof(*c));
	struct ucred cred;
	socklen_t len = sizeof(cred);

	if (!c || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0) {
		free(c);
		close(fd);
		return NULL;
	}
	c->fd = fd;
	c->uid = cred.uid;
	list_init(&c->wait);
	list_add_tail(&c->list, &s->clients);
	s->nr_clients++;
	client_hear(s, c, true);
	return c;
}

/**
 * client_close - the connection ends
 * @s: the server
 * @c: the client; gone then
 */
void client_close(struct server *s, struct client *c)
{
	/* Another process may still have the connection, and the set goes by that. */
	if (c->state == CLIENT_IDLE)
		client_hear(s, c, false);
	close(c->fd);
	wire_free(c->ask);
	list_del(&c->list);
	list_del(&c->wait);
	free(c);
	s->nr_clients--;
}

/*
 * The last answer has been sent. What the client has said beyond it is taken
 * away first: a connection closed over unread messages is reset, and the
 * answer lost with it.
 */
static void client_end(struct server *s, struct client *c)
{
	char byte;

	shutdown(c->fd, SHUT_RD);
	while (recv(c->fd, &byte, sizeof(byte), MSG_DONTWAIT) > 0)
		;
	client_close(s, c);
}

static int reply_now(void *arg, const void *msg, size_t len)
{
	return wire_send(((struct client *)arg)->fd, msg, len, 0);
}

/**
 * client_refuse - answer what the client has asked with a refusal
 * @c: the client
 * @id: the error id
 * @text: why
 *
 * Return: 0 or -errno.
 */
int client_refuse(struct client *c, const char *id, const char *text)
{
	const struct rpc_call call = { .reply = reply_now, .arg = c };
	CriuReqType type = c->ask && c->ask->req ? c->ask->req->type : CRIU_REQ_TYPE__EMPTY;

	return rpc_refuse(&call, type, id, 0, text);
}

static bool too_many(const struct server *s, uid_t uid, char *text, size_t size)
{
	const struct client *c;
	size_t own = 0;

	list_for_each(c, &s->clients, list)
		own += c->uid == uid;
	/* The one in question is among them. */
	if (s->nr_clients <= s->o->max_clients && (uid == 0 || own <= (s->o->max_clients + 1) / 2))
		return false;
	snprintf(text, size, "the service has %zu connections, %zu of them of user %u",
		 s->nr_clients - 1, own - 1, uid);
	return true;
}

/**
 * client_accept - take the connections that wait at the listener
 * @s: the server
 */
void client_accept(struct server *s)
{
	for (int i = 0; i < ACCEPT_MAX; i++) {
		int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		struct client *c;
		char text[96];

		if (fd < 0) {
			/* Full: until one of ours goes. */
			if (errno == EMFILE || errno == ENFILE || errno == ENOMEM ||
			    errno == ENOBUFS)
				s->deaf = epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->listen_fd,
						    NULL) == 0;
			return;
		}
		c = client_add(s, fd);
		if (c && too_many(s, c->uid, text, sizeof(text))) {
			client_refuse(c, "rpc-busy", text);
			client_end(s, c);
		}
	}
}

/**
 * client_done - the client's request has been answered
 * @s: the server
 * @c: the client; gone unless it wants to ask again
 */
void client_done(struct server *s, struct client *c)
{
	bool again = c->ask && c->ask->req && c->ask->req->has_keep_open &&
		     c->ask->req->keep_open && !s->ending;
	bool was_heard = c->state == CLIENT_IDLE;

	wire_free(c->ask);
	c->ask = NULL;
	if (!again) {
		client_end(s, c);
		return;
	}
	c->state = CLIENT_IDLE;
	if (!was_heard)
		client_hear(s, c, true);
}

/**
 * client_read - a client has something to say
 * @s: the server
 * @c: the client, idle; perhaps gone then
 */
void client_read(struct server *s, struct client *c)
{
	struct rpc_caller nobody = { .pidfd = -1 };
	struct rpc_call call = { .caller = &nobody, .reply = reply_now, .arg = c };
	int err = 0;

	c->ask = wire_recv(c->fd, MSG_DONTWAIT, &err);
	if (!c->ask) {
		if (err != -EAGAIN)
			client_close(s, c);
		return;
	}
	if (rpc_is_quick(c->ask->req)) {
		call.req = c->ask->req;
		if (rpc_dispatch(s->host, &call) < 0)
			client_close(s, c);
		else
			client_done(s, c);
		return;
	}
	client_hear(s, c, false);
	c->state = CLIENT_WAITING;
	list_add_tail(&c->wait, &s->queue);
	worker_start_next(s);
}
