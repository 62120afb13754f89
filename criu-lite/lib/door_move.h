/*
 * door_move - a server with one door is followed by another process. The new
 * one has got the listener, by which it finds everything else in the store:
 *
 *	old				new
 *	door_move_listener()
 *	... the listener passes ...
 *					door_move_take()
 *	door_move_leave(), exit()
 *
 * The door is the same for its clients: descriptors, number, parameters, paths.
 * A call goes to either while both serve; one that comes while neither does
 * waits in the listener. The old one finishes the calls that it has.
 */
#ifndef CL_LIB_DOOR_MOVE_H
#define CL_LIB_DOOR_MOVE_H

#include "lib/door.h"

int door_move_listener(void);
int door_move_take(int listener, door_server_procedure_t *proc, void *cookie);
void door_move_leave(void);

#endif
