/*
 * rpc-internal - what the files of the dispatcher share.
 */
#ifndef CL_DAEMON_RPC_INTERNAL_H
#define CL_DAEMON_RPC_INTERNAL_H

#include "daemon/rpc.h"
#include "kernel/procfs.h"

struct arena;

/* One request on its way. */
struct rpc_work {
	const struct rpc_host *host;
	const struct rpc_call *call;
	struct report *report;
	struct arena *arena;
	struct rpc_job job;
	struct proc_namespaces own_ns; /* unless the call has them */
	CriuResp *resp;
};

int rpc_do_images(struct rpc_work *w, const char *command, bool restores);
int rpc_do_dir(struct rpc_work *w, const char *command, const char *argument);
int rpc_do_command(struct rpc_work *w, const char *command);

#endif
