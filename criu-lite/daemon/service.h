/*
 * service - the daemon: CRIU's RPC for many clients at once, and swrk for one.
 */
#ifndef CL_DAEMON_SERVICE_H
#define CL_DAEMON_SERVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct report;
struct rpc_host;

#define SERVICE_ADDRESS "criu_service.socket" /* CRIU's default: in the current directory */

#define ARGS_MAX 128 /* words of the command line */

struct service_opts {
	const char *address; /* a path, or @NAME; NULL: the default */
	bool attach;         /* doors for who may not mount */
	const char *door;    /* a path to attach a door to, or NULL */
	const char *pidfile; /* or NULL */
	bool detach;         /* -d: go into the background once clients can connect */
	unsigned max_clients, max_requests; /* connections, requests at work; 0: default */
	unsigned time_limit;                /* seconds for a request; 0: default */
	uint64_t memory_limit;              /* bytes of a request's own memory; 0: none */
	const char *const *guards;          /* files on which record locks are mandatory */
	size_t nr_guards;
	int ready_fd;  /* gets a zero byte, then is closed; or -1 */
	char **argv;   /* the command line: its successor gets the same */
	int start_dir; /* where it was given: relative paths in it count from there; or -1 */
};

int service_run(const struct service_opts *given, const struct rpc_host *host, struct report *r);
int swrk_run(int sock, const struct rpc_host *host, struct report *r);

#endif
