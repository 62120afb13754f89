/*
 * fd_ask - questions to a holder: a word and names, one a line; the answer
 * begins with OK, or says what is wrong.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fd.h"
#include "cmd/cmd.h"
#include "cmd/fdcmd.h"
#include "cmd/fdset.h"
#include "lib/fdwait.h"

#define WAIT_NAP_US 20000

static char *question(struct cmd *c, const char *word, const char **names, size_t n)
{
	char *text = arena_strdup(c->o->arena, word);

	for (size_t i = 0; i < n; i++)
		text = arena_printf(c->o->arena, "%s\n%s", text, names[i]);
	return text;
}

/**
 * fdcmd_ask - ask a holder
 * @c: the run
 * @sock: connected to it
 * @word: GET, LIST or DROP
 * @names: of which descriptors; none: of all
 * @n: how many
 * @answer: gets the answer, for fd_frame_free()
 *
 * Return: 0; -ENOENT, recorded as fd-holder, if it has not all of them; or
 * -errno, recorded.
 */
int fdcmd_ask(struct cmd *c, int sock, const char *word, const char **names, size_t n,
	      struct fd_frame *answer)
{
	char *text = question(c, word, names, n);
	struct fd_frame f = { .payload = text, .len = strlen(text) };
	int ret = fd_frame_send(sock, &f, fdcmd_timeout(c));

	/* It may have said no, and why, before it was asked. */
	if (!ret || ret == -EPIPE || ret == -ECONNRESET)
		ret = fd_frame_recv(sock, answer, FDCMD_FDS_MAX, FDCMD_TEXT_MAX, fdcmd_timeout(c));
	if (ret)
		return fail(c->r, "fd-pass", -ret, "ask the holder");
	if (!strncmp(answer->payload, "OK", 2))
		return 0;
	fail(c->r, "fd-holder", 0, "%s", (char *)answer->payload);
	fd_frame_free(answer);
	return -ENOENT;
}

static int ask_at(struct cmd *c, const char *where, const char *word, const char **names, size_t n,
		  struct fd_frame *answer)
{
	cleanup_close int sock = -1;
	int ret = fdcmd_socket(c, where, &sock);

	return ret < 0 ? ret : fdcmd_ask(c, sock, word, names, n, answer);
}

/**
 * fd_list - `fd list SOCKET|PID`
 * @c: the run
 * @args: the words
 * @n: how many
 *
 * Return: 0 or -errno, recorded.
 */
int fd_list(struct cmd *c, const char **args, size_t n)
{
	struct fd_frame answer;
	struct fdset s = { 0 };
	int ret;

	if (args[0][strspn(args[0], "0123456789")] == '\0') {
		ret = fdset_of_process(c, &s, atoi(args[0]), c->o->fds ? c->o->fds : "all");
		if (ret >= 0)
			fdset_print(c, s.items, s.n, "");
		fdset_close(&s);
		return ret;
	}
	ret = ask_at(c, args[0], "GET", args + 1, n - 1, &answer);
	if (ret < 0)
		return ret;
	fdset_print(c, answer.items, answer.n, "");
	fd_frame_free(&answer);
	return 0;
}

/**
 * fd_drop - `fd drop SOCKET NAME...`
 * @c: the run
 * @args: the words
 * @n: how many
 *
 * Return: 0 or -errno, recorded.
 */
int fd_drop(struct cmd *c, const char **args, size_t n)
{
	struct fd_frame answer;
	int ret = ask_at(c, args[0], "DROP", args + 1, n - 1, &answer);

	if (!ret)
		fd_frame_free(&answer);
	return ret;
}

/* Without a word in the report: that there is nobody yet is what is waited for. */
static bool is_there(struct cmd *c, const char *where, const char **names, size_t n)
{
	struct report *was = c->r;
	struct fd_frame answer;
	int ret;

	c->r = report_new();
	report_log_to(c->r, -1, LOG_MSG);
	ret = ask_at(c, where, "GET", names, n, &answer);
	report_free(c->r);
	c->r = was;
	if (!ret)
		fd_frame_free(&answer);
	return ret == 0;
}

/**
 * fd_wait - `fd wait SOCKET [NAME]...`: until a holder is there and has them
 * @c: the run
 * @args: the words
 * @n: how many
 *
 * Return: 0 or -errno, recorded.
 */
int fd_wait(struct cmd *c, const char **args, size_t n)
{
	int64_t until = fdwait_until(fdcmd_timeout(c));

	while (!is_there(c, args[0], args + 1, n - 1)) {
		if (fdwait_now() >= until)
			return fail(c->r, "fd-timeout", ETIMEDOUT, "wait for %s%s%s", args[0],
				    n > 1 ? " to have " : "", n > 1 ? args[1] : "");
		usleep(WAIT_NAP_US);
	}
	return 0;
}
