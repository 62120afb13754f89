/*
 * fd_hold - a process that keeps descriptors by name, for whoever asks. A frame
 * with descriptors in it leaves them here; one without is a question (see
 * fd_ask.c). Beside that it can be the store that sd_notify(3) speaks of. Only
 * its own user and root are served: an abstract socket has no mode.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "cmd/cmd.h"
#include "cmd/fdcmd.h"
#include "cmd/fdset.h"
#include "lib/fdlisten.h"

/* One that says nothing keeps the others waiting no longer than this. */
#define CLIENT_MS 2000

struct holder {
	struct cmd *c;
	struct fd_item *items; /* malloc'ed; names are unique */
	size_t n, room;
};

static struct fd_item *find(struct holder *h, const char *name)
{
	return (struct fd_item *)fd_item_find(h->items, h->n, name);
}

/* Takes the descriptor over; one of the same name gives way. */
static int keep(struct holder *h, const struct fd_item *it)
{
	struct fd_item *old = find(h, it->name), *more;

	if (old) {
		close(old->fd);
		*old = *it;
		return 0;
	}
	if (h->n == h->room) {
		size_t room = h->room ? 2 * h->room : 16;

		more = realloc(h->items, room * sizeof(*more));
		if (!more) {
			close(it->fd);
			return -ENOMEM;
		}
		h->items = more;
		h->room = room;
	}
	h->items[h->n++] = *it;
	return 0;
}

static void drop(struct holder *h, struct fd_item *it)
{
	close(it->fd);
	if (h->n)
		*it = h->items[--h->n];
}

static void answer(int sock, const char *text, struct fd_item *items, size_t n)
{
	struct fd_frame f = { .items = items, .n = n, .payload = (void *)text };

	f.len = strlen(text);
	/* Whoever does not want to hear it need not. */
	fd_frame_send(sock, &f, CLIENT_MS);
}

static void take(struct holder *h, int sock, struct fd_frame *f)
{
	int ret = 0;

	for (size_t i = 0; i < f->n; i++)
		if (!fd_name_ok(f->items[i].name)) {
			answer(sock, "descriptors have to have names here", NULL, 0);
			return;
		}
	for (size_t i = 0; i < f->n; i++) {
		ret = keep(h, &f->items[i]) ?: ret;
		f->items[i].fd = -1;
	}
	answer(sock, ret ? "memory is short" : "OK", NULL, 0);
}

static void give_all(struct holder *h, int sock, bool away)
{
	answer(sock, "OK", away ? NULL : h->items, away ? 0 : h->n);
	while (away && h->n)
		drop(h, &h->items[0]);
}

/* @names is cut into lines. All of them, or none. */
static void give(struct holder *h, int sock, char *names, bool away)
{
	struct fd_item *some = calloc(h->n + 1, sizeof(*some)), *it;
	char *save = NULL, text[FD_NAME_MAX + 64] = "OK";
	size_t n = 0;

	for (char *l = strtok_r(names, "\n", &save); some && l; l = strtok_r(NULL, "\n", &save)) {
		it = find(h, l);
		if (!it || n == h->n) {
			snprintf(text, sizeof(text), "nothing is held by the name %.*s",
				 FD_NAME_MAX, l);
			n = 0;
			break;
		}
		some[n++] = *it;
	}
	for (size_t i = 0; away && i < n; i++)
		if ((it = find(h, some[i].name)))
			drop(h, it);
	answer(sock, some ? text : "memory is short", away ? NULL : some, away ? 0 : n);
	free(some);
}

static bool may_ask(int sock)
{
	struct ucred who;
	socklen_t len = sizeof(who);

	return getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
	       (who.uid == 0 || who.uid == geteuid());
}

static void serve(struct holder *h, int at)
{
	cleanup_close int sock = accept4(at, NULL, NULL, SOCK_CLOEXEC);
	struct fd_frame f;
	char *text;

	if (sock < 0)
		return;
	if (!may_ask(sock)) {
		answer(sock, "only the holder's own user and root are served", NULL, 0);
		return;
	}
	if (fd_frame_recv(sock, &f, FDCMD_FDS_MAX, FDCMD_TEXT_MAX, CLIENT_MS))
		return;
	text = f.payload;
	if (f.n)
		take(h, sock, &f);
	else if (!strcmp(text, "GET") || !strcmp(text, "DROP"))
		give_all(h, sock, *text == 'D');
	else if (!strncmp(text, "GET\n", 4))
		give(h, sock, text + 4, false);
	else if (!strncmp(text, "DROP\n", 5))
		give(h, sock, text + 5, true);
	else
		answer(sock, "this is no question", NULL, 0);
	fd_frame_free(&f);
}

/* As a service manager does it; what it has no use for is closed. */
static void store(struct holder *h, int sock)
{
	struct fd_notice n;
	struct fd_item it;
	bool heard = fd_notify_take(sock, &n) == 0 && (n.uid == 0 || n.uid == geteuid());

	for (size_t i = 0; i < n.n; i++) {
		int kind = fd_kind_of(n.fds[i]);

		if (!heard || !n.store) {
			close(n.fds[i]);
			continue;
		}
		memset(&it, 0, sizeof(it));
		it.fd = n.fds[i];
		it.kind = kind < 0 ? FD_KIND_OTHER : (enum fd_kind)kind;
		/* Several may come without a name of their own. */
		if (i || !n.name[0])
			snprintf(it.name, sizeof(it.name), "%.200s%zu",
				 n.name[0] ? n.name : "stored", h->n);
		else
			snprintf(it.name, sizeof(it.name), "%s", n.name);
		keep(h, &it);
	}
	if (heard && n.remove && find(h, n.name))
		drop(h, find(h, n.name));
}

static int open_store(struct cmd *c, int *sock)
{
	*sock = -1;
	if (!c->o->store)
		return 0;
	*sock = fd_notify_open(c->o->store, NULL, 0);
	return *sock < 0 ? fail(c->r, "fd-socket", -*sock, "be a store at %s", c->o->store) : 0;
}

static int loop(struct holder *h, int at, int sock)
{
	cleanup_close int sig = -1;
	sigset_t ends;

	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	sigprocmask(SIG_BLOCK, &ends, NULL);
	sig = signalfd(-1, &ends, SFD_CLOEXEC);
	if (sig < 0)
		return fail(h->c->r, "fd-socket", errno, "signalfd()");
	session_ready(h->c);
	fd_notify("READY=1", NULL, 0);
	for (;;) {
		struct pollfd p[3] = { { .fd = at, .events = POLLIN },
				       { .fd = sig, .events = POLLIN },
				       { .fd = sock, .events = POLLIN } };

		if (poll(p, 3, -1) < 0)
			continue;
		if (p[0].revents)
			serve(h, at);
		if (p[2].revents)
			store(h, sock);
		if (p[1].revents)
			return 0;
	}
}

/**
 * fd_hold - `fd hold SOCKET [DESCRIPTOR]...`
 * @c: the run
 * @args: the words
 * @n: how many
 *
 * Return: 0 when it was told to end, or -errno, recorded.
 */
int fd_hold(struct cmd *c, const char **args, size_t n)
{
	cleanup_close int at = -1, sock = -1;
	struct holder h = { .c = c };
	struct fdset s = { 0 };
	struct rlimit lim;
	int ret = 0;

	for (size_t i = 1; ret >= 0 && i < n; i++)
		ret = fdset_spec(c, &s, args[i]);
	for (size_t i = 0; ret >= 0 && i < s.n; i++) {
		ret = keep(&h, &s.items[i]);
		s.items[i].fd = -1;
	}
	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	if (ret >= 0)
		ret = fdcmd_listen(c, args[0], &at);
	if (ret >= 0)
		ret = open_store(c, &sock);
	if (ret >= 0)
		ret = loop(&h, at, sock);
	if (at >= 0 && args[0][0] != '@')
		unlink(args[0]);
	if (sock >= 0 && c->o->store[0] != '@')
		unlink(c->o->store);
	while (h.n)
		drop(&h, &h.items[0]);
	free(h.items);
	fdset_close(&s);
	return ret;
}
