/*
 * door_priv - what the files of libdoor share.
 *
 * The process has two halves. As a server: doors with their tickets, sessions,
 * pools of threads, and one thread of the library (door_watch.c) that lets
 * sessions in and sees clients go. As a client: connections that are kept
 * between calls (door_conn.c). A forked child has neither.
 *
 * Functions that begin with door_ and are not in door.h return 0 or -errno.
 * Locks are taken in this order: door_server.lock, door_pool.lock;
 * door_conn.c has one of its own, and nothing else is taken under it.
 */
#ifndef CL_LIB_DOOR_PRIV_H
#define CL_LIB_DOOR_PRIV_H

#include <pthread.h>
#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "lib/door.h"
#include "lib/door_names.h"
#include "lib/door_wire.h"

#define DOOR_DESCS_MAX 1024          /* of one call, as Solaris has it */
#define DOOR_ATTEMPTS 16             /* connections that end before the server has done anything */
#define DOOR_DATA_LIMIT (1ull << 30) /* of one call */
#define DOOR_ASK_LIMIT 2000 /* milliseconds, where a server need not be believed to answer */

/* door_store.c: the directory of tickets and listeners. */
struct door_store {
	char root[DOOR_ROOT_MAX];
	bool mounted; /* a file system of its own: every file in it is a ticket */
};

struct door_ticket {
	struct list_head list; /* door.tickets; the first is the door's own */
	uint64_t number;       /* in its name */
	dev_t dev;             /* as of the last door_ticket_look() */
	ino_t ino;
	int handle; /* O_PATH: is no reference */
	int probe;  /* open for the lease when the server has no descriptor of its own; or -1 */
	int watch;  /* inotify; or -1 */
};

/* Threads that wait for calls. */
struct door_pool {
	pthread_mutex_t lock;
	int epfd;
	int stop;             /* eventfd: there are no more calls */
	unsigned int threads; /* that belong to it */
	unsigned int idle;    /* threads that wait */
	unsigned int waiters; /* of them, for epfd; the others are parked */
	struct list_head parked;
};

struct door {
	struct list_head list; /* door_server.doors */
	struct list_head tickets;
	unsigned int refs;
	uint64_t id;
	int fd;           /* as door_create() returned it */
	door_info_t info; /* for whoever makes threads, who may keep the pointer */
	door_server_procedure_t *proc;
	void *cookie;
	unsigned int attributes;
	size_t desc_max, data_max, data_min;
	struct door_pool *pool;
	struct door_pool own_pool; /* of DOOR_PRIVATE */
	unsigned int active;       /* calls */
	bool revoked;
	bool unref_told;        /* DOOR_UNREF: never again */
	bool had_fd;            /* the server had a descriptor when references were counted */
	bool unref_look;        /* something was closed since references were counted */
	unsigned int unref_try; /* looks since then */
	door_xcreate_server_func_t *xcreate;
	door_xcreate_thrsetup_func_t *xsetup;
	void *xcookie;
};

/* The server's end of a session. */
struct door_session {
	struct list_head list; /* door_server.sessions */
	uint64_t id;
	int sock;
	int memfd;
	char *map;
	size_t map_size;
	struct door *door;
	struct door_thread *thread; /* that has a call of it */
	_Atomic bool gone;          /* the client is */
	bool full;                  /* the table was, when descriptors came */
	unsigned int nr_fds;        /* that came with the call to be */
	int *fds;
};

struct door_thread {
	struct list_head parked; /* door_pool.parked */
	pthread_t id;
	sigjmp_buf base; /* where door_return() goes */
	bool serving;    /* base is set */
	bool own;        /* made by this library */
	bool cancelled;  /* a cancellation may be pending */
	bool orphan;     /* bound before a fork */
	bool leave;      /* of a door_xcreate() that failed */
	struct door *bound;
	struct door_pool *pool; /* whose thread it is while it serves */
	struct door_session *session;
	bool taken;   /* session has a call */
	bool waiting; /* in the pool */
	bool is_parked;
	int cancel_state; /* of the program, while the library's is off */
	char *buf;        /* arguments */
	size_t buf_size;
	door_desc_t *descs;
	unsigned int nr_descs;
};

struct door_server {
	pthread_mutex_t lock;
	pid_t pid; /* 0: nothing is set up */
	struct door_store store;
	char random[DOOR_SERVER_LEN + 1]; /* in its names there */
	int listener;
	int epfd;    /* of the watching thread */
	int wake;    /* eventfd */
	int inotify; /* or -1 */
	bool first_made;
	_Atomic bool leaving; /* another process serves the doors from here on */
	struct list_head doors;
	struct list_head sessions;
	struct door_pool pool;
	uint64_t last_session;
	pid_t watcher; /* the watching thread */
	door_server_func_t *create;
};

extern struct door_server door_server;

/* door_store.c */
int door_store_make(struct door_store *s);
int door_store_of(const struct stat *st, struct door_store *s);
int door_store_listen(struct door_server *s);
int door_store_adopt(struct door_server *s, int listener);
int door_store_tickets(const struct door_server *s,
		       int (*each)(void *arg, int dir, const char *name), void *arg);
int door_store_ticket(const struct door_server *s, const struct door *d, struct door_ticket *t,
		      const struct stat *st);
void door_store_note(const struct door_server *s, struct door *d);
void door_store_drop(const struct door_server *s, struct door_ticket *t);
bool door_ticket_look(struct door_ticket *t);
int door_reopen(int fd, int flags);

/* door_server.c */
int door_set_errno(int ret);
int door_up(void);
int door_server_up(struct door_server *s, int listener);
struct door *door_find(int fd);
struct door *door_find_inode(dev_t dev, ino_t ino);
void door_get(struct door *d);
void door_put(struct door *d);
void door_free(struct door *d);

/* door.c */
int door_alloc(const struct door *like, struct door **out);
int door_new(const struct door *like, struct door **out);
int door_open_up(struct door *d);
void door_release(struct door *d);

/* door_xcreate.c */
void door_deplete(struct door_thread *t, struct door *d);

/* door_info.c */
void door_fill_info(const struct door *d, door_info_t *info);
int door_info_of(int fd, door_info_t *info, int limit);

/* door_param.c */
int door_param_of(const struct door *d, int param, size_t *out);

/* door_range.c */
int door_copy(void *to, const void *from, size_t len);
int door_check_range(const void *p, size_t len);
int door_check_read(const void *p, size_t len);

/* door_pool.c */
int door_pool_init(struct door_pool *p);
void door_pool_stop(struct door_pool *p);
void door_pool_kick(struct door_pool *p);
void door_pool_free(struct door_pool *p);
void door_pool_enter(struct door_thread *t, bool may_park);
bool door_pool_leave(struct door_thread *t);
void door_server_default(door_info_t *info);
int door_thread_spawn(void *(*fn)(void *), void *arg);

/* door_wait.c */
#define DOOR_SPIN_US 5
bool door_spin(const _Atomic uint32_t *word, uint32_t val, const _Atomic uint32_t *peer_cpu);
int door_word_wait(_Atomic uint32_t *word, uint32_t val, unsigned int us);
void door_word_wake(_Atomic uint32_t *word);
void door_say_cpu(_Atomic uint32_t *where);
bool door_same_cpu(const _Atomic uint32_t *peer_cpu);
uint64_t door_now(void);

/* door_turns.c */
#define DOOR_TURNS_AFTER 64 /* calls */
struct door_turns {
	unsigned int skip;  /* calls to come that do without */
	unsigned int pause; /* what that was after the last that was lost */
	unsigned int won;   /* since then */
};

bool door_turns_serve(const struct door_arena *a);
int door_turns_call(struct door_turns *t, struct door_arena *a);

/* door_args.c */
int door_args_judge(const struct door *d, size_t size, unsigned int descs);
int door_args_take(struct door_thread *t, size_t size, unsigned int descs, int err);
void door_args_drop(struct door_session *s);

/* door_answer.c */
void door_answer(struct door_session *s, size_t size, unsigned int descs, int err);
int door_reply(struct door_thread *t, const char *data, size_t size, const door_desc_t *desc,
	       unsigned int n);
void door_end_call(struct door_thread *t);
void door_forget_session(struct door_thread *t);

/* door_serve.c */
struct door_thread *door_thread_self(void);
void door_thread_forked(void);
int door_unref_deliver(struct door *d);
void door_return_to_base(struct door_thread *t) __attribute__((noreturn));

/* door_session.c */
int door_session_new(struct door *d, int sock, int memfd);
void door_session_free(struct door_session *s);
int door_session_fit(struct door_session *s, size_t data, bool grow);
void door_session_fork(void);
void door_session_end_idle(struct door *d);
bool door_session_close(struct door_session *s);
void door_session_free_all(struct door *d);
int door_session_arm(struct door_session *s, bool first);

/* door_watch.c */
int door_watch_start(void);
int door_watch_inotify(void);
void door_watch_wake(void);
void door_watch_leave(void);

/* door_unref.c */
int door_unref_watch(struct door *d, struct door_ticket *t);
void door_unref_look(struct door *d);
bool door_unref_is(struct door *d);
int door_unref_pass(void);
void door_unref_event(void);

/* door_desc.c */
void door_desc_release(const door_desc_t *desc, unsigned int n);
int door_desc_check(const door_desc_t *desc, unsigned int n);
int door_desc_send(int sock, const door_desc_t *desc, unsigned int n, int flags);
int door_desc_recv(int sock, int *fds, unsigned int max, unsigned int *n);
void door_desc_fill(door_desc_t *desc, const int *fds, unsigned int n);

/* door_ask.c */
int door_connect(const struct stat *st, int *out);
int door_greet(int sock, int fd, const struct door_hello *h, int memfd, struct door_welcome *w,
	       int *out, int limit);
int door_file(int fd, struct stat *st);
int door_ask(int fd, const struct door_hello *h, struct door_welcome *w, int *out, int limit);

/* door_conn.c */
struct door_conn {
	struct list_head list; /* idle or busy */
	dev_t dev;
	ino_t ino;
	struct timespec stamp; /* a restore may give the numbers to another ticket */
	off_t mark; /* position of the descriptors that were seen to be that file; or 0 */
	unsigned int unmarked; /* calls in a row by descriptors that were not */
	int sock;
	int memfd;
	char *map;
	size_t map_size;
	struct door_turns turns;
	bool kept;               /* from an earlier call */
	bool full;               /* the table was, when descriptors came */
	int fds[DOOR_DESCS_MAX]; /* of the answer */
	unsigned int nr_fds;
};

int door_conn_get(int fd, struct door_conn **out);
void door_conn_put(struct door_conn *c);
void door_conn_drop(struct door_conn *c);
int door_conn_fit(struct door_conn *c, size_t data);
void door_conn_fork_prepare(void);
void door_conn_fork_parent(void);
void door_conn_fork_child(void);

/* door_attach.c */
bool door_ticket_mounted(const struct door_ticket *t);

static inline struct door_arena *door_arena_of(char *map)
{
	return (struct door_arena *)map;
}

#endif
