/*
 * fdupgrade - the side that gives: start the successor, offer, wait for its
 * word, commit or roll back. Until the commit everything that was made can be
 * undone by killing the successor.
 */
#include "lib/fdupgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/fdframe.h"
#include "lib/fdoffer.h"
#include "lib/fdpass.h"
#include "lib/fdstart.h"
#include "lib/fdwait.h"

#define DEFAULT_MS 10000
#define ASK_MS 20 /* between two questions */

/* Everything that an upgrade needs before there is a successor. */
struct plan {
	const struct fd_upgrade_opts *o;
	struct fd_place *place;
	size_t n;
	char *fds, *names, *numbers; /* variables */
	char address[128];           /* NOTIFY_SOCKET= */
	char offer[64];              /* OFFER_VARIABLE= */
	char **env;
	int mine, theirs; /* the socket of an offer */
	int notify;
	int64_t until;
};

#define explain(u, ...) snprintf((u)->why, sizeof((u)->why), __VA_ARGS__)

static int number_of(const struct plan *p, size_t i)
{
	return p->o->hand == FD_HAND_ENV && p->o->at ? p->o->at[i] : FD_LISTEN_START + (int)i;
}

static int plan_env(struct plan *p)
{
	static const char *const unset[] = { "LISTEN_FDS",     "LISTEN_PID",   "LISTEN_FDNAMES",
					     "LISTEN_PIDFDID", OFFER_VARIABLE, NULL };
	const char *set[5];
	size_t n = 0;

	if (p->o->hand == FD_HAND_LISTEN) {
		char *names = fd_listen_names(p->o->items, p->o->n);
		bool bad = !names || asprintf(&p->fds, "LISTEN_FDS=%zu", p->o->n) < 0 ||
			   asprintf(&p->names, "LISTEN_FDNAMES=%s", names) < 0;

		free(names);
		if (bad)
			return -EINVAL;
		set[n++] = p->fds;
		set[n++] = p->names;
		set[n++] = "LISTEN_PID=";
	}
	if (p->o->hand == FD_HAND_ENV) {
		p->numbers = fdstart_numbers(p->o->env_name, p->o->env_pattern, p->place, p->n);
		if (!p->numbers)
			return -EINVAL;
		set[n++] = p->numbers;
	}
	if (p->offer[0])
		set[n++] = p->offer;
	if (p->address[0])
		set[n++] = p->address;
	set[n] = NULL;
	return fdstart_env(&p->env, unset, set);
}

static int plan_socket(struct plan *p, unsigned timeout_ms)
{
	int sk[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sk) < 0)
		return -errno;
	p->mine = sk[0];
	p->theirs = sk[1];
	p->place[p->n++] = (struct fd_place){ p->theirs, FD_LISTEN_START };
	snprintf(p->offer, sizeof(p->offer), OFFER_VARIABLE "=%d %u", FD_LISTEN_START, timeout_ms);
	return 0;
}

static int plan_notify(struct plan *p)
{
	char address[110];

	p->notify = fd_notify_open(NULL, address, sizeof(address));
	if (p->notify < 0)
		return p->notify;
	snprintf(p->address, sizeof(p->address), "NOTIFY_SOCKET=%s", address);
	return 0;
}

static int plan_make(struct plan *p, unsigned timeout_ms)
{
	int ret = 0;

	p->place = calloc(p->o->n + 1, sizeof(*p->place));
	if (!p->place)
		return -ENOMEM;
	if (p->o->hand == FD_HAND_OFFER)
		ret = plan_socket(p, timeout_ms);
	else
		for (; p->n < p->o->n; p->n++)
			p->place[p->n] =
				(struct fd_place){ p->o->items[p->n].fd, number_of(p, p->n) };
	if (!ret && p->o->ready == FD_READY_NOTIFY)
		ret = plan_notify(p);
	return ret ? ret : plan_env(p);
}

static void plan_free(struct plan *p)
{
	fdstart_env_free(p->env);
	free(p->place);
	free(p->fds);
	free(p->names);
	free(p->numbers);
	close_owned(&p->mine);
	close_owned(&p->theirs);
	close_owned(&p->notify);
}

/* All of its session that still carries its group; children elsewhere go with it by themselves. */
static void kill_successor(struct fd_upgrade *u)
{
	kill(-u->pid, SIGKILL);
	syscall(SYS_pidfd_send_signal, u->pidfd, SIGKILL, NULL, 0);
}

/* Reaps it. Return: what waitpid() says of it, or -1 if somebody else has. */
static int reap(struct fd_upgrade *u)
{
	int st = -1;

	while (waitpid(u->pid, &st, 0) < 0)
		if (errno != EINTR)
			return -1;
	return st;
}

static void forget(struct fd_upgrade *u)
{
	close_owned(&u->pidfd);
	close_owned(&u->sock);
	u->pidfd = u->sock = -1;
}

/* It has ended by itself. */
static int ended(struct fd_upgrade *u)
{
	int st;

	kill(-u->pid, SIGKILL);
	st = reap(u);
	if (st >= 0 && WIFSIGNALED(st))
		explain(u, "the new program was killed by signal %d (%s) before it was ready",
			WTERMSIG(st), sigabbrev_np(WTERMSIG(st)) ?: "?");
	else if (st >= 0)
		explain(u, "the new program ended with status %d before it was ready",
			WEXITSTATUS(st));
	else
		explain(u, "the new program ended before it was ready");
	forget(u);
	return -ECHILD;
}

/* Whatever was wrong has been written to u->why. */
static int give_up(struct fd_upgrade *u, int ret)
{
	kill_successor(u);
	reap(u);
	forget(u);
	return ret;
}

static int send_tag(int sock, const char *tag, int timeout_ms)
{
	struct fd_frame f = { .payload = (void *)tag, .len = OFFER_TAG_LEN };

	return fd_frame_send(sock, &f, timeout_ms);
}

/* The state behind its tag, and whom it is about before the descriptors. */
static int send_offer(struct fd_upgrade *u, const struct plan *p)
{
	cleanup_close int old = (int)syscall(SYS_pidfd_open, p->o->old ? p->o->old : getpid(), 0);
	struct fd_frame f = { .n = p->o->n + 1, .len = p->o->len + OFFER_TAG_LEN };
	int ret = -ENOMEM;

	if (old < 0)
		return -errno;
	f.items = calloc(f.n, sizeof(*f.items));
	f.payload = malloc(f.len);
	if (f.items && f.payload) {
		f.items[0].fd = old;
		memcpy(f.items + 1, p->o->items, p->o->n * sizeof(*f.items));
		memcpy(f.payload, OFFER_TAG, OFFER_TAG_LEN);
		if (p->o->len)
			memcpy((char *)f.payload + OFFER_TAG_LEN, p->o->state, p->o->len);
		ret = fd_frame_send(u->sock, &f, fdwait_left(p->until));
	}
	free(f.items);
	free(f.payload);
	return ret;
}

static int refused(struct fd_upgrade *u, const char *what, const char *why)
{
	explain(u, "%.120s: %.120s", what, why);
	return -ECONNREFUSED;
}

static int read_answer(struct fd_upgrade *u, const struct plan *p)
{
	struct fd_frame f;
	int ret = fd_frame_recv(u->sock, &f, 0, ANSWER_MAX, fdwait_left(p->until));

	if (ret)
		return ret;
	if (f.len >= OFFER_TAG_LEN && !memcmp(f.payload, OK_TAG, OFFER_TAG_LEN))
		ret = 1;
	else if (f.len >= OFFER_TAG_LEN && !memcmp(f.payload, NO_TAG, OFFER_TAG_LEN))
		ret = refused(u, "the new program refuses", (char *)f.payload + OFFER_TAG_LEN);
	else
		ret = -EBADMSG;
	fd_frame_free(&f);
	return ret;
}

/* Is it one of the successor's processes, or of somebody who may speak for anybody? */
static bool may_speak(const struct fd_upgrade *u, const struct fd_notice *n)
{
	return n->pid == u->pid || getsid(n->pid) == u->pid || n->uid == 0 || n->uid == geteuid();
}

static int read_notice(struct fd_upgrade *u, const struct plan *p)
{
	struct fd_notice n;
	int ret = fd_notify_take(p->notify, &n);
	bool heard = !ret && may_speak(u, &n);

	for (size_t i = 0; i < n.n; i++)
		close(n.fds[i]);
	if (heard && n.error)
		return refused(u, n.status[0] ? n.status : "the new program reports an error",
			       strerror(n.error));
	return heard && n.ready;
}

/* 1: ready, 0: not yet, -errno. */
static int look(struct fd_upgrade *u, const struct plan *p, short there)
{
	switch (p->o->ready) {
	case FD_READY_OFFER:
		return there ? read_answer(u, p) : 0;
	case FD_READY_NOTIFY:
		return there ? read_notice(u, p) : 0;
	default:
		return p->o->ask(p->o->arg, u->pid);
	}
}

static int late(struct fd_upgrade *u, const struct plan *p)
{
	explain(u, "the new program was not ready within %u ms",
		p->o->timeout_ms ? p->o->timeout_ms : DEFAULT_MS);
	return -ETIMEDOUT;
}

static int wait_ready(struct fd_upgrade *u, const struct plan *p)
{
	struct pollfd fds[2] = { { .fd = u->pidfd, .events = POLLIN }, { .events = POLLIN } };
	int ret;

	fds[1].fd = p->o->ready == FD_READY_OFFER    ? u->sock
		    : p->o->ready == FD_READY_NOTIFY ? p->notify
						     : -1;
	for (;;) {
		int64_t now = fdwait_now(), next = p->until;

		if (p->o->ready == FD_READY_ASK && now + ASK_MS < next)
			next = now + ASK_MS;
		ret = fdwait_any(fds, 2, next);
		if (ret && ret != -ETIMEDOUT)
			return ret;
		/* What it said last counts more than that it is gone, for it explains it. */
		ret = look(u, p, ret ? 0 : fds[1].revents);
		if (fds[0].revents && ret != -ECONNREFUSED)
			return -ECHILD;
		if (ret)
			return ret < 0 ? ret : 0;
		if (fdwait_now() >= p->until)
			return late(u, p);
	}
}

static bool options_ok(const struct fd_upgrade_opts *o)
{
	if (!o->argv || !o->argv[0] || (o->n && !o->items))
		return false;
	if (o->ready == FD_READY_OFFER && o->hand != FD_HAND_OFFER)
		return false;
	if (o->hand == FD_HAND_ENV && (!o->env_name || !o->env_pattern))
		return false;
	return o->ready != FD_READY_ASK || o->ask;
}

int fd_upgrade_start(struct fd_upgrade *u, const struct fd_upgrade_opts *o)
{
	unsigned ms = o->timeout_ms ? o->timeout_ms : DEFAULT_MS;
	struct plan p = { .o = o, .mine = -1, .theirs = -1, .notify = -1 };
	struct fd_start s = { .argv = o->argv };
	int ret;

	*u = (struct fd_upgrade){ .pid = 0, .pidfd = -1, .sock = -1 };
	if (!options_ok(o)) {
		explain(u, "the options of the upgrade contradict each other");
		return -EINVAL;
	}
	p.until = fdwait_until((int)ms);
	ret = plan_make(&p, ms);
	if (ret) {
		explain(u, "prepare the upgrade: %s", strerror(-ret));
	} else {
		s.env = p.env;
		s.place = p.place;
		s.n = p.n;
		s.started = o->started;
		s.arg = o->arg;
		ret = fdstart_run(&s, &u->pid, &u->pidfd);
		if (ret)
			explain(u, "start %s: %s", o->argv[0], strerror(-ret));
	}
	if (!ret) {
		u->sock = take_fd(&p.mine);
		close_owned(&p.theirs);
		p.theirs = -1;
		if (o->hand == FD_HAND_OFFER)
			ret = send_offer(u, &p);
		if (ret && ret != -EPIPE && ret != -ECONNRESET)
			explain(u, "offer the descriptors: %s", strerror(-ret));
		else
			ret = wait_ready(u, &p);
		/* A socket that was closed is a program that ends, or hangs without it. */
		if (ret == -ECONNRESET)
			ret = fdwait(u->pidfd, POLLIN, p.until) ? -ECONNRESET : -ECHILD;
		if (ret && ret != -ECHILD && !u->why[0])
			explain(u, "wait for the new program: %s", strerror(-ret));
		if (ret)
			ret = ret == -ECHILD ? ended(u) : give_up(u, ret);
	}
	plan_free(&p);
	return ret;
}

int fd_upgrade_commit(struct fd_upgrade *u)
{
	int ret = fdwait(u->pidfd, POLLIN, 0) ? 0 : -ECHILD;

	if (!ret && u->sock >= 0)
		ret = send_tag(u->sock, GO_TAG, DEFAULT_MS);
	if (ret) {
		explain(u, "the new program died when it was ready");
		give_up(u, ret);
		return -ECHILD;
	}
	forget(u);
	return 0;
}

void fd_upgrade_cancel(struct fd_upgrade *u)
{
	if (u->sock >= 0)
		send_tag(u->sock, NO_TAG, 0);
	give_up(u, 0);
}
