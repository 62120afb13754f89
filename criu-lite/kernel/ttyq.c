/*
 * ttyq - the bytes that wait in a pseudoterminal, in both directions.
 */
#include "kernel/ttyq.h"

#include <asm/termbits.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* What waits before the line discipline is counted by blocks: small ones waste nothing, */
#define BLOCK 256
/* and the last one may exceed the limit, as it may have done before. */
#define BLOCK_LAST 1792

#define EOF_CHAR 4 /* typed for an end of file; no data may have it then */

static int ready(int fd, short what, int ms)
{
	struct pollfd p = { .fd = fd, .events = what };

	return poll(&p, 1, ms) > 0 && (p.revents & what);
}

static bool ends_line(const struct termios2 *t, char c)
{
	uint8_t u = (uint8_t)c;

	return u == '\n' || (u && (u == t->c_cc[VEOL] || u == t->c_cc[VEOL2]));
}

/* Line by line, which tells where an end of file was typed. */
static int take_lines(int slave, const struct termios2 *t, struct ttyq *q)
{
	while (q->input < sizeof(q->in)) {
		ssize_t n = read(slave, q->in + q->input, sizeof(q->in) - q->input);

		if (n < 0)
			return errno == EAGAIN ? 0 : -errno;
		q->input += (uint32_t)n;
		if (n && ends_line(t, q->in[q->input - 1]))
			continue;
		if (q->nr_eof == TTYQ_EOFS)
			return -E2BIG;
		q->eof[q->nr_eof++] = q->input;
	}
	return 0;
}

static int take_input(int slave, const struct termios2 *was, struct ttyq *q)
{
	struct termios2 t = *was;
	int ret = was->c_lflag & ICANON ? take_lines(slave, was, q) : 0;

	/* The line that is being typed shows without ICANON only. */
	t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
	if (!ret && ioctl(slave, TCSETS2, &t) < 0)
		ret = -errno;
	while (!ret && q->input < sizeof(q->in)) {
		ssize_t n = read(slave, q->in + q->input, sizeof(q->in) - q->input);

		if (n <= 0) {
			ret = n < 0 && errno != EAGAIN ? -errno : 0;
			break;
		}
		q->input += (uint32_t)n;
	}
	return ret;
}

/* The descriptor is the target's, which may block: read only what is there. */
static int take_output(int master, struct ttyq *q)
{
	int packet = 0;

	ioctl(master, TIOCGPKT, &packet);
	while (q->output < sizeof(q->out) && ready(master, POLLIN, 0)) {
		char buf[4097];
		size_t room = sizeof(q->out) - q->output, skip = packet ? 1 : 0;
		ssize_t n =
			read(master, buf, room + skip < sizeof(buf) ? room + skip : sizeof(buf));

		if (n < 0)
			return errno == EAGAIN || errno == EIO ? 0 : -errno;
		if ((size_t)n <= skip)
			continue;
		memcpy(q->out + q->output, buf + skip, (size_t)n - skip);
		q->output += (uint32_t)((size_t)n - skip);
	}
	return 0;
}

static int write_out(int fd, const char *data, size_t len)
{
	while (len) {
		size_t part = len <= BLOCK_LAST ? len : BLOCK;
		ssize_t n = ready(fd, POLLOUT, 200) ? write(fd, data, part) : 0;

		if (n < 0 && errno == EAGAIN)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -ENOSPC;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/*
 * What is written to a master reaches the line discipline a moment later:
 * lines are waited for, and poll(2) waits itself if there are none.
 */
static void settle(int slave, const struct termios2 *t, const struct ttyq *q)
{
	uint32_t lines = q->input;
	int n = 0;

	while (t->c_lflag & ICANON && lines && !ends_line(t, q->in[lines - 1]))
		lines--;
	ready(slave, POLLIN, 0);
	for (int i = 0; i < 200; i++) {
		if (ioctl(slave, TIOCINQ, &n) < 0 || (uint32_t)n >= lines)
			break;
		usleep(1000);
	}
	if (lines && (lines != q->input || q->nr_eof))
		usleep(2000);
}

/* With every character standing for itself, but for those that end a line. */
static int put_input(int master, int slave, const struct termios2 *was, const struct ttyq *q)
{
	struct termios2 t = *was;
	char all[TTYQ_INPUT + TTYQ_EOFS];
	size_t len = 0;
	uint32_t at = 0;
	int ret;

	if (q->nr_eof && memchr(q->in, EOF_CHAR, q->input))
		return -EILSEQ;
	t.c_lflag &= ICANON | IEXTEN | EXTPROC;
	memset(t.c_cc, 0, sizeof(t.c_cc));
	for (int i = 0; i < (int)sizeof(t.c_cc); i++)
		if (i == VEOL || i == VEOL2 || i == VSTART || i == VSTOP || i == VMIN || i == VTIME)
			t.c_cc[i] = was->c_cc[i];
	if (q->nr_eof)
		t.c_cc[VEOF] = EOF_CHAR;
	/* The reader of the master is told when flow control changes: it does only if it must. */
	if (!memchr(q->in, t.c_cc[VSTOP], q->input) && !memchr(q->in, t.c_cc[VSTART], q->input))
		t.c_iflag = was->c_iflag & IXON;
	else
		t.c_iflag = 0;
	for (uint32_t i = 0; i <= q->nr_eof; i++) {
		uint32_t to = i < q->nr_eof ? q->eof[i] : q->input;

		if (to < at || to > q->input)
			return -EINVAL;
		memcpy(all + len, q->in + at, to - at);
		len += to - at;
		at = to;
		if (i < q->nr_eof)
			all[len++] = EOF_CHAR;
	}
	if (ioctl(slave, TCSETS2, &t) < 0)
		return -errno;
	ret = write_out(master, all, len);
	if (!ret)
		settle(slave, was, q);
	return ret;
}

static int put_output(int slave, const struct termios2 *was, const struct ttyq *q)
{
	struct termios2 t = *was;

	t.c_oflag &= ~(tcflag_t)OPOST;
	if (ioctl(slave, TCSETS2, &t) < 0)
		return -errno;
	return write_out(slave, q->out, q->output);
}

/**
 * ttyq_put - put bytes into the queues of a pseudoterminal
 * @master: its master
 * @slave: its slave, O_NONBLOCK, not the controlling terminal of the caller
 * @q: the bytes
 *
 * The settings of the terminal are what they were, afterwards.
 *
 * Return: 0 or -errno; -EILSEQ: such data cannot be put there.
 */
int ttyq_put(int master, int slave, const struct ttyq *q)
{
	struct termios2 was;
	int ret = 0;

	if (ioctl(slave, TCGETS2, &was) < 0)
		return -errno;
	if (q->input || q->nr_eof)
		ret = put_input(master, slave, &was, q);
	if (!ret && q->output)
		ret = put_output(slave, &was, q);
	if (ioctl(slave, TCSETS2, &was) < 0 && !ret)
		ret = -errno;
	return ret;
}

/**
 * ttyq_take - look at the queues of a pseudoterminal nobody uses meanwhile
 * @master: its master, the description may be somebody else's
 * @slave: its slave, O_NONBLOCK, not the controlling terminal of the caller
 * @q: gets the bytes
 *
 * They are in the terminal again afterwards. Who calls this must live until
 * it returns.
 *
 * Return: 0 or -errno.
 */
int ttyq_take(int master, int slave, struct ttyq *q)
{
	struct termios2 was;
	int ret, err;

	q->input = q->output = q->nr_eof = 0;
	if (ioctl(slave, TCGETS2, &was) < 0)
		return -errno;
	ret = take_input(slave, &was, q);
	if (!ret)
		ret = take_output(master, q);
	if (ioctl(slave, TCSETS2, &was) < 0 && !ret)
		ret = -errno;
	err = ttyq_put(master, slave, q);
	return ret ? ret : err;
}
