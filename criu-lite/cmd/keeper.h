/*
 * keeper - a process that ends the new program of an upgrade if this program
 * is killed before it has decided.
 */
#ifndef CL_CMD_KEEPER_H
#define CL_CMD_KEEPER_H

#include <stdatomic.h>
#include <sys/types.h>

struct keeper {
	pid_t pid;
	int pipe;
};

int keeper_begin(struct keeper *k, const atomic_bool *stays);
void keeper_tell(struct keeper *k, pid_t successor);
void keeper_end(struct keeper *k);

#endif
