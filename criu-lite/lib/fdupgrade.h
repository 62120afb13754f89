/*
 * fdupgrade - a running program hands its descriptors to its successor.
 *
 * The one that gives (the server itself, or a tool on its behalf):
 *
 *	struct fd_upgrade u;
 *	const char *argv[] = { "/usr/sbin/server", "--serve", NULL };
 *	struct fd_item items[] = { { .fd = listener, .name = "http" } };
 *	struct fd_upgrade_opts o = {
 *		.argv = argv, .items = items, .n = 1,
 *		.state = state, .len = len, .timeout_ms = 10000,
 *	};
 *
 *	if (fd_upgrade_start(&u, &o) < 0) {
 *		log("not upgraded: %s", u.why);     // nothing has changed
 *	} else {
 *		stop_accepting();                   // the successor has said OK and waits
 *		if (fd_upgrade_commit(&u) < 0)
 *			go_on_accepting();          // it died in between: u.why
 *		else
 *			finish_what_is_in_flight_and_exit();
 *	}
 *
 * The successor, before it does anything that can be seen from outside:
 *
 *	struct fd_offer in;
 *	int ret = fd_offer_take(&in);
 *
 *	if (ret == -ENOENT)
 *		open_everything_anew();             // an ordinary start
 *	else if (ret < 0 || !(good = check(in.items, in.n, in.state, in.len)))
 *		fd_offer_refuse(&in, "state of version 7"), exit(1);
 *	else if (fd_offer_accept(&in) < 0)
 *		exit(1);                            // the old one serves on
 *	else
 *		serve();
 *
 * Nothing of the old program changes before fd_upgrade_start() has returned 0.
 * Until then a successor that crashes, hangs or refuses is killed, its session
 * with it, and gone when the call returns. A successor that is to be replaced
 * itself later calls fd_upgrade_start() in its turn.
 *
 * Programs that know nothing of this take their descriptors as LISTEN_FDS or
 * by numbers in a variable (enum fd_hand), and say that they are ready by
 * sd_notify or are asked (enum fd_ready).
 */
#ifndef CL_LIB_FDUPGRADE_H
#define CL_LIB_FDUPGRADE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct fd_item; /* fdframe.h */

/* How the successor gets its descriptors. */
enum fd_hand {
	FD_HAND_OFFER,  /* by fd_offer_take(), with the state */
	FD_HAND_LISTEN, /* LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES; from number 3 on */
	FD_HAND_ENV,    /* numbers in a variable of fd_upgrade_opts.env_name */
};

/* How it says that it is ready. */
enum fd_ready {
	FD_READY_OFFER,  /* by fd_offer_accept(); takes FD_HAND_OFFER */
	FD_READY_NOTIFY, /* READY=1, as sd_notify(3) */
	FD_READY_ASK,    /* fd_upgrade_opts.ask() says so */
};

struct fd_upgrade_opts {
	const char *const *argv;     /* NULL after the last; argv[0] is looked for in PATH */
	const struct fd_item *items; /* stay open here; named for OFFER and LISTEN */
	size_t n;
	enum fd_hand hand;
	enum fd_ready ready;
	unsigned timeout_ms; /* for all until OK; 0 is 10000 */

	/* FD_HAND_OFFER */
	const void *state;
	size_t len;

	/*
	 * FD_HAND_ENV. The pattern is written once for each descriptor, %d in it is
	 * its number: "%d;" gives "6;7;". Numbers are at[i], or from 3 on if it is NULL.
	 */
	const char *env_name, *env_pattern;
	const int *at;

	/* FD_READY_ASK: 1 it is ready, 0 ask again soon, -errno give up. */
	int (*ask)(void *arg, pid_t successor);
	/* Not NULL: called once the successor is a process, before it executes anything. */
	void (*started)(void *arg, pid_t successor);
	void *arg;

	/*
	 * Whom the successor replaces; 0: the caller. If the caller dies between
	 * the successor's OK and fd_upgrade_commit(), the successor goes on only
	 * if this process has died, too.
	 */
	pid_t old;
};

struct fd_upgrade {
	pid_t pid;     /* the successor, a child of the caller and leader of a session */
	int pidfd;     /* readable when it has ended; -1 after commit or cancel */
	int sock;      /* the library's own */
	char why[256]; /* after an error: one line that says what was wrong */
};

/**
 * fd_upgrade_start - start a successor and wait until it says that it is ready
 * @u: filled; nothing is left in it to be given back after an error, but u->why
 * @o: what to do
 *
 * Blocks until the answer or the deadline; a program that has to go on
 * meanwhile calls it in a thread of its own. Forks; nothing is done in the
 * child that a program with threads may not do. The successor begins with
 * all signal actions at their default, none blocked, in a session of its own,
 * and has of all descriptors 0 to 2 and those in @o.
 *
 * Return: 0, and fd_upgrade_commit() or fd_upgrade_cancel() is to be called;
 * -ECONNREFUSED if it refused; -ECHILD if it ended before it was ready;
 * -ETIMEDOUT; -ENOENT, -EACCES and other errors of execve(2); -EINVAL for
 * options that make no sense; what the calls under it return.
 */
int fd_upgrade_start(struct fd_upgrade *u, const struct fd_upgrade_opts *o);

/**
 * fd_upgrade_commit - the successor may begin to serve
 * @u: the upgrade
 *
 * From here on the caller should take nothing new. The successor stays its
 * child: it ends before it, or waits for u->pid.
 *
 * Return: 0; -ECHILD if the successor has died since, which is as good as
 * fd_upgrade_cancel(): the caller goes on as before.
 */
int fd_upgrade_commit(struct fd_upgrade *u);

/**
 * fd_upgrade_cancel - the successor is told no, killed, and waited for
 * @u: the upgrade, not committed
 */
void fd_upgrade_cancel(struct fd_upgrade *u);

/* In the successor: what it is offered. */
struct fd_offer {
	struct fd_item *items; /* close-on-exec; those taken out have fd set to -1 */
	size_t n;
	const void *state; /* a zero byte follows it */
	size_t len;
	unsigned timeout_ms; /* as the giver has it */
	pid_t old;           /* who is replaced, as seen from here; 0 if it has ended */

	/* The library's own. */
	void *payload;
	int sock, old_pidfd;
};

/**
 * fd_offer_take - receive what this program was started with
 * @in: filled; nothing is left in it after an error, but what
 * fd_offer_refuse() needs
 *
 * Kinds and number of the descriptors have been checked when it returns 0.
 * Removes its variable from the environment.
 *
 * Return: 0, and fd_offer_accept() or fd_offer_refuse() is to be called;
 * -ENOENT if this program was not started by an upgrade; as fd_frame_recv().
 */
int fd_offer_take(struct fd_offer *in);

/**
 * fd_offer_accept - say OK, and wait until the old program lets go
 * @in: the offer
 *
 * Return: 0: serve; descriptors and state stay until fd_offer_free().
 * -ECANCELED if the giver has changed its mind, or was killed while the old
 * program lives on; -ETIMEDOUT if it says nothing. After an error the
 * descriptors are closed.
 */
int fd_offer_accept(struct fd_offer *in);

/**
 * fd_offer_refuse - say no and why; the old program serves on
 * @in: the offer, also after an error of fd_offer_take()
 * @why: one line
 *
 * Closes the descriptors and gives the offer back.
 */
void fd_offer_refuse(struct fd_offer *in, const char *why);

/**
 * fd_offer_free - give the offer back
 * @in: the offer
 *
 * Closes every descriptor whose fd is not -1.
 */
void fd_offer_free(struct fd_offer *in);

#ifdef __cplusplus
}
#endif

#endif
