/*
 * client-internal - what the files of the client share. Not installed.
 */
#ifndef CL_LIB_CLIENT_INTERNAL_H
#define CL_LIB_CLIENT_INTERNAL_H

#include "lib/client.h"

#include "proto/rpc.pb-c.h"

enum cl_way { CL_WAY_PROGRAM, CL_WAY_ADDRESS, CL_WAY_FD };

struct cl_request {
	CriuReq req; /* .opts is &opts */
	CriuOpts opts;
	CriuFeatures features;
	enum cl_way way;
	char *where; /* address or program; NULL: the default */
	int fd;
	int (*notify)(void *arg, const char *action, pid_t root, int fd);
	void *arg;
};

/* How a service is reached. */
struct cl_link {
	int sock;
	pid_t pid; /* the program that was started, or 0 */
};

int client_link(const struct cl_request *q, struct cl_link *l);
void client_unlink(const struct cl_request *q, struct cl_link *l);

#endif
