/*
 * rpc - one request of CRIU's RPC to its response, whatever carries it.
 *
 * A carrier (the service's socket, swrk, a door) reads a message, says who
 * sent it and which descriptors came with it, and calls rpc_dispatch(). What
 * the request asks for is done by the host: the code behind the command line,
 * which gets it as the words that a user would have typed.
 *
 * A request that touches processes is done with the credentials of who asks,
 * which the calling process takes on for good. So a carrier that serves
 * several callers gives each such request a process of its own: those for
 * which rpc_is_quick() says no.
 */
#ifndef CL_DAEMON_RPC_H
#define CL_DAEMON_RPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/rpc.pb-c.h"

struct dump_guardian;
struct proc_namespaces;
struct pstree;
struct report;

#define RPC_MESSAGE_MAX (256u << 10) /* bytes in a request */
#define RPC_LOG "criu.log"           /* the log of a request that names no other */
#define RPC_FDS_MAX 253              /* descriptors that come with one */

/* Who asks. caller.c fills it from a socket. */
struct rpc_caller {
	pid_t pid; /* 0: it cannot be told */
	int pidfd; /* -1: it has gone, or cannot be told */
	uid_t uid;
	gid_t gid;
	gid_t *groups; /* malloc'ed */
	size_t nr_groups;
	uint64_t caps, bounding; /* that it may use here, and could come to use */
	bool no_new_privs;
	bool trusted;         /* swrk: it has started this process, credentials and all */
	const char *confined; /* it lives under what a process of ours would not: the word for it */
};

/* What the host is to do. */
struct rpc_job {
	struct report *report; /* gets every cause of a failure */
	int argc;
	char **argv;            /* the words of the same command line */
	const char *config;     /* a configuration file that comes last, or NULL */
	int images_fd, work_fd; /* the directories, or -1 */
	int (*action)(void *arg, const char *name, pid_t root); /* notifications; may be NULL */
	int (*admit)(void *arg, struct pstree *image);          /* restore; may be NULL */
	void *arg;
	pid_t root;                           /* set: the root of the tree */
	pid_t waits;                          /* who waits for the answer; 0: it cannot be told */
	struct dump_guardian *guardian;       /* for a dump; perhaps made already */
	const struct proc_namespaces *own_ns; /* of this process; or NULL */
};

/* The code behind the command line, as the daemon sees it. */
struct rpc_host {
	int (*run)(struct rpc_job *job); /* 0 or -errno, recorded */
	/* Is this option honoured, with this argument (or NULL) at this command? */
	bool (*honours)(const char *command, const char *option, const char *arg);
	int major, minor;
	const char *name; /* not CRIU's gitid: clients take one for the next version */
};

/* One request as it came. */
struct rpc_call {
	const struct rpc_caller *caller;
	const CriuReq *req;
	int *fds; /* that came with it; closed by the carrier */
	size_t nr_fds;
	/* Says what happens and waits for the consent: 0 or -errno. NULL: no notifications. */
	int (*notify)(void *arg, const char *action, pid_t root);
	/* Called once with the packed response. */
	int (*reply)(void *arg, const void *msg, size_t len);
	void *arg;
	struct dump_guardian
		*guardian; /* made ahead, with the credentials of this process; or NULL */
	const struct proc_namespaces *own_ns; /* of this process, if read ahead; or NULL */
};

CriuReq *rpc_parse(const void *msg, size_t len);
void rpc_free(CriuReq *req);
bool rpc_is_quick(const CriuReq *req);
int rpc_dispatch(const struct rpc_host *host, const struct rpc_call *call);
int rpc_refuse(const struct rpc_call *call, CriuReqType type, const char *id, int err,
	       const char *text);

#endif
