/*
 * remote-rescue - remove what a tool that died has left in a task: threads that
 * are still in the stub go home at once, handlers that would return to it return
 * home, the work area is unmapped and the cave gets its zero bytes back.
 */
#include "kernel/remote-internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>

#include "kernel/backoff.h"
#include "kernel/ptrace.h"

#define STOP_LIMIT_MS 5000
#define HANDLER_DEPTH (1ul << 20) /* how far up the stack to look */
#define HANDLER_CHUNK REMOTE_PAGE

struct rescue {
	pid_t *tids; /* seized by us */
	size_t n;
};

static bool rescue_has(const struct rescue *s, pid_t tid)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->tids[i] == tid)
			return true;
	return false;
}

static int rescue_seize_one(struct rescue *s, pid_t tid)
{
	pid_t *tids = realloc(s->tids, (s->n + 1) * sizeof(*tids));
	struct ptrace_stop stop;
	int ret;

	if (!tids)
		return -ENOMEM;
	s->tids = tids;
	ret = ptrace_seize(tid, PTRACE_O_SUSPEND_SECCOMP);
	if (ret == -EPERM || ret == -EINVAL)
		ret = ptrace_seize(tid, 0);
	if (ret == -ESRCH)
		return 0;
	ret = ret ?: ptrace_interrupt_wait(tid, STOP_LIMIT_MS, &stop);
	if (!ret)
		s->tids[s->n++] = tid;
	return ret == -ESRCH ? 0 : ret;
}

/* One pass over the threads. Returns how many were new, or -errno. */
static int rescue_seize_pass(struct rescue *s, pid_t pid)
{
	size_t before = s->n;
	struct dirent *e;
	char path[64];
	int ret = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? -ESRCH : -errno;
	while (!ret && (e = readdir(dir))) {
		pid_t tid = (pid_t)atoi(e->d_name);

		if (tid > 0 && !rescue_has(s, tid))
			ret = rescue_seize_one(s, tid);
	}
	closedir(dir);
	return ret < 0 ? ret : (int)(s->n - before);
}

/* Lets a thread that is in the stub go home, and stops it again there. */
static int rescue_home(const struct remote *r, pid_t tid)
{
	struct user_regs_struct regs;
	struct ptrace_stop stop;
	struct arch_job job;
	struct backoff b;
	int ret;

	backoff_init(&b, STOP_LIMIT_MS);
	for (;;) {
		ret = ptrace_get_regs(tid, &regs);
		if (ret < 0 || arch_where(&regs, r->code) == ARCH_OUTSIDE)
			return ret;
		if (arch_where(&regs, r->code) == ARCH_WAITING) {
			job = arch_regs_job(&regs, r->code);
			arch_regs_park(&regs, &job);
			ret = ptrace_set_regs(tid, &regs);
		}
		ret = ret ?: backoff_pause(&b);
		ret = ret ?: ptrace_resume(tid, 0);
		/*
		 * A task in job control stop has a second event to tell, after which it must
		 * come to run before it is interrupted again.
		 */
		ret = ret ?: ptrace_wait_stop(tid, 1, &stop);
		if (ret == -ETIMEDOUT)
			ret = ptrace_interrupt_wait(tid, STOP_LIMIT_MS, &stop);
		else if (!ret && stop.kind == PTRACE_STOP_SIGNAL)
			ret = ptrace_resume(tid, stop.sig)
				      ?: ptrace_interrupt_wait(tid, STOP_LIMIT_MS, &stop);
		if (ret < 0)
			return ret;
	}
}

/*
 * A word on the stack, at @at, may be where a handler returns to, in the stub: it then goes
 * straight to where the stub would have led, the thread's own state. A frame that is left from a
 * handler that has returned, in memory that nobody has written to since, looks the same, and does
 * not matter.
 */
static int rescue_return(struct remote *r, unsigned long at)
{
	unsigned char uc[ARCH_UC_SIZE], home[ARCH_UC_SIZE];

	at -= ARCH_UC_IP;
	if (remote_read(r, at, uc, sizeof(uc)) < 0 || !arch_uc_returns(uc, at, r->code))
		return 0;
	/* Without a way home it is old. */
	if (remote_read(r, arch_uc_home(uc), home, sizeof(home)) < 0 || !arch_uc_redirect(uc, home))
		return 0;
	return remote_write(r, at, uc, sizeof(uc));
}

/*
 * A tool that dies before signals are blocked, or after they are unblocked, may
 * leave a thread in a handler that returns to the stub.
 */
static int rescue_returns(struct remote *r, pid_t tid)
{
	unsigned long words[HANDLER_CHUNK / sizeof(unsigned long)], at, end;
	struct user_regs_struct regs;
	int ret = ptrace_get_regs(tid, &regs);

	if (ret < 0)
		return ret;
	at = arch_sp(&regs) & ~7ul;
	for (end = at + HANDLER_DEPTH; at < end; at += HANDLER_CHUNK - at % HANDLER_CHUNK) {
		size_t n = (HANDLER_CHUNK - at % HANDLER_CHUNK) / sizeof(words[0]);

		/* The end of the stack. */
		if (remote_read(r, at, words, n * sizeof(words[0])) < 0)
			break;
		for (size_t i = 0; !ret && i < n; i++)
			if (words[i] - r->code < arch_stub_size())
				ret = rescue_return(r, at + i * sizeof(words[0]));
	}
	return ret;
}

/* Is the recorded area what the dead tool mapped, and not the task's own memory? */
static int rescue_area(struct remote *r, const struct cave_head *left)
{
	struct area_head head;
	unsigned long end;
	int ret = remote_mapped_at(r->tid, left->area, &end);

	if (ret <= 0)
		return ret;
	ret = remote_read(r, left->area, &head, sizeof(head));
	if (ret < 0)
		return ret;
	/* All zero: the tool died before it could write the head. */
	if (head.magic != REMOTE_MAGIC && (head.magic || end - left->area != left->area_len))
		return 0;
	r->area = left->area;
	r->area_len = end - left->area;
	return 1;
}

static int rescue_clean(struct remote *r, const struct cave_head *left, const struct rescue *s)
{
	struct remote_thread *t = r->threads;
	int ret = 0, err;

	for (size_t i = 0; !ret && i < s->n; i++)
		ret = rescue_home(r, s->tids[i]) ?: rescue_returns(r, s->tids[i]);
	if (ret)
		return ret;
	ret = rescue_area(r, left);
	if (ret > 0) {
		ret = remote_thread_capture(r, t, r->tid) ?: remote_area_unmap(r, t);
		err = t->tid ? remote_thread_restore(r, t) : 0;
		ret = ret ?: err;
	}
	return ret ?: remote_cave_wipe(r);
}

/* Looks for the cave that is in use. Returns 1, 0 if there is none, or -errno. */
static int rescue_find(struct remote *r, struct cave_head *left, unsigned long *start)
{
	struct remote_gap gap;
	unsigned long end;
	int ret = remote_scan_maps(r->tid, &gap);

	if (ret < 0)
		return ret;
	*start = gap.vdso_start;
	if (gap.vdso_end) {
		if (gap.vdso_end - gap.vdso_start < REMOTE_PAGE)
			return 0;
		remote_cave_locate(r, gap.vdso_end);
		return remote_cave_used(r, left);
	}
	while ((ret = remote_code_at(r->tid, start, &end)) > 0) {
		remote_cave_locate(r, end);
		ret = remote_cave_used(r, left);
		if (ret)
			return ret;
		*start = end;
	}
	return ret;
}

static int rescue_open(struct remote *r, struct cave_head *left)
{
	unsigned long start;
	int ret = rescue_find(r, left, &start);

	if (ret <= 0)
		return ret;
	/* Where the frame may be: all of it is ours as long as the head stands. */
	r->cave_room = left->start;
	if (left->start < start || left->start > r->code || left->start % 8)
		return -EPROTO;
	r->stub_flags = ARCH_STUB_NO_CALLS;
	r->n_slots = 1;
	r->threads = calloc(1, sizeof(*r->threads));
	return r->threads ? 1 : -ENOMEM;
}

/**
 * remote_rescue - remove what a dead tool has left in a process.
 * @pid: the process
 *
 * Seizes all threads for the time it takes; none may be traced by another. Looks
 * only where remote_open() would. Cheap if there is nothing. Returns 0, also if there was
 * nothing to do, -EPERM if the tool is not dead, -EPROTO if another version of
 * it was at work, or another -errno.
 */
int remote_rescue(pid_t pid)
{
	struct rescue s = { 0 };
	struct cave_head left = { 0 };
	struct remote *r;
	int ret = remote_new(&r, pid);

	if (ret < 0)
		return ret;
	ret = rescue_open(r, &left);
	if (ret > 0) {
		do {
			ret = rescue_seize_pass(&s, pid);
		} while (ret > 0);
		ret = ret ?: remote_cave_same(r);
		ret = ret ?: rescue_clean(r, &left, &s);
		for (size_t i = 0; i < s.n; i++)
			ptrace_detach(s.tids[i], 0);
		free(s.tids);
	}
	remote_free(r);
	return ret;
}
