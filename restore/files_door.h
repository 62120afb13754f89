/*
 * files_door - what restore/files_door.c and restore/types/door.c share.
 */
#ifndef CL_RESTORE_FILES_DOOR_H
#define CL_RESTORE_FILES_DOOR_H

#include <stdatomic.h>

#include "lib/door_names.h"
#include "proto/door.pb-c.h"
#include "restore/files.h"

/* What a restore has made of a ticket, for whoever undoes it: shared by all processes. */
struct ticket_made {
	atomic_bool root, dir; /* the store; the directory of tickets */
	atomic_ullong ino;     /* the ticket's inode number; 0: it was there */
	atomic_bool link;
	atomic_uint mounts; /* of its paths, how many have been begun with */
};

enum ticket_state {
	TICKET_THERE,   /* it is still the one that was dumped */
	TICKET_MISSING, /* to be made anew, with its names */
	TICKET_DEAD,    /* its door is no more: to be made without a name */
};

/* A ticket, by its first description. */
struct door_ticket {
	struct door_ticket *next; /* restore_files.tickets */
	struct file_desc *d;      /* whose open() sees to the names */
	struct file_desc *listener;
	const DoorEntry *e;
	struct door_name name;
	enum ticket_state state;
	int fd; /* of one without a name, or -1 */
	struct ticket_made *made;
};

struct door_priv {
	struct door_ticket *t;
	bool given; /* the descriptor */
};

int door_check_ticket(struct door_ticket *t);
int door_check_place(struct door_ticket *t, const char *path);
void door_ticket_path(const struct door_ticket *t, char *path);
int door_put_names(struct door_ticket *t);

#endif
