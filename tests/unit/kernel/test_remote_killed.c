/*
 * test_remote_killed - a tool that is killed at a random instant of a session
 * leaves no trace.
 *
 * REMOTE_ROUNDS sets how many tools are killed per target (default 60).
 */
#include "remote_fixture.h"

/* ---- the tool dies ---- */

static const struct remote_where *tool_where;

static void tool_main(pid_t pid)
{
	for (;;) {
		int ret = threads_freeze();

		if (!ret)
			ret = threads_session(pid, 2, tool_where);
		if (!ret)
			ret = threads_thaw();
		if (ret) {
			errno = -ret;
			wrong("tool");
			_exit(1);
		}
	}
}

/* Does every thread go on, within the stub's patience and some more? */
static void check_goes_on(pid_t pid)
{
	unsigned long before[MAX_THREADS];
	siginfo_t info = { 0 };

	for (int i = 0; i < n_threads; i++)
		before[i] = board->progress[i];
	for (int i = 0; i < n_threads; i++) {
		uint64_t start = now_us();

		while (board->progress[i] < before[i] + 2) {
			ck_assert_msg(now_us() - start < 6000000, "thread %d stands, state %c", i,
				      state_of(board->tids[i]));
			nap(100);
		}
	}
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WSTOPPED | WCONTINUED | WEXITED | WNOHANG),
			 0);
	ck_assert_int_eq(info.si_pid, 0);
	ck_assert_msg(!board->errors, "target: %s", board->what);
}

static void kill_tool_after(pid_t pid, long us)
{
	pid_t tool = fork();
	int status;

	ck_assert_int_ge(tool, 0);
	if (!tool) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		tool_main(pid);
	}
	nap(us / 2);
	sigqueue(pid, SIGRTMIN, (union sigval){ .sival_int = 1 });
	nap(us - us / 2);
	kill(tool, SIGKILL);
	ck_assert_int_eq(waitpid(tool, &status, 0), tool);
	ck_assert_msg(WIFSIGNALED(status), "the tool failed: %s", board->what);
}

static void kill_round(pid_t pid, long us, bool rescue_first)
{
	static char before[65536], after[65536];

	kill_tool_after(pid, us);
	if (!rescue_first)
		check_goes_on(pid);
	ck_assert_int_eq(remote_rescue(pid), 0);
	check_goes_on(pid);
	check_clean(pid);
	read_maps(pid, after, sizeof(after));
	if (before[0])
		ck_assert_str_eq(before, after);
	memcpy(before, after, sizeof(after));
}

static int kill_rounds(void)
{
	const char *env = getenv("REMOTE_ROUNDS");

	return env ? atoi(env) : 60;
}

/*
 * The way home of the host is in the cave, in the cave without the vector state,
 * on its stack; and a stub that makes no calls while it waits.
 */
static const struct {
	int threads;
	unsigned long cave;
	struct remote_where where;
} kill_cases[] = {
	{ .threads = 1 },
	{ .threads = 5 },
	{ .threads = 1, .cave = 1250 },
	{ .threads = 1, .cave = 360 },
	{ .threads = 5, .cave = 360 },
	{ .threads = 2, .where = { .threads = 2, .seccomp = 1 } },
};

START_TEST(tool_killed)
{
	unsigned int seed = (unsigned int)(getpid() ^ now_us());
	int rounds = kill_rounds();
	pid_t pid;

	n_threads = kill_cases[_i].threads;
	tool_where = &kill_cases[_i].where;
	pid = target_start(threads_target);
	if (kill_cases[_i].cave)
		shrink_cave(pid, kill_cases[_i].cave);
	read_vdso(pid, vdso);
	for (int i = 0; i < rounds; i++)
		kill_round(pid, 100 + rand_r(&seed) % 3000, i % 6);
	ck_assert_int_eq(board->handled, rounds);
	target_kill(pid);
}
END_TEST

/* A task in job control stop stays in it, and then goes on, when the tool dies. */
START_TEST(tool_killed_stopped)
{
	unsigned int seed = (unsigned int)(getpid() ^ now_us());
	int rounds = kill_rounds() / 3;
	siginfo_t info = { 0 };
	pid_t pid;

	n_threads = 5;
	pid = target_start(threads_target);
	for (int i = 0; i < rounds; i++) {
		kill(pid, SIGSTOP);
		ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WSTOPPED), 0);
		kill_tool_after(pid, 100 + rand_r(&seed) % 3000);
		if (i % 2)
			ck_assert_int_eq(remote_rescue(pid), 0);
		for (int k = 0; k < n_threads; k++)
			check_stopped(board->tids[k]);
		kill(pid, SIGCONT);
		ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WCONTINUED), 0);
		check_goes_on(pid);
		ck_assert_int_eq(remote_rescue(pid), 0);
		check_clean(pid);
	}
	ck_assert_int_eq(board->handled, rounds);
	target_kill(pid);
}
END_TEST

/* Kills a tool at its @n'th stop before or after a system call. Returns 1, or 0 if it ended first.
 */
static int kill_tool_at(pid_t pid, int n)
{
	pid_t tool = fork();
	int status, i = 0;

	ck_assert_int_ge(tool, 0);
	if (!tool) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		raise(SIGSTOP);
		/* A signal is pending all the time, to be delivered wherever it can be. */
		_exit(threads_freeze() ||
		      sigqueue(pid, SIGRTMIN, (union sigval){ .sival_int = 1 }) ||
		      threads_session(pid, 1, NULL) || threads_thaw());
	}
	ck_assert_int_eq(waitpid(tool, &status, WUNTRACED), tool);
	ck_assert_int_eq(ptrace(PTRACE_SEIZE, tool, NULL, PTRACE_O_TRACESYSGOOD), 0);
	kill(tool, SIGCONT);
	while (waitpid(tool, &status, __WALL) == tool && WIFSTOPPED(status)) {
		int sig = WSTOPSIG(status);

		if (sig == (SIGTRAP | 0x80) && ++i == n)
			kill(tool, SIGKILL);
		ptrace(PTRACE_SYSCALL, tool, NULL,
		       (status >> 16 || sig == SIGTRAP || (sig & 0x80)) ? 0 : sig);
	}
	ck_assert(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
	return WIFSIGNALED(status);
}

/* The tool dies at each system call it makes, before and after it. */
START_TEST(tool_killed_each_step)
{
	pid_t pid;
	int n = 1;

	n_threads = 2;
	pid = target_start(threads_target);
	if (_i)
		shrink_cave(pid, 360);
	read_vdso(pid, vdso);
	for (; kill_tool_at(pid, n); n++) {
		if (n % 6)
			ck_assert_int_eq(remote_rescue(pid), 0);
		check_goes_on(pid);
		ck_assert_int_eq(remote_rescue(pid), 0);
		check_clean(pid);
	}
	ck_assert_int_gt(n, 100);
	target_kill(pid);
}
END_TEST

/* The tool dies when all threads have been told to wait. */
static void held_tool(pid_t pid)
{
	struct remote *r;
	int ret = threads_freeze();

	ret = ret ?: remote_open(&r, pid, NULL);
	for (int i = 0; !ret && i < n_threads; i++)
		if (board->tids[i] != pid)
			ret = remote_attach_thread(r, board->tids[i]);
	for (int i = 0; !ret && i < n_threads; i++) {
		struct remote_call call = { .nr = SYS_gettid };

		ret = remote_run(r, board->tids[i], &call, 1, 0);
		ret = ret ?: remote_hold(r, board->tids[i]);
	}
	if (ret)
		_exit(1);
	raise(SIGKILL);
}

/* Does the thread sleep in a call of the stub's, which the target itself never makes? */
static bool sleeps_in_stub(pid_t tid)
{
	char path[64], buf[128] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, buf, sizeof(buf) - 1) < 0)
		buf[0] = 0;
	close(fd);
	return atoi(buf) == SYS_ppoll;
}

/* Threads that are held do not run when the tool dies, until they are rescued. */
START_TEST(tool_killed_held)
{
	unsigned long before[MAX_THREADS];
	int status;
	pid_t pid, tool;

	n_threads = 3;
	pid = target_start(threads_target);
	read_vdso(pid, vdso);
	tool = fork();
	ck_assert_int_ge(tool, 0);
	if (!tool)
		held_tool(pid);
	ck_assert_int_eq(waitpid(tool, &status, 0), tool);
	ck_assert(WIFSIGNALED(status));
	for (int i = 0; i < n_threads; i++)
		before[i] = board->progress[i];
	for (int i = 0; i < n_threads; i++) {
		for (int k = 0; k < 1000 && !sleeps_in_stub(board->tids[i]); k++)
			nap(1000);
		ck_assert_msg(board->progress[i] == before[i], "thread %d runs", i);
	}
	ck_assert_int_eq(remote_rescue(pid), 0);
	check_goes_on(pid);
	check_clean(pid);
	target_kill(pid);
}
END_TEST

/* The tool dies when signals are not blocked and one is waiting. */
static void open_tool(pid_t pid)
{
	struct remote_call call = { .nr = SYS_gettid };
	struct remote *r;
	int ret = threads_freeze();

	ret = ret ?: remote_open(&r, pid, NULL);
	ret = ret ?: remote_run(r, pid, &call, 1, 0);
	ret = ret ?: ptrace_set_sigmask(pid, 0);
	ret = ret ?: sigqueue(pid, SIGRTMIN, (union sigval){ .sival_int = 1 });
	if (ret)
		_exit(1);
	raise(SIGKILL);
}

/*
 * A handler that would return to where the tool has left the thread returns to the thread's own
 * state. What is left of its frame, on a stack that others use too, stands in nobody's way.
 */
START_TEST(tool_killed_in_handler)
{
	int status;
	pid_t pid;

	n_threads = 1;
	pid = target_start(threads_target);
	read_vdso(pid, vdso);
	for (int i = 1; i <= 5; i++) {
		pid_t tool = fork();

		board->stay = 1;
		ck_assert_int_ge(tool, 0);
		if (!tool)
			open_tool(pid);
		ck_assert_int_eq(waitpid(tool, &status, 0), tool);
		ck_assert(WIFSIGNALED(status));
		for (int k = 0; k < 3000 && board->handled < 2 * i - 1; k++)
			nap(1000);
		ck_assert_int_eq(board->handled, 2 * i - 1);
		ck_assert_int_eq(remote_rescue(pid), 0);
		check_clean(pid);
		board->stay = 0;
		check_goes_on(pid);
		kill_tool_after(pid, 500);
		ck_assert_int_eq(remote_rescue(pid), 0);
		check_goes_on(pid);
		check_clean(pid);
		ck_assert_int_eq(board->handled, 2 * i);
	}
	target_kill(pid);
}
END_TEST

/* SIGKILL to the target is seen as -ESRCH, wherever it comes. */
START_TEST(target_killed)
{
	unsigned int seed = (unsigned int)getpid();

	n_threads = 1;
	for (int i = 0; i < 60; i++) {
		pid_t pid = target_start(threads_target), killer;
		int ret;

		must_freeze(pid);
		killer = fork();
		if (!killer) {
			nap(rand_r(&seed) % 2000);
			kill(pid, SIGKILL);
			_exit(0);
		}
		do {
			ret = threads_session(pid, 1, NULL);
		} while (!ret);
		ck_assert_int_eq(ret, -ESRCH);
		waitpid(killer, NULL, 0);
		waitpid(pid, NULL, __WALL | WNOHANG);
	}
}
END_TEST

static Suite *remote_suite(void)
{
	Suite *s = suite_create("remote, killed");
	TCase *t = tcase_create("death");

	tcase_set_timeout(t, 0);
	tcase_add_loop_test(t, tool_killed, 0, 6);
	tcase_add_loop_test(t, tool_killed_each_step, 0, 2);
	tcase_add_test(t, tool_killed_stopped);
	tcase_add_test(t, tool_killed_held);
	tcase_add_test(t, tool_killed_in_handler);
	tcase_add_test(t, target_killed);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(remote_suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? 1 : 0;
}
