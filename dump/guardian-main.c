/*
 * guardian-main - the guardian: a process in a session of its own that outlives the tool. Tasks
 * find back to their own registers without help; what else a tool that was
 * killed leaves is taken back by the guardian: its work area and its bytes in
 * the vdso of tasks, names that files got for a restore, repair mode and peek
 * offsets of sockets, and the table that holds connections back. What there is
 * to take back comes as messages, each before the change it is about; sockets
 * come along with theirs, also those of which some other option is changed. When no more can come
 * the tool has gone. Till then the guardian sleeps, and the messages wait in the socket: it is
 * called only when that is full.
 *
 * A tree must not live on beside its image: from NOTE_KILL on the guardian
 * finishes the killing, and the table stays; between NOTE_IMAGE and that it
 * takes the inventory away again, and the tree runs on.
 */
#include "dump/guardian-internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "dump/guardian.h"
#include "kernel/remote.h"
#include "kernel/tcp_repair.h"

/* How often a task that is still on its way home is looked after again, every 10 ms. */
#define TRIES 500

/* Descriptors of the guardian. */
enum { NOTES, IMAGES, CALLS, FDS };

/* What the guardian has been told. */
struct guard {
	pid_t *open; /* tasks with remote calls under way */
	size_t nr_open;
	struct name *names;
	size_t nr_names;
	struct held *held;
	size_t nr_held, room_held;
	struct net_undo_sock *socks;
	size_t nr_socks;
	int *tasks; /* pidfds */
	size_t nr_tasks;
	struct net_undo net;
	bool image, kill;
};

static void *grow(void *old, size_t n, size_t size)
{
	void *p = realloc(old, n * size);

	if (!p)
		abort();
	return p;
}

static void note_task(struct guard *g, pid_t pid, bool begins)
{
	if (begins) {
		g->open = grow(g->open, g->nr_open + 1, sizeof(*g->open));
		g->open[g->nr_open++] = pid;
		return;
	}
	for (size_t i = 0; i < g->nr_open; i++)
		if (g->open[i] == pid)
			g->open[i--] = g->open[--g->nr_open];
}

static void note_held(struct guard *g, const struct held *held, int fd)
{
	if (g->nr_held == g->room_held) {
		g->room_held = g->room_held ? 2 * g->room_held : 64;
		g->held = grow(g->held, g->room_held, sizeof(*g->held));
	}
	g->held[g->nr_held] = *held;
	g->held[g->nr_held++].fd = fd;
}

static void note_freed(struct guard *g, uint32_t ticket)
{
	for (size_t i = g->nr_held; i-- > 0;) {
		if (g->held[i].ticket != ticket)
			continue;
		close(g->held[i].fd);
		memmove(&g->held[i], &g->held[i + 1], (--g->nr_held - i) * sizeof(*g->held));
		return;
	}
}

static void note_sockets(struct guard *g, const struct note *note, const int *fds, size_t n)
{
	g->socks = grow(g->socks, g->nr_socks + n, sizeof(*g->socks));
	for (size_t i = 0; i < n; i++) {
		g->socks[g->nr_socks] = note->socks[i];
		g->socks[g->nr_socks++].fd = fds[i];
	}
}

static void forget_sockets(struct guard *g)
{
	for (size_t i = 0; i < g->nr_socks; i++)
		close(g->socks[i].fd);
	g->nr_socks = 0;
	g->net.table[0] = 0;
}

static void take_note(struct guard *g, const struct note *note, const int *fds, size_t n)
{
	switch (note->kind) {
	case NOTE_BEGIN:
		/* Its number is free, so that it may have come with it. */
		for (size_t i = 0; i < n; i++) {
			if (fds[i] == IMAGES)
				continue;
			dup2(fds[i], IMAGES);
			close(fds[i]);
		}
		break;
	case NOTE_CALLS:
	case NOTE_CALLED:
		note_task(g, note->pid, note->kind == NOTE_CALLS);
		break;
	case NOTE_NAME:
		g->names = grow(g->names, g->nr_names + 1, sizeof(*g->names));
		g->names[g->nr_names++] = note->name;
		break;
	case NOTE_HELD:
		if (n)
			note_held(g, &note->held, fds[0]);
		break;
	case NOTE_FREED:
		note_freed(g, note->ticket);
		break;
	case NOTE_SOCKETS:
		note_sockets(g, note, fds, n);
		break;
	case NOTE_TABLE:
		memcpy(g->net.table, note->table, sizeof(g->net.table));
		break;
	case NOTE_RELEASED:
		forget_sockets(g);
		break;
	case NOTE_IMAGE:
		g->image = true;
		break;
	case NOTE_TASKS:
		g->tasks = grow(g->tasks, g->nr_tasks + n, sizeof(*g->tasks));
		memcpy(g->tasks + g->nr_tasks, fds, n * sizeof(*fds));
		g->nr_tasks += n;
		break;
	case NOTE_KILL:
		g->kill = true;
		break;
	}
}

static void remove_name(const struct name *name)
{
	struct stat st;

	if (lstat(name->path, &st) == 0 && st.st_dev == name->dev && st.st_ino == name->ino)
		unlink(name->path);
}

/* The last change first. */
static void reset_options(struct guard *g)
{
	while (g->nr_held) {
		const struct held *h = &g->held[--g->nr_held];

		setsockopt(h->fd, h->level, h->option, &h->value, sizeof(h->value));
		close(h->fd);
	}
}

static void end_network(struct guard *g)
{
	int ret = 0;

	/* In repair mode they end without a word to their peers. */
	for (size_t i = 0; g->kill && i < g->nr_socks; i++)
		tcp_repair_on(g->socks[i].fd);
	for (size_t i = 0; g->kill && i < g->nr_tasks; i++)
		syscall(SYS_pidfd_send_signal, g->tasks[i], SIGKILL, NULL, 0);
	for (size_t i = 0; !g->kill && i < g->nr_socks; i++) {
		/* The tool may have died between the two halves of its own release. */
		if (net_undo_release(&g->socks[i]) == 0 && g->socks[i].reuse)
			setsockopt(g->socks[i].fd, SOL_SOCKET, SO_REUSEADDR, &(const int){ 1 },
				   sizeof(int));
	}
	if (!g->net.table[0])
		return;
	if (!g->kill)
		ret = nftlock_delete(g->net.table);
	/* Whoever comes later may have more luck. */
	g->net.written = ret == 0 || ret == -ENOENT;
	net_undo_remove(&g->net);
}

/* Takes the notes that wait. Returns 0, or -errno when none will come any more. */
static int take_notes(struct guard *g)
{
	struct note note;
	int fds[FD_MSG_MAX], ret;
	size_t n, len;

	while (!(ret = fd_recv_msg(NOTES, &note, sizeof(note), &len, fds, FD_MSG_MAX, &n,
				   MSG_DONTWAIT)))
		take_note(g, &note, fds, n);
	return ret == -EAGAIN ? 0 : ret;
}

/* Notes that come do not end the sleep: only the end of them does, and a call. */
static void hear(struct guard *g)
{
	struct pollfd p[] = { { .fd = NOTES }, { .fd = CALLS, .events = POLLIN } };
	uint64_t calls;

	do {
		poll(p, 2, -1);
		if (p[1].revents & POLLIN && read(CALLS, &calls, sizeof(calls)) < 0)
			return;
	} while (!take_notes(g));
}

/**
 * guardian_main - be the guardian
 * @sock: where notes come
 * @calls: an eventfd: the socket is full
 */
_Noreturn void guardian_main(int sock, int calls)
{
	struct guard g = { 0 };
	struct rlimit lim;
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	prctl(PR_SET_NAME, GUARDIAN_NAME);
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	sock = fcntl(sock, F_DUPFD, FDS);
	calls = fcntl(calls, F_DUPFD, FDS);
	dup2(sock, NOTES);
	dup2(calls, CALLS);
	close(IMAGES);
	close_range(FDS, ~0U, 0);
	hear(&g);
	if (g.image && !g.kill)
		unlinkat(IMAGES, "inventory.img", 0);
	end_network(&g);
	reset_options(&g);
	/* An image that is complete refers to them. */
	while (g.nr_names && faccessat(IMAGES, "inventory.img", F_OK, 0) < 0)
		remove_name(&g.names[--g.nr_names]);
	for (size_t i = 0; i < g.nr_open; i++)
		for (int k = 0; k < TRIES && remote_rescue(g.open[i]) < 0; k++)
			usleep(10000);
	_exit(0);
}
