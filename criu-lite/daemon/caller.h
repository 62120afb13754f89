/*
 * caller - who is at the other end of a socket, and what it may do.
 */
#ifndef CL_DAEMON_CALLER_H
#define CL_DAEMON_CALLER_H

#include "daemon/rpc.h"

int caller_of_socket(int sock, const struct proc_namespaces *own, struct rpc_caller *out);
void caller_of_parent(int sock, struct rpc_caller *out);
void caller_free(struct rpc_caller *c);

int caller_fd(const struct rpc_caller *c, int nr, int *out);
bool caller_is_us(const struct rpc_caller *c);
int caller_become(const struct rpc_caller *c, struct report *r);
int caller_may_trace(const struct rpc_caller *c, struct report *r, pid_t pid);
int caller_may_have(const struct rpc_caller *c, struct report *r, struct pstree *image);

#endif
