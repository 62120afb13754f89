/*
 * fdoffer - the side that is offered: the successor, from its first
 * instruction until it may serve.
 */
#include "lib/fdoffer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/fdframe.h"
#include "lib/fdupgrade.h"
#include "lib/fdwait.h"
#include "lib/pidfd.h"

/* The giver's socket is closed before the giver is a zombie: how long that may take. */
#define DEATH_MS 1000

static void let_go(struct fd_offer *in)
{
	close_owned(&in->sock);
	close_owned(&in->old_pidfd);
	in->sock = in->old_pidfd = -1;
}

static int unwrap(struct fd_offer *in, struct fd_frame *f)
{
	if (f->len < OFFER_TAG_LEN || memcmp(f->payload, OFFER_TAG, OFFER_TAG_LEN) || !f->n ||
	    f->items[0].kind != FD_KIND_ANON)
		return -EBADMSG;
	in->old_pidfd = f->items[0].fd;
	in->old = pidfd_pid(in->old_pidfd);
	memmove(f->items, f->items + 1, --f->n * sizeof(*f->items));
	in->items = f->items;
	in->n = f->n;
	in->payload = f->payload;
	in->state = (char *)f->payload + OFFER_TAG_LEN;
	in->len = f->len - OFFER_TAG_LEN;
	return 0;
}

int fd_offer_take(struct fd_offer *in)
{
	const char *text = getenv(OFFER_VARIABLE);
	struct fd_frame f;
	unsigned ms;
	char end;
	int sock, ret;

	*in = (struct fd_offer){ .sock = -1, .old_pidfd = -1 };
	if (!text)
		return -ENOENT;
	if (sscanf(text, "%d %u%c", &sock, &ms, &end) != 2 || fcntl(sock, F_SETFD, FD_CLOEXEC) < 0)
		return -EBADMSG;
	unsetenv(OFFER_VARIABLE);
	in->sock = sock;
	in->timeout_ms = ms;
	ret = fd_frame_recv(sock, &f, OFFER_FDS_MAX, OFFER_STATE_MAX, (int)ms);
	if (ret)
		return ret;
	ret = unwrap(in, &f);
	if (ret)
		fd_frame_free(&f);
	return ret;
}

static int answer(const struct fd_offer *in, const char *tag, const char *why)
{
	char text[ANSWER_MAX];
	struct fd_frame f = { .payload = text };

	snprintf(text, sizeof(text), "%s%s", tag, why);
	f.len = strlen(text);
	return fd_frame_send(in->sock, &f, (int)in->timeout_ms);
}

/* The giver is gone without a word: did the one who is to be replaced go with it? */
static int deserted(const struct fd_offer *in)
{
	return fdwait(in->old_pidfd, POLLIN, fdwait_until(DEATH_MS)) ? -ECANCELED : 0;
}

int fd_offer_accept(struct fd_offer *in)
{
	int ret = answer(in, OK_TAG, "");
	struct fd_frame f = { 0 };

	/* The giver has its own limit for what it does before it lets go: twice as long is enough.
	 */
	if (!ret)
		ret = fd_frame_recv(in->sock, &f, 0, ANSWER_MAX, (int)(2 * in->timeout_ms));
	if (!ret)
		ret = f.len >= OFFER_TAG_LEN && !memcmp(f.payload, GO_TAG, OFFER_TAG_LEN)
			      ? 0
			      : -ECANCELED;
	else if (ret == -ECONNRESET || ret == -EPIPE)
		ret = deserted(in);
	fd_frame_free(&f);
	let_go(in);
	if (ret)
		fd_offer_free(in);
	return ret;
}

void fd_offer_refuse(struct fd_offer *in, const char *why)
{
	if (in->sock >= 0)
		answer(in, NO_TAG, why);
	fd_offer_free(in);
}

void fd_offer_free(struct fd_offer *in)
{
	struct fd_frame f = { .items = in->items, .n = in->n, .payload = in->payload };

	fd_frame_free(&f);
	let_go(in);
	*in = (struct fd_offer){ .sock = -1, .old_pidfd = -1 };
}
