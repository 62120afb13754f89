/*
 * guardian - a process in a session of its own that outlives the tool. Tasks
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
#include "dump/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/net_undo.h"
#include "kernel/tcp_repair.h"
#include "lib/fdpass.h"

/* How often a task that is still on its way home is looked after again, every 10 ms. */
#define TRIES 500

/* Descriptors of the guardian. */
enum { NOTES, IMAGES, CALLS, FDS };

enum note_kind {
	NOTE_CALLS,    /* remote calls begin in a task */
	NOTE_CALLED,   /* they have ended */
	NOTE_NAME,     /* a file is about to get a name */
	NOTE_HELD,     /* an option of a socket is about to be changed */
	NOTE_FREED,    /* it has its value again */
	NOTE_SOCKETS,  /* these are about to be in repair mode */
	NOTE_TABLE,    /* this one is about to be made */
	NOTE_RELEASED, /* sockets and table are as they were */
	NOTE_IMAGE,    /* the inventory of a tree that is to end is about to be written */
	NOTE_TASKS,    /* pidfds of the tree */
	NOTE_KILL,     /* these are to end, whatever happens */
};

/* A file with a name for a restore. */
struct name {
	dev_t dev;
	ino_t ino;
	char path[PATH_MAX];
};

/* An option of a socket, and the value that it had. */
struct held {
	uint32_t ticket;
	int fd;
	int level, option, value;
};

struct note {
	enum note_kind kind;
	union {
		pid_t pid;
		uint32_t ticket;
		struct held held;
		struct name name;
		struct net_undo_sock socks[FD_MSG_MAX];
		char table[NFTLOCK_NAME_MAX];
	};
};

#define NOTE_SIZE(field) (offsetof(struct note, field) + sizeof(((struct note *)NULL)->field))

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
	for (size_t i = 0; !g->kill && i < g->nr_socks; i++)
		net_undo_release(&g->socks[i]);
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

static void guardian_main(int sock, int calls, int images_fd)
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
	dup2(images_fd, IMAGES);
	dup2(sock, NOTES);
	dup2(calls, CALLS);
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

/**
 * dump_guardian_start - fork the guardian
 * @ctx: the dump; nothing is stopped yet
 *
 * Return: 0 or -errno recorded.
 */
int dump_guardian_start(struct dump_ctx *ctx)
{
	int p[2];

	ctx->guardian_sock = -1;
	ctx->guardian_calls = eventfd(0, EFD_CLOEXEC);
	if (ctx->guardian_calls < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) < 0) {
		close_owned(&ctx->guardian_calls);
		return fail(ctx->report, "guardian", errno, "socket for the guardian process");
	}
	ctx->guardian = fork();
	if (ctx->guardian == 0) {
		close(p[1]);
		guardian_main(p[0], ctx->guardian_calls, ctx->opts->images_fd);
	}
	close(p[0]);
	if (ctx->guardian < 0) {
		close(p[1]);
		close_owned(&ctx->guardian_calls);
		return fail(ctx->report, "guardian", errno, "fork the guardian process");
	}
	ctx->guardian_sock = p[1];
	return 0;
}

static int tell(struct dump_ctx *ctx, const struct note *note, size_t len, const int *fds, size_t n)
{
	const uint64_t one = 1;
	int ret;

	if (ctx->guardian <= 0)
		return 0;
	/* Full of messages, or of descriptors: it takes out what there is. */
	while ((ret = fd_send_msg(ctx->guardian_sock, note, len, fds, n, MSG_DONTWAIT)) ==
		       -EAGAIN ||
	       ret == -ETOOMANYREFS) {
		if (write(ctx->guardian_calls, &one, sizeof(one)) < 0)
			break;
		sched_yield();
	}
	if (ret < 0)
		log_warn(ctx->report, "the guardian process is gone");
	return ret;
}

/**
 * dump_guardian_note - remote calls begin or have ended in a task
 * @ctx: the dump
 * @pid: the task when they begin, its negative when they have ended
 */
void dump_guardian_note(struct dump_ctx *ctx, pid_t pid)
{
	const struct note note = { .kind = pid > 0 ? NOTE_CALLS : NOTE_CALLED,
				   .pid = pid > 0 ? pid : -pid };

	tell(ctx, &note, NOTE_SIZE(pid), NULL, 0);
}

/**
 * dump_guardian_name - a file is about to get a name that a failed dump takes away
 * @ctx: the dump
 * @path: the name, absolute; shorter than PATH_MAX
 * @dev: of the file
 * @ino: of the file
 */
void dump_guardian_name(struct dump_ctx *ctx, const char *path, dev_t dev, ino_t ino)
{
	struct note note = { .kind = NOTE_NAME, .name = { .dev = dev, .ino = ino } };

	memcpy(note.name.path, path, strlen(path) + 1);
	tell(ctx, &note, NOTE_SIZE(name), NULL, 0);
}

/**
 * dump_guardian_hold - an option of a socket of the tree is about to be changed
 * @ctx: the dump
 * @fd: a descriptor of the socket; stays the caller's
 * @level: level of the option
 * @option: its name
 * @value: what it is to be again if this program dies
 *
 * Changes are taken back in reverse.
 *
 * Return: a ticket for dump_guardian_free(), 0 without a guardian, or -errno,
 * recorded: then the option must not be changed.
 */
int dump_guardian_hold(struct dump_ctx *ctx, int fd, int level, int option, int value)
{
	struct note note = { .kind = NOTE_HELD,
			     .held = { .level = level, .option = option, .value = value } };
	int ret;

	if (ctx->guardian <= 0)
		return 0;
	note.held.ticket = ++ctx->guardian_ticket;
	ret = tell(ctx, &note, NOTE_SIZE(held), &fd, 1);
	if (ret < 0)
		return fail(ctx->report, "guardian", -ret, "tell the guardian process");
	return (int)note.held.ticket;
}

/**
 * dump_guardian_free - the option has its value again
 * @ctx: the dump
 * @ticket: as dump_guardian_hold() returned it
 */
void dump_guardian_free(struct dump_ctx *ctx, int ticket)
{
	struct note note = { .kind = NOTE_FREED, .ticket = (uint32_t)ticket };

	if (ticket > 0)
		tell(ctx, &note, NOTE_SIZE(ticket), NULL, 0);
}

/**
 * dump_guardian_sockets - sockets are about to be in repair mode, a table to be made
 * @ctx: the dump
 * @u: which ones
 *
 * Return: 0 or -errno, recorded: without a guardian nothing may be changed.
 */
int dump_guardian_sockets(struct dump_ctx *ctx, const struct net_undo *u)
{
	struct note note = { .kind = NOTE_TABLE };
	int fds[FD_MSG_MAX], ret;
	size_t n = 0;

	memcpy(note.table, u->table, sizeof(note.table));
	ret = tell(ctx, &note, NOTE_SIZE(table), NULL, 0);
	note.kind = NOTE_SOCKETS;
	for (size_t i = 0; i < u->nr_socks && !ret; i++) {
		note.socks[n] = *u->socks[i];
		fds[n++] = u->socks[i]->fd;
		if (n < FD_MSG_MAX && i + 1 < u->nr_socks)
			continue;
		ret = tell(ctx, &note, offsetof(struct note, socks) + n * sizeof(*note.socks), fds,
			   n);
		n = 0;
	}
	if (ret)
		return fail(ctx->report, "guardian", -ret,
			    "hand %zu sockets to the guardian process", u->nr_socks);
	return 0;
}

/**
 * dump_guardian_released - the sockets are as they were
 * @ctx: the dump
 */
void dump_guardian_released(struct dump_ctx *ctx)
{
	const struct note note = { .kind = NOTE_RELEASED };

	tell(ctx, &note, NOTE_SIZE(kind), NULL, 0);
}

/**
 * dump_guardian_image - the image of a tree that is to end is about to be complete
 * @ctx: the dump
 */
void dump_guardian_image(struct dump_ctx *ctx)
{
	const struct note note = { .kind = NOTE_IMAGE };

	tell(ctx, &note, NOTE_SIZE(kind), NULL, 0);
}

/**
 * dump_guardian_kill - the tree is to end from here on, whoever does it
 * @ctx: the dump; its images are complete
 */
void dump_guardian_kill(struct dump_ctx *ctx)
{
	struct note note = { .kind = NOTE_TASKS };
	struct pstree_item *it;
	int fds[FD_MSG_MAX];
	size_t n = 0;

	list_for_each(it, &ctx->tree->items, list) {
		if (!item_alive(it))
			continue;
		fds[n++] = it->dump->pidfd;
		if (n < FD_MSG_MAX)
			continue;
		tell(ctx, &note, NOTE_SIZE(kind), fds, n);
		n = 0;
	}
	if (n)
		tell(ctx, &note, NOTE_SIZE(kind), fds, n);
	note.kind = NOTE_KILL;
	tell(ctx, &note, NOTE_SIZE(kind), NULL, 0);
}

/**
 * dump_guardian_end - nothing is left to be taken out
 * @ctx: the dump
 *
 * Its death takes its time: dump_guardian_stop() waits for it.
 */
void dump_guardian_end(struct dump_ctx *ctx)
{
	if (ctx->guardian <= 0 || ctx->guardian_sock < 0)
		return;
	kill(ctx->guardian, SIGKILL);
	close_owned(&ctx->guardian_sock);
	close_owned(&ctx->guardian_calls);
	ctx->guardian_sock = ctx->guardian_calls = -1;
}

/**
 * dump_guardian_stop - end the guardian and wait until it has gone
 * @ctx: the dump
 */
void dump_guardian_stop(struct dump_ctx *ctx)
{
	dump_guardian_end(ctx);
	if (ctx->guardian > 0)
		waitpid(ctx->guardian, NULL, 0);
	ctx->guardian = 0;
}
