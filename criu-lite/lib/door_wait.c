/*
 * door_wait - waiting for a word in memory that two processes share. It is
 * looked at for a few microseconds only while the other side runs on another
 * processor: on the same one it could not run meanwhile.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOKS 64 /* between two looks at the clock */

static void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* The processor that this thread runs on: its number plus 1. */
static uint32_t my_cpu(void)
{
	return (uint32_t)sched_getcpu() + 1;
}

/**
 * door_say_cpu - let the other side know where this thread runs
 * @where: what it knows so far; not written to without need
 */
void door_say_cpu(_Atomic uint32_t *where)
{
	const uint32_t cpu = my_cpu();

	if (atomic_load_explicit(where, memory_order_relaxed) != cpu)
		atomic_store_explicit(where, cpu, memory_order_relaxed);
}

/**
 * door_same_cpu - is the other side on the processor of this thread?
 * @peer_cpu: where it runs, as it says
 *
 * Return: whether that is so.
 */
bool door_same_cpu(const _Atomic uint32_t *peer_cpu)
{
	return atomic_load_explicit(peer_cpu, memory_order_relaxed) == my_cpu();
}

/**
 * door_now - the time
 *
 * Return: nanoseconds of CLOCK_MONOTONIC.
 */
uint64_t door_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/**
 * door_spin - look at a word for a while
 * @word: the word
 * @val: what it is
 * @peer_cpu: where the other side runs, as it says
 *
 * Return: whether the word has changed.
 */
bool door_spin(const _Atomic uint32_t *word, uint32_t val, const _Atomic uint32_t *peer_cpu)
{
	uint64_t end = 0;

	for (;;) {
		uint32_t peer = atomic_load_explicit(peer_cpu, memory_order_relaxed);

		if (!peer || peer == my_cpu())
			return atomic_load(word) != val;
		for (int i = 0; i < LOOKS; i++) {
			if (atomic_load(word) != val)
				return true;
			cpu_relax();
		}
		if (!end)
			end = door_now() + DOOR_SPIN_US * 1000ull;
		else if (door_now() > end)
			return false;
	}
}

/**
 * door_word_wait - sleep until a word is woken
 * @word: the word
 * @val: what it must be for that
 * @us: microseconds at most
 *
 * With a limit the call is interrupted by every signal that has a handler,
 * even one with SA_RESTART.
 *
 * Return: 0, also if the word is not @val; -ETIMEDOUT; -EINTR.
 */
int door_word_wait(_Atomic uint32_t *word, uint32_t val, unsigned int us)
{
	const struct timespec t = { .tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000L };

	if (syscall(SYS_futex, word, FUTEX_WAIT, val, &t, NULL, 0) == 0 || errno == EAGAIN)
		return 0;
	return -errno;
}

/**
 * door_word_wake - wake who sleeps on a word
 * @word: the word
 */
void door_word_wake(_Atomic uint32_t *word)
{
	syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}
