/*
 * files_tty - what is in a terminal: settings, owner, and the bytes that
 * nobody has read yet.
 */
#include "dump/files_tty.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/ttyq.h"

#define CC_BYTES 19 /* of c_cc in the kernel's struct termios */

/* The image format has the 19 bytes in the first words of as many. */
static TermiosEntry *new_termios(struct arena *a, const struct termios *t)
{
	TermiosEntry *e = arena_new_of(a, TermiosEntry);

	termios_entry__init(e);
	e->c_iflag = t->c_iflag;
	e->c_oflag = t->c_oflag;
	e->c_cflag = t->c_cflag;
	e->c_lflag = t->c_lflag;
	e->c_line = t->c_line;
	e->n_c_cc = CC_BYTES;
	e->c_cc = arena_array(a, uint32_t, CC_BYTES);
	memcpy(e->c_cc, t->c_cc, CC_BYTES);
	return e;
}

static TermiosEntry *get_termios(struct arena *a, int fd)
{
	struct termios2 t;
	struct termios common;
	TermiosEntry *e;

	if (ioctl(fd, TCGETS2, &t) < 0)
		return NULL;
	/* It begins as the older one does. */
	memcpy(&common, &t, sizeof(common));
	e = new_termios(a, &common);
	e->c_ispeed = t.c_ispeed;
	e->c_ospeed = t.c_ospeed;
	return e;
}

static TermiosEntry *get_locked(struct arena *a, int fd)
{
	struct termios t;

	return ioctl(fd, TIOCGLCKTRMIOS, &t) < 0 ? NULL : new_termios(a, &t);
}

/**
 * tty_settings - termios, window size and the like
 * @ctx: the dump
 * @fd: our descriptor of the terminal; one that is hung up has no settings
 * @e: gets them
 */
void tty_settings(struct dump_ctx *ctx, int fd, TtyInfoEntry *e)
{
	struct winsize w;
	int n = 0;

	e->termios = get_termios(ctx->arena, fd);
	e->termios_locked = get_locked(ctx->arena, fd);
	if (ioctl(fd, TIOCGWINSZ, &w) == 0) {
		e->winsize = arena_new_of(ctx->arena, WinsizeEntry);
		winsize_entry__init(e->winsize);
		e->winsize->ws_row = w.ws_row;
		e->winsize->ws_col = w.ws_col;
		e->winsize->ws_xpixel = w.ws_xpixel;
		e->winsize->ws_ypixel = w.ws_ypixel;
	}
	e->exclusive = ioctl(fd, TIOCGEXCL, &n) == 0 && n;
	n = 0;
	e->packet_mode = ioctl(fd, TIOCGPKT, &n) == 0 && n;
	n = 0;
	e->locked = ioctl(fd, TIOCGPTLCK, &n) == 0 && n;
}

/**
 * tty_owner - whose controlling terminal it is
 * @ctx: the dump
 * @dev: the terminal as TIOCGDEV names it
 * @e: gets the session of the tree that has it, and the foreground group; 0: none
 */
void tty_owner(struct dump_ctx *ctx, uint32_t dev, TtyInfoEntry *e)
{
	struct pstree_item *it;

	e->sid = e->pgrp = 0;
	list_for_each(it, &ctx->tree->items, list) {
		const struct proc_stat *s = it->dump ? &it->dump->stat : NULL;

		if (!s || !item_alive(it) || !dev || s->tty != dev)
			continue;
		e->sid = (uint32_t)s->session;
		e->pgrp = s->tpgid > 0 ? (uint32_t)s->tpgid : 0;
		return;
	}
}

/* What lies in a queue is out of it for a moment: whoever does that survives this program. */
static int take_in_child(int master, int slave, struct ttyq *q)
{
	int status;
	pid_t pid = fork();

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		sigset_t all;
		int ret;

		sigfillset(&all);
		sigprocmask(SIG_SETMASK, &all, NULL);
		setsid();
		ret = ttyq_take(master, slave, q);
		_exit(-ret & 0xff);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

static int put_data(struct dump_ctx *ctx, uint32_t id, const char *data, uint32_t len,
		    const struct ttyq *eofs)
{
	TtyDataEntry e = TTY_DATA_ENTRY__INIT;

	if (!len && (!eofs || !eofs->nr_eof))
		return 0;
	e.tty_id = id;
	e.data.data = (uint8_t *)data;
	e.data.len = len;
	if (eofs) {
		e.n_eof = eofs->nr_eof;
		e.eof = (uint32_t *)eofs->eof;
	}
	return file_side_put(ctx, IMAGE_TTY_DATA, &e.base, NULL, 0);
}

static int save_queues(struct dump_ctx *ctx, const struct fd_info *fi, int slave,
		       uint32_t master_id, uint32_t slave_id)
{
	struct ttyq *q =
		mmap(NULL, sizeof(*q), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int ret;

	if (q == MAP_FAILED)
		return fail(ctx->report, "no-memory", errno, "queues of a terminal");
	ret = take_in_child(fi->local, slave, q);
	if (ret)
		ret = file_blocker(ctx, fi, "tty-queue", -ret,
				   "what was typed and printed there and not read yet");
	if (!ret)
		ret = put_data(ctx, slave_id, q->in, q->input, q);
	if (!ret)
		ret = put_data(ctx, master_id, q->out, q->output, NULL);
	munmap(q, sizeof(*q));
	return ret;
}

/**
 * tty_queues - the bytes that wait in a pseudoterminal
 * @ctx: the dump
 * @fi: its master
 * @e: what is known of the master
 * @slave_id: the id of the slave in the image
 *
 * Return: 0, or -errno with a blocker recorded.
 */
int tty_queues(struct dump_ctx *ctx, const struct fd_info *fi, TtyInfoEntry *e, uint32_t slave_id)
{
	struct pollfd p = { .fd = fi->local, .events = POLLIN | POLLPRI };
	bool slaves = file_seen(ctx, FILE_KIND_tty, slave_id + 1ull);
	cleanup_close int slave = -1;
	int queued = 0, lock = 0;

	if (poll(&p, 1, 0) < 0)
		p.revents = 0;
	e->has_slave_closed = e->slave_closed = !!(p.revents & POLLHUP);
	if (ioctl(fi->local, TIOCINQ, &queued) < 0)
		queued = 0;
	if (p.revents & POLLPRI)
		return file_blocker(
			ctx, fi, "tty-packet", EBUSY,
			"a change of the terminal that the reader of the master was not "
			"told yet; try again");
	if ((fi->flags & O_ACCMODE) != O_RDWR || !ctx->write)
		return 0;
	/* To open and close the slave for the first time would be seen at the master. */
	if (!slaves && !(p.revents & POLLHUP))
		return queued ? file_blocker(ctx, fi, "tty-queue", EOPNOTSUPP,
					     "it has %d bytes not read, and nobody of the tree has "
					     "the slave",
					     queued)
			      : 0;
	if (e->locked && ioctl(fi->local, TIOCSPTLCK, &lock) < 0)
		return 0;
	slave = ioctl(fi->local, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	lock = 1;
	if (e->locked)
		ioctl(fi->local, TIOCSPTLCK, &lock);
	if (slave < 0)
		return file_blocker(ctx, fi, "tty-queue", errno, "open the slave");
	if (ioctl(slave, TIOCINQ, &queued) == 0 && queued >= TTYQ_INPUT - TTYQ_EOFS - 64)
		return file_blocker(ctx, fi, "tty-queue", ENOBUFS,
				    "more was typed there than can be put back");
	p = (struct pollfd){ .fd = slave, .events = POLLOUT };
	if (ioctl(fi->local, TIOCINQ, &queued) == 0 && queued < TTYQ_INPUT / 2 &&
	    poll(&p, 1, 0) == 0) {
		/* Output is held back: nothing can be put where it was. */
		if (queued)
			return file_blocker(ctx, fi, "tty-queue", EBUSY,
					    "its output is stopped (Ctrl-S), and not all was read");
		e->has_stopped = e->stopped = 1;
		return 0;
	}
	return save_queues(ctx, fi, slave, e->id, slave_id);
}
