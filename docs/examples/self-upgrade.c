/*
 * self-upgrade - a server that replaces itself at SIGUSR2 without losing a
 * connection, by libcriu-lite-fd. It answers every connection with its
 * generation, and how many have been answered in all.
 *
 *	cc -o self-upgrade self-upgrade.c $(pkg-config --cflags --libs criu-lite-fd)
 *	./self-upgrade 7070 &
 *	kill -USR2 $!
 */
#define _GNU_SOURCE /* accept4(), ppoll() */
#include <criu-lite/fdframe.h>
#include <criu-lite/fdupgrade.h>

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct server {
	int listener;
	unsigned generation;
	unsigned long answered;
};

static volatile sig_atomic_t asked;

static void ask(int sig)
{
	(void)sig;
	asked = 1;
}

/* An ordinary start. */
static int begin(struct server *s, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((unsigned short)port) };
	int one = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s->generation = 1;
	s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s->listener, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    listen(s->listener, 512) < 0) {
		perror("listen");
		return 1;
	}
	return 0;
}

/* As the successor of another one: look at what it offers, and say yes or no. */
static int take_over(struct server *s, struct fd_offer *in)
{
	const struct fd_item *it = fd_item_find(in->items, in->n, "clients");

	if (!it || it->kind != FD_KIND_LISTENER ||
	    sscanf(in->state, "%u %lu", &s->generation, &s->answered) != 2) {
		fd_offer_refuse(in, "there is no socket for clients, or no state that I know");
		return 1;
	}
	s->listener = it->fd;
	s->generation++;
	/* From here on the old one accepts no more; until then nothing may be served. */
	return fd_offer_accept(in) ? 1 : 0;
}

/* The successor is this program, as it is in the file system now. */
static void upgrade(struct server *s, char **argv)
{
	struct fd_item items[] = { { .fd = s->listener, .name = "clients" } };
	char state[64];
	struct fd_upgrade_opts o = {
		.argv = (const char *const *)argv,
		.items = items,
		.n = 1,
		.state = state,
		.len = (size_t)snprintf(state, sizeof(state), "%u %lu", s->generation, s->answered),
		.timeout_ms = 5000,
	};
	struct fd_upgrade u;

	if (fd_upgrade_start(&u, &o) == 0 && fd_upgrade_commit(&u) == 0)
		exit(0);
	fprintf(stderr, "generation %u serves on: %s\n", s->generation, u.why);
}

static void serve(struct server *s)
{
	int c = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
	char text[64];
	int len;

	if (c < 0)
		return;
	len = snprintf(text, sizeof(text), "generation %u answer %lu\n", s->generation,
		       ++s->answered);
	if (write(c, text, (size_t)len) != len)
		perror("write");
	close(c);
}

int main(int argc, char **argv)
{
	struct server s = { 0 };
	struct fd_offer in;
	sigset_t usr2, none;
	int ret;

	if (argc != 2)
		return 2;
	/* Taken in between two connections only. */
	sigemptyset(&none);
	sigemptyset(&usr2);
	sigaddset(&usr2, SIGUSR2);
	sigprocmask(SIG_BLOCK, &usr2, NULL);
	signal(SIGUSR2, ask);
	ret = fd_offer_take(&in);
	if (ret == -ENOENT)
		ret = begin(&s, atoi(argv[1]));
	else if (ret)
		fd_offer_refuse(&in, strerror(-ret));
	else
		ret = take_over(&s, &in);
	while (!ret) {
		struct pollfd p = { .fd = s.listener, .events = POLLIN };

		if (ppoll(&p, 1, NULL, &none) > 0)
			serve(&s);
		if (asked) {
			asked = 0;
			upgrade(&s, argv);
		}
	}
	return 1;
}
