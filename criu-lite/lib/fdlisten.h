/*
 * fdlisten - descriptors that a program is started with, as systemd does it:
 * from number 3 on, told by LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES; and the
 * store of a service manager, told by NOTIFY_SOCKET. Both sides of each.
 */
#ifndef CL_LIB_FDLISTEN_H
#define CL_LIB_FDLISTEN_H

#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct fd_item; /* fdframe.h */

/* The first number of LISTEN_FDS. */
#define FD_LISTEN_START 3

/* One descriptor on its way to a number. */
struct fd_place {
	int fd, to;
};

/**
 * fd_place - put descriptors at their numbers
 * @p: from and to; used up. A number may be where another one comes from; no
 * two have the same @to.
 * @n: how many
 *
 * They stay open over execve(2); what was open at a number before is closed.
 * Safe after fork() in a program with threads.
 *
 * Return: 0; -EBADF; -EMFILE, for the table must have room for the ones placed
 * once more above all numbers. After an error the table is in between.
 */
int fd_place(struct fd_place *p, size_t n);

/**
 * fd_listen_take - the descriptors that this program was started with
 * @items: gets them, to be freed with free(); NULL if there are none
 * @n: how many
 * @forget: remove the variables from the environment, so that children do not
 * take them for theirs. Not to be done while other threads read it.
 *
 * They are made close-on-exec. Names that are missing are "unknown".
 *
 * Return: 0, also if there are none; -EINVAL for variables that make no sense;
 * -EBADF if one of the descriptors is not open; -ENOMEM.
 */
int fd_listen_take(struct fd_item **items, size_t *n, int forget);

/**
 * fd_listen_give - hand descriptors to the program that is executed next
 * @items: the descriptors; those without a name become "unknown"
 * @n: how many
 *
 * For a process that is about to call execve(2): moves them to 3 and up, and
 * sets the variables.
 *
 * Return: 0; as fd_place(); -EINVAL for a name; -ENOMEM.
 */
int fd_listen_give(const struct fd_item *items, size_t n);

/**
 * fd_listen_names - the value of LISTEN_FDNAMES
 * @items: the descriptors
 * @n: how many
 *
 * Return: a string to be freed with free(), or NULL: memory is short or a name
 * is not fd_name_ok().
 */
char *fd_listen_names(const struct fd_item *items, size_t n);

/**
 * fd_notify - tell the service manager something, as sd_notify(3)
 * @state: lines such as "READY=1", a newline between them
 * @fds: descriptors that go along, or NULL
 * @n: how many, at most FD_MSG_MAX
 *
 * Return: 0; -ENOENT without a NOTIFY_SOCKET; -EINVAL if that names none; or
 * -errno of socket(2) and sendmsg(2).
 */
int fd_notify(const char *state, const int *fds, size_t n);

/**
 * fd_store_put - leave descriptors with the service manager
 * @items: the descriptors
 * @n: how many; each goes in a message of its own, by its name
 *
 * After a restart of the service they come back by fd_listen_take().
 *
 * Return: as fd_notify(); -EINVAL for a name.
 */
int fd_store_put(const struct fd_item *items, size_t n);

/**
 * fd_store_remove - the service manager may close what has this name
 * @name: the name
 *
 * Return: as fd_notify(); -EINVAL for a name.
 */
int fd_store_remove(const char *name);

/* What a program has told its service manager in one message. */
struct fd_notice {
	pid_t pid; /* who sent it, as the kernel says */
	uid_t uid;
	gid_t gid;
	int ready, stopping, reloading; /* READY=1 and so on */
	int store, remove;              /* FDSTORE=1, FDSTOREREMOVE=1 */
	int barrier;      /* BARRIER=1: the sender waits until its descriptor is closed */
	pid_t main_pid;   /* MAINPID=, or 0 */
	int error;        /* ERRNO=, or 0 */
	char name[256];   /* FDNAME=, or "" */
	char status[256]; /* STATUS=, shortened, or "" */
	int fds[253];
	size_t n;
};

/**
 * fd_notify_open - be a service manager
 * @address: the value for NOTIFY_SOCKET: a path, or @ and a name; NULL for one
 * that the kernel chooses
 * @chosen: gets the address, or NULL
 * @size: its room in bytes, at least 110
 *
 * Return: a socket, close-on-exec and not blocking, for poll(2) and
 * fd_notify_take(); or -errno: -EADDRINUSE, -EINVAL for the address.
 */
int fd_notify_open(const char *address, char *chosen, size_t size);

/**
 * fd_notify_take - read one message
 * @sock: from fd_notify_open()
 * @out: filled; its descriptors, out->n of them, are the caller's to close,
 * whatever is returned
 *
 * Return: 0; -EAGAIN if there is none; -EBADMSG for one that came without
 * credentials; as fd_recv_msg().
 */
int fd_notify_take(int sock, struct fd_notice *out);

#ifdef __cplusplus
}
#endif

#endif
