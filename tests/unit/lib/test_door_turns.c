/*
 * test_door_turns - client and server on one processor, where they yield to
 * each other: nothing but the time differs, whatever else runs there.
 */
#include "door_test.h"

#define ROUNDS 50
#define MANY 20000

static void pin(void)
{
	cpu_set_t set, one;
	int cpu = 0;

	EXPECT(sched_getaffinity(0, sizeof(set), &set) == 0);
	while (!CPU_ISSET(cpu, &set))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	EXPECT(sched_setaffinity(0, sizeof(one), &one) == 0);
}

/* 0 is answered at once; else the caller gets a signal, and a second to go away. */
static void signals(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	door_cred_t c;

	if (*(long *)args) {
		EXPECT(door_cred(&c) == 0 && kill(c.dc_pid, SIGUSR1) == 0);
		for (int ms = 0; ms < 1000 && !*(_Atomic int *)cookie; ms++)
			msleep(1);
		*(_Atomic int *)cookie = 0;
	}
	door_return(args, size, NULL, 0);
}

struct interrupts {
	int fd;
	_Atomic int went;
};

static void on_signal(int sig)
{
	(void)sig;
}

static void interrupted(void *arg)
{
	struct sigaction sa = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct interrupts *s = arg;
	int count = 0;
	long out;

	sigaction(SIGUSR1, &sa, NULL);
	for (int r = 0; r < ROUNDS; r++) {
		for (int i = 0; i < 100; i++)
			EXPECT(call_long(s->fd, 0, &out) == 0);
		if (call_long(s->fd, 1, &out) == 0)
			continue;
		EXPECT(errno == EINTR);
		count++;
		s->went = 1;
		WAIT_FOR(!s->went);
	}
	/* One that came before the call slept, where others had the processor, is like one that
	 * came before it. */
	EXPECT(count > ROUNDS / 2);
}

static void row23(void)
{
	struct interrupts *s = shared(sizeof(*s));

	pin();
	s->fd = door_create(signals, &s->went, 0);
	EXPECT(s->fd >= 0);
	in_child(interrupted, s);
}

static void calls(void *arg)
{
	long out;

	for (long i = 0; i < MANY; i++)
		EXPECT(call_long(*(int *)arg, i, &out) == 0 && out == i);
}

static void hog(void *arg)
{
	(void)arg;
	for (;;)
		__asm__ volatile("" ::: "memory");
}

/* Two clients, and one that only takes time. */
static void row28(void)
{
	pid_t pid[3];
	int fd;

	pin();
	fd = door_create(echo, NULL, 0);
	EXPECT(fd >= 0);
	pid[0] = child(calls, &fd);
	pid[1] = child(calls, &fd);
	EXPECT(end_of(pid[0]) == 0);
	pid[2] = child(hog, NULL);
	pid[0] = child(calls, &fd);
	EXPECT(end_of(pid[0]) == 0 && end_of(pid[1]) == 0);
	kill(pid[2], SIGKILL);
	end_of(pid[2]);
}

static const struct door_row rows[] = {
	{ "row 23: a signal interrupts whose turn it is not", row23, false },
	{ "row 28: calls on one processor, beside others", row28, false },
};

int main(int argc, char **argv)
{
	return run_rows(rows, sizeof(rows) / sizeof(rows[0]), argc, argv);
}
