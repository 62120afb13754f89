/*
 * door_errand - what fattach() and fdetach() ask of the service where they may
 * not mount: a call of the door at DOOR_ATTACHER, with descriptors. The answer
 * is an errno, or 0. Whoever makes it his own needs to be root, whose store it
 * is in.
 */
#ifndef CL_LIB_DOOR_ERRAND_H
#define CL_LIB_DOOR_ERRAND_H

#include <stdint.h>

#include "lib/door_names.h"

#define DOOR_ATTACHER DOOR_ROOT "/attach"
#define DOOR_ERRAND_MAGIC 0x65646c63u /* "clde" */

enum door_errand_op {
	DOOR_ERRAND_MOUNT = 1, /* descriptors, O_PATH: ticket, file */
	DOOR_ERRAND_UNMOUNT,   /* descriptor, O_PATH: the ticket, by the path it is on */
};

struct door_errand {
	uint32_t magic;
	uint32_t op;
};

#endif
