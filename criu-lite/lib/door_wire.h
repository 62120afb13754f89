/*
 * door_wire - what client and server of a door have between them.
 *
 * A session is a SEQPACKET connection and a memfd that both have mapped. The
 * client opens it by proving that it has the door: its first message carries
 * its descriptor, which the server compares with the tickets it made. From
 * then on arguments and results lie in the memfd, which is sealed against
 * shrinking; calls and answers are announced by two words there; descriptors,
 * and the end of either side, come by the socket. A session carries one call
 * at a time.
 *
 * Whatever is read from the other side is copied first and checked then.
 */
#ifndef CL_LIB_DOOR_WIRE_H
#define CL_LIB_DOOR_WIRE_H

#include <stdatomic.h>
#include <stdint.h>

#define DOOR_WIRE_MAGIC 0x72646c63u /* "cldr" */
#define DOOR_WIRE_VERSION 1

/* The first message, with the caller's descriptor of the door. */
enum door_op {
	DOOR_OP_SESSION = 1, /* and the memfd */
	DOOR_OP_INFO,
	DOOR_OP_GETPARAM, /* arg: which */
	DOOR_OP_ATTACH,   /* mode, uid, gid of the path: a ticket for it comes back */
	DOOR_OP_DETACHED, /* the ticket is on its path no more */
};

struct door_hello {
	uint32_t magic;
	uint16_t version;
	uint16_t op;
	uint32_t arg;
	uint32_t mode, uid, gid;
};

struct door_welcome {
	uint32_t magic;
	int32_t err; /* positive errno, or 0 */
	uint32_t attributes;
	int32_t pid;
	uint64_t id, proc, data, param;
};

/* Messages within a session. */
enum door_note_type {
	DOOR_NOTE_RING = 1, /* look at the words */
	DOOR_NOTE_FDS,      /* descriptors of the call or answer that is announced next */
};

struct door_note {
	uint32_t type;
};

/* door_arena.call */
enum door_call_state {
	CALL_NONE,   /* no thread listens: ring by the socket */
	CALL_PARKED, /* a thread looks at this word */
	CALL_ASLEEP, /* a thread waits for this word */
	CALL_KICK,   /* it shall leave this word */
	CALL_POSTED, /* there is a call */
	CALL_TAKEN,  /* a thread has it */
	CALL_CLOSED, /* there will be no more: begin a new session */
};

/* door_arena.ret */
enum door_ret_state {
	RET_NONE,
	RET_LOOKING, /* the client looks at this word */
	RET_ASLEEP,  /* the client waits for this word */
	RET_SOCKET,  /* the client waits for the socket */
	RET_DONE,    /* there is an answer */
};

#define DOOR_ARENA_DATA 4096 /* where arguments and results lie */

/*
 * The first page of the memfd. What belongs to a word is on its line, which has
 * to travel between the processors anyhow.
 */
struct door_arena {
	_Alignas(64) _Atomic uint32_t call;
	uint32_t arg_descs; /* by the client */
	uint64_t arg_size;
	_Alignas(64) _Atomic uint32_t ret;
	uint32_t res_descs; /* by the server */
	uint64_t res_size;
	int32_t res_err;
	/* Written only when they change. */
	_Alignas(64) _Atomic uint32_t client_cpu;
	_Atomic uint32_t server_cpu;
	_Atomic uint32_t turns; /* by the client: it yields to the server, which shall do so too */
};

_Static_assert(sizeof(struct door_arena) <= DOOR_ARENA_DATA, "the header has one page");

#endif
