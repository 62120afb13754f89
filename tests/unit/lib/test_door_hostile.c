/*
 * test_door_hostile - peers that do not use the library: they scribble on the
 * memory of a session, say nonsense, or promise what does not come. The other
 * side neither crashes nor believes it, and serves others meanwhile.
 */
#include "door_test.h"

#include <poll.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "lib/door_wire.h"
#include "lib/fdpass.h"

/* What a call hands over is what the procedure keeps seeing. */
static void stable(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	unsigned long sum = 0, again = 0;

	for (size_t i = 0; i < size; i++)
		sum += (unsigned char)args[i];
	for (size_t i = 0; i < size; i++)
		again += (unsigned char)args[i];
	if (sum != again)
		abort();
	for (unsigned int i = 0; i < n; i++)
		close(desc[i].d_data.d_desc.d_descriptor);
	door_return((char *)&sum, sizeof(sum), NULL, 0);
}

static const char *listener(void)
{
	static char path[300];
	struct dirent *e;
	DIR *d = opendir("/run/door");

	EXPECT(d);
	while ((e = readdir(d)))
		if (!strncmp(e->d_name, "l.", 2))
			snprintf(path, sizeof(path), "/run/door/%s", e->d_name);
	closedir(d);
	return path;
}

static int raw_connect(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int sk = socket(AF_UNIX, SOCK_SEQPACKET, 0);

	snprintf(a.sun_path, sizeof(a.sun_path), "%.100s", listener());
	EXPECT(connect(sk, (struct sockaddr *)&a, sizeof(a)) == 0);
	return sk;
}

/* Says hello; returns what the server says to it, or -1 if it hangs up. */
static int raw_hello(int sk, int ticket, int memfd, uint16_t op)
{
	struct door_hello h = { .magic = DOOR_WIRE_MAGIC, .version = DOOR_WIRE_VERSION, .op = op };
	struct pollfd p = { .fd = sk, .events = POLLIN };
	struct door_welcome w;
	int fds[2] = { ticket, memfd };

	EXPECT(fd_send_msg(sk, &h, sizeof(h), fds, (ticket >= 0) + (memfd >= 0), 0) == 0);
	EXPECT(poll(&p, 1, 10000) == 1);
	return recv(sk, &w, sizeof(w), 0) == sizeof(w) ? w.err : -1;
}

static bool hung_up(int sk)
{
	struct pollfd p = { .fd = sk, .events = POLLIN };
	char buf[256];

	EXPECT(poll(&p, 1, 10000) == 1);
	return recv(sk, buf, sizeof(buf), MSG_DONTWAIT) <= 0;
}

static int sealed(off_t size)
{
	int fd = memfd_create("x", MFD_ALLOW_SEALING);

	EXPECT(ftruncate(fd, size) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	return fd;
}

static void alive(int fd)
{
	unsigned long sum = 0;
	char data[3] = { 1, 2, 3 };
	door_arg_t a = {
		.data_ptr = data, .data_size = 3, .rbuf = (char *)&sum, .rsize = sizeof(sum)
	};

	EXPECT(door_call(fd, &a) == 0 && sum == 6);
}

static void row31_hello(void)
{
	int fd = door_create(stable, NULL, 0), plain = open("/dev/null", O_RDONLY), sk;
	int unsealed = memfd_create("u", 0);
	char junk[512] = "junk";

	alive(fd);
	EXPECT(ftruncate(unsealed, 65536) == 0);
	EXPECT(raw_hello(raw_connect(), plain, sealed(65536), DOOR_OP_SESSION) == EBADF);
	EXPECT(raw_hello(raw_connect(), -1, -1, DOOR_OP_SESSION) == -1);
	EXPECT(raw_hello(raw_connect(), fd, -1, DOOR_OP_SESSION) == EBADMSG);
	/* Memory that could be made shorter, too short, or none. */
	EXPECT(raw_hello(sk = raw_connect(), fd, unsealed, DOOR_OP_SESSION) == 0 && hung_up(sk));
	EXPECT(raw_hello(sk = raw_connect(), fd, sealed(100), DOOR_OP_SESSION) == 0 && hung_up(sk));
	EXPECT(raw_hello(sk = raw_connect(), fd, plain, DOOR_OP_SESSION) == 0 && hung_up(sk));
	EXPECT(raw_hello(raw_connect(), fd, -1, 999) == 0);
	sk = raw_connect();
	EXPECT(send(sk, junk, sizeof(junk), 0) > 0 && hung_up(sk));
	sk = raw_connect();
	EXPECT(send(sk, junk, 1, 0) == 1 && hung_up(sk));
	/* Those that say nothing keep nobody waiting. */
	for (int i = 0; i < 50; i++)
		raw_connect();
	alive(fd);
}

struct raw {
	int sk, memfd;
	struct door_arena *a;
};

static struct raw raw_session(int fd)
{
	struct raw r = { .sk = raw_connect(), .memfd = sealed(DOOR_ARENA_DATA + 65536) };

	EXPECT(raw_hello(r.sk, fd, r.memfd, DOOR_OP_SESSION) == 0);
	r.a = mmap(NULL, DOOR_ARENA_DATA + 65536, PROT_READ | PROT_WRITE, MAP_SHARED, r.memfd, 0);
	EXPECT(r.a != MAP_FAILED);
	return r;
}

static void raw_ring(const struct raw *r)
{
	const struct door_note ring = { .type = DOOR_NOTE_RING };

	send(r->sk, &ring, sizeof(ring), MSG_NOSIGNAL);
}

/* Posts a call as it is said; returns the error that it ends with, or -1 if the server hangs up. */
static int raw_call(const struct raw *r, uint64_t size, uint32_t descs)
{
	r->a->arg_size = size;
	r->a->arg_descs = descs;
	atomic_store(&r->a->ret, RET_SOCKET);
	if (atomic_exchange(&r->a->call, CALL_POSTED) == CALL_NONE)
		raw_ring(r);
	if (hung_up(r->sk) && atomic_load(&r->a->ret) != RET_DONE)
		return -1;
	return r->a->res_err;
}

static void row31_lies(void)
{
	static const uint64_t sizes[] = { 65537,
					  1 << 20,
					  1ull << 30,
					  (1ull << 30) + 1,
					  1ull << 40,
					  UINT64_MAX,
					  UINT64_MAX - DOOR_ARENA_DATA + 1 };
	int fd = door_create(stable, NULL, 0), before;

	alive(fd);
	before = open_fds();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct raw r = raw_session(fd);
		int err = raw_call(&r, sizes[i], 0);

		EXPECT(err == -1 || err == E2BIG);
		close(r.sk);
		close(r.memfd);
		alive(fd);
	}
	for (uint32_t n = 1; n; n *= 16) {
		struct raw r = raw_session(fd);
		int err = raw_call(&r, 8, n);

		EXPECT(err == -1 || err == E2BIG);
		close(r.sk);
		close(r.memfd);
		alive(fd);
	}
	WAIT_FOR(open_fds() <= before);
}

/* More descriptors than any call may have, and never a call. */
static void row31_stuffing(void)
{
	const struct door_note note = { .type = DOOR_NOTE_FDS };
	int fd = door_create(stable, NULL, 0), fds[FD_MSG_MAX], before;
	struct raw r;

	alive(fd);
	before = open_fds();
	r = raw_session(fd);
	for (int i = 0; i < FD_MSG_MAX; i++)
		fds[i] = fd;
	for (int i = 0; i < 20; i++)
		if (fd_send_msg(r.sk, &note, sizeof(note), fds, FD_MSG_MAX, 0))
			break;
	EXPECT(hung_up(r.sk));
	close(r.sk);
	close(r.memfd);
	alive(fd);
	WAIT_FOR(open_fds() <= before);
}

static _Atomic bool stop;

static void *scribble(void *arg)
{
	uint32_t seed = 1, *w = arg;

	while (!stop) {
		seed = seed * 1664525 + 1013904223;
		w[(seed >> 8) % ((DOOR_ARENA_DATA + 65536) / 4)] = seed;
		if (!(seed & 7)) {
			w[offsetof(struct door_arena, call) / 4] = seed >> 29;
			w[offsetof(struct door_arena, ret) / 4] = seed >> 29;
		}
	}
	return NULL;
}

static void scribbler(void *arg)
{
	long rounds = getenv("SCRIBBLES") ? atol(getenv("SCRIBBLES")) : 3000;
	int fd = *(int *)arg;
	struct raw r = { .sk = -1 };
	pthread_t id;

	for (long i = 0; i < rounds; i++) {
		if (i % 500 == 0) {
			/* The old session stays open and is written to. */
			r = raw_session(fd);
			EXPECT(pthread_create(&id, NULL, scribble, r.a) == 0);
		}
		r.a->arg_size = (uint64_t)i * 13 % 65536;
		r.a->arg_descs = 0;
		atomic_store(&r.a->call, CALL_POSTED);
		raw_ring(&r);
		if (i % 64 == 0)
			msleep(1);
	}
	stop = true;
}

static void row31_scribble(void)
{
	int fd = door_create(stable, NULL, 0);
	pid_t pid = child(scribbler, &fd);

	do
		alive(fd);
	while (waitpid(pid, NULL, WNOHANG) == 0);
	alive(fd);
}

/* A server that answers with nonsense: what its client makes of it. */
static void evil_server(void *arg)
{
	struct door_arena *a = MAP_FAILED;
	int *next = arg, fds[8], ls = next[2];

	for (;;) {
		struct door_welcome w = { .magic = DOOR_WIRE_MAGIC };
		int sk = accept(ls, NULL, NULL), round = next[1]++;
		const struct door_note ring = { .type = DOOR_NOTE_RING };
		struct door_hello h;
		size_t len, n;

		if (fd_recv_msg(sk, &h, sizeof(h), &len, fds, 8, &n, 0) || n < 2)
			continue;
		send(sk, &w, sizeof(w), MSG_NOSIGNAL);
		a = mmap(NULL, DOOR_ARENA_DATA, PROT_READ | PROT_WRITE, MAP_SHARED, fds[1], 0);
		while (atomic_load(&a->call) != CALL_POSTED)
			msleep(1);
		atomic_store(&a->call, CALL_TAKEN);
		a->res_size = round & 1 ? UINT64_MAX >> round : 70000 + (uint64_t)round;
		a->res_descs = round & 2 ? (uint32_t)-1 >> round : 0;
		a->res_err = round & 4 ? -5 : 0;
		if (atomic_exchange(&a->ret, RET_DONE) == RET_SOCKET)
			send(sk, &ring, sizeof(ring), MSG_NOSIGNAL);
	}
}

static void row31_server(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int *state = shared(3 * sizeof(int)), fd, before;
	struct stat st;
	char buf[128];
	pid_t pid;

	/* The names of an honest server, taken over by its owner. */
	fd = door_create(stable, NULL, 0);
	snprintf(a.sun_path, sizeof(a.sun_path), "%.100s", listener());
	EXPECT(unlink(a.sun_path) == 0 && fstat(fd, &st) == 0);
	state[2] = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	EXPECT(bind(state[2], (struct sockaddr *)&a, sizeof(a)) == 0 && listen(state[2], 5) == 0);
	pid = child(evil_server, state);
	before = open_fds();
	for (int i = 0; i < 32; i++) {
		door_arg_t arg = { .rbuf = buf, .rsize = sizeof(buf) };

		EXPECT_ERR(door_call(fd, &arg), EINTR);
		EXPECT(open_fds() <= before);
	}
	kill(pid, SIGKILL);
}

static const struct door_row rows[] = {
	{ "row 31: hellos that are none", row31_hello, true },
	{ "row 31: sizes and numbers that are not true", row31_lies, true },
	{ "row 31: descriptors without end", row31_stuffing, true },
	{ "row 31: memory that changes while it is read", row31_scribble, true },
	{ "row 31: a server that answers nonsense", row31_server, true },
};

int main(int argc, char **argv)
{
	return run_rows(rows, sizeof(rows) / sizeof(rows[0]), argc, argv);
}
