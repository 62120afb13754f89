/*
 * test_fdupgrade - hand-off between a program and its successor, which is this
 * program again with a word for how it behaves. Whatever goes wrong, the old
 * one has what it had, and no process or descriptor is left.
 */
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/fdframe.h"
#include "lib/fdlisten.h"
#include "lib/fdpass.h"
#include "lib/fdupgrade.h"
#include "tests/unit/run_tests.h"

#define STATE "what the old one knows"
#define MANY 600

static char self[512];
static struct fd_item items[MANY];
static int before;

static int open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static int listener(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(listen(fd, 8), 0);
	return fd;
}

/* What the successor says to a client: proof of who serves. */
static char ask(int fd)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);
	int c = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit = { .tv_sec = 5 };
	char who = '?';

	ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	setsockopt(c, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	ck_assert_int_eq(connect(c, (struct sockaddr *)&a, sizeof(a)), 0);
	ck_assert_int_eq(read(c, &who, 1), 1);
	close(c);
	return who;
}

static void serve(int fd)
{
	for (;;) {
		int c = accept(fd, NULL, NULL);

		if (c < 0 || write(c, "N", 1) != 1)
			_exit(9);
		close(c);
	}
}

/* No descriptor but 0 to 2, @n and the one for readdir(). */
static int clean(size_t n)
{
	return open_fds() == (int)(3 + n + 1 + 2);
}

static int offered(const char *how)
{
	struct fd_offer in;
	int ret = fd_offer_take(&in);

	if (!strcmp(how, "crash"))
		abort();
	if (!strcmp(how, "hang"))
		for (;;)
			pause();
	if (ret)
		return 10;
	if (!strcmp(how, "refuse")) {
		fd_offer_refuse(&in, "not this version");
		for (;;)
			pause();
	}
	if ((strcmp(how, "for") && in.old != getppid()) || !in.old || in.len != strlen(STATE) ||
	    strcmp(in.state, STATE) || getenv("CRIU_LITE_OFFER"))
		return 11;
	/* Beside the items: socket and pidfd. */
	if (!clean(in.n + 2))
		return 12;
	if (!fd_item_find(in.items, in.n, "http") ||
	    fd_item_find(in.items, in.n, "http")->kind != FD_KIND_LISTENER)
		return 13;
	if (fd_offer_accept(&in))
		return 14;
	if (!strcmp(how, "die-later"))
		return 15;
	serve(fd_item_find(in.items, in.n, "http")->fd);
	return 0;
}

static int listening(const char *how)
{
	struct fd_item *got;
	size_t n;

	if (fd_listen_take(&got, &n, 1) || n != 2 || !clean(n) || getenv("LISTEN_FDS"))
		return 20;
	if (strcmp(got[0].name, "http") || strcmp(got[1].name, "log") || got[0].fd != 3)
		return 21;
	if (fcntl(3, F_GETFD) != FD_CLOEXEC)
		return 22;
	if (!strcmp(how, "silent"))
		for (;;)
			pause();
	if (!strcmp(how, "errno")) {
		fd_notify("ERRNO=5\nSTATUS=no disk", NULL, 0);
		for (;;)
			pause();
	}
	if (fd_notify("STATUS=almost", NULL, 0) || fd_notify("READY=1", NULL, 0))
		return 23;
	serve(got[0].fd);
	return 0;
}

static int numbered(void)
{
	const char *v = getenv("SERVER");

	if (!v || strcmp(v, "7/9/") || getenv("LISTEN_FDS") || !clean(2) ||
	    fd_kind_of(7) != FD_KIND_LISTENER || fd_kind_of(9) != FD_KIND_DEVICE)
		return 30;
	serve(7);
	return 0;
}

static int successor(const char *how)
{
	sigset_t mask;

	sigprocmask(SIG_BLOCK, NULL, &mask);
	if (!sigisemptyset(&mask) || getsid(0) != getpid() || signal(SIGPIPE, SIG_DFL) != SIG_DFL)
		return 40;
	if (getenv("CRIU_LITE_OFFER"))
		return offered(how);
	if (getenv("SERVER"))
		return numbered();
	return listening(how);
}

/* The socket that is listened on, and another one. */
static struct fd_upgrade_opts options(const char *how, enum fd_hand hand, enum fd_ready ready)
{
	static const char *argv[4];

	argv[0] = self;
	argv[1] = "successor";
	argv[2] = how;
	memset(items, 0, sizeof(items));
	items[0].fd = listener();
	strcpy(items[0].name, "http");
	items[1].fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	strcpy(items[1].name, "log");
	before = open_fds();
	return (struct fd_upgrade_opts){ .argv = argv,
					 .items = items,
					 .n = 2,
					 .hand = hand,
					 .ready = ready,
					 .timeout_ms = 5000,
					 .state = STATE,
					 .len = strlen(STATE) };
}

/* The old one has its sockets, and nothing else is there. */
static void unharmed(int ret, int want, const struct fd_upgrade *u, const char *why)
{
	ck_assert_int_eq(ret, want);
	ck_assert_msg(strstr(u->why, why) != NULL, "why: %s", u->why);
	ck_assert_int_eq(open_fds(), before);
	ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
	ck_assert_int_eq(errno, ECHILD);
	ck_assert_int_eq(fd_kind_of(items[0].fd), FD_KIND_LISTENER);
}

static void serves(struct fd_upgrade *u)
{
	ck_assert_int_eq(fd_upgrade_commit(u), 0);
	ck_assert_int_eq(open_fds(), before);
	ck_assert_int_eq(ask(items[0].fd), 'N');
	kill(u->pid, SIGKILL);
	ck_assert_int_eq(waitpid(u->pid, NULL, 0), u->pid);
}

START_TEST(offer)
{
	struct fd_upgrade_opts o = options("good", FD_HAND_OFFER, FD_READY_OFFER);
	struct fd_upgrade u;

	sigset_t all;

	/* What the giver does to its own signals is not inherited. */
	signal(SIGPIPE, SIG_IGN);
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	ck_assert_msg(fd_upgrade_start(&u, &o) == 0, "%s", u.why);
	serves(&u);
}
END_TEST

START_TEST(offer_of_many)
{
	struct fd_upgrade_opts o = options("good", FD_HAND_OFFER, FD_READY_OFFER);
	struct fd_upgrade u;

	for (o.n = 2; o.n < MANY; o.n++)
		items[o.n].fd = items[1].fd;
	ck_assert_msg(fd_upgrade_start(&u, &o) == 0, "%s", u.why);
	serves(&u);
}
END_TEST

START_TEST(listen_and_notify)
{
	struct fd_upgrade_opts o = options("good", FD_HAND_LISTEN, FD_READY_NOTIFY);
	struct fd_upgrade u;

	ck_assert_msg(fd_upgrade_start(&u, &o) == 0, "%s", u.why);
	serves(&u);
}
END_TEST

static int is_up(void *arg, pid_t pid)
{
	char path[64], comm[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	if (!f || !fgets(comm, sizeof(comm), f))
		return -ESRCH;
	fclose(f);
	return ++*(int *)arg == 3;
}

START_TEST(numbers_and_ask)
{
	static const int at[] = { 7, 9 };
	struct fd_upgrade_opts o = options("good", FD_HAND_ENV, FD_READY_ASK);
	struct fd_upgrade u;
	int asked = 0;

	o.env_name = "SERVER";
	o.env_pattern = "%d/";
	o.at = at;
	o.ask = is_up;
	o.arg = &asked;
	ck_assert_msg(fd_upgrade_start(&u, &o) == 0, "%s", u.why);
	ck_assert_int_eq(asked, 3);
	serves(&u);
}
END_TEST

static const struct {
	const char *how;
	enum fd_hand hand;
	enum fd_ready ready;
	int want;
	const char *why;
} bad[] = {
	{ "crash", FD_HAND_OFFER, FD_READY_OFFER, -ECHILD, "signal 6 (ABRT)" },
	{ "hang", FD_HAND_OFFER, FD_READY_OFFER, -ETIMEDOUT, "within 300 ms" },
	{ "refuse", FD_HAND_OFFER, FD_READY_OFFER, -ECONNREFUSED, "not this version" },
	{ "silent", FD_HAND_LISTEN, FD_READY_NOTIFY, -ETIMEDOUT, "within 300 ms" },
	{ "errno", FD_HAND_LISTEN, FD_READY_NOTIFY, -ECONNREFUSED, "no disk: Input/output error" },
	/* It wants an offer and gets none. */
	{ "good", FD_HAND_ENV, FD_READY_NOTIFY, -ECHILD, "status 30" },
};

START_TEST(rolled_back)
{
	struct fd_upgrade_opts o = options(bad[_i].how, bad[_i].hand, bad[_i].ready);
	struct fd_upgrade u;

	if (bad[_i].want == -ETIMEDOUT)
		o.timeout_ms = 300;
	o.env_name = "SERVER";
	o.env_pattern = "%d";
	for (int i = 0; i < 5; i++)
		unharmed(fd_upgrade_start(&u, &o), bad[_i].want, &u, bad[_i].why);
}
END_TEST

START_TEST(cannot_start)
{
	struct fd_upgrade_opts o = options("good", FD_HAND_LISTEN, FD_READY_NOTIFY);
	const char *argv[] = { "/no/such/program", NULL };
	struct fd_upgrade u;

	o.argv = argv;
	unharmed(fd_upgrade_start(&u, &o), -ENOENT, &u, "/no/such/program");
	o = options("good", FD_HAND_LISTEN, FD_READY_NOTIFY);
	strcpy(items[1].name, "a:b");
	unharmed(fd_upgrade_start(&u, &o), -EINVAL, &u, "prepare");
	items[1].name[0] = '\0';
	items[1].fd = 999;
	unharmed(fd_upgrade_start(&u, &o), -EBADF, &u, "start");
	o.hand = FD_HAND_OFFER;
	o.ready = FD_READY_OFFER;
	unharmed(fd_upgrade_start(&u, &o), -EBADF, &u, "offer");
	o.hand = FD_HAND_LISTEN;
	unharmed(fd_upgrade_start(&u, &o), -EINVAL, &u, "contradict");
}
END_TEST

START_TEST(cancelled)
{
	struct fd_upgrade_opts o = options("good", FD_HAND_OFFER, FD_READY_OFFER);
	struct fd_upgrade u;

	ck_assert_int_eq(fd_upgrade_start(&u, &o), 0);
	fd_upgrade_cancel(&u);
	unharmed(0, 0, &u, "");
	/* One that dies between its OK and the commit. */
	ck_assert_int_eq(fd_upgrade_start(&u, &o), 0);
	kill(u.pid, SIGKILL);
	waitid(P_PID, (id_t)u.pid, &(siginfo_t){ 0 }, WEXITED | WNOWAIT);
	unharmed(fd_upgrade_commit(&u), -ECHILD, &u, "died when it was ready");
}
END_TEST

/* A giver that is killed after the OK: the successor serves on only if whom it replaces is gone. */
START_TEST(giver_killed)
{
	int alive = _i, st;
	pid_t old, giver;
	struct fd_upgrade_opts o = options("for", FD_HAND_OFFER, FD_READY_OFFER);
	int p[2];

	ck_assert_int_eq(pipe2(p, O_CLOEXEC), 0);
	old = fork();
	if (old == 0)
		for (;;)
			pause();
	giver = fork();
	if (giver == 0) {
		struct fd_upgrade u;
		char ok;

		o.old = alive ? old : 0;
		ok = fd_upgrade_start(&u, &o) == 0;
		if (write(p[1], &ok, 1) == 1 && write(p[1], &u.pid, sizeof(u.pid)) > 0)
			kill(getpid(), SIGKILL);
		_exit(1);
	}
	{
		char ok = 0, path[64];
		pid_t pid = 0;

		ck_assert_int_eq(read(p[0], &ok, 1), 1);
		ck_assert_int_eq(ok, 1);
		ck_assert_int_eq(read(p[0], &pid, sizeof(pid)), sizeof(pid));
		ck_assert_int_eq(waitpid(giver, &st, 0), giver);
		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		if (alive) {
			for (int i = 0; i < 500 && access(path, F_OK) == 0; i++)
				usleep(10000);
			ck_assert_int_ne(access(path, F_OK), 0);
		} else {
			ck_assert_int_eq(ask(items[0].fd), 'N');
			kill(pid, SIGKILL);
		}
	}
	kill(old, SIGKILL);
	waitpid(old, NULL, 0);
}
END_TEST

int main(int argc, char **argv)
{
	TCase *t;

	if (argc > 2 && !strcmp(argv[1], "successor"))
		return successor(argv[2]);
	if (readlink("/proc/self/exe", self, sizeof(self) - 1) <= 0)
		return 1;
	/* The harness may have left us more than the standard ones. */
	for (int fd = 3; fd < 64; fd++)
		close(fd);
	t = tcase_create("fdupgrade");
	tcase_set_timeout(t, 20);
	tcase_add_test(t, offer);
	tcase_add_test(t, offer_of_many);
	tcase_add_test(t, listen_and_notify);
	tcase_add_test(t, numbers_and_ask);
	tcase_add_loop_test(t, rolled_back, 0, sizeof(bad) / sizeof(bad[0]));
	tcase_add_test(t, cannot_start);
	tcase_add_test(t, cancelled);
	tcase_add_loop_test(t, giver_killed, 0, 2);
	return run_tests("fdupgrade", t);
}
