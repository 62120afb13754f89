/*
 * net_undo - what a run does to sockets and to the packet filter of a host, and
 * how it is taken back: by the run, by its guardian, or from a journal by
 * whoever comes later.
 */
#ifndef CL_KERNEL_NET_UNDO_H
#define CL_KERNEL_NET_UNDO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kernel/nftlock.h"

#define NET_UNDO_DIR "/run/criu-lite"

/* A socket that is in repair mode for a while, and what it was before. */
struct net_undo_sock {
	int fd; /* our own */
	uint32_t ino;
	pid_t pid; /* who has it, under which number */
	int num;
	bool reuse;   /* SO_REUSEADDR, which the end of repair mode clears */
	int peek_off; /* SO_PEEK_OFF; -1 is none */
};

/* A run. */
struct net_undo {
	char table[NFTLOCK_NAME_MAX];
	struct net_undo_sock **socks;
	size_t nr_socks;
	pid_t *tasks; /* of the tree: while one of them lives its connections are let go */
	size_t nr_tasks;
	int images_fd; /* the table stays for a complete image there; -1: never */
	pid_t guardian;
	bool written;
};

/* What was found in journals and taken back. */
struct net_undo_found {
	unsigned runs, tables, sockets;
};

void net_undo_remember(struct net_undo_sock *s);
void net_undo_no_peek(const struct net_undo_sock *s);
int net_undo_release(const struct net_undo_sock *s);
int net_undo_write(struct net_undo *u);
void net_undo_remove(struct net_undo *u);
int net_undo_all(struct net_undo_found *found);

#endif
