/*
 * ptrace - thin wrappers over ptrace(2) for tasks that were PTRACE_SEIZEd.
 *
 * Every function returns 0 or -errno. All calls about one task must come from the thread that
 * seized it. Nothing here waits without a limit.
 */
#ifndef CL_KERNEL_PTRACE_H
#define CL_KERNEL_PTRACE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/user.h>

enum ptrace_stop_kind {
	PTRACE_STOP_EVENT,  /* PTRACE_EVENT_STOP after PTRACE_INTERRUPT, or a new clone's first stop
			     */
	PTRACE_STOP_GROUP,  /* PTRACE_EVENT_STOP of a task in job control stop */
	PTRACE_STOP_SIGNAL, /* a signal is about to be delivered: sig must be passed on */
	PTRACE_STOP_OTHER,  /* PTRACE_EVENT_CLONE and the like: see event */
};

struct ptrace_stop {
	enum ptrace_stop_kind kind;
	int sig;   /* the stop signal of a group stop, or the signal about to be delivered */
	int event; /* PTRACE_EVENT_* */
};

/* What PTRACE_GET_RSEQ_CONFIGURATION tells; address 0: not registered. */
struct ptrace_rseq {
	uint64_t address;
	uint32_t size;
	uint32_t signature;
	uint32_t flags;
};

int ptrace_seize(pid_t tid, unsigned long options);
int ptrace_interrupt(pid_t tid);
int ptrace_wait_stop(pid_t tid, unsigned int limit_ms, struct ptrace_stop *stop);
int ptrace_interrupt_wait(pid_t tid, unsigned int limit_ms, struct ptrace_stop *stop);
int ptrace_resume(pid_t tid, int sig);
int ptrace_set_options(pid_t tid, unsigned long options);
int ptrace_detach(pid_t tid, int sig);

int ptrace_get_regs(pid_t tid, struct user_regs_struct *regs);
int ptrace_set_regs(pid_t tid, const struct user_regs_struct *regs);
int ptrace_get_xstate(pid_t tid, void *buf, size_t *len);
int ptrace_set_xstate(pid_t tid, const void *buf, size_t len);
bool ptrace_has_shadow_stack(pid_t tid);
int ptrace_get_sigmask(pid_t tid, uint64_t *mask);
int ptrace_set_sigmask(pid_t tid, uint64_t mask);
int ptrace_peek_siginfo(pid_t tid, bool shared, uint64_t from, siginfo_t *infos, size_t n);
int ptrace_event_message(pid_t tid, unsigned long *msg);
int ptrace_poke(pid_t tid, unsigned long addr, const void *buf, size_t len);
int ptrace_get_rseq(pid_t tid, struct ptrace_rseq *rseq);
int ptrace_rseq_fixup(pid_t tid, struct user_regs_struct *regs);
int ptrace_rseq_abort(pid_t tid, struct user_regs_struct *regs, const struct ptrace_rseq *rseq);

#endif
