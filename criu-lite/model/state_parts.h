/*
 * state_parts - what the files of the snapshot share. Only model/state*.c
 * includes this.
 */
#ifndef CL_MODEL_STATE_PARTS_H
#define CL_MODEL_STATE_PARTS_H

#include <json-c/json.h>
#include <protobuf-c/protobuf-c.h>

#include "model/file_desc.h"
#include "model/pstree.h"
#include "model/state.h"

/* Kernel objects behind descriptions, whose own numbers mean nothing elsewhere. */
enum state_space { SPACE_PIPE, SPACE_FIFO, SPACE_UNIX, SPACE_MEMFD, SPACE_TTY, STATE_SPACES };

/* Where something is met first: the lowest pid, then the lowest descriptor, then address. */
struct state_place {
	pid_t pid;
	int fd; /* -1: mapped only */
	uint64_t addr;
};

/* One snapshot being made. */
struct state_ctx {
	struct pstree *t;
	struct arena *a;                    /* goes with it */
	struct idmap tables;                /* struct filedesc -> struct state_place, the task */
	struct idmap fs, sighand;           /* kobj ids -> struct state_place, the task */
	struct idmap descs;                 /* file id -> struct state_place */
	struct idmap objects[STATE_SPACES]; /* kernel object -> struct state_place */
	struct idmap shmems;                /* shmid -> struct state_place */
};

/* state_value.c: values in the form that people read. */
struct json_object *state_str(const char *s);
struct json_object *state_bytes(const void *p, size_t len);
struct json_object *state_fmt(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
struct json_object *state_hex(uint64_t v);
struct json_object *state_u64(uint64_t v);
struct json_object *state_open_flags(uint32_t flags);
struct json_object *state_checksum(const void *p, size_t len);
const char *state_signal(int signo, char buf[static 16]);
void state_put(struct json_object *o, const char *key, struct json_object *v);
void state_sort(struct json_object *array);

/* state_msg.c: any message of the images. NULL: nothing to say. */
struct json_object *state_msg(struct state_ctx *s, const ProtobufCMessage *m);
/* Only what images of other tools lack. */
struct json_object *state_msg_extra(struct state_ctx *s, const ProtobufCMessage *m);
/* The kernel object that a description is, or false. */
bool state_msg_object(const ProtobufCMessage *m, enum state_space *space, uint64_t *id);

/* state_files.c */
void state_files_index(struct state_ctx *s);
const char *state_file_name(struct state_ctx *s, const struct file_desc *d);
struct json_object *state_place_name(const struct state_place *p);
struct json_object *state_fds(struct state_ctx *s, const struct filedesc *fdt, pid_t id);
struct json_object *state_pipes(struct state_ctx *s);
pid_t state_table_first(const struct state_ctx *s, const struct filedesc *fdt);
void state_note(struct state_ctx *s, struct idmap *map, uint64_t key, struct state_place at);

/* state_locks.c */
struct json_object *state_locks(struct state_ctx *s);

/* state_mem.c */
void state_mem_index(struct state_ctx *s);
struct json_object *state_vmas(struct state_ctx *s, const struct pstree_item *it);
struct json_object *state_shmems(struct state_ctx *s);
struct json_object *state_memfds(struct state_ctx *s);

/* state_task.c */
struct json_object *state_task(struct state_ctx *s, const struct pstree_item *it);
struct json_object *state_signals(const SignalQueueEntry *q);
/* state_thread.c */
struct json_object *state_threads(struct state_ctx *s, const struct pstree_item *it);

#endif
