/*
 * guardian - the tool's side of it: it is made, told, and let go. What it does
 * is in guardian-main.c.
 */
#include "dump/guardian-internal.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "dump/dump.h"
#include "dump/guardian.h"

/**
 * dump_guardian_new - make a guardian
 * @g: it; what it is told goes by there
 *
 * It has the credentials of this process, and can do nothing before a dump
 * begins with it.
 *
 * Return: 0 or -errno.
 */
int dump_guardian_new(struct dump_guardian *g)
{
	int p[2], calls = eventfd(0, EFD_CLOEXEC), err;
	pid_t pid;

	if (calls < 0)
		return -errno;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, p) < 0) {
		err = errno;
		close(calls);
		return -err;
	}
	pid = fork();
	err = errno;
	if (pid == 0) {
		close(p[1]);
		guardian_main(p[0], calls);
	}
	close(p[0]);
	*g = (struct dump_guardian){ .pid = pid, .sock = p[1], .calls = calls };
	if (pid > 0)
		return 0;
	close_owned(&g->sock);
	close_owned(&g->calls);
	g->pid = 0;
	return -err;
}

/* It is needed no more, and may die. */
static void let_go(struct dump_guardian *g)
{
	if (!g->pid || g->sock < 0)
		return;
	kill(g->pid, SIGKILL);
	close_owned(&g->sock);
	close_owned(&g->calls);
	g->sock = g->calls = -1;
}

/**
 * dump_guardian_end - end a guardian, and wait until it has gone
 * @g: it; one that has ended or was never made is none
 */
void dump_guardian_end(struct dump_guardian *g)
{
	let_go(g);
	if (g->pid)
		waitpid(g->pid, NULL, 0);
	g->pid = 0;
}

static int tell(struct dump_ctx *ctx, const struct note *note, size_t len, const int *fds, size_t n)
{
	const uint64_t one = 1;
	int ret;

	if (!ctx->guardian)
		return 0;
	/* Full of messages, or of descriptors: it takes out what there is. */
	while ((ret = fd_send_msg(ctx->guardian->sock, note, len, fds, n, MSG_DONTWAIT)) ==
		       -EAGAIN ||
	       ret == -ETOOMANYREFS) {
		if (write(ctx->guardian->calls, &one, sizeof(one)) < 0)
			break;
		sched_yield();
	}
	if (ret < 0)
		log_warn(ctx->report, "the guardian process is gone");
	return ret;
}

static int begin(struct dump_ctx *ctx, struct dump_guardian *g)
{
	const struct note note = { .kind = NOTE_BEGIN };
	int fd = ctx->opts->images_fd;

	return fd < 0 ? 0 : fd_send_msg(g->sock, &note, NOTE_SIZE(kind), &fd, 1, MSG_DONTWAIT);
}

/**
 * dump_guardian_start - have a guardian: the one that was made ahead, or a new one
 * @ctx: the dump; nothing is stopped yet
 *
 * Return: 0 or -errno recorded.
 */
int dump_guardian_start(struct dump_ctx *ctx)
{
	struct dump_guardian *g = ctx->opts->guardian ?: &ctx->own_guardian;
	int ret = 0;

	if (!g->pid || g->sock < 0 || begin(ctx, g) < 0) {
		dump_guardian_end(g);
		ret = dump_guardian_new(g) ?: begin(ctx, g);
	}
	if (ret < 0) {
		dump_guardian_end(g);
		return fail(ctx->report, "guardian", -ret, "make the guardian process");
	}
	ctx->guardian = g;
	return 0;
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

	if (!ctx->guardian)
		return 0;
	note.held.ticket = ++ctx->guardian_ticket;
	ctx->guardian_has_sockets = true;
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

	ctx->guardian_has_sockets = true;
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
 * dump_guardian_stop - end the guardian
 * @ctx: the dump
 *
 * Unless the caller of the dump does that. But nothing of the tree is left in
 * it, as addresses of sockets are free when a dump is done, nor anything that it
 * would take out of a tree that a failed dump lets go.
 */
void dump_guardian_stop(struct dump_ctx *ctx)
{
	if (ctx->guardian == &ctx->own_guardian || ctx->guardian_has_sockets)
		dump_guardian_end(ctx->guardian);
	else if (ctx->guardian && !ctx->committed)
		let_go(ctx->guardian);
	ctx->guardian = NULL;
}
