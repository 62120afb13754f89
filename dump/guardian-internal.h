/*
 * guardian-internal - what the guardian is told: messages, each before the
 * change that it is about, with the descriptors that belong to it.
 */
#ifndef CL_DUMP_GUARDIAN_INTERNAL_H
#define CL_DUMP_GUARDIAN_INTERNAL_H

#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "kernel/net_undo.h"
#include "kernel/nftlock.h"
#include "lib/fdpass.h"

enum note_kind {
	NOTE_BEGIN,    /* the image directory comes along */
	NOTE_CALLS,    /* remote calls begin in a task */
	NOTE_CALLED,   /* they have ended */
	NOTE_NAME,     /* a file is about to get a name */
	NOTE_HELD,     /* an option of a socket is about to be changed */
	NOTE_FREED,    /* it has its value again */
	NOTE_SOCKETS,  /* these are about to be in repair mode */
	NOTE_TABLE,    /* this one is about to be made */
	NOTE_RELEASED, /* sockets and table are as they were */
	NOTE_IMAGE,    /* the inventory of a tree that is to end is about to be written */
	NOTE_TASKS,    /* pidfds of the tree */
	NOTE_KILL,     /* these are to end, whatever happens */
};

/* A file with a name for a restore. */
struct name {
	dev_t dev;
	ino_t ino;
	char path[PATH_MAX];
};

/* An option of a socket, and the value that it had. */
struct held {
	uint32_t ticket;
	int fd;
	int level, option, value;
};

struct note {
	enum note_kind kind;
	union {
		pid_t pid;
		uint32_t ticket;
		struct held held;
		struct name name;
		struct net_undo_sock socks[FD_MSG_MAX];
		char table[NFTLOCK_NAME_MAX];
	};
};

#define NOTE_SIZE(field) (offsetof(struct note, field) + sizeof(((struct note *)NULL)->field))

_Noreturn void guardian_main(int sock, int calls);

#endif
