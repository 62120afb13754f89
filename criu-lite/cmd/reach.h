/*
 * reach - whether a connection to an address is taken by a certain program.
 */
#ifndef CL_CMD_REACH_H
#define CL_CMD_REACH_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Connections that are under way at a time. */
#define REACH_MAX 8

struct reach {
	struct sockaddr_storage to;
	socklen_t len;
	int fds[REACH_MAX]; /* -1: none */
};

int reach_begin(struct reach *r, const char *address);
bool reach_look(struct reach *r, pid_t session);
void reach_end(struct reach *r);

#endif
