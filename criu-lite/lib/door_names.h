/*
 * door_names - what others than libdoor know of the names in the store of
 * doors, see door_store.c.
 */
#ifndef CL_LIB_DOOR_NAMES_H
#define CL_LIB_DOOR_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The name of a Unix socket: is it that of a server of doors? Its sessions have it, too. */
bool door_name_is_listener(const uint8_t *name, size_t len);

/* In a procedure of a door: the connection of who calls, which stays open; or -1. */
int door_client_socket(void);

#endif
