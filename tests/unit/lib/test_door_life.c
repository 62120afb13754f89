/*
 * test_door_life - what becomes of calls when a process forks, execs or dies.
 */
#include "door_test.h"

#include <sys/resource.h>

static void answer_pid(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	long pid = getpid();

	door_return((char *)&pid, sizeof(pid), NULL, 0);
}

static void calls_parent(void *arg)
{
	int fd = *(int *)arg;
	door_info_t i;
	long out;

	EXPECT(call_long(fd, 1, &out) == 0 && out == getppid());
	EXPECT(door_info(fd, &i) == 0 && i.di_target == getppid());
	EXPECT(!(i.di_attributes & DOOR_LOCAL));
	EXPECT(close(fd) == 0);
}

/* A child may make doors of its own. */
static void own_door(void *arg)
{
	int fd = door_create(answer_pid, NULL, 0);
	long out;

	EXPECT(call_long(*(int *)arg, 1, &out) == 0 && out == getppid());
	EXPECT(fd >= 0 && call_long(fd, 1, &out) == 0 && out == getpid());
}

static void row19_fork(void)
{
	int fd = door_create(answer_pid, NULL, 0);
	long out;

	EXPECT(call_long(fd, 1, &out) == 0 && out == getpid());
	for (int i = 0; i < 3; i++)
		in_child(calls_parent, &fd);
	in_child(own_door, &fd);
	EXPECT(call_long(fd, 1, &out) == 0 && out == getpid());
}

static void forking(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	long out = 0;
	int fd = *(int *)cookie, status;
	pid_t pid = fork();

	if (!pid) {
		/* Bound to a door of its parent, until it says otherwise. */
		if (door_return(NULL, 0, NULL, 0) != -1 || errno != EINVAL || door_unbind() < 0 ||
		    call_long(fd, 1, &out) < 0 || out != getppid())
			_exit(1);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	out = status;
	door_return((char *)&out, sizeof(out), NULL, 0);
}

static void *bound_thread(void *arg)
{
	EXPECT(door_bind(*(int *)arg) == 0);
	door_return(NULL, 0, NULL, 0);
	return NULL;
}

static void row19_bound(void)
{
	static int fd, plain;
	pthread_t id;
	long out = -1;

	plain = door_create(answer_pid, NULL, 0);
	fd = door_create(forking, &plain, DOOR_PRIVATE);
	pthread_create(&id, NULL, bound_thread, &fd);
	EXPECT(call_long(fd, 1, &out) == 0 && out == 0);
}

static int mailbox[2];

/* A server whose child keeps the descriptor. */
static void dies_with_heir(void *arg)
{
	const char *path = arg;
	int fd = door_create(answer_pid, NULL, 0);

	EXPECT(fattach(fd, path) == 0);
	if (!fork()) {
		EXPECT(write(mailbox[1], "r", 1) == 1);
		pause();
	}
	pause();
}

static void row19_parent_dies(void)
{
	const char *path = new_file("heir");
	door_info_t i;
	pid_t pid;
	long out;
	char c;
	int fd;

	EXPECT(pipe(mailbox) == 0);
	pid = child(dies_with_heir, (void *)path);
	EXPECT(read(mailbox[0], &c, 1) == 1);
	fd = open(path, O_RDWR);
	EXPECT(call_long(fd, 1, &out) == 0 && out == pid);
	kill(pid, SIGKILL);
	end_of(pid);
	EXPECT_ERR(call_long(fd, 1, &out), EBADF);
	EXPECT(door_info(fd, &i) == 0 && i.di_target == -1 && i.di_attributes & DOOR_REVOKED);
	/* The path is free for another. */
	pid = child(dies_with_heir, (void *)path);
	EXPECT(read(mailbox[0], &c, 1) == 1);
	fd = open(path, O_RDWR);
	EXPECT(call_long(fd, 1, &out) == 0 && out == pid);
	kill(pid, SIGKILL);
}

static void exec_it(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	char num[16];

	snprintf(num, sizeof(num), "%d", *(int *)cookie);
	execl("/bin/sh", "sh", "-c", "test ! -e /proc/self/fd/$0 && sleep 20", num, NULL);
}

static void exec_server(void *arg)
{
	static int fd;

	fd = door_create(exec_it, &fd, 0);
	EXPECT(fattach(fd, arg) == 0);
	pause();
}

static int open_door(const char *path)
{
	door_info_t i;
	int fd;

	for (int ms = 0; ms < 10000; ms++) {
		fd = open(path, O_RDWR);
		if (fd >= 0 && door_info(fd, &i) == 0 && i.di_target > 0)
			return fd;
		close(fd);
		msleep(1);
	}
	EXPECT(!"the door appears");
	return -1;
}

static void row20(void)
{
	const char *path = new_file("exec");
	pid_t pid = child(exec_server, (void *)path);
	int fd = open_door(path), status;
	long out;

	EXPECT_ERR(call_long(fd, 1, &out), EINTR);
	EXPECT_ERR(call_long(fd, 1, &out), EBADF);
	/* The new program did not see the descriptor: it is asleep. */
	EXPECT(waitpid(pid, &status, WNOHANG) == 0);
	kill(pid, SIGKILL);
}

struct flags {
	_Atomic int in, go, done, cancelled, fds;
};

static struct flags *f;

static void clean(void *arg)
{
	(void)arg;
	f->cancelled++;
}

static void wait_go(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	int old;

	if (cookie)
		pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, &old);
	pthread_cleanup_push(clean, NULL);
	f->in++;
	while (!f->go)
		msleep(1);
	pthread_cleanup_pop(0);
	if (cookie)
		pthread_setcancelstate(old, &old);
	{
		door_desc_t d = { .d_attributes = DOOR_DESCRIPTOR | DOOR_RELEASE };

		d.d_data.d_desc.d_descriptor = open("/dev/null", O_RDONLY);
		f->done++;
		door_return(args, size, &d, 1);
	}
}

static void caller(void *arg)
{
	door_arg_t a = { .data_size = 0 };

	door_call(*(int *)arg, &a);
}

/* A client is killed while its call runs. */
static void killed_client(int fd)
{
	int in = f->in;
	pid_t pid = child(caller, &fd);

	WAIT_FOR(f->in == in + 1);
	kill(pid, SIGKILL);
	end_of(pid);
}

static void row21_discard(void)
{
	int fd = door_create(wait_go, NULL, 0), before = 0;

	f = shared(sizeof(*f));
	for (int i = 0; i < 5; i++) {
		f->go = f->done = 0;
		killed_client(fd);
		msleep(10);
		f->go = 1;
		WAIT_FOR(f->done == 1);
		EXPECT(!f->cancelled);
		in_child(caller, &fd);
		if (!before)
			before = open_fds();
	}
	/* What was to be released is closed, the sessions are gone. */
	WAIT_FOR(open_fds() <= before);
}

static void row21_cancel(void)
{
	int fd;

	fd = door_create(wait_go, (void *)1, 0);
	f = shared(sizeof(*f));
	for (int i = 1; i <= 5; i++) {
		killed_client(fd);
		WAIT_FOR(f->cancelled == i);
	}
	EXPECT(f->done == 0);
	f->go = 1;
	in_child(caller, &fd);
}

static void row21_no_cancel(void)
{
	int fd = door_create(wait_go, (void *)1, DOOR_NO_CANCEL);

	f = shared(sizeof(*f));
	killed_client(fd);
	msleep(50);
	EXPECT(!f->cancelled);
	f->go = 1;
	WAIT_FOR(f->done == 1);
	EXPECT(!f->cancelled);
}

/* A cancellation that was not acted on stays away from later calls. */
static void row21_pending(void)
{
	int quiet = door_create(wait_go, NULL, 0), open_to_it = door_create(wait_go, (void *)1, 0);

	f = shared(sizeof(*f));
	killed_client(quiet);
	msleep(20);
	f->go = 1;
	WAIT_FOR(f->done == 1);
	for (int i = 0; i < 20; i++)
		in_child(caller, &open_to_it);
	EXPECT(!f->cancelled && f->done == 21);
}

static void server22(void *arg)
{
	int fd = door_create(wait_go, NULL, 0);

	EXPECT(fattach(fd, arg) == 0);
	pause();
}

static void expects_eintr(void *arg)
{
	EXPECT_ERR(door_call(*(int *)arg, NULL), EINTR);
	EXPECT_ERR(door_call(*(int *)arg, NULL), EBADF);
}

static void row22(void)
{
	const char *path = new_file("killed");
	pid_t server, clients[5];
	door_info_t i;
	int fd;

	f = shared(sizeof(*f));
	server = child(server22, (void *)path);
	fd = open_door(path);
	for (int k = 0; k < 5; k++)
		clients[k] = child(expects_eintr, &fd);
	WAIT_FOR(f->in == 5);
	kill(server, SIGKILL);
	for (int k = 0; k < 5; k++)
		EXPECT(end_of(clients[k]) == 0);
	end_of(server);
	EXPECT_ERR(door_call(fd, NULL), EBADF);
	EXPECT(door_info(fd, &i) == 0 && i.di_target == -1 && i.di_attributes & DOOR_REVOKED);
}

/* The thread ends instead of answering. */
static void exits(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	if (size)
		pthread_exit(NULL);
}

static void row22_thread(void)
{
	int fd = door_create(exits, NULL, 0);
	long out;

	for (int i = 0; i < 20; i++) {
		EXPECT_ERR(call_long(fd, 1, &out), EINTR);
		EXPECT_ERR(door_call(fd, NULL), EINTR);
	}
}

static const struct door_row rows[] = {
	{ "row 19: calls of a forked child are served by its parent", row19_fork, false },
	{ "row 19: a bound thread in a forked child", row19_bound, false },
	{ "row 19: the parent dies, the child has the descriptor", row19_parent_dies, true },
	{ "row 20: exec in a server", row20, true },
	{ "row 21: a client is killed, its results are dropped", row21_discard, false },
	{ "row 21: the thread is cancelled", row21_cancel, false },
	{ "row 21: DOOR_NO_CANCEL", row21_no_cancel, false },
	{ "row 21: a cancellation is for its own call", row21_pending, false },
	{ "row 22: the server is killed", row22, true },
	{ "row 22: the server thread ends", row22_thread, false },
};

int main(int argc, char **argv)
{
	return run_rows(rows, sizeof(rows) / sizeof(rows[0]), argc, argv);
}
