/*
 * door_child - the service's door: a process of its own that serves requests
 * of the RPC as calls of a door on a path. The message is the argument, the
 * response the result; descriptors that come with a request are the call's.
 * Each request is done in a child, with the credentials of who calls. It ends
 * with the service, when the calls that it has are done.
 *
 * The service has the door's listener, too: its successor's child serves the
 * same door, and so does a new child where one has ended before its time.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/caller.h"
#include "daemon/server.h"
#include "kernel/procfs.h"
#include "lib/door.h"
#include "lib/door_move.h"
#include "lib/door_names.h"
#include "lib/fdpass.h"

#define RESPONSE_MAX (256u << 10) /* on the stack of a thread */
#define FDS_MAX 253
#define LEAVE SIGUSR2

static int send_response(void *arg, const void *msg, size_t len)
{
	return write_all(*(int *)arg, msg, len);
}

/* In a process of its own: the end of it ends all that was the request's. */
static void do_request(const struct rpc_host *host, struct rpc_caller *who, const char *msg,
		       size_t len, int *fds, size_t n, int out)
{
	CriuReq *req = len <= RPC_MESSAGE_MAX ? rpc_parse(msg, len) : NULL;
	const struct rpc_call call = { .caller = who,
				       .req = req,
				       .fds = fds,
				       .nr_fds = n,
				       .reply = send_response,
				       .arg = &out };
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (req)
		rpc_dispatch(host, &call);
	else
		rpc_refuse(&call, CRIU_REQ_TYPE__EMPTY, "rpc-message", EBADMSG,
			   "this is no request");
	_exit(0);
}

/*
 * Who calls, as the kernel knows the other end of the session. A process that
 * has other ids by now than when it came is not the same to us.
 */
static int who_calls(struct rpc_caller *who)
{
	struct proc_namespaces own_ns;
	ucred_t *uc = NULL;
	bool same;

	proc_namespaces_own(&own_ns);
	if (caller_of_socket(door_client_socket(), &own_ns, who) < 0)
		return -EPERM;
	same = door_ucred(&uc) == 0 && ucred_geteuid(uc) == who->uid &&
	       ucred_getegid(uc) == who->gid;
	ucred_free(uc);
	if (same)
		return 0;
	caller_free(who);
	return -EPERM;
}

static size_t read_response(int in, char *buf)
{
	size_t have = 0;
	ssize_t n;

	while (have < RESPONSE_MAX && (n = read(in, buf + have, RESPONSE_MAX - have)) != 0) {
		if (n < 0 && errno != EINTR)
			return 0;
		have += n > 0 ? (size_t)n : 0;
	}
	return have;
}

/* Returns how much of @buf is the response; 0: there is none. */
static size_t run_request(const struct rpc_host *host, const char *msg, size_t len, int *fds,
			  size_t n, char *buf)
{
	struct rpc_caller who;
	size_t got;
	int pipefd[2];
	pid_t pid;

	if (who_calls(&who) < 0)
		return 0;
	if (pipe2(pipefd, O_CLOEXEC) < 0) {
		caller_free(&who);
		return 0;
	}
	pid = fork();
	if (pid == 0) {
		close(pipefd[0]);
		do_request(host, &who, msg, len, fds, n, pipefd[1]);
	}
	close(pipefd[1]);
	caller_free(&who);
	got = pid > 0 ? read_response(pipefd[0], buf) : 0;
	close(pipefd[0]);
	while (pid > 0 && waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return got;
}

static void request(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	char response[RESPONSE_MAX];
	int fds[FDS_MAX];
	size_t got = 0;

	for (unsigned int i = 0; i < n && i < FDS_MAX; i++)
		fds[i] = desc[i].d_data.d_desc.d_descriptor;
	if (n <= FDS_MAX)
		got = run_request(cookie, args, size, fds, n, response);
	for (unsigned int i = 0; i < n; i++)
		close(desc[i].d_data.d_desc.d_descriptor);
	door_return(response, got, NULL, 0);
}

static int make_door(const struct server *s)
{
	cleanup_close int file = open(s->o->door, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	int fd;

	if (file < 0)
		return fail(s->report, "door-attach", errno, "%s", s->o->door);
	fd = door_create(request, (void *)s->host, DOOR_NO_CANCEL);
	if (fd < 0)
		return fail(s->report, "door-attach", errno, "make a door");
	if (fattach(fd, s->o->door) < 0)
		return fail(s->report, "door-attach", errno, "attach the door to %s", s->o->door);
	return fd;
}

static int follow_door(struct server *s)
{
	int fd = door_move_take(take_fd(&s->door_listen), request, (void *)s->host);

	return fd < 0 ? fail(s->report, "door-attach", errno, "go on with the door at %s",
			     s->o->door)
		      : fd;
}

/* Off the path, and no more calls. */
static void end_door(int fd, const char *path)
{
	cleanup_close int there = open(path, O_PATH | O_CLOEXEC);
	door_info_t mine, theirs;

	if (door_info(fd, &mine) == 0 && door_info(there, &theirs) == 0 &&
	    mine.di_uniquifier == theirs.di_uniquifier)
		fdetach(path);
	door_revoke(fd);
}

static int serve_door(struct server *s, int tell)
{
	cleanup_close int listener = -1;
	sigset_t set;
	int fd, sig;

	/* Its threads do not take them, and none is in the way of the wait below. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, LEAVE);
	sigprocmask(SIG_BLOCK, &set, NULL);
	fd = s->door_listen >= 0 ? follow_door(s) : make_door(s);
	if (fd < 0)
		return fd;
	listener = door_move_listener();
	if (listener < 0 || fd_send_msg(tell, "", 1, &listener, 1, 0) < 0)
		return -EPIPE;
	close(take_fd(&listener));
	sigwait(&set, &sig);
	if (sig != LEAVE)
		end_door(fd, s->o->door);
	door_move_leave();
	return 0;
}

/* Waits until the child serves the door. */
static int hear_child(struct server *s, int sock)
{
	size_t len, n;
	int fd = -1;
	char c;

	if (fd_recv_msg(sock, &c, 1, &len, &fd, 1, &n, 0) < 0 || fd < 0) {
		/* It has recorded why. */
		waitpid(s->door, NULL, 0);
		s->door = 0;
		return -ECANCELED;
	}
	close_owned(&s->door_listen);
	s->door_listen = fd;
	return 0;
}

/**
 * door_child_start - serve the door of the service, if it is to have one
 * @s: the server: has the door's listener, if there is a door already
 *
 * Waits until it is served.
 *
 * Return: 0 or -errno, recorded.
 */
int door_child_start(struct server *s)
{
	int sk[2], ret;

	if (!s->o->door)
		return 0;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sk) < 0)
		return fail(s->report, "door-attach", errno, "socketpair()");
	s->door = child_fork(s, "criu-lite-door");
	if (s->door == 0) {
		close(sk[0]);
		_exit(serve_door(s, sk[1]) < 0);
	}
	close(sk[1]);
	if (s->door < 0) {
		s->door = 0;
		ret = fail(s->report, "door-attach", errno, "fork the door's process");
	} else {
		ret = hear_child(s, sk[0]);
	}
	close(sk[0]);
	return ret;
}

/**
 * door_child_ended - a child of the service has ended: was it the door's?
 * @s: the server
 * @pid: the child
 *
 * Return: true if it was; then there is another by now.
 */
bool door_child_ended(struct server *s, pid_t pid)
{
	if (!pid || pid != s->door)
		return false;
	s->door = 0;
	if (s->ending || s->leaving)
		return true;
	log_error(s->report, "the door's process has ended; it is started again");
	if (door_child_start(s) < 0) {
		log_error(s->report, "the door is not served any more");
		close_owned(&s->door_listen);
		s->door_listen = -1;
	}
	return true;
}

/**
 * door_child_leave - the successor serves the door from here on
 * @s: the server
 *
 * The calls that this one's child has go on.
 */
void door_child_leave(struct server *s)
{
	if (s->door)
		kill(s->door, LEAVE);
	close_owned(&s->door_listen);
	s->door_listen = -1;
}
