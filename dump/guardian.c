/*
 * guardian - a process in a session of its own that outlives the tool. Tasks
 * find back to their own registers without help; what a tool that was killed
 * leaves in them, the work area and the bytes in the vdso, is taken out by the
 * guardian. The journal is a socket: a pid when remote calls begin in a task,
 * its negative when they have ended, end of file when the tool has gone. Names
 * that files get for a restore are in it too, until there is an image, and
 * sockets with an option that is to be set back, as descriptors.
 */
#include "dump/guardian.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/fdpass.h"

/* How often a task that is still on its way home is looked after again, every 10 ms. */
#define TRIES 500

/* The tasks with remote calls under way. */
struct open_tasks {
	pid_t *pids;
	size_t n, room;
};

static void note(struct open_tasks *t, pid_t pid)
{
	if (pid < 0) {
		for (size_t i = 0; i < t->n; i++)
			if (t->pids[i] == -pid)
				t->pids[i--] = t->pids[--t->n];
		return;
	}
	if (t->n == t->room) {
		t->room = t->room ? 2 * t->room : 64;
		t->pids = realloc(t->pids, t->room * sizeof(*t->pids));
		if (!t->pids)
			abort();
	}
	t->pids[t->n++] = pid;
}

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

/* One message of the journal; its length depends on what it says. */
struct entry {
	enum { NOTE_TASK, NOTE_NAME, NOTE_HELD, NOTE_FREED } what;
	union {
		pid_t pid;
		struct name name;
		struct held held;
		uint32_t ticket;
	};
};

#define ENTRY_SIZE(field) (offsetof(struct entry, field) + sizeof(((struct entry *)NULL)->field))

struct journal {
	struct open_tasks open;
	struct name *names;
	size_t nr_names;
	struct held *held;
	size_t nr_held, room_held;
};

static void note_name(struct journal *j, const struct name *name)
{
	j->names = realloc(j->names, (j->nr_names + 1) * sizeof(*j->names));
	if (!j->names)
		abort();
	j->names[j->nr_names++] = *name;
}

static void remove_name(const struct name *name)
{
	struct stat st;

	if (lstat(name->path, &st) == 0 && st.st_dev == name->dev && st.st_ino == name->ino)
		unlink(name->path);
}

static void note_held(struct journal *j, const struct held *held, int fd)
{
	if (j->nr_held == j->room_held) {
		j->room_held = j->room_held ? 2 * j->room_held : 64;
		j->held = realloc(j->held, j->room_held * sizeof(*j->held));
		if (!j->held)
			abort();
	}
	j->held[j->nr_held] = *held;
	j->held[j->nr_held++].fd = fd;
}

static void note_freed(struct journal *j, uint32_t ticket)
{
	for (size_t i = j->nr_held; i-- > 0;) {
		if (j->held[i].ticket != ticket)
			continue;
		close(j->held[i].fd);
		memmove(&j->held[i], &j->held[i + 1], (--j->nr_held - i) * sizeof(*j->held));
		return;
	}
}

/* False at the end of the journal. */
static bool read_entry(struct journal *j, int sock)
{
	struct entry e;
	size_t len, n;
	int fd = -1;

	if (fd_recv_msg(sock, &e, sizeof(e), &len, &fd, 1, &n, 0) < 0)
		return false;
	if (e.what == NOTE_TASK)
		note(&j->open, e.pid);
	else if (e.what == NOTE_NAME)
		note_name(j, &e.name);
	else if (e.what == NOTE_HELD && n)
		note_held(j, &e.held, fd);
	else if (e.what == NOTE_FREED)
		note_freed(j, e.ticket);
	return true;
}

static void guardian_main(int sock, int images_fd)
{
	struct journal j = { 0 };
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	prctl(PR_SET_NAME, GUARDIAN_NAME);
	sock = fcntl(sock, F_DUPFD, 2);
	dup2(images_fd, 1);
	dup2(sock, 0);
	close_range(2, ~0U, 0);
	while (read_entry(&j, 0))
		;
	/* The last change first. */
	while (j.nr_held) {
		const struct held *h = &j.held[--j.nr_held];

		setsockopt(h->fd, h->level, h->option, &h->value, sizeof(h->value));
		close(h->fd);
	}
	/* An image that is complete refers to them. */
	while (j.nr_names && faccessat(1, "inventory.img", F_OK, 0) < 0)
		remove_name(&j.names[--j.nr_names]);
	for (size_t i = 0; i < j.open.n; i++)
		for (int n = 0; n < TRIES && remote_rescue(j.open.pids[i]) < 0; n++)
			usleep(10000);
	_exit(0);
}

static int tell(struct dump_ctx *ctx, const struct entry *e, size_t len, const int *fd)
{
	if (ctx->guardian <= 0)
		return 0;
	return fd_send_msg(ctx->guardian_sock, e, len, fd, fd ? 1 : 0, 0);
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
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) < 0)
		return fail(ctx->report, "guardian", errno, "socket of the guardian process");
	ctx->guardian = fork();
	if (ctx->guardian == 0) {
		close(p[1]);
		guardian_main(p[0], ctx->opts->images_fd);
	}
	close(p[0]);
	if (ctx->guardian < 0) {
		close(p[1]);
		return fail(ctx->report, "guardian", errno, "fork the guardian process");
	}
	ctx->guardian_sock = p[1];
	return 0;
}

/**
 * dump_guardian_note - remote calls begin or have ended in a task
 * @ctx: the dump
 * @pid: the task when they begin, its negative when they have ended
 */
void dump_guardian_note(struct dump_ctx *ctx, pid_t pid)
{
	struct entry e = { .what = NOTE_TASK, .pid = pid };

	if (tell(ctx, &e, ENTRY_SIZE(pid), NULL) < 0)
		log_warn(ctx->report, "the guardian process is gone");
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
	struct entry e = { .what = NOTE_NAME };

	e.name.dev = dev;
	e.name.ino = ino;
	memcpy(e.name.path, path, strlen(path) + 1);
	if (tell(ctx, &e, ENTRY_SIZE(name), NULL) < 0)
		log_warn(ctx->report, "the guardian process is gone");
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
	struct entry e = { .what = NOTE_HELD,
			   .held = { .level = level, .option = option, .value = value } };
	int ret;

	if (ctx->guardian <= 0)
		return 0;
	e.held.ticket = ++ctx->guardian_ticket;
	ret = tell(ctx, &e, ENTRY_SIZE(held), &fd);
	if (ret < 0)
		return fail(ctx->report, "guardian", -ret, "tell the guardian process");
	return (int)e.held.ticket;
}

/**
 * dump_guardian_free - the option has its value again
 * @ctx: the dump
 * @ticket: as dump_guardian_hold() returned it
 */
void dump_guardian_free(struct dump_ctx *ctx, int ticket)
{
	struct entry e = { .what = NOTE_FREED, .ticket = (uint32_t)ticket };

	if (ticket > 0)
		tell(ctx, &e, ENTRY_SIZE(ticket), NULL);
}

/**
 * dump_guardian_stop - nothing is left to be taken out
 * @ctx: the dump
 */
void dump_guardian_stop(struct dump_ctx *ctx)
{
	if (ctx->guardian <= 0)
		return;
	close(ctx->guardian_sock);
	kill(ctx->guardian, SIGKILL);
	waitpid(ctx->guardian, NULL, 0);
	ctx->guardian = 0;
}
