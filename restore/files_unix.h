/*
 * files_unix - names, connections and queues of Unix sockets, for
 * restore/types/unixsk.c.
 */
#ifndef CL_RESTORE_FILES_UNIX_H
#define CL_RESTORE_FILES_UNIX_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "proto/sk-unix.pb-c.h"
#include "restore/files.h"

#define UNIX_OUTSIDE 1 /* unix_sk_entry.uflags: the other end of somebody, not in the tree */

/* Of one socket, in memory that all tasks share. */
struct unix_shared {
	atomic_int node_pid, node_fd; /* who has the node of its deleted name open, and as what */
	atomic_uint callers;          /* datagram: who is still to connect to it */
	atomic_uint turn;             /* listening: how many of those that wait are connected */
	atomic_bool bound;            /* its name can be connected to */
	atomic_bool served;           /* listening: all that were accepted are there */
	atomic_bool filled;           /* nothing is missing in its queue */
	int made[2];                  /* by a process that stands in for another */
};

/* A message that was not read yet. */
struct packet {
	struct packet *next;
	const char *data;
	size_t len;
	struct file_desc **rights;
	size_t nr_rights;
	const SkCredEntry *cred;
	const ProtobufCBinaryData *from; /* name of the sender, or NULL */
	struct file_desc *sender;        /* who has that name in the tree, or NULL */
};

/* One name: sockets that were accepted have that of the listening one. */
struct unix_name {
	struct pstree_item *maker;  /* the process that accepts */
	struct file_desc *listener; /* NULL: closed meanwhile, lent for the moment */
	struct file_desc *first;    /* listener, or one that was accepted */
	struct unix_shared *sh;     /* of first */
	unsigned left;              /* connections that are not accepted yet; in the maker */
	int fd;                     /* the listening socket while it is lent, or -1 */
	bool knocked;               /* all ends that are closed have connected */
	int *strange;               /* accepted, and not known yet for whom */
	size_t nr_strange;
};

/* Two sockets that are connected, or one and the place of a closed one. */
struct unix_pair {
	struct file_desc *d[2];      /* [1] is NULL when the peer is closed */
	int fds[2];                  /* in the process that makes them, until they are given away */
	struct unix_name *name;      /* of the accepted end, or NULL */
	int accepted;                /* which end that is */
	bool made, settled, knocked; /* in this process; knocked: the closed end has connected */
};

enum unix_role {
	UNIX_NONE,
	UNIX_SINGLE,   /* listening, bound, or connected in one direction */
	UNIX_PAIR,     /* by socketpair(2) */
	UNIX_ACCEPTED, /* and its UNIX_CLIENT connects to the name */
	UNIX_CLIENT,
	UNIX_WAITING, /* connected, but not accepted yet */
};

struct unixsk_priv {
	enum unix_role role;
	struct unix_shared *sh;
	struct unix_pair *pair;
	int end;                /* which end of it */
	struct unix_name *name; /* of a listening socket, or of what it connects to */
	unsigned turn;          /* among those that wait to be accepted; listening: how many do */
	struct file_desc *to;   /* datagram: whom to connect to */
	struct file_desc *mate; /* datagram: made as a pair with this one, which then turned away */
	struct packet *queue, **last;
	bool others;    /* filling it takes other files */
	bool connected; /* in this process */
	bool done;      /* all but waiting for its callers */
	bool placed;
};

static inline const UnixSkEntry *unix_entry(const struct file_desc *d)
{
	return file_desc_entry(d);
}

static inline struct unixsk_priv *unix_priv(const struct file_desc *d)
{
	return file_desc_priv(d);
}

/* An address that leads to a socket from whatever directory. */
struct unix_address {
	struct sockaddr_un addr;
	socklen_t len;
	int dir; /* held while it is in use, or -1 */
};

/* files_unix.c: names */
int unix_region_new(struct pstree *t, size_t n);
struct unix_shared *unix_region_slot(struct pstree *t);
int unix_address(struct file_desc *d, const struct file_desc *to, struct unix_address *a);
int unix_bind(struct file_desc *d, int fd);
int unix_connect(struct file_desc *d, int fd, const struct file_desc *to);
int unix_bind_as(struct file_desc *d, int fd, const ProtobufCBinaryData *name);
int unix_check_node(struct file_desc *d);
int unix_name_lend(struct unix_name *n);

/* files_unixplace.c */
int unix_place(struct pstree *t, struct file_desc *d);

/* files_unixconn.c: connections */
int unix_pair_make(struct unix_pair *p);
int unix_listen(struct file_desc *d, int fd, int backlog);
int unix_name_serve(struct unix_name *n);
int unix_knock(struct unix_pair *p, int fd);
int unix_wait_turn(struct file_desc *d, int fd);

/* files_unixq.c: queues */
int unix_queues_load(struct pstree *t);
bool unix_others_here(const struct file_desc *d);
int unix_feed(struct file_desc *d, int through);
int unix_feed_named(struct file_desc *d);

/* files_as.c */
struct pstree_item *run_as_task(const struct pstree *t, const SkCredEntry *who);
int run_as(struct file_desc *d, const SkCredEntry *who, int (*fn)(void *arg), void *arg);

#endif
