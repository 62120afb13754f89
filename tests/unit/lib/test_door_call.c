/*
 * test_door_call - calls: errors, interruption, nesting, sizes, pools.
 */
#include <setjmp.h>

#include "door_test.h"

#include <limits.h>
#include <sys/socket.h>

static void row18_create(void)
{
	long out;
	int fd;

	EXPECT_ERR(door_create(echo, NULL, 0x1000), EINVAL);
	EXPECT_ERR(door_create(echo, NULL, DOOR_UNREF | DOOR_UNREF_MULTI), EINVAL);
	EXPECT_ERR(door_create(echo, NULL, DOOR_LOCAL), EINVAL);
	fd = door_create(echo, NULL, 0);
	EXPECT(fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC);
	EXPECT(call_long(fd, 7, &out) == 0 && out == 7);
}

static void row18_call(void)
{
	char big[64] = { 0 },
	     *gone = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	door_desc_t d = { .d_attributes = DOOR_DESCRIPTOR };
	door_arg_t a = { .data_ptr = big, .data_size = sizeof(big) };
	int fd = door_create(echo, NULL, 0), plain = open("/dev/null", O_RDONLY), sk[2];
	int refuse = door_create(echo, NULL, DOOR_REFUSE_DESC);

	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, sk) == 0);
	EXPECT_ERR(door_call(-1, NULL), EBADF);
	EXPECT_ERR(door_call(999, NULL), EBADF);
	EXPECT_ERR(door_call(plain, NULL), EBADF);
	EXPECT_ERR(door_call(sk[0], NULL), EBADF);
	EXPECT_ERR(door_call(open("/proc/self/exe", O_RDONLY), NULL), EBADF);
	EXPECT_ERR(door_call(fd, (door_arg_t *)8), EFAULT);
	a.data_ptr = (char *)16;
	EXPECT_ERR(door_call(fd, &a), EFAULT);
	a.data_ptr = gone;
	EXPECT_ERR(door_call(fd, &a), EFAULT);
	a.data_ptr = big;
	a.data_size = SIZE_MAX / 2;
	EXPECT_ERR(door_call(fd, &a), E2BIG);
	a = (door_arg_t){ .desc_ptr = (door_desc_t *)8, .desc_num = 1 };
	EXPECT_ERR(door_call(fd, &a), EFAULT);
	a.desc_ptr = &d;
	d.d_data.d_desc.d_descriptor = 999;
	EXPECT_ERR(door_call(fd, &a), EINVAL);
	d.d_data.d_desc.d_descriptor = plain;
	d.d_attributes = 0;
	EXPECT_ERR(door_call(fd, &a), EINVAL);
	d.d_attributes = DOOR_DESCRIPTOR;
	EXPECT_ERR(door_call(refuse, &a), ENOTSUP);
	EXPECT(door_setparam(fd, DOOR_PARAM_DESC_MAX, 0) == 0);
	EXPECT_ERR(door_call(fd, &a), ENFILE);
	EXPECT(door_setparam(fd, DOOR_PARAM_DATA_MIN, 8) == 0);
	EXPECT(door_setparam(fd, DOOR_PARAM_DATA_MAX, 16) == 0);
	a = (door_arg_t){ .data_ptr = big, .data_size = 7 };
	EXPECT_ERR(door_call(fd, &a), ENOBUFS);
	a.data_size = 17;
	EXPECT_ERR(door_call(fd, &a), ENOBUFS);
	EXPECT_ERR(door_call(fd, NULL), ENOBUFS);
	a.data_size = 16;
	a.rbuf = big;
	a.rsize = sizeof(big);
	EXPECT(door_call(fd, &a) == 0 && a.data_size == 16);
	EXPECT(door_revoke(fd) == 0);
	EXPECT_ERR(door_call(fd, &a), EBADF);
}

static void row18_params(void)
{
	int fd = door_create(echo, NULL, 0), refuse = door_create(echo, NULL, DOOR_REFUSE_DESC);
	int plain = open("/dev/null", O_RDONLY);
	size_t v = 0;

	EXPECT(door_getparam(fd, DOOR_PARAM_DESC_MAX, &v) == 0 && v == INT_MAX);
	EXPECT(door_getparam(fd, DOOR_PARAM_DATA_MAX, &v) == 0 && v == SIZE_MAX);
	EXPECT(door_getparam(fd, DOOR_PARAM_DATA_MIN, &v) == 0 && v == 0);
	EXPECT(door_getparam(refuse, DOOR_PARAM_DESC_MAX, &v) == 0 && v == 0);
	EXPECT_ERR(door_getparam(fd, 99, &v), EINVAL);
	EXPECT_ERR(door_getparam(plain, DOOR_PARAM_DATA_MIN, &v), EBADF);
	EXPECT_ERR(door_getparam(fd, DOOR_PARAM_DATA_MIN, (size_t *)8), EFAULT);
	EXPECT_ERR(door_setparam(fd, 99, 1), EINVAL);
	EXPECT_ERR(door_setparam(plain, DOOR_PARAM_DATA_MIN, 1), EBADF);
	EXPECT_ERR(door_setparam(fd, DOOR_PARAM_DESC_MAX, (size_t)INT_MAX + 1), ERANGE);
	EXPECT_ERR(door_setparam(refuse, DOOR_PARAM_DESC_MAX, 1), ENOTSUP);
	EXPECT(door_setparam(fd, DOOR_PARAM_DATA_MAX, 10) == 0);
	EXPECT_ERR(door_setparam(fd, DOOR_PARAM_DATA_MIN, 11), EINVAL);
	EXPECT(door_getparam(fd, DOOR_PARAM_DATA_MAX, &v) == 0 && v == 10);
}

static void foreign(void *arg)
{
	int fd = *(int *)arg;
	door_info_t i;
	size_t v;

	EXPECT(door_info(fd, &i) == 0 && i.di_target == getppid());
	EXPECT(!(i.di_attributes & DOOR_LOCAL) && i.di_attributes & DOOR_PRIVATE);
	EXPECT(i.di_proc == (uintptr_t)echo && i.di_data == 77);
	EXPECT(door_getparam(fd, DOOR_PARAM_DATA_MIN, &v) == 0 && v == 3);
	EXPECT_ERR(door_getparam(fd, 99, &v), EINVAL);
	EXPECT_ERR(door_setparam(fd, DOOR_PARAM_DATA_MIN, 0), EPERM);
	EXPECT_ERR(door_revoke(fd), EPERM);
	EXPECT_ERR(door_bind(fd), EINVAL);
}

static void row18_others(void)
{
	int fd = door_create(echo, (void *)77, DOOR_PRIVATE), plain = open("/dev/null", O_RDONLY);
	int open_to_all = door_create(echo, NULL, 0);
	door_cred_t cred;
	ucred_t *uc = NULL;
	door_info_t i;

	EXPECT(door_setparam(fd, DOOR_PARAM_DATA_MIN, 3) == 0);
	EXPECT(door_info(fd, &i) == 0 && i.di_target == getpid());
	EXPECT(i.di_attributes == (DOOR_PRIVATE | DOOR_LOCAL));
	EXPECT(sizeof(door_desc_t) == 24 && sizeof(door_info_t) == 48);
	in_child(foreign, &fd);
	EXPECT_ERR(door_info(plain, &i), EBADF);
	EXPECT_ERR(door_info(fd, NULL), EFAULT);
	EXPECT_ERR(door_info(DOOR_QUERY, &i), EBADF);
	EXPECT_ERR(door_revoke(plain), EBADF);
	EXPECT_ERR(door_bind(plain), EBADF);
	EXPECT_ERR(door_bind(open_to_all), EINVAL);
	EXPECT_ERR(door_unbind(), EBADF);
	EXPECT(door_bind(fd) == 0);
	EXPECT(door_info(DOOR_QUERY, &i) == 0 && i.di_data == 77);
	EXPECT(door_unbind() == 0);
	EXPECT_ERR(door_cred(&cred), EINVAL);
	EXPECT_ERR(door_ucred(&uc), EINVAL);
	EXPECT_ERR(door_return((char *)8, 8, NULL, 0), EFAULT);
	EXPECT_ERR(door_return(NULL, SIZE_MAX / 2, NULL, 0), E2BIG);
}

static _Atomic int in_call, go_on, done;

static void slow(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	in_call++;
	while (!go_on)
		msleep(1);
	done++;
	door_return(args, size, NULL, 0);
}

static void on_signal(int sig)
{
	(void)sig;
}

static void interrupted(void *arg)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	long out;

	sigaction(SIGUSR1, &sa, NULL);
	EXPECT(write(((int *)arg)[1], "r", 1) == 1);
	EXPECT_ERR(call_long(((int *)arg)[0], 1, &out), EINTR);
}

static void row23(void)
{
	int pipefd[2], arg[2];
	pid_t pid;
	long out;
	char c;

	EXPECT(pipe(pipefd) == 0);
	arg[0] = door_create(slow, NULL, 0);
	arg[1] = pipefd[1];
	pid = child(interrupted, arg);
	EXPECT(read(pipefd[0], &c, 1) == 1);
	WAIT_FOR(in_call == 1);
	msleep(20);
	kill(pid, SIGUSR1);
	EXPECT(end_of(pid) == 0);
	EXPECT(!done);
	go_on = 1;
	WAIT_FOR(done == 1);
	EXPECT(call_long(arg[0], 5, &out) == 0 && out == 5);
}

static int self_fd;

static void nested(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	long depth = *(long *)args, out;

	if (depth && (call_long(self_fd, depth - 1, &out) < 0 || out != depth - 1))
		depth = -1;
	door_return((char *)&depth, sizeof(depth), NULL, 0);
}

/* Its procedure calls the row's door, which calls this one. */
static int there, back;

static void to_parent(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	door_arg_t a = { .data_ptr = args, .data_size = size };

	if (door_call(there, &a) < 0)
		door_return(NULL, 0, NULL, 0);
	door_return(a.data_ptr, a.data_size, NULL, 0);
}

static void from_child(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	long left = *(long *)args - 1, out = 0;

	if (left > 0 && call_long(back, left, &out) < 0)
		left = -100;
	out++;
	door_return((char *)&out, sizeof(out), NULL, 0);
}

static void serve_child(void *arg)
{
	const char *path = arg;
	int fd = door_create(to_parent, NULL, 0);

	EXPECT(fattach(fd, path) == 0);
	pause();
}

static void *bound_thread(void *arg)
{
	EXPECT(door_bind(*(int *)arg) == 0);
	door_return(NULL, 0, NULL, 0);
	return NULL;
}

static void no_thread(door_info_t *info)
{
	(void)info;
}

static void row25_self(void)
{
	struct sigaction sa = { .sa_handler = on_signal };
	pthread_t id;
	long out;

	self_fd = door_create(nested, NULL, 0);
	EXPECT(call_long(self_fd, 5, &out) == 0 && out == 5);
	/* With one thread and no more to come it blocks, until a signal. */
	door_server_create(no_thread);
	self_fd = door_create(nested, NULL, DOOR_PRIVATE);
	pthread_create(&id, NULL, bound_thread, &self_fd);
	EXPECT(call_long(self_fd, 0, &out) == 0 && out == 0);
	sigaction(SIGALRM, &sa, NULL);
	alarm(1);
	out = 0;
	EXPECT(call_long(self_fd, 1, &out) == -1 ? errno == EINTR : out == -1);
}

static void row25_two(void)
{
	const char *path = new_file("nested");
	long out;
	pid_t pid;

	there = door_create(from_child, NULL, 0);
	pid = child(serve_child, (void *)path);
	WAIT_FOR((back = open(path, O_RDWR)) >= 0 && call_long(back, 1, &out) == 0);
	EXPECT(call_long(there, 5, &out) == 0 && out == 5);
	kill(pid, SIGKILL);
}

static void pattern(char *p, size_t size)
{
	for (size_t i = 0; i < size; i++)
		p[i] = (char)(i * 7 + i / 4096);
}

static void one_size(int fd, size_t size)
{
	char *in = malloc(size + 1), *small = malloc(16), *want = malloc(size + 1);
	door_arg_t a = { .data_ptr = in, .data_size = size, .rbuf = small, .rsize = 16 };

	pattern(want, size);
	memcpy(in, want, size);
	EXPECT(door_call(fd, &a) == 0);
	EXPECT(a.data_size == size && !memcmp(a.data_ptr, want, size));
	EXPECT(a.desc_num == 0 && a.desc_ptr == NULL && a.data_ptr == a.rbuf);
	EXPECT((a.rbuf == small) == (size <= 16));
	if (a.rbuf != small)
		EXPECT(a.rsize >= size && munmap(a.rbuf, a.rsize) == 0);
	/* The results may overwrite the arguments. */
	a = (door_arg_t){ .data_ptr = in, .data_size = size, .rbuf = in, .rsize = size + 1 };
	EXPECT(door_call(fd, &a) == 0 && a.rbuf == in && !memcmp(in, want, size));
	free(in);
	free(small);
	free(want);
}

static void row27(void)
{
	static const size_t sizes[] = { 0, 1, 16, 17, 4096, 65536, 65537, 1 << 20, 16 << 20 };
	int fd = door_create(echo, NULL, 0), before;

	one_size(fd, 1);
	before = open_fds();
	for (int round = 0; round < 2; round++)
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
			one_size(fd, sizes[i]);
	EXPECT(door_call(fd, NULL) == 0);
	WAIT_FOR(open_fds() <= before);
}

static _Atomic int made;

static void *call_door(void *arg)
{
	long out, in = (long)(uintptr_t)pthread_self();

	EXPECT(call_long(*(int *)arg, in, &out) == 0 && out == in);
	return NULL;
}

#define CALLERS 100

static void *join_process(void *arg)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	door_return(NULL, 0, NULL, 0);
	return arg;
}

static void make_joiner(door_info_t *info)
{
	pthread_t id;

	EXPECT(info == NULL);
	made++;
	EXPECT(pthread_create(&id, NULL, join_process, NULL) == 0);
}

static void row28_depletion(void)
{
	pthread_t ids[CALLERS];
	int fd;

	EXPECT(door_server_create(make_joiner) != NULL);
	EXPECT(door_server_create(make_joiner) == make_joiner);
	fd = door_create(slow, NULL, 0);
	door_create(slow, NULL, 0);
	EXPECT(made == 1);
	for (int i = 0; i < CALLERS; i++)
		EXPECT(pthread_create(&ids[i], NULL, call_door, &fd) == 0);
	WAIT_FOR(in_call == CALLERS);
	/* One for every call that took the last thread. */
	EXPECT(made == CALLERS + 1);
	go_on = 1;
	for (int i = 0; i < CALLERS; i++)
		pthread_join(ids[i], NULL);
	EXPECT(done == CALLERS && made == CALLERS + 1);
}

static void give_up(void *arg)
{
	struct sigaction sa = { .sa_handler = on_signal };
	long out;

	sigaction(SIGALRM, &sa, NULL);
	alarm(1);
	EXPECT_ERR(call_long(*(int *)arg, 1, &out), EINTR);
}

static void row28_private(void)
{
	int fd = door_create(echo, NULL, DOOR_PRIVATE);
	pthread_t id;
	long out;

	in_child(give_up, &fd);
	pthread_create(&id, NULL, bound_thread, &fd);
	for (int i = 0; i < 100; i++)
		EXPECT(call_long(fd, i, &out) == 0 && out == i);
}

static int xcode;
static _Atomic int xmade, xset;

static int xcreate(door_info_t *info, void *(*start)(void *), void *arg, void *cookie)
{
	pthread_t id;

	EXPECT(info->di_attributes & DOOR_PRIVATE && cookie == &xcode);
	if (xmade >= 2 && xcode != 1)
		return xcode;
	xmade++;
	EXPECT(pthread_create(&id, NULL, start, arg) == 0);
	return 1;
}

static void xsetup(void *cookie)
{
	EXPECT(cookie == &xcode);
	xset++;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
}

static void row28_xcreate(void)
{
	int fd, before = 0;
	long out;

	xcode = 1;
	fd = door_xcreate(echo, NULL, 0, xcreate, xsetup, &xcode, 4);
	EXPECT(fd >= 0 && xmade == 4 && xset == 4);
	EXPECT(call_long(fd, 9, &out) == 0 && out == 9);
	before = open_fds();
	for (xcode = 0; xcode >= -1; xcode--) {
		xmade = 0;
		EXPECT_ERR(door_xcreate(echo, NULL, 0, xcreate, NULL, &xcode, 4),
			   xcode ? EINVAL : EPIPE);
		/* The threads that were made are gone, and so is the door. */
		WAIT_FOR(open_fds() == before);
	}
	EXPECT_ERR(door_xcreate(echo, NULL, 0, NULL, NULL, NULL, 1), EINVAL);
	EXPECT_ERR(door_xcreate(echo, NULL, 0, xcreate, NULL, NULL, 0), EINVAL);
}

/* Three pages, of which the second is not there. */
static char *with_hole(int prot)
{
	char *p = mmap(NULL, 3 * 4096L, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	EXPECT(p != MAP_FAILED && munmap(p + 4096, 4096) == 0);
	return p;
}

static void bad_return(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	(void)desc;
	(void)n;
	errno = 0;
	door_return(cookie, 3 * 4096, NULL, 0);
	/* The call is still there. */
	size = (size_t)errno;
	door_return((char *)&size, sizeof(size), NULL, 0);
	(void)args;
}

static void touch(char *hole)
{
	((volatile char *)hole)[4096] = 1;
}

static void die_of_fault(void *hole)
{
	long v;

	EXPECT(call_long(door_create(echo, NULL, 0), 1, &v) == 0);
	touch(hole);
}

static volatile sig_atomic_t others;
static sigjmp_buf past_fault;

static void own_segv(int sig)
{
	(void)sig;
	others++;
	siglongjmp(past_fault, 1);
}

static void row18_memory(void)
{
	char *hole = with_hole(PROT_READ | PROT_WRITE), *fixed = with_hole(PROT_READ), *once;
	int fd, bad, before, status;
	static char out[3 * 4096];
	door_desc_t d = { .d_attributes = DOOR_DESCRIPTOR };
	door_arg_t a = { .data_ptr = hole, .data_size = 3 * 4096 }, *in_fixed;
	long v;

	status = end_of(child(die_of_fault, hole));
	EXPECT(WIFSIGNALED(status) ? WTERMSIG(status) == SIGSEGV : WEXITSTATUS(status) != 0);
	signal(SIGSEGV, own_segv);
	fd = door_create(echo, NULL, 0);
	bad = door_create(bad_return, hole, 0);
	EXPECT(fd >= 0 && bad >= 0 && call_long(fd, 4, &v) == 0 && v == 4);
	before = open_fds();
	/* Both ends are there. */
	EXPECT_ERR(door_call(fd, &a), EFAULT);
	a = (door_arg_t){
		.data_ptr = out, .data_size = sizeof(out), .rbuf = hole, .rsize = sizeof(out)
	};
	EXPECT_ERR(door_call(fd, &a), EFAULT);
	/* It can be read, but results are written. */
	a = (door_arg_t){ .data_ptr = fixed, .data_size = 8, .rbuf = fixed, .rsize = 4096 };
	EXPECT_ERR(door_call(fd, &a), EFAULT);
	EXPECT(mprotect(fixed, 4096, PROT_NONE) == 0);
	EXPECT_ERR(door_call(fd, &a), EFAULT);
	EXPECT_ERR(door_call(fd, (door_arg_t *)(void *)fixed), EFAULT);
	/* It was there a moment ago. */
	once = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	a = (door_arg_t){ .data_ptr = once, .data_size = 8, .rbuf = out, .rsize = sizeof(out) };
	EXPECT(door_call(fd, &a) == 0 && munmap(once, 4096) == 0);
	a.data_ptr = once;
	EXPECT_ERR(door_call(fd, &a), EFAULT);
	/* The structure itself, and descriptors that come and are described there. */
	EXPECT(mprotect(fixed, 4096, PROT_READ | PROT_WRITE) == 0);
	in_fixed = (door_arg_t *)(void *)fixed;
	*in_fixed = (door_arg_t){ .data_ptr = out, .data_size = 8, .rbuf = out, .rsize = 8 };
	EXPECT(mprotect(fixed, 4096, PROT_READ) == 0);
	EXPECT_ERR(door_call(fd, in_fixed), EFAULT);
	a = (door_arg_t){ .desc_ptr = (door_desc_t *)(void *)(hole + 4096 - sizeof(d) / 2),
			  .desc_num = 1 };
	EXPECT_ERR(door_call(fd, &a), EFAULT);
	EXPECT_ERR(door_info(fd, (door_info_t *)(void *)fixed), EFAULT);
	EXPECT_ERR(door_getparam(fd, DOOR_PARAM_DATA_MIN, (size_t *)(void *)fixed), EFAULT);
	/* The server's results. */
	a = (door_arg_t){ .rbuf = (char *)&v, .rsize = sizeof(v) };
	EXPECT(door_call(bad, &a) == 0 && v == EFAULT);
	EXPECT(call_long(fd, 5, &v) == 0 && v == 5);
	WAIT_FOR(open_fds() <= before + 4); /* a session of each door, kept */

	/* A fault that has nothing to do with a door is the program's. */
	hole = with_hole(PROT_READ | PROT_WRITE);
	if (!sigsetjmp(past_fault, 1))
		touch(hole);
	EXPECT(others == 1);
}

static const struct door_row rows[] = {
	{ "row 18: errors of door_create", row18_create, false },
	{ "row 18: errors of door_call", row18_call, false },
	{ "row 18: memory that is not there", row18_memory, false },
	{ "row 18: errors of the parameters", row18_params, false },
	{ "row 18: errors of the other calls", row18_others, false },
	{ "row 23: a signal interrupts, the server goes on", row23, false },
	{ "row 25: a door calls itself", row25_self, false },
	{ "row 25: nested calls of two processes", row25_two, true },
	{ "row 27: arguments and results of all sizes", row27, false },
	{ "row 28: 100 calls at once, and who is asked for threads", row28_depletion, false },
	{ "row 28: a private door wants bound threads", row28_private, false },
	{ "row 28: door_xcreate", row28_xcreate, false },
};

int main(int argc, char **argv)
{
	return run_rows(rows, sizeof(rows) / sizeof(rows[0]), argc, argv);
}
