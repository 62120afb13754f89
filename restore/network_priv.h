/* network_priv - what network.c and network_conns.c share. */
#ifndef CL_RESTORE_NETWORK_PRIV_H
#define CL_RESTORE_NETWORK_PRIV_H

#include "kernel/net_undo.h"
#include "restore/network.h"

struct restore_net {
	struct file_desc **conns; /* with a stream: they are made in repair mode */
	int *fds;                 /* the guardian's own descriptors of them */
	size_t n;
	bool locks; /* there is something to hold back, and we are to do so */
	bool frees; /* there may be something held back, of which nothing else may be left */
	struct net_undo journal;
};

void network_open(struct restore_ctx *ctx);

#endif
