/* files_qread - the messages that wait in a Unix socket, looked at. */
#ifndef CL_DUMP_FILES_QREAD_H
#define CL_DUMP_FILES_QREAD_H

#include "dump/files.h"
#include "proto/sk-packet.pb-c.h"
#include "proto/sk-unix.pb-c.h"

/* A message that was read; it owns its descriptors until they are told apart. */
struct queue_msg {
	struct queue_msg *next;
	size_t at, len; /* in the buffer */
	int *fds;
	size_t nr_fds;
	SkCredEntry *cred;
	ProtobufCBinaryData addr;
};

/* What waits in one socket. */
struct queue {
	struct dump_ctx *ctx;
	const struct fd_info *fi;
	int type;
	size_t total; /* bytes, of a stream */
	bool may_end; /* a packet without a byte may be the end; that has no credentials */
	char *buf;
	size_t len, room;
	struct queue_msg *first, **last;
};

int queue_read(struct queue *q);
int queue_read_plain(struct queue *q, size_t len);
void queue_close(struct queue *q);

/* files_unseen.c */
int queue_check_unseen(const struct queue *q, const UnixSkEntry *e);

#endif
