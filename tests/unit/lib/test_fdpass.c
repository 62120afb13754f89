/*
 * test_fdpass - descriptors over a socket: counts up to and beyond what one
 * message carries, and every way in which an exchange goes wrong, without a
 * descriptor lost.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fdpass.h"
#include "tests/unit/run_tests.h"

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
	src = open("/dev/null", O_RDONLY);
	before = open_fds();
}

static void send_n(size_t n)
{
	int *fds = malloc((n + 1) * sizeof(*fds));

	for (size_t i = 0; i < n; i++)
		fds[i] = src;
	ck_assert_int_eq(fd_put(sk[0], fds, n), 0);
	free(fds);
}

static void close_n(const int *fds, size_t n)
{
	struct stat a, b;

	ck_assert_int_eq(fstat(src, &a), 0);
	for (size_t i = 0; i < n; i++) {
		ck_assert_int_eq(fstat(fds[i], &b), 0);
		ck_assert(a.st_rdev == b.st_rdev && a.st_ino == b.st_ino);
		ck_assert_int_eq(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
		close(fds[i]);
	}
	ck_assert_int_eq(open_fds(), before);
}

static const int types[] = { SOCK_STREAM, SOCK_SEQPACKET, SOCK_DGRAM };
static const size_t counts[] = { 0, 1, 5, 252, 253, 254, 505, 506, 1000 };

START_TEST(exact)
{
	int fds[1000];
	size_t got = 9;

	connect_pair(types[_i / 9]);
	send_n(counts[_i % 9]);
	ck_assert_int_eq(fd_get(sk[1], fds, counts[_i % 9], NULL, &got), 0);
	ck_assert_uint_eq(got, counts[_i % 9]);
	close_n(fds, got);
}
END_TEST

START_TEST(one_message_up_to_253)
{
	int fds[254];
	size_t n, len;
	char b[2];

	connect_pair(SOCK_SEQPACKET);
	send_n(253);
	ck_assert_int_eq(fd_recv_msg(sk[1], b, 2, &len, fds, 253, &n, 0), 0);
	ck_assert_uint_eq(n, 253);
	ck_assert_uint_eq(len, 1);
	close_n(fds, n);
	ck_assert_int_eq(fd_recv_msg(sk[1], b, 2, &len, fds, 253, &n, MSG_DONTWAIT), -EAGAIN);
}
END_TEST

START_TEST(more_than_asked)
{
	int fds[10];
	size_t got;

	connect_pair(SOCK_STREAM);
	send_n(12);
	ck_assert_int_eq(fd_get(sk[1], fds, 10, NULL, &got), -EMSGSIZE);
	ck_assert_uint_eq(got, 10);
	close_n(fds, got);
}
END_TEST

START_TEST(fewer_than_asked)
{
	int fds[10];
	size_t got;

	connect_pair(SOCK_STREAM);
	send_n(3);
	ck_assert_int_eq(fd_get(sk[1], fds, 10, NULL, &got), -EBADMSG);
	ck_assert_uint_eq(got, 3);
	close_n(fds, got);
}
END_TEST

START_TEST(sender_dies)
{
	int fds[600];
	size_t got;

	connect_pair(SOCK_STREAM);
	send_n(252);
	close(sk[0]);
	before--;
	ck_assert_int_eq(fd_get(sk[1], fds, 600, NULL, &got), -ECONNRESET);
	ck_assert_uint_eq(got, 252);
	close_n(fds, got);
	ck_assert_int_eq(fd_get(sk[1], fds, 1, NULL, &got), -ECONNRESET);
	ck_assert_uint_eq(got, 0);
}
END_TEST

START_TEST(receiver_dies)
{
	connect_pair(SOCK_STREAM);
	close(sk[1]);
	ck_assert_int_eq(fd_put(sk[0], &src, 1), -EPIPE);
}
END_TEST

START_TEST(table_full)
{
	struct rlimit lim;
	int fds[40];
	size_t got;

	connect_pair(SOCK_STREAM);
	send_n(40);
	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = 20;
	setrlimit(RLIMIT_NOFILE, &lim);
	ck_assert_int_eq(fd_get(sk[1], fds, 40, NULL, &got), -EMFILE);
	ck_assert(got > 0 && got < 20);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	close_n(fds, got);
}
END_TEST

START_TEST(wrong_sockets)
{
	int fds[1], bad = 999, in[2];
	size_t got, len;
	char b;

	connect_pair(SOCK_STREAM);
	ck_assert_int_eq(fd_put(src, &src, 1), -ENOTSOCK);
	ck_assert_int_eq(fd_get(src, fds, 1, NULL, &got), -ENOTSOCK);
	ck_assert_int_eq(fd_put(sk[0], &bad, 1), -EBADF);
	ck_assert_int_eq(fd_send_msg(sk[0], "", 0, NULL, 0, 0), -EINVAL);
	ck_assert_int_eq(fd_send_msg(sk[0], "x", 1, fds, FD_MSG_MAX + 1, 0), -EINVAL);
	ck_assert_int_eq(write(sk[0], "x", 1), 1);
	ck_assert_int_eq(fd_get(sk[1], fds, 1, NULL, &got), -EBADMSG);
	/* Nothing waits for this, so it must not block. */
	ck_assert_int_eq(fd_put(-1, NULL, 0), 0);
	ck_assert_int_eq(fd_get(-1, NULL, 0, NULL, &got), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM, 0, in), 0);
	ck_assert_int_eq(fd_send_msg(in[0], "abc", 3, NULL, 0, 0), 0);
	ck_assert_int_eq(fd_recv_msg(in[1], &b, 1, &len, NULL, 0, &got, 0), -EMSGSIZE);
}
END_TEST

START_TEST(labels)
{
	static const char *const names[] = { "listen", "log", NULL };
	static const char *const many[] = { "a", "b", "c", "d", NULL };
	int fds[3];
	size_t got;

	connect_pair(SOCK_STREAM);
	send_n(3);
	ck_assert_int_eq(fd_get(sk[1], fds, 3, many, &got), -EINVAL);
	ck_assert_int_eq(fd_get(sk[1], fds, 3, names, &got), 0);
	ck_assert_int_eq(fd_find(fds, got, names, "log"), fds[1]);
	ck_assert_int_eq(fd_find(fds, got, names, "listen"), fds[0]);
	ck_assert_int_eq(fd_find(fds, got, names, "x"), -ENOENT);
	ck_assert_int_eq(fd_find(fds, got, NULL, "x"), -ENOENT);
	close_n(fds, got);
}
END_TEST

/* Credentials beside the descriptors must not push them out. */
START_TEST(passcred)
{
	int fds[253], one = 1;
	size_t got;

	connect_pair(SOCK_STREAM);
	ck_assert_int_eq(setsockopt(sk[1], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)), 0);
	send_n(253);
	ck_assert_int_eq(fd_get(sk[1], fds, 253, NULL, &got), 0);
	close_n(fds, got);
}
END_TEST

#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif

/* The kernel adds a descriptor of the sender, which nobody has asked for here. */
START_TEST(passpidfd)
{
	int fds[253], one = 1;
	size_t got;

	connect_pair(SOCK_STREAM);
	if (setsockopt(sk[1], SOL_SOCKET, SO_PASSPIDFD, &one, sizeof(one)) < 0)
		return;
	send_n(253);
	ck_assert_int_eq(fd_get(sk[1], fds, 253, NULL, &got), 0);
	ck_assert_uint_eq(got, 253);
	close_n(fds, got);
}
END_TEST

START_TEST(not_blocking)
{
	int fds[20000 / 10], st;
	pid_t pid;

	connect_pair(SOCK_STREAM);
	fcntl(sk[0], F_SETFL, O_NONBLOCK);
	fcntl(sk[1], F_SETFL, O_NONBLOCK);
	pid = fork();
	if (pid == 0) {
		size_t got;

		for (int i = 0; i < 300; i++) {
			if (fd_get(sk[1], fds, 2, NULL, &got))
				_exit(1);
			close(fds[0]);
			close(fds[1]);
		}
		_exit(0);
	}
	for (int i = 0; i < 300; i++)
		send_n(2);
	waitpid(pid, &st, 0);
	ck_assert_int_eq(st, 0);
}
END_TEST

START_TEST(no_growth)
{
	int fds[3];
	size_t got;

	connect_pair(SOCK_SEQPACKET);
	for (int i = 0; i < 20000; i++) {
		send_n(i % 4);
		ck_assert_int_eq(fd_get(sk[1], fds, i % 4 ? 2 : 0, NULL, &got),
				 i % 4 == 1   ? -EBADMSG
				 : i % 4 == 3 ? -EMSGSIZE
					      : 0);
		for (size_t k = 0; k < got; k++)
			close(fds[k]);
	}
	ck_assert_int_eq(open_fds(), before);
}
END_TEST

int main(void)
{
	TCase *t = tcase_create("fdpass");
	struct rlimit lim;

	getrlimit(RLIMIT_NOFILE, &lim);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_NOFILE, &lim);
	tcase_add_loop_test(t, exact, 0, 27);
	tcase_add_test(t, one_message_up_to_253);
	tcase_add_test(t, more_than_asked);
	tcase_add_test(t, fewer_than_asked);
	tcase_add_test(t, sender_dies);
	tcase_add_test(t, receiver_dies);
	tcase_add_test(t, table_full);
	tcase_add_test(t, wrong_sockets);
	tcase_add_test(t, labels);
	tcase_add_test(t, passcred);
	tcase_add_test(t, passpidfd);
	tcase_add_test(t, not_blocking);
	tcase_add_test(t, no_growth);
	return run_tests("fdpass", t);
}
