/*
 * fdpass - descriptors over a Unix socket.
 *
 * fd_put() and fd_get() pass any number of descriptors and nothing else, over
 * a stream, a seqpacket or a datagram socket. Up to 253 go as one message,
 * which is what package fd of Go sends and understands; more go in several.
 * fd_send_msg() and fd_recv_msg() pass one message with a payload.
 *
 * Whatever arrives is close-on-exec. All functions return 0 or -errno, and
 * never raise SIGPIPE. Descriptors that arrived before an error are handed
 * over all the same: they are the caller's to close.
 */
#ifndef CL_LIB_FDPASS_H
#define CL_LIB_FDPASS_H

#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The most descriptors that one message can carry (SCM_MAX_FD of the kernel). */
#define FD_MSG_MAX 253

/**
 * fd_put - send descriptors
 * @sock: a connected Unix socket; if it does not block, this call waits all the same
 * @fds: the descriptors; they stay open
 * @n: how many; none is fine and sends nothing
 *
 * Return: 0; -ENOTSOCK; -EBADF if one of them is not open; -EPIPE or
 * -ECONNRESET if the peer is gone; -EAGAIN when SO_SNDTIMEO has passed;
 * -ETOOMANYREFS if too many are in flight for an unprivileged sender.
 */
int fd_put(int sock, const int *fds, size_t n);

/**
 * fd_get - receive an exact number of descriptors
 * @sock: a connected Unix socket; if it does not block, this call waits all the same
 * @fds: room for @num
 * @num: how many the peer sends with one fd_put(); none is fine and reads nothing
 * @names: labels by position for fd_find(), NULL after the last; or NULL
 * @got: how many of @fds are filled; set whatever is returned
 *
 * Return: 0, *@got is @num then; -ENOTSOCK; -ECONNRESET if the peer is gone;
 * -EBADMSG if it sent fewer; -EMSGSIZE if it sent more, which are closed;
 * -EMFILE if they do not all fit into the table of this process, the rest is
 * lost; -EINVAL if there are more names than descriptors; -EAGAIN when
 * SO_RCVTIMEO has passed.
 */
int fd_get(int sock, int *fds, size_t num, const char *const *names, size_t *got);

/**
 * fd_find - the descriptor that has a label
 * @fds: as filled by fd_get()
 * @n: how many
 * @names: as given to fd_get(), or NULL
 * @name: the label
 *
 * Return: the first descriptor so labelled, or -ENOENT.
 */
int fd_find(const int *fds, size_t n, const char *const *names, const char *name);

/**
 * fd_send_msg - send one message with descriptors
 * @sock: a connected Unix socket
 * @payload: the message; on a stream socket the receiver must know its length
 * @len: its bytes, at least 1
 * @fds: the descriptors; they stay open
 * @n: how many, at most FD_MSG_MAX
 * @flags: MSG_DONTWAIT or 0
 *
 * Return: 0, all of it is sent; -EINVAL for an empty payload or too many
 * descriptors; -EAGAIN; -EMSGSIZE if it is too long for one message; else as
 * fd_put().
 */
int fd_send_msg(int sock, const void *payload, size_t len, const int *fds, size_t n, int flags);

/**
 * fd_recv_msg - receive one message with descriptors
 * @sock: a Unix socket
 * @payload: room for the message
 * @size: its bytes
 * @len: bytes received
 * @fds: room for descriptors
 * @max: how many
 * @n: how many arrived; set whatever is returned
 * @flags: MSG_DONTWAIT or 0
 *
 * Return: 0; -EAGAIN; -ECONNRESET if the peer is gone; -EMSGSIZE if the
 * payload is longer than @size, or for more than @max descriptors, which are
 * closed; -EMFILE as fd_get(); -ENOTSOCK.
 */
int fd_recv_msg(int sock, void *payload, size_t size, size_t *len, int *fds, size_t max, size_t *n,
		int flags);

/* Who sent a message, as the kernel says. */
struct fd_sender {
	pid_t pid; /* 0: unknown, the socket has no SO_PASSCRED or the sender is in no sight */
	uid_t uid;
	gid_t gid;
};

/**
 * fd_recv_msg_from - receive one message, and who sent it
 * @sock: a Unix socket, with SO_PASSCRED set
 * @payload: as fd_recv_msg()
 * @size: as fd_recv_msg()
 * @len: as fd_recv_msg()
 * @fds: as fd_recv_msg()
 * @max: as fd_recv_msg()
 * @n: as fd_recv_msg()
 * @flags: as fd_recv_msg()
 * @from: the sender; its pid is 0 where the kernel said nothing
 *
 * Return: as fd_recv_msg().
 */
int fd_recv_msg_from(int sock, void *payload, size_t size, size_t *len, int *fds, size_t max,
		     size_t *n, int flags, struct fd_sender *from);

/**
 * fd_take - a duplicate of a descriptor that another process has open
 * @pid: the process
 * @fd: its number there
 *
 * The kernel permits it to whoever may trace the process (ptrace(2),
 * PTRACE_MODE_ATTACH_REALCREDS). Both then have the same open file description.
 *
 * Return: a descriptor, close-on-exec; -ESRCH; -EBADF; -EPERM; -EMFILE; -ENOSYS
 * before Linux 5.6.
 */
int fd_take(pid_t pid, int fd);

#ifdef __cplusplus
}
#endif

#endif
