/*
 * server - what the files of the service share.
 *
 * One thread, one epoll loop. A client is idle (we listen to it), waiting (its
 * request is queued) or served (a worker of its own is at it; the worker
 * answers by itself). Only an idle client is in the epoll set.
 */
#ifndef CL_DAEMON_SERVER_H
#define CL_DAEMON_SERVER_H

#include "base/list.h"
#include "base/report.h"
#include "daemon/rpc.h"
#include "daemon/service.h"
#include "daemon/wire.h"

enum client_state { CLIENT_IDLE, CLIENT_WAITING, CLIENT_SERVED };

struct client {
	struct list_head list; /* server.clients */
	struct list_head wait; /* server.queue */
	enum client_state state;
	int fd;
	uid_t uid;
	struct wire_request *ask; /* while waiting or served */
	pid_t worker;
	uint64_t start_ns;   /* of the worker */
	const char *stopped; /* why the worker has been ended, or NULL */
};

#define READY_MAX 2 /* a client that asks twice in a row finds one both times */

struct server {
	const struct service_opts *o;
	const struct rpc_host *host;
	struct report *report;
	int listen_fd, signal_fd, epoll_fd;
	bool own_address; /* we have made the socket's name: it goes with us */
	bool deaf;        /* the listener is out of the epoll set */
	bool ending;      /* no new clients, none that stays */
	bool leaving;     /* a successor serves; those who have asked us stay until they go */
	struct list_head clients, queue;
	size_t nr_clients, nr_served;
	pid_t guard;     /* guards files; 0: nobody does */
	pid_t attach;    /* attaches doors for others; 0: nobody does */
	pid_t door;      /* serves the door; 0: there is none */
	int door_listen; /* its listener, or -1 */
	struct {
		pid_t pid; /* 0: none */
		int sock;
	} ready[READY_MAX]; /* workers without a request */
	bool served_any;    /* a request has needed a worker */
};

/* listen.c */
int listen_open(struct server *s);
void listen_close(struct server *s);
int pidfile_write(struct server *s);
void pidfile_remove(struct server *s);

/* client.c */
struct client *client_add(struct server *s, int fd);
void client_accept(struct server *s);
void client_read(struct server *s, struct client *c);
void client_done(struct server *s, struct client *c);
void client_close(struct server *s, struct client *c);
void client_hear(struct server *s, struct client *c, bool on);
int client_refuse(struct client *c, const char *id, const char *text);

/* worker.c */
void worker_start_next(struct server *s);
void worker_reap(struct server *s);
void worker_limits(struct server *s);
void worker_end_all(struct server *s);
void worker_begin(struct server *s, const struct client *mine);
int worker_serve(const struct rpc_host *host, int fd, const CriuReq *req, int *fds, size_t nr_fds,
		 struct dump_guardian *guardian, const struct proc_namespaces *own_ns);

/* ready.c */
bool ready_wanted(const struct server *s);
void ready_make(struct server *s);
pid_t ready_give(struct server *s, const struct client *c);
void ready_forget(struct server *s);
void ready_end(struct server *s);
void ready_ended(struct server *s, pid_t pid);

/* child.c */
struct child_kind {
	const char *name;  /* of the process */
	const char *what;  /* it is, for whoever reads of it */
	const char *error; /* id of what may go wrong with it */
	/* Writes a byte to @ready when it is; then the life of the child. */
	int (*serve)(struct server *s, int ready);
};

pid_t child_fork(struct server *s, const char *name);
int child_start(struct server *s, const struct child_kind *k, pid_t *pid);

/* guard_child.c */
int guard_child_start(struct server *s);
bool guard_child_ended(struct server *s, pid_t pid);

/* attach_child.c */
int attach_child_start(struct server *s);
bool attach_child_ended(struct server *s, pid_t pid);

/* door_child.c */
int door_child_start(struct server *s);
bool door_child_ended(struct server *s, pid_t pid);
void door_child_leave(struct server *s);

/* upgrade.c */
void upgrade_run(struct server *s);
int upgrade_take(struct server *s);
int upgrade_activated(struct server *s);

/* service.c */
uint64_t service_now(void);

#endif
