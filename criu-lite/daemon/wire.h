/*
 * wire - messages of the RPC over a SOCK_SEQPACKET socket: one message, one
 * packet, with descriptors beside it where a request names some.
 */
#ifndef CL_DAEMON_WIRE_H
#define CL_DAEMON_WIRE_H

#include "daemon/rpc.h"

/* A request as it came from a socket. */
struct wire_request {
	CriuReq *req; /* NULL: what came is no request */
	void *raw;    /* as it came */
	size_t len;
	int fds[RPC_FDS_MAX];
	size_t nr_fds;
};

struct wire_request *wire_recv(int sock, int flags, int *err);
void wire_free(struct wire_request *m);
int wire_send(int sock, const void *msg, size_t len, int timeout_ms);
int wire_notify(int sock, const char *action, pid_t root);

#endif
