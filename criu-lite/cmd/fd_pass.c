/*
 * fd_pass - send and recv. Between two of us, or with the library at the other
 * end, descriptors go as one frame with their names. With --raw they go as one
 * message as Go and Python send it.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fd.h"
#include "cmd/cmd.h"
#include "cmd/fdcmd.h"
#include "cmd/fdset.h"
#include "lib/fdpass.h"
#include "lib/fdwait.h"

#define RAW_TEXT_MAX 65536 /* bytes */

static int send_raw(struct cmd *c, int sock, const struct fdset *s, const char *text)
{
	int *fds = arena_array(c->o->arena, int, s->n + 1);

	for (size_t i = 0; i < s->n; i++)
		fds[i] = s->items[i].fd;
	if (!text)
		return fd_put(sock, fds, s->n);
	return fd_send_msg(sock, text, strlen(text), fds, s->n, 0);
}

/* A holder and `fd recv` answer; others may just close. */
static int read_answer(struct cmd *c, int sock)
{
	struct fd_frame f;
	int ret = fd_frame_recv(sock, &f, 0, FDCMD_TEXT_MAX, fdcmd_timeout(c));

	if (ret == -ECONNRESET || ret == -EPIPE)
		return 0;
	if (ret)
		return fail(c->r, "fd-pass", -ret, "read the answer");
	if (strncmp(f.payload, "OK", 2))
		ret = fail(c->r, "fd-holder", 0, "%s", (char *)f.payload);
	fd_frame_free(&f);
	return ret;
}

/* A holder that serves nobody of our kind has said so without a look at what we send. */
static bool was_refused(struct cmd *c, int sock)
{
	struct fd_frame f;

	if (c->o->raw || fd_frame_recv(sock, &f, 0, FDCMD_TEXT_MAX, 0))
		return false;
	fail(c->r, "fd-holder", 0, "%s", (char *)f.payload);
	fd_frame_free(&f);
	return true;
}

/**
 * fd_send - `fd send SOCKET DESCRIPTOR...`
 * @c: the run
 * @args: the words
 * @n: how many
 *
 * Return: 0 or -errno, recorded.
 */
int fd_send(struct cmd *c, const char **args, size_t n)
{
	const char *text = c->o->payload;
	cleanup_close int sock = -1;
	struct fdset s = { 0 };
	struct fd_frame f;
	int ret = 0;

	for (size_t i = 1; ret >= 0 && i < n; i++)
		ret = fdset_spec(c, &s, args[i]);
	if (ret >= 0)
		ret = fdcmd_socket(c, args[0], &sock);
	if (ret >= 0) {
		f = (struct fd_frame){ .items = s.items,
				       .n = s.n,
				       .payload = (void *)(text ? text : ""),
				       .len = text ? strlen(text) : 0 };
		ret = c->o->raw ? send_raw(c, sock, &s, text)
				: fd_frame_send(sock, &f, fdcmd_timeout(c));
		if (ret && !was_refused(c, sock))
			fail(c->r, "fd-pass", -ret, "send %zu descriptors to %s", s.n, args[0]);
	}
	if (!ret && !c->o->raw)
		ret = read_answer(c, sock);
	fdset_close(&s);
	return ret;
}

/* One message, or as many as fd_put() makes of that number. */
static int recv_raw(struct cmd *c, int sock, struct fdset *s, char *text, size_t *len)
{
	size_t want = c->o->expect, got = 0;
	int *fds = arena_array(c->o->arena, int, (want > FD_MSG_MAX ? want : FD_MSG_MAX));
	int ret = fdwait(sock, POLLIN, fdwait_until(fdcmd_timeout(c))), err = 0;

	*len = 0;
	if (!ret && want > FD_MSG_MAX)
		ret = fd_get(sock, fds, want, NULL, &got);
	else if (!ret)
		ret = fd_recv_msg(sock, text, RAW_TEXT_MAX, len, fds, want ? want : FD_MSG_MAX,
				  &got, 0);
	if (!ret && want && got != want)
		ret = -EBADMSG;
	for (size_t i = 0; i < got; i++)
		err = fdset_add(c, s, fds[i], (int)i + 1, "", 0) ?: err;
	return ret ? ret : err;
}

static int recv_frame(struct cmd *c, int sock, struct fdset *s, const char **names, size_t n,
		      char **text)
{
	struct fd_frame f;
	int ret, err = 0;

	/* Whoever connects to a holder asks; whoever was connected to is told. */
	ret = c->o->accept
		      ? fd_frame_recv(sock, &f, FDCMD_FDS_MAX, FDCMD_TEXT_MAX, fdcmd_timeout(c))
		      : fdcmd_ask(c, sock, "GET", names, n, &f);
	if (ret)
		return ret;
	for (size_t i = 0; i < f.n; i++) {
		err = fdset_add(c, s, f.items[i].fd, (int)i + 1, f.items[i].name,
				strlen(f.items[i].name))
			      ?: err;
		f.items[i].fd = -1;
	}
	/* A holder says OK; that is no payload. */
	*text = c->o->accept ? arena_memdup(c->o->arena, f.payload, f.len + 1) : *text;
	fd_frame_free(&f);
	if (!err && c->o->accept) {
		f = (struct fd_frame){ .payload = (void *)"OK", .len = 2 };
		fd_frame_send(sock, &f, fdcmd_timeout(c));
	}
	return err;
}

/* As many as the kernel lets us have; the program that gets them has the limit that we had. */
static void raise_limit(struct rlimit *was)
{
	struct rlimit all;

	if (getrlimit(RLIMIT_NOFILE, was) < 0)
		return;
	all = *was;
	all.rlim_cur = all.rlim_max;
	setrlimit(RLIMIT_NOFILE, &all);
}

/**
 * fd_recv - `fd recv SOCKET [NAME]... [-- PROGRAM]`
 * @c: the run
 * @args: the words
 * @n: how many
 *
 * Return: 0 or -errno, recorded.
 */
int fd_recv(struct cmd *c, const char **args, size_t n)
{
	char raw[RAW_TEXT_MAX + 1], *text = raw;
	cleanup_close int sock = -1;
	struct fdset s = { 0 };
	struct rlimit was;
	size_t len = 0;
	int ret = fdcmd_socket(c, args[0], &sock);

	if (ret < 0)
		return ret;
	raw[0] = '\0';
	raise_limit(&was);
	ret = c->o->raw ? recv_raw(c, sock, &s, raw, &len)
			: recv_frame(c, sock, &s, args + 1, n - 1, &text);
	if (c->o->raw)
		raw[len] = '\0';
	if (ret && !report_count(c->r))
		fail(c->r, "fd-pass", -ret, "receive descriptors from %s", args[0]);
	if (!ret && c->o->expect && s.n != c->o->expect)
		ret = fail(c->r, "fd-pass", EBADMSG, "%zu descriptors came from %s, not %u", s.n,
			   args[0], c->o->expect);
	if (!ret && c->o->program < c->o->nr_args) {
		setrlimit(RLIMIT_NOFILE, &was);
		setenv("FD_PAYLOAD", text, 1);
		ret = fdcmd_program(c, s.items, s.n);
	} else if (!ret) {
		fdset_print(c, s.items, s.n, text);
	}
	fdset_close(&s);
	return ret;
}
