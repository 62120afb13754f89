/*
 * fuzz - send mutated requests to a service: fuzz SOCKET SEEDS DIR COUNT SEED
 *
 * SEEDS has valid requests; descriptor 0 of them is the directory DIR. Each
 * message goes over a connection of its own; it must be answered, with
 * something that begins as a response does, within a minute. Notifications are
 * answered with yes, no or nonsense. Prints what the answers were.
 *
 * The process cannot be traced by its own user, so a request that asks for it
 * does not end it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define SEEDS_MAX 64
#define SIZE_MAX_MSG 4096
#define NOTIFY 6

struct message {
	unsigned char data[SIZE_MAX_MSG];
	size_t len;
};

static struct message seeds[SEEDS_MAX];
static size_t nr_seeds;
static uint64_t state;

static uint32_t rnd(uint32_t below)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)(state >> 20) % below;
}

static void die(const char *what, const struct message *m)
{
	printf("%s: %s; the message:", what, strerror(errno));
	for (size_t i = 0; i < m->len; i++)
		printf(" %02x", m->data[i]);
	printf("\n");
	exit(1);
}

static void load(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)) && nr_seeds < SEEDS_MAX) {
		int fd = e->d_name[0] == '.' ? -1 : openat(dirfd(d), e->d_name, O_RDONLY);
		ssize_t n = fd < 0 ? -1 : read(fd, seeds[nr_seeds].data, SIZE_MAX_MSG / 4);

		if (n >= 0)
			seeds[nr_seeds++].len = (size_t)n;
		close(fd);
	}
	if (!nr_seeds)
		exit(2);
}

static void insert(struct message *m, size_t at, const unsigned char *p, size_t n)
{
	if (m->len + n > SIZE_MAX_MSG)
		return;
	memmove(m->data + at + n, m->data + at, m->len - at);
	memcpy(m->data + at, p, n);
	m->len += n;
}

static void mutate(struct message *m)
{
	static const unsigned char odd[] = { 0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x12, 0xfe };
	static const unsigned char big[10] = { 0xff, 0xff, 0xff, 0xff, 0xff,
					       0xff, 0xff, 0xff, 0xff, 0x01 };
	size_t at = m->len ? rnd((uint32_t)m->len) : 0, n;

	switch (m->len ? rnd(7) : 2) {
	case 0:
		m->data[at] ^= (unsigned char)(1u << rnd(8));
		break;
	case 1:
		m->data[at] = odd[rnd(sizeof(odd))];
		break;
	case 2:
		insert(m, at, odd, 1 + rnd(sizeof(odd) - 1));
		break;
	case 3:
		n = 1 + rnd((uint32_t)(m->len - at));
		memmove(m->data + at, m->data + at + n, m->len - at - n);
		m->len -= n;
		break;
	case 4:
		m->len = at;
		break;
	case 5:
		insert(m, at, big, sizeof(big));
		break;
	default: { /* a piece of another one */
		const struct message *o = &seeds[rnd((uint32_t)nr_seeds)];
		size_t from = o->len ? rnd((uint32_t)o->len) : 0;

		insert(m, at, o->data + from, o->len - from);
	}
	}
}

static int service(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	struct timeval t = { .tv_sec = 60 };
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
	return connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -1 : fd;
}

/* The type of the answer; -1: none came. */
static int answer(int fd, unsigned char *ok)
{
	static unsigned char buf[1 << 18];
	ssize_t n = recv(fd, buf, sizeof(buf), 0);

	if (n < 4 || buf[0] != 0x08 || buf[2] != 0x10)
		return -1;
	*ok = buf[3];
	return buf[1];
}

static void consent(int fd)
{
	static const unsigned char yes[] = { 8, NOTIFY, 0x18, 1 }, no[] = { 8, NOTIFY, 0x18, 0 };

	switch (rnd(4)) {
	case 0:
		send(fd, no, sizeof(no), MSG_NOSIGNAL);
		break;
	case 1:
		send(fd, "nonsense", 8, MSG_NOSIGNAL);
		break;
	default:
		send(fd, yes, sizeof(yes), MSG_NOSIGNAL);
	}
}

int main(int argc, char **argv)
{
	unsigned long count, done[2] = { 0 };
	struct message m = { .len = 0 };
	int dir;

	if (argc != 6)
		return 2;
	count = strtoul(argv[4], NULL, 10);
	state = strtoul(argv[5], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
	load(argv[2]);
	dir = open(argv[3], O_DIRECTORY);
	if (dir < 0 || dup2(dir, 0) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0)
		return 2;
	for (unsigned long i = 0; i < count; i++) {
		unsigned char ok = 0;
		int fd, type;

		m = seeds[rnd((uint32_t)nr_seeds)];
		for (uint32_t k = rnd(6); k; k--)
			mutate(&m);
		if (!m.len)
			continue; /* to a SEQPACKET socket that is the end */
		fd = service(argv[1]);
		if (fd < 0)
			die("connect", &m);
		errno = 0;
		if (send(fd, m.data, m.len, MSG_NOSIGNAL) < 0)
			die("send", &m);
		while ((type = answer(fd, &ok)) == NOTIFY)
			consent(fd);
		if (type < 0)
			die("no answer", &m);
		done[ok & 1]++;
		close(fd);
	}
	printf("%lu refused, %lu done\n", done[0], done[1]);
	return 0;
}
