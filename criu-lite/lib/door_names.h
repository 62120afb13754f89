/*
 * door_names - what the names in the store of doors say, see door_store.c: for
 * libdoor, and for others that have to do with doors.
 */
#ifndef CL_LIB_DOOR_NAMES_H
#define CL_LIB_DOOR_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#define DOOR_ROOT "/run/door" /* the store */
#define DOOR_OWN_ROOT \
	"/dev/shm/door-" /* and the uid: that of a user, where nothing can be mounted */

#define DOOR_PATH_MAX 128 /* of names in the store */
#define DOOR_ROOT_MAX 64
#define DOOR_SERVER_LEN 16 /* digits */

/* A ticket as its link describes it. */
struct door_name {
	char root[DOOR_ROOT_MAX];         /* the store */
	char server[DOOR_SERVER_LEN + 1]; /* what is random in the names of its server */
	uint64_t number;                  /* in the ticket's own name */
	uint64_t id;                      /* of the door */
	uint32_t attributes;
	uint64_t desc_max, data_max, data_min;
};

/* door_names.c */
#define DOOR_ATTRIBUTES_LEN 80
const char *door_attributes(unsigned int attr, char *buf, size_t size);
bool door_name_is_good(const struct door_name *n);
int door_name_read(struct door_name *n, const struct stat *st);
int door_name_write(const struct door_name *n, ino_t ino);
void door_name_ticket(const struct door_name *n, char *path);
void door_name_dir(const struct door_name *n, char *path);
void door_name_listener(const struct door_name *n, char *path);
void door_name_link(const struct door_name *n, ino_t ino, char *path);

/* door_store.c */
int door_name_find(const struct stat *st, struct door_name *n);
int door_store_at(const char *root, bool *made);
bool door_name_is_dead(const struct door_name *n);
bool door_name_is_listener(const uint8_t *name, size_t len);

/* door_cred.c. In a procedure of a door: the connection of who calls, which stays open; or -1. */
int door_client_socket(void);

#endif
