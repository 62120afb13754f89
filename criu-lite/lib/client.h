/*
 * client - ask a checkpoint service to do something: criu-lite's, or any that
 * speaks CRIU's RPC.
 *
 *	struct cl_request *q = cl_request_new();
 *	struct cl_reply a;
 *
 *	cl_set_number(q, "images_dir_fd", dir);
 *	cl_set_number(q, "pid", pid);
 *	cl_set_bool(q, "leave_running", 1);
 *	if (cl_request_do(q, CL_DUMP, &a) < 0)
 *		fprintf(stderr, "%s\n", a.message);
 *	cl_reply_free(&a);
 *	cl_request_free(q);
 *
 * A request holds everything: two of them know nothing of each other, and may
 * be used in two threads. Options go by the names that they have in message
 * criu_opts of rpc.proto, all of them. Functions return 0 or -errno.
 */
#ifndef CL_LIB_CLIENT_H
#define CL_LIB_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct cl_request;

/* Numbers as in rpc.proto. */
enum cl_type {
	CL_DUMP = 1,
	CL_RESTORE = 2,
	CL_CHECK = 3,
	CL_PRE_DUMP = 4,
	CL_PAGE_SERVER = 5,
	CL_CPUINFO_DUMP = 7,
	CL_CPUINFO_CHECK = 8,
	CL_FEATURE_CHECK = 9,
	CL_VERSION = 10,
	CL_WAIT_PID = 11,
	CL_PAGE_SERVER_CHLD = 12,
	CL_SINGLE_PRE_DUMP = 13,
};

enum cl_feature { CL_MEM_TRACK = 1, CL_LAZY_PAGES = 2, CL_PIDFD_STORE = 4 };

/* What came back. */
struct cl_reply {
	int error;     /* the service's errno value, positive; 0 if it gave none */
	char *message; /* every cause of a failure, a line each; "" on success; malloc'ed */
	pid_t pid;     /* restore: the root of the tree */
	int restored;  /* dump of the caller itself: this is the restored copy */
	int major, minor, sublevel, has_gitid;
	unsigned features; /* CL_FEATURE_CHECK: bits of enum cl_feature */
	int status;        /* CL_WAIT_PID: as wait(2) stores it */
	int port;          /* CL_PAGE_SERVER */
	pid_t server;      /* CL_PAGE_SERVER: its process */
};

/**
 * cl_request_new - an empty request
 *
 * Return: the request, for cl_request_free(); NULL if memory is short.
 */
struct cl_request *cl_request_new(void);
void cl_request_free(struct cl_request *q);

/**
 * cl_use_address - ask the service at this address; cl_use_program() is the default
 * @q: the request
 * @path: a path, or @ and a name; copied
 *
 * Return: 0 or -ENOMEM.
 */
int cl_use_address(struct cl_request *q, const char *path);

/**
 * cl_use_fd - ask over a connection that is there; it stays open
 * @q: the request
 * @fd: a SOCK_SEQPACKET socket
 */
void cl_use_fd(struct cl_request *q, int fd);

/**
 * cl_use_program - start a program for each request, as PROGRAM swrk FD
 * @q: the request
 * @program: looked for in PATH; NULL: criu-lite, or criu if there is none; copied
 *
 * Return: 0 or -ENOMEM.
 */
int cl_use_program(struct cl_request *q, const char *program);

/**
 * cl_starts_program - does the request go to a program that is started for it?
 * @q: the request
 *
 * Only such a one can make the root of a restored tree a child of the caller
 * (option rst_sibling).
 *
 * Return: 1 or 0.
 */
int cl_starts_program(const struct cl_request *q);

/**
 * cl_set_bool, cl_set_number, cl_set_text, cl_add_text - set an option
 * @q: the request
 * @name: of the field in criu_opts
 * @value: copied; numbers are for integers and enums
 *
 * Return: 0; -ENOENT if there is no option of that name; -EINVAL if it is of
 * another kind; -ERANGE; -ENOMEM.
 */
int cl_set_bool(struct cl_request *q, const char *name, int value);
int cl_set_number(struct cl_request *q, const char *name, int64_t value);
int cl_set_text(struct cl_request *q, const char *name, const char *value);
int cl_add_text(struct cl_request *q, const char *name, const char *value);

/**
 * cl_add_pair - one more of an option that is a list of small messages
 * @q: the request
 * @name: ext_mnt, veths, cg_root, join_ns
 * @a: its first field; NULL only where that may be missing
 * @b: its second field
 * @c: its third field, or NULL
 *
 * Return: as cl_set_text().
 */
int cl_add_pair(struct cl_request *q, const char *name, const char *a, const char *b,
		const char *c);

/**
 * cl_add_inherit_fd - give a descriptor of ours to the restored tree
 * @q: the request
 * @key: which file of the image it stands for
 * @fd: the descriptor; need not be inheritable
 *
 * Return: 0 or -ENOMEM.
 */
int cl_add_inherit_fd(struct cl_request *q, const char *key, int fd);
int cl_add_unix_sk(struct cl_request *q, uint32_t inode);
int cl_set_page_server(struct cl_request *q, const char *address, int port);

/**
 * cl_on_notify - be told of stages, and consent to them
 * @q: the request; its option notify_scripts is set
 * @fn: returns 0 to consent; @fd is a descriptor that came along, which it may
 * keep, or -1
 * @arg: for @fn
 */
void cl_on_notify(struct cl_request *q,
		  int (*fn)(void *arg, const char *action, pid_t root, int fd), void *arg);

/**
 * cl_request_do - ask, and wait for the answer
 * @q: the request; may be used again
 * @type: what for
 * @a: filled, whatever is returned; cl_reply_free() ends it
 *
 * Return: 0; -EBADE if the service has failed, a->error and a->message say
 * how; -ECONNREFUSED if it cannot be reached; -ECOMM if the connection broke;
 * -EBADMSG for an answer that makes no sense; -EINVAL if it does not know this
 * type. errno has the errno value behind each.
 */
int cl_request_do(struct cl_request *q, enum cl_type type, struct cl_reply *a);
void cl_reply_free(struct cl_reply *a);

/**
 * cl_features - what CL_FEATURE_CHECK asks for
 * @q: the request
 * @features: bits of enum cl_feature
 */
void cl_features(struct cl_request *q, unsigned features);

/**
 * cl_wait_pid - for which process CL_WAIT_PID waits
 * @q: the request
 * @pid: the process
 */
void cl_wait_pid(struct cl_request *q, pid_t pid);

#ifdef __cplusplus
}
#endif

#endif
