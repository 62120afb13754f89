/*
 * test_remote - remote system calls leave no trace: whatever the target was
 * doing, it goes on with it after a session.
 */
#include "remote_fixture.h"

START_TEST(busy)
{
	pid_t pid = target_start(busy_target);

	for (int i = 0; i < 30; i++)
		whole_session(pid);
	nap(50000);
	target_kill(pid);
}
END_TEST

/* ---- sleeps keep their time ---- */

#define SLEEP_US 1200000

static int sleep_kind;

static void sleep_target(void)
{
	struct timespec ts = { SLEEP_US / 1000000, SLEEP_US % 1000000 * 1000 };
	uint64_t start, gone;
	int word = 0, fds[2];
	long ret = 0;
	char c;

	if (pipe(fds))
		wrong("pipe");
	board->value[0] = fds[1];
	board->ready = 1;
	start = now_us();
	switch (sleep_kind) {
	case 0:
		ret = nanosleep(&ts, NULL);
		break;
	case 1:
		ret = poll(NULL, 0, SLEEP_US / 1000);
		break;
	case 2:
		ret = syscall(SYS_futex, &word, FUTEX_WAIT, 0, &ts, NULL, 0);
		ret = ret < 0 && errno == ETIMEDOUT ? 0 : -1;
		break;
	case 3:
		ret = ppoll(NULL, 0, &ts, NULL);
		break;
	case 4:
		ret = read(fds[0], &c, 1) == 1 ? 0 : -1;
		break;
	case 5:
		ret = clock_nanosleep(CLOCK_MONOTONIC, 0, &ts, NULL);
		break;
	}
	gone = now_us() - start;
	if (ret)
		wrong("sleep failed");
	if (gone < SLEEP_US - 1000 && sleep_kind != 4)
		wrong("sleep too short");
	if (gone > SLEEP_US + 150000)
		wrong("sleep too long");
	board->value[1] = (long)gone;
	board->quit = 1;
	for (;;)
		pause();
}

START_TEST(sleeping)
{
	pid_t pid;

	sleep_kind = _i;
	pid = target_start(sleep_target);
	for (int i = 0; i < 5; i++) {
		nap(100000);
		whole_session(pid);
	}
	if (sleep_kind == 4) {
		char path[64];
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/fd/%ld", pid, board->value[0]);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		ck_assert_int_eq(write(fd, "x", 1), 1);
		close(fd);
	}
	for (int i = 0; i < 3000 && !board->quit; i++)
		nap(1000);
	ck_assert_int_eq(board->quit, 1);
	target_kill(pid);
}
END_TEST

/* ---- signals ---- */

static char alt_space[65536];

static void on_alt(int sig)
{
	char here;
	uint64_t want = compute(3000);

	(void)sig;
	board->ready = 1;
	while (!board->quit) {
		if (compute(3000) != want)
			wrong("registers in handler");
		if (&here < alt_space || &here > alt_space + sizeof(alt_space))
			wrong("not on the alternate stack");
	}
}

static void alt_target(void)
{
	stack_t alt = { .ss_sp = alt_space, .ss_size = sizeof(alt_space) }, now;
	struct sigaction sa = { .sa_handler = on_alt, .sa_flags = SA_ONSTACK };

	sigaltstack(&alt, NULL);
	sigaction(SIGUSR1, &sa, NULL);
	raise(SIGUSR1);
	if (sigaltstack(NULL, &now) || now.ss_sp != alt_space || now.ss_flags)
		wrong("alternate stack lost");
	board->progress[0] = 1;
	for (;;)
		pause();
}

START_TEST(on_altstack)
{
	pid_t pid = target_start(alt_target);

	for (int i = 0; i < 10; i++)
		whole_session(pid);
	board->quit = 1;
	for (int i = 0; i < 3000 && !board->progress[0]; i++)
		nap(1000);
	ck_assert_int_eq(board->progress[0], 1);
	target_kill(pid);
}
END_TEST

static void blocked_target(void)
{
	sigset_t all, now;

	sigfillset(&all);
	signal(SIGTRAP, SIG_IGN);
	sigprocmask(SIG_SETMASK, &all, &now);
	sigprocmask(SIG_BLOCK, NULL, &all);
	board->ready = 1;
	while (!board->quit) {
		sigprocmask(SIG_BLOCK, NULL, &now);
		if (memcmp(&now, &all, 8))
			wrong("mask");
	}
	sigpending(&now);
	if (!sigismember(&now, SIGUSR1) || !sigismember(&now, SIGTERM))
		wrong("pending signals lost");
	if (signal(SIGTRAP, SIG_DFL) != SIG_IGN)
		wrong("SIGTRAP no longer ignored");
	board->progress[0] = 1;
	for (;;)
		pause();
}

START_TEST(all_blocked)
{
	pid_t pid = target_start(blocked_target);

	kill(pid, SIGUSR1);
	kill(pid, SIGTERM);
	for (int i = 0; i < 10; i++)
		whole_session(pid);
	board->quit = 1;
	for (int i = 0; i < 3000 && !board->progress[0]; i++)
		nap(1000);
	ck_assert_int_eq(board->progress[0], 1);
	target_kill(pid);
}
END_TEST

static void on_count(int sig)
{
	(void)sig;
	board->progress[1]++;
}

static void counting_target(void)
{
	signal(SIGUSR1, on_count);
	busy_target();
}

/* A signal that comes during a session is delivered once, after it. */
START_TEST(signal_meanwhile)
{
	pid_t pid = target_start(counting_target);
	struct remote *r;

	for (unsigned int i = 1; i <= 10; i++) {
		must_freeze(pid);
		ck_assert_int_eq(remote_open(&r, pid, NULL), 0);
		kill(pid, SIGUSR1);
		ck_assert_int_eq(remote_call1(r, pid, SYS_getpid, 0, 0, 0, 0, 0, 0), pid);
		ck_assert_uint_eq(board->progress[1], i - 1);
		ck_assert_int_eq(remote_close(r), 0);
		ck_assert_int_eq(ptrace_detach(pid, 0), 0);
		for (int k = 0; k < 1000 && board->progress[1] < i; k++)
			nap(1000);
		ck_assert_uint_eq(board->progress[1], i);
	}
	target_kill(pid);
}
END_TEST

/* SIGSTOP cannot be blocked: the task is in job control stop afterwards. */
START_TEST(stop_meanwhile)
{
	pid_t pid = target_start(busy_target);
	siginfo_t info = { 0 };
	struct remote *r;

	must_freeze(pid);
	ck_assert_int_eq(remote_open(&r, pid, NULL), 0);
	kill(pid, SIGSTOP);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(remote_call1(r, pid, SYS_getpid, 0, 0, 0, 0, 0, 0), pid);
	ck_assert_int_eq(remote_close(r), 0);
	ck_assert_int_eq(ptrace_detach(pid, 0), 0);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WSTOPPED), 0);
	ck_assert_int_eq(info.si_code, CLD_STOPPED);
	check_stopped(pid);
	kill(pid, SIGCONT);
	nap(20000);
	ck_assert_int_ne(state_of(pid), 'T');
	target_kill(pid);
}
END_TEST

START_TEST(group_stopped)
{
	pid_t pid = target_start(busy_target);
	struct ptrace_stop stop;
	siginfo_t info = { 0 };
	unsigned long before;

	kill(pid, SIGSTOP);
	ck_assert_int_eq(waitid(P_PID, (id_t)pid, &info, WSTOPPED), 0);
	for (int i = 0; i < 10; i++) {
		ck_assert_int_eq(freeze(pid, &stop), 0);
		ck_assert_int_eq(stop.kind, PTRACE_STOP_GROUP);
		session(pid);
		ck_assert_int_eq(ptrace_detach(pid, 0), 0);
		check_stopped(pid);
	}
	before = board->progress[0];
	nap(20000);
	ck_assert_uint_eq(before, board->progress[0]);
	kill(pid, SIGCONT);
	nap(50000);
	ck_assert_uint_gt(board->progress[0], before);
	target_kill(pid);
}
END_TEST

/* ---- seccomp ---- */

static void strict_target(void)
{
	board->ready = 1;
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
	for (;;)
		board->progress[0]++;
}

static void filter_target(void)
{
	struct sock_filter f[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_rt_sigreturn, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog prog = { 4, f };

	board->ready = 1;
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
	for (;;)
		board->progress[0]++;
}

START_TEST(seccomp)
{
	const struct remote_where where = { .seccomp = 1 };
	pid_t pid = target_start(_i ? filter_target : strict_target);
	unsigned long before;
	struct remote *r;

	for (int i = 0; i < 10; i++) {
		must_freeze(pid);
		ck_assert_int_eq(remote_open(&r, pid, &where), 0);
		ck_assert_int_eq(remote_call1(r, pid, SYS_getpid, 0, 0, 0, 0, 0, 0), pid);
		ck_assert_int_eq(remote_close(r), 0);
		ck_assert_int_eq(ptrace_detach(pid, 0), 0);
	}
	before = board->progress[0];
	nap(20000);
	ck_assert_uint_gt(board->progress[0], before);
	target_kill(pid);
}
END_TEST

/* ---- restartable sequences ---- */

static void rseq_target(void)
{
	struct rseq *rs = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
	struct rseq_cs cs __attribute__((aligned(32))) = { 0 };
	unsigned long start, end, abort_at;

	if (!__rseq_size)
		return;
	board->ready = 1;
	__asm__ volatile("	lea 1f(%%rip), %0\n"
			 "	lea 2f(%%rip), %1\n"
			 "	lea 3f(%%rip), %2\n"
			 "	movq %0, 8(%3)\n"
			 "	sub %0, %1\n"
			 "	movq %1, 16(%3)\n"
			 "	movq %2, 24(%3)\n"
			 "	movq %2, %5\n"
			 "	jmp 4f\n"
			 "	.byte 0x0f, 0xb9, 0x3d\n"
			 "	.long 0x53053053\n" /* the signature before the abort handler */
			 "3:	lock incq %6\n"
			 "4:	movq %3, 8(%4)\n"
			 "1:	nop\n"
			 "	jmp 1b\n"
			 "2:\n"
			 : "=&r"(start), "=&r"(end), "=&r"(abort_at)
			 : "r"(&cs), "r"(rs), "m"(board->abort_ip), "m"(board->progress[0])
			 : "memory");
}

START_TEST(rseq)
{
	pid_t pid = target_start(rseq_target);
	struct user_regs_struct regs;
	int inside = 0;

	for (int i = 0; i < 20; i++) {
		struct remote *r;

		must_freeze(pid);
		ck_assert_int_eq(ptrace_get_regs(pid, &regs), 0);
		inside += regs.rip != board->abort_ip;
		ck_assert_int_eq(remote_open(&r, pid, NULL), 0);
		ck_assert_int_eq(remote_call1(r, pid, SYS_getpid, 0, 0, 0, 0, 0, 0), pid);
		ck_assert_int_eq(remote_close(r), 0);
		ck_assert_int_eq(ptrace_get_regs(pid, &regs), 0);
		ck_assert_uint_eq(regs.rip, board->abort_ip);
		ck_assert_int_eq(ptrace_detach(pid, 0), 0);
		nap(3000);
	}
	ck_assert_int_gt(inside, 0);
	ck_assert_uint_gt(board->progress[0], 0);
	target_kill(pid);
}
END_TEST

static const int thread_counts[] = { 1, 8, 150 };

START_TEST(threads)
{
	pid_t pid;

	n_threads = thread_counts[_i];
	pid = target_start(threads_target);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(threads_freeze(), 0);
		ck_assert_int_eq(threads_session(pid, 3, NULL), 0);
		check_clean(pid);
		ck_assert_int_eq(threads_thaw(), 0);
	}
	nap(50000);
	target_kill(pid);
}
END_TEST

/* ---- the restore side ---- */

static void adopt_target(void)
{
	size_t size = remote_area_size(4);
	char *area = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memcpy(area, remote_code(), remote_code_size());
	mprotect(area, 4096, PROT_READ | PROT_EXEC);
	board->value[0] = (long)area;
	board->ready = 1;
	for (;;)
		pause();
}

START_TEST(adopt)
{
	pid_t pid = target_start(adopt_target);
	struct remote_call calls[3];
	struct remote *r;
	unsigned long area = (unsigned long)board->value[0];

	must_freeze(pid);
	ck_assert_int_eq(remote_adopt(&r, pid, area, remote_area_size(4)), 0);
	for (int i = 0; i < 3; i++)
		calls[i] = call_getpid();
	for (int i = 0; i < 50; i++) {
		ck_assert_int_eq(remote_run(r, pid, calls, 3, 0), 0);
		ck_assert_int_eq(calls[2].ret, pid);
	}
	/* A task that stands for longer than the patience of the dump side is still ours. */
	ck_assert_int_eq(remote_start(r, pid, calls, 3, 0), 0);
	nap(2500000);
	ck_assert_int_eq(remote_finish(r, pid, calls, 3, 0), 0);
	remote_forget(r);
	target_kill(pid);
}
END_TEST

/* ---- what may go wrong ---- */

static const unsigned long cave_sizes[] = { 1250, 360, 200 };

START_TEST(small_cave)
{
	pid_t pid = target_start(_i % 2 ? busy_target : counting_target);
	struct remote *r;

	shrink_cave(pid, cave_sizes[_i]);
	read_vdso(pid, vdso);
	if (cave_sizes[_i] > 300) {
		for (int i = 0; i < 10; i++)
			whole_session(pid);
	} else {
		must_freeze(pid);
		ck_assert_int_eq(remote_open(&r, pid, NULL), -ENOSPC);
		ck_assert_int_eq(ptrace_detach(pid, 0), 0);
	}
	check_clean(pid);
	nap(20000);
	target_kill(pid);
}
END_TEST

/* The target may map nothing more: refused, and no trace. */
START_TEST(no_memory)
{
	struct rlimit low = { 1 << 20, 1 << 20 };
	pid_t pid = target_start(busy_target);
	unsigned long before;
	struct remote *r;

	ck_assert_int_eq(prlimit(pid, RLIMIT_AS, &low, NULL), 0);
	for (int i = 0; i < 5; i++) {
		must_freeze(pid);
		ck_assert_int_eq(remote_open(&r, pid, NULL), -ENOMEM);
		check_clean(pid);
		ck_assert_int_eq(ptrace_detach(pid, 0), 0);
	}
	before = board->progress[0];
	nap(20000);
	ck_assert_uint_gt(board->progress[0], before);
	target_kill(pid);
}
END_TEST

/* A tool that is late finds the thread gone home, and can still clean up. */
START_TEST(tool_late)
{
	struct remote_call call = call_getpid();
	pid_t pid = target_start(busy_target);
	unsigned long before;
	struct remote *r;

	must_freeze(pid);
	ck_assert_int_eq(remote_open(&r, pid, NULL), 0);
	before = board->progress[0];
	ck_assert_int_eq(remote_start(r, pid, &call, 1, 0), 0);
	nap((REMOTE_PATIENCE_MS + 300) * 1000);
	ck_assert_uint_gt(board->progress[0], before);
	ck_assert_int_eq(remote_finish(r, pid, &call, 1, 0), -ESTALE);
	ck_assert_int_eq(remote_start(r, pid, &call, 1, 0), -ESTALE);
	ck_assert_int_eq(remote_close(r), 0);
	check_clean(pid);
	ck_assert_int_eq(ptrace_detach(pid, 0), 0);
	nap(20000);
	target_kill(pid);
}
END_TEST

/* A call that blocks ends with the time limit, and closing ends the call. */
START_TEST(call_blocks)
{
	pid_t pid = target_start(busy_target);
	struct remote *r;

	must_freeze(pid);
	ck_assert_int_eq(remote_open(&r, pid, NULL), 0);
	remote_set_limit(r, 100);
	ck_assert_int_eq(remote_call1(r, pid, SYS_pause, 0, 0, 0, 0, 0, 0), -ETIMEDOUT);
	ck_assert_int_eq(remote_close(r), 0);
	check_clean(pid);
	ck_assert_int_eq(ptrace_detach(pid, 0), 0);
	nap(20000);
	target_kill(pid);
}
END_TEST

static Suite *remote_suite(void)
{
	Suite *s = suite_create("remote");
	TCase *t = tcase_create("session");

	tcase_set_timeout(t, 30);
	tcase_add_test(t, busy);
	tcase_add_loop_test(t, sleeping, 0, 6);
	tcase_add_test(t, on_altstack);
	tcase_add_test(t, all_blocked);
	tcase_add_test(t, signal_meanwhile);
	tcase_add_test(t, stop_meanwhile);
	tcase_add_test(t, group_stopped);
	tcase_add_loop_test(t, seccomp, 0, 2);
	tcase_add_test(t, rseq);
	tcase_add_loop_test(t, threads, 0, 3);
	tcase_add_test(t, adopt);
	tcase_add_loop_test(t, small_cave, 0, 3);
	tcase_add_test(t, no_memory);
	tcase_add_test(t, tool_late);
	tcase_add_test(t, call_blocks);
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
