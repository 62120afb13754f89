/*
 * fdframe - descriptors with names and kinds, and a payload, as one frame over
 * a connected Unix socket of any type.
 *
 * A frame arrives whole or not at all: the number of descriptors, their kinds
 * and the length of the payload are checked by the receiver, and on any error
 * whatever has arrived of it is closed. What arrives is close-on-exec. All
 * functions return 0 or -errno unless they say otherwise, and never raise
 * SIGPIPE.
 */
#ifndef CL_LIB_FDFRAME_H
#define CL_LIB_FDFRAME_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Longest name of a descriptor; the same as systemd's FDNAME. */
#define FD_NAME_MAX 255

/* What a descriptor is. */
enum fd_kind {
	FD_KIND_OTHER,
	FD_KIND_FILE,     /* regular file */
	FD_KIND_DIR,      /* directory */
	FD_KIND_DEVICE,   /* character or block device, terminals included */
	FD_KIND_PIPE,     /* pipe or FIFO */
	FD_KIND_LISTENER, /* socket that listens */
	FD_KIND_STREAM,   /* stream or seqpacket socket that does not listen */
	FD_KIND_DATAGRAM, /* any other socket */
	FD_KIND_ANON,     /* event descriptor: eventfd, epoll, timerfd, pidfd and the like */
	FD_KINDS
};

/* A descriptor with its name. */
struct fd_item {
	int fd;
	enum fd_kind kind;
	char name[FD_NAME_MAX + 1];
};

/* A frame; also what fd_frame_recv() fills. */
struct fd_frame {
	struct fd_item *items;
	size_t n;
	void *payload; /* when received, a zero byte follows it */
	size_t len;
};

/**
 * fd_kind_of - what a descriptor is
 * @fd: the descriptor
 *
 * Return: its kind, or -EBADF.
 */
int fd_kind_of(int fd);

/**
 * fd_kind_name - the word for a kind
 * @kind: one of enum fd_kind
 *
 * Return: "listener" for FD_KIND_LISTENER, and so on; "other" for what is not one.
 */
const char *fd_kind_name(int kind);

/**
 * fd_name_ok - whether a name can be used
 * @name: the name
 *
 * As systemd has it: 1 to FD_NAME_MAX printable ASCII characters, no colon.
 *
 * Return: 1 or 0.
 */
int fd_name_ok(const char *name);

/**
 * fd_item_find - a descriptor by its name
 * @items: the descriptors
 * @n: how many
 * @name: the name
 *
 * Return: the first one of that name, or NULL.
 */
const struct fd_item *fd_item_find(const struct fd_item *items, size_t n, const char *name);

/**
 * fd_frame_send - send a frame
 * @sock: a connected Unix socket, blocking or not
 * @f: the frame; its descriptors stay open. The kinds in it are not read: each
 * descriptor is looked at. A name may be empty.
 * @timeout_ms: time limit in milliseconds, -1 for none
 *
 * Return: 0; -EINVAL for a name that is not fd_name_ok(); -EBADF if a
 * descriptor is not open; -ETIMEDOUT; -EPIPE or -ECONNRESET if the peer is
 * gone; -ETOOMANYREFS if too many are in flight for an unprivileged sender,
 * and the peer does not take any for some seconds; -ENOTSOCK; -ENOMEM. After
 * any error but the first two the socket is of no use for frames any more.
 */
int fd_frame_send(int sock, const struct fd_frame *f, int timeout_ms);

/**
 * fd_frame_recv - receive a frame
 * @sock: a connected Unix socket, blocking or not
 * @f: filled; on error it is empty, and nothing is left open
 * @max_fds: more descriptors are refused
 * @max_len: a longer payload is refused, bytes
 * @timeout_ms: time limit in milliseconds, -1 for none
 *
 * Return: 0, and fd_frame_free() is to be called; -ECONNRESET if the peer is
 * gone; -EBADMSG for what is no frame, has other descriptors or kinds than it
 * says; -EMSGSIZE for more than @max_fds or @max_len; -EMFILE if the table of
 * this process is full; -ETIMEDOUT; -ENOTSOCK; -ENOMEM. After any error the
 * socket is of no use for frames any more.
 */
int fd_frame_recv(int sock, struct fd_frame *f, size_t max_fds, size_t max_len, int timeout_ms);

/**
 * fd_frame_free - give back a received frame
 * @f: the frame; empty afterwards
 *
 * Closes every descriptor whose fd is not -1: whoever takes one out sets that.
 */
void fd_frame_free(struct fd_frame *f);

#ifdef __cplusplus
}
#endif

#endif
