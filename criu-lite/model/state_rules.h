/*
 * state_rules - how the fields of messages appear in a snapshot. Only
 * model/state*.c includes this.
 */
#ifndef CL_MODEL_STATE_RULES_H
#define CL_MODEL_STATE_RULES_H

#include "model/state_parts.h"

enum state_act {
	SHOW, /* as it is */
	OMIT,
	NZ,      /* shown unless zero */
	HEX,     /* a mask, an address */
	OCT,     /* a mode */
	EVENTS,  /* of epoll(7); EPOLLERR and EPOLLHUP go without saying */
	OFLAGS,  /* flags of open(2) */
	HASH,    /* repeated numbers by their checksum, unless all are zero */
	CAPS,    /* two words of a capability set */
	SET,     /* repeated, in an order without meaning */
	ADDR,    /* a network address */
	FILE_ID, /* id of another file */
	SELF,    /* number of the kernel object, shown as its place */
	SILENT,  /* the same, not shown */
	PEER,    /* number of another kernel object */
	LEFT,    /* what is left of a timer, in seconds */
	EXTRA,   /* not in all images */
};

struct state_rule {
	const char *msg, *field; /* NULL: any */
	enum state_act act;
	enum state_space space;
};

const struct state_rule *state_rule(const ProtobufCMessageDescriptor *md,
				    const ProtobufCFieldDescriptor *f);

#endif
