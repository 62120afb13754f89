/*
 * test_fdframe - frames over every type of socket, larger than a message and
 * than a socket's buffer; what is no frame, or one that was cut, altered or
 * comes to a full table, leaves nothing open. LISTEN_FDS and the store of a
 * service manager, both sides.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fdframe.h"
#include "lib/fdlisten.h"
#include "lib/fdpass.h"
#include "tests/unit/run_tests.h"

#define MANY 1200
#define LONG 700000

static int sk[2], src, before;

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void connect_pair(int type)
{
	ck_assert_int_eq(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, sk), 0);
	src = open("/dev/null", O_RDONLY | O_CLOEXEC);
	before = open_fds();
}

static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
static const struct {
	size_t fds, bytes;
} sizes[] = {
	{ 0, 0 }, { 1, 0 }, { 0, 1 }, { 253, 5 }, { 254, 16384 }, { 3, LONG }, { MANY, LONG }
};

static struct fd_frame make(size_t n, size_t len)
{
	struct fd_frame f = { .n = n, .len = len };

	f.items = calloc(n + 1, sizeof(*f.items));
	f.payload = malloc(len + 1);
	for (size_t i = 0; i < n; i++) {
		f.items[i].fd = src;
		if (i % 3)
			sprintf(f.items[i].name, "name %zu", i);
	}
	for (size_t i = 0; i < len; i++)
		((char *)f.payload)[i] = (char)(i * 7);
	return f;
}

static void drop(struct fd_frame *f)
{
	free(f->items);
	free(f->payload);
}

START_TEST(all_sizes)
{
	size_t n = sizes[_i % 7].fds, len = sizes[_i % 7].bytes;
	struct fd_frame f, g;
	pid_t pid;
	int st;

	connect_pair(types[_i / 7]);
	f = make(n, len);
	pid = fork();
	if (pid == 0)
		_exit(fd_frame_send(sk[0], &f, 10000) != 0);
	ck_assert_int_eq(fd_frame_recv(sk[1], &g, MANY, LONG, 10000), 0);
	ck_assert_int_eq(waitpid(pid, &st, 0), pid);
	ck_assert_int_eq(st, 0);
	ck_assert_uint_eq(g.n, n);
	ck_assert_uint_eq(g.len, len);
	ck_assert(len == 0 || !memcmp(f.payload, g.payload, len));
	ck_assert_int_eq(((char *)g.payload)[len], 0);
	for (size_t i = 0; i < n; i++) {
		ck_assert_str_eq(g.items[i].name, f.items[i].name);
		ck_assert_int_eq(g.items[i].kind, FD_KIND_DEVICE);
		ck_assert_int_eq(fcntl(g.items[i].fd, F_GETFD), FD_CLOEXEC);
	}
	fd_frame_free(&g);
	drop(&f);
	ck_assert_int_eq(open_fds(), before);
}
END_TEST

static void recv_fails(int want, size_t max_fds, size_t max_len)
{
	struct fd_frame g;

	ck_assert_int_eq(fd_frame_recv(sk[1], &g, max_fds, max_len, 200), want);
	ck_assert(!g.n && !g.items && !g.payload);
	ck_assert_int_eq(open_fds(), before);
}

START_TEST(too_much)
{
	struct fd_frame f;

	connect_pair(types[_i]);
	f = make(6, 100);
	ck_assert_int_eq(fd_frame_send(sk[0], &f, 1000), 0);
	recv_fails(-EMSGSIZE, 5, 1000);
	drop(&f);
	connect_pair(types[_i]);
	f = make(0, 1000);
	ck_assert_int_eq(fd_frame_send(sk[0], &f, 1000), 0);
	recv_fails(-EMSGSIZE, 5, 999);
	drop(&f);
}
END_TEST

START_TEST(no_frame)
{
	int fds[3];

	connect_pair(types[_i]);
	recv_fails(-ETIMEDOUT, 5, 5);
	fds[0] = fds[1] = fds[2] = src;
	ck_assert_int_eq(fd_send_msg(sk[0], "something else, as long as the head of a frame is", 49,
				     fds, 3, 0),
			 0);
	recv_fails(-EBADMSG, 5, 5);
	connect_pair(types[_i]);
	ck_assert_int_eq(fd_put(sk[0], fds, 3), 0);
	recv_fails(types[_i] == SOCK_STREAM ? -ETIMEDOUT : -EBADMSG, 5, 5);
	if (types[_i] == SOCK_DGRAM)
		return;
	close(sk[0]);
	before--;
	recv_fails(-ECONNRESET, 5, 5);
}
END_TEST

/* Every byte of a frame, changed; the descriptors are there. */
START_TEST(altered)
{
	char bytes[200];
	size_t len, n;
	int fds[3];
	struct fd_frame f, g;

	connect_pair(SOCK_SEQPACKET);
	f = make(3, 20);
	ck_assert_int_eq(fd_frame_send(sk[0], &f, 1000), 0);
	ck_assert_int_eq(fd_recv_msg(sk[1], bytes, sizeof(bytes), &len, fds, 3, &n, 0), 0);
	before += 3;
	for (size_t i = 0; i < len; i++)
		for (int bit = 0; bit < 8; bit++) {
			int ret;

			bytes[i] ^= (char)(1 << bit);
			ck_assert_int_eq(fd_send_msg(sk[0], bytes, len, fds, 3, 0), 0);
			ret = fd_frame_recv(sk[1], &g, 100, 1000, 10);
			/* Names, payload and the number of the frame carry no check of their own.
			 */
			ck_assert_msg(ret == 0 || ret == -EBADMSG || ret == -EMSGSIZE ||
					      ret == -ETIMEDOUT,
				      "byte %zu: %d", i, ret);
			fd_frame_free(&g);
			ck_assert_int_eq(open_fds(), before);
			bytes[i] ^= (char)(1 << bit);
		}
	for (size_t cut = 1; cut < len; cut++) {
		ck_assert_int_eq(fd_send_msg(sk[0], bytes, cut, fds, 3, 0), 0);
		recv_fails(-EBADMSG, 100, 1000);
	}
	ck_assert_int_eq(fd_send_msg(sk[0], bytes, len, fds, 2, 0), 0);
	recv_fails(-EBADMSG, 100, 1000);
	drop(&f);
}
END_TEST

START_TEST(other_kind)
{
	char bytes[200];
	size_t len, n;
	int fds[1], ev;
	struct fd_frame f;

	connect_pair(SOCK_SEQPACKET);
	f = make(1, 0);
	ck_assert_int_eq(fd_frame_send(sk[0], &f, 1000), 0);
	ck_assert_int_eq(fd_recv_msg(sk[1], bytes, sizeof(bytes), &len, fds, 1, &n, 0), 0);
	ev = eventfd(0, EFD_CLOEXEC);
	before += 2;
	ck_assert_int_eq(fd_send_msg(sk[0], bytes, len, &ev, 1, 0), 0);
	recv_fails(-EBADMSG, 5, 5);
	drop(&f);
}
END_TEST

START_TEST(sender_dies)
{
	struct fd_frame f;
	pid_t pid;

	connect_pair(types[_i]);
	f = make(MANY, LONG);
	pid = fork();
	if (pid == 0)
		_exit(fd_frame_send(sk[0], &f, 10000) != 0);
	close(sk[0]);
	before--;
	usleep(20000);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	recv_fails(-ECONNRESET, MANY, LONG);
	drop(&f);
}
END_TEST

START_TEST(table_full)
{
	struct fd_frame f, g;
	struct rlimit lim;

	connect_pair(types[_i]);
	f = make(300, 10);
	ck_assert_int_eq(fd_frame_send(sk[0], &f, 1000), 0);
	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = 100;
	setrlimit(RLIMIT_NOFILE, &lim);
	ck_assert_int_eq(fd_frame_recv(sk[1], &g, 300, 10, 1000), -EMFILE);
	ck_assert_int_eq(open_fds(), before);
	drop(&f);
}
END_TEST

START_TEST(sender_waits)
{
	struct fd_frame f;

	connect_pair(types[_i]);
	f = make(1, LONG);
	ck_assert_int_eq(fd_frame_send(sk[0], &f, 100), -ETIMEDOUT);
	f.items[0].fd = 999;
	ck_assert_int_eq(fd_frame_send(sk[0], &f, 100), -EBADF);
	strcpy(f.items[0].name, "a:b");
	ck_assert_int_eq(fd_frame_send(sk[0], &f, 100), -EINVAL);
	drop(&f);
}
END_TEST

START_TEST(kinds)
{
	int p[2], un = socket(AF_UNIX, SOCK_STREAM, 0), in = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert_int_eq(pipe(p), 0);
	ck_assert_int_eq(fd_kind_of(p[0]), FD_KIND_PIPE);
	ck_assert_int_eq(fd_kind_of(un), FD_KIND_STREAM);
	ck_assert_int_eq(listen(in, 1), 0);
	ck_assert_int_eq(fd_kind_of(in), FD_KIND_LISTENER);
	ck_assert_int_eq(fd_kind_of(socket(AF_INET, SOCK_DGRAM, 0)), FD_KIND_DATAGRAM);
	ck_assert_int_eq(fd_kind_of(open("/", O_RDONLY)), FD_KIND_DIR);
	ck_assert_int_eq(fd_kind_of(open("/proc/self/exe", O_RDONLY)), FD_KIND_FILE);
	ck_assert_int_eq(fd_kind_of(open("/dev/null", O_RDONLY)), FD_KIND_DEVICE);
	ck_assert_int_eq(fd_kind_of(eventfd(0, 0)), FD_KIND_ANON);
	ck_assert_int_eq(fd_kind_of((int)syscall(SYS_pidfd_open, getpid(), 0)), FD_KIND_ANON);
	ck_assert_int_eq(fd_kind_of(-1), -EBADF);
	ck_assert_str_eq(fd_kind_name(FD_KIND_LISTENER), "listener");
	ck_assert_str_eq(fd_kind_name(77), "other");
}
END_TEST

/* Numbers that change places, among them 3 and up. */
START_TEST(listen_fds)
{
	struct fd_item items[3] = { { .name = "one" }, { .name = "" }, { .name = "three" } }, *got;
	size_t n;

	for (int fd = 3; fd < 64; fd++)
		close(fd);
	items[0].fd = eventfd(0, 0);
	items[1].fd = open("/dev/null", O_RDONLY);
	items[2].fd = open("/", O_RDONLY);
	ck_assert_int_eq(items[0].fd, 3);
	/* The other way round. */
	{
		struct fd_item t = items[0];

		items[0] = items[2];
		items[2] = t;
	}
	ck_assert_int_eq(fd_listen_give(items, 3), 0);
	ck_assert_int_eq(fcntl(3, F_GETFD), 0);
	ck_assert_int_eq(fd_listen_take(&got, &n, 1), 0);
	ck_assert_uint_eq(n, 3);
	ck_assert_str_eq(got[0].name, "three");
	ck_assert_str_eq(got[1].name, "unknown");
	ck_assert_int_eq(got[0].kind, FD_KIND_DIR);
	ck_assert_int_eq(got[1].kind, FD_KIND_DEVICE);
	ck_assert_int_eq(got[2].kind, FD_KIND_ANON);
	ck_assert_int_eq(fcntl(3, F_GETFD), FD_CLOEXEC);
	free(got);
	ck_assert_int_eq(fd_listen_take(&got, &n, 0), 0);
	ck_assert(!n && !got);
	/* Of somebody else, and nonsense. */
	setenv("LISTEN_FDS", "3", 1);
	setenv("LISTEN_PID", "1", 1);
	ck_assert_int_eq(fd_listen_take(&got, &n, 0), 0);
	ck_assert_uint_eq(n, 0);
	setenv("LISTEN_PID", "x", 1);
	ck_assert_int_eq(fd_listen_take(&got, &n, 0), -EINVAL);
	{
		char pid[20];

		sprintf(pid, "%d", getpid());
		setenv("LISTEN_PID", pid, 1);
	}
	setenv("LISTEN_FDS", "50", 1);
	ck_assert_int_eq(fd_listen_take(&got, &n, 0), -EBADF);
	setenv("LISTEN_FDS", "-1", 1);
	ck_assert_int_eq(fd_listen_take(&got, &n, 0), -EINVAL);
}
END_TEST

START_TEST(store)
{
	struct fd_item it = { .name = "kept" };
	struct fd_notice got;
	char address[128];
	int sock;

	unsetenv("NOTIFY_SOCKET");
	ck_assert_int_eq(fd_notify("READY=1", NULL, 0), -ENOENT);
	sock = fd_notify_open(NULL, address, sizeof(address));
	ck_assert_int_ge(sock, 0);
	ck_assert_int_eq(address[0], '@');
	setenv("NOTIFY_SOCKET", address, 1);
	ck_assert_int_eq(fd_notify_take(sock, &got), -EAGAIN);
	ck_assert_int_eq(fd_notify("STATUS=busy\nREADY=1\nMAINPID=77\nERRNO=5", NULL, 0), 0);
	ck_assert_int_eq(fd_notify_take(sock, &got), 0);
	ck_assert(got.ready && got.main_pid == 77 && got.error == 5 && !got.n && !got.store);
	ck_assert(got.pid == getpid() && got.uid == geteuid());
	ck_assert_str_eq(got.status, "busy");
	it.fd = open("/dev/null", O_RDONLY);
	ck_assert_int_eq(fd_store_put(&it, 1), 0);
	ck_assert_int_eq(fd_notify_take(sock, &got), 0);
	ck_assert(got.store && got.n == 1 && fd_kind_of(got.fds[0]) == FD_KIND_DEVICE);
	ck_assert_str_eq(got.name, "kept");
	close(got.fds[0]);
	ck_assert_int_eq(fd_store_remove("kept"), 0);
	ck_assert_int_eq(fd_notify_take(sock, &got), 0);
	ck_assert(got.remove && !got.store);
	ck_assert_int_eq(fd_store_remove("a:b"), -EINVAL);
	setenv("NOTIFY_SOCKET", "relative", 1);
	ck_assert_int_eq(fd_notify("READY=1", NULL, 0), -EINVAL);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("fdframe");
	struct rlimit lim;

	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	tcase_set_timeout(t, 30);
	tcase_add_loop_test(t, all_sizes, 0, 21);
	tcase_add_loop_test(t, too_much, 0, 3);
	tcase_add_loop_test(t, no_frame, 0, 3);
	tcase_add_test(t, altered);
	tcase_add_test(t, other_kind);
	tcase_add_loop_test(t, sender_dies, 0, 2);
	tcase_add_loop_test(t, table_full, 0, 3);
	tcase_add_loop_test(t, sender_waits, 0, 3);
	tcase_add_test(t, kinds);
	tcase_add_test(t, listen_fds);
	tcase_add_test(t, store);
	return run_tests("fdframe", t);
}
