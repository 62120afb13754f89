/*
 * test_door_desc - descriptors both ways, and who calls.
 */
#include "door_test.h"

#include <sys/resource.h>
#include <sys/socket.h>

/* Gives back what it got; with a cookie, to be released. */
static void mirror(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		desc[i].d_attributes = DOOR_DESCRIPTOR | DOOR_RELEASE;
	door_return(args, size, desc, n);
}

static door_desc_t desc_of(int fd, unsigned int attr)
{
	door_desc_t d = { .d_attributes = DOOR_DESCRIPTOR | attr };

	d.d_data.d_desc.d_descriptor = fd;
	return d;
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino &&
	       x.st_dev == y.st_dev;
}

static void row26_kinds(void)
{
	int fd = door_create(mirror, NULL, 0), other = door_create(echo, NULL, DOOR_PRIVATE), sk[2];
	door_desc_t d[5];
	door_arg_t a = { .desc_ptr = d, .desc_num = 5 };
	door_info_t info;
	char c = 'x';

	EXPECT(socketpair(AF_UNIX, SOCK_STREAM, 0, sk) == 0);
	EXPECT(door_info(other, &info) == 0);
	d[0] = desc_of(other, 0);
	d[1] = desc_of(sk[1], 0);
	d[2] = desc_of(memfd_create("m", 0), DOOR_RELEASE);
	d[3] = d[4] = desc_of(sk[0], 0);
	EXPECT(door_call(fd, &a) == 0);
	EXPECT(a.desc_num == 5 && a.data_size == 0);
	/* A door of this process is known again. */
	EXPECT(a.desc_ptr[0].d_attributes == (DOOR_DESCRIPTOR | DOOR_LOCAL | DOOR_PRIVATE));
	EXPECT(a.desc_ptr[0].d_data.d_desc.d_id == info.di_uniquifier);
	for (int i = 1; i < 5; i++)
		EXPECT(a.desc_ptr[i].d_attributes == DOOR_DESCRIPTOR);
	EXPECT(write(sk[0], &c, 1) == 1);
	EXPECT(read(a.desc_ptr[1].d_data.d_desc.d_descriptor, &c, 1) == 1);
	EXPECT(same_file(a.desc_ptr[3].d_data.d_desc.d_descriptor, sk[0]));
	EXPECT(same_file(a.desc_ptr[4].d_data.d_desc.d_descriptor, sk[0]));
	EXPECT_ERR(fcntl(d[2].d_data.d_desc.d_descriptor, F_GETFD), EBADF);
	for (int i = 0; i < 5; i++)
		EXPECT(fcntl(a.desc_ptr[i].d_data.d_desc.d_descriptor, F_GETFD) == FD_CLOEXEC);
}

static void take_door(void *arg)
{
	int fd = *(int *)arg;
	door_arg_t a = { .data_size = 0 };
	door_info_t i;
	long out;
	int got;

	EXPECT(door_call(fd, &a) == 0 && a.desc_num == 1);
	got = a.desc_ptr->d_data.d_desc.d_descriptor;
	EXPECT(a.desc_ptr->d_attributes == (DOOR_DESCRIPTOR | DOOR_NO_CANCEL));
	EXPECT(door_info(got, &i) == 0 && i.di_uniquifier == a.desc_ptr->d_data.d_desc.d_id);
	EXPECT(call_long(got, 3, &out) == 0 && out == 3);
}

static void give_door(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	door_desc_t d = desc_of(*(int *)cookie, 0);

	door_return(NULL, 0, &d, 1);
}

/* A client gets a door that it has no path to. */
static void row26_door(void)
{
	int inner = door_create(echo, NULL, DOOR_NO_CANCEL), fd;

	fd = door_create(give_door, &inner, 0);
	in_child(take_door, &fd);
}

static void some(int fd, int what, unsigned int n)
{
	door_desc_t *d = calloc(n + 1, sizeof(*d));
	door_arg_t a = { .desc_ptr = d, .desc_num = n };
	int before = open_fds();

	for (unsigned int i = 0; i < n; i++)
		d[i] = desc_of(what, 0);
	if (n > 1024) {
		EXPECT_ERR(door_call(fd, &a), E2BIG);
	} else {
		EXPECT(door_call(fd, &a) == 0 && a.desc_num == n);
		for (unsigned int i = 0; i < n; i++) {
			EXPECT(same_file(a.desc_ptr[i].d_data.d_desc.d_descriptor, what));
			close(a.desc_ptr[i].d_data.d_desc.d_descriptor);
		}
		if (a.rbuf)
			munmap(a.rbuf, a.rsize);
	}
	WAIT_FOR(open_fds() <= before);
	free(d);
}

static void row26_counts(void)
{
	static const unsigned int counts[] = { 0, 1, 253, 254, 1024, 1025 };
	const struct rlimit lim = { 8192, 8192 };
	int fd, what = open("/dev/null", O_RDONLY);

	if (setrlimit(RLIMIT_NOFILE, &lim) < 0)
		skip("RLIMIT_NOFILE of 8192 is not allowed here");
	fd = door_create(mirror, NULL, 0);
	EXPECT(door_call(fd, NULL) == 0);
	for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
		some(fd, what, counts[i]);
}

static void give_many(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	door_desc_t d[50];

	for (int i = 0; i < 50; i++)
		d[i] = desc_of(open("/dev/null", O_RDONLY), DOOR_RELEASE);
	door_return(NULL, 0, d, 50);
}

static void full_table(void *arg)
{
	struct rlimit lim = { 64, 64 };
	door_arg_t a = { .data_size = 0 };
	long out;
	int n;

	EXPECT(call_long(((int *)arg)[1], 1, &out) == 0);
	lim.rlim_cur = lim.rlim_max = (rlim_t)open_fds() + 20;
	EXPECT(setrlimit(RLIMIT_NOFILE, &lim) == 0);
	n = open_fds();
	for (int i = 0; i < 5; i++) {
		EXPECT_ERR(door_call(((int *)arg)[0], &a), EMFILE);
		EXPECT(open_fds() <= n);
	}
	EXPECT(call_long(((int *)arg)[1], 1, &out) == 0 && out == 1);
}

static void row26_full(void)
{
	int fds[2] = { door_create(give_many, NULL, 0), door_create(echo, NULL, 0) }, before;

	before = open_fds();
	in_child(full_table, fds);
	/* The server has released its own. */
	WAIT_FOR(open_fds() <= before);
}

/* The server's table is full: the caller hears of it. */
static void row26_server_full(void)
{
	struct rlimit old, lim;
	int fd = door_create(mirror, NULL, 0);
	door_desc_t d[40];
	door_arg_t a = { .desc_ptr = d, .desc_num = 40 };
	long out;

	for (int i = 0; i < 40; i++)
		d[i] = desc_of(fd, 0);
	EXPECT(call_long(fd, 1, &out) == 0);
	getrlimit(RLIMIT_NOFILE, &old);
	lim = old;
	lim.rlim_cur = (rlim_t)open_fds() + 10;
	EXPECT(setrlimit(RLIMIT_NOFILE, &lim) == 0);
	EXPECT_ERR(door_call(fd, &a), EMFILE);
	EXPECT(setrlimit(RLIMIT_NOFILE, &old) == 0);
	EXPECT(call_long(fd, 2, &out) == 0 && out == 2);
}

static void release_after(int fd, door_arg_t *a, int err, bool closed)
{
	int sk = open("/dev/null", O_RDONLY);
	door_desc_t d = desc_of(sk, DOOR_RELEASE);

	a->desc_ptr = &d;
	a->desc_num = 1;
	EXPECT_ERR(door_call(fd, a), err);
	EXPECT((fcntl(sk, F_GETFD) < 0) == closed);
}

static void row26_release(void)
{
	int refuse = door_create(echo, NULL, DOOR_REFUSE_DESC), plain = open("/dev/null", O_RDONLY);
	door_arg_t a = { .data_size = 0 };
	int before;

	release_after(refuse, &a, ENOTSUP, true);
	before = open_fds();
	for (int i = 0; i < 5; i++)
		release_after(refuse, &a, ENOTSUP, true);
	/* Nor does the server keep what came with calls that it refused. */
	EXPECT(open_fds() == before);
	release_after(plain, &a, EBADF, false);
	a.data_ptr = (char *)8;
	a.data_size = 8;
	release_after(refuse, &a, EFAULT, false);
}

static void answer_cred(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	long out[6] = { -1, -1, -1, -1, -1, -1 };
	ucred_t *uc = NULL;
	door_cred_t c;

	if (door_cred(&c) == 0 && door_ucred(&uc) == 0) {
		out[0] = c.dc_euid;
		out[1] = c.dc_ruid;
		out[2] = c.dc_egid;
		out[3] = c.dc_rgid;
		out[4] = c.dc_pid;
		out[5] = ucred_getpid(uc) == c.dc_pid && ucred_geteuid(uc) == c.dc_euid &&
			 ucred_getrgid(uc) == c.dc_rgid;
	}
	ucred_free(uc);
	door_return((char *)out, sizeof(out), NULL, 0);
}

static void cred_is(int fd, uid_t e, uid_t r)
{
	long out[6];
	door_arg_t a = { .rbuf = (char *)out, .rsize = sizeof(out) };

	EXPECT(door_call(fd, &a) == 0 && a.rbuf == (char *)out);
	EXPECT(out[0] == e && out[1] == r && out[4] == getpid() && out[5] == 1);
}

static void changes_ids(void *arg)
{
	int fd = *(int *)arg;

	cred_is(fd, 0, 0);
	EXPECT(seteuid(1234) == 0);
	cred_is(fd, 1234, 0);
	EXPECT(seteuid(0) == 0);
	cred_is(fd, 0, 0);
	EXPECT(setresuid(7, 7, 7) == 0);
	cred_is(fd, 7, 7);
}

static void same_ids(void *arg)
{
	cred_is(*(int *)arg, geteuid(), getuid());
}

static void row29(void)
{
	int fd = door_create(answer_cred, NULL, 0);

	/* Every child is another process, whatever sessions there were. */
	for (int i = 0; i < 20; i++)
		in_child(same_ids, &fd);
	if (geteuid() != 0)
		skip("root's ids are to be changed");
	in_child(changes_ids, &fd);
}

/* Says which door it is. */
static void which(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	long number = (long)cookie;

	(void)args;
	(void)size;
	(void)desc;
	(void)n;
	door_return((char *)&number, sizeof(number), NULL, 0);
}

static bool leads_to(int fd, long number)
{
	long out = 0;

	for (int i = 0; i < 20; i++)
		if (call_long(fd, 0, &out) < 0 || out != number)
			return false;
	return true;
}

/* It knows nothing of positions that the parent's descriptors have. */
static void in_other_process(void *arg)
{
	int fd = *(int *)arg, plain = memfd_create("plain", MFD_CLOEXEC);
	long out;

	EXPECT(lseek(plain, lseek(fd, 0, SEEK_CUR), SEEK_SET) >= 0);
	EXPECT_ERR(call_long(plain, 0, &out), EBADF);
	EXPECT(leads_to(fd, 1) && leads_to(fd, 1));
}

static void row18_numbers(void)
{
	int a = door_create(which, (void *)1, 0), b = door_create(which, (void *)2, 0), more, path;
	char name[64];
	long out;
	pid_t pid;

	EXPECT(a >= 0 && b >= 0 && leads_to(a, 1) && leads_to(b, 2));
	more = dup(a);
	EXPECT(more >= 0 && leads_to(more, 1));
	/* Wherever its position is. */
	EXPECT(lseek(a, 0, SEEK_SET) == 0 && leads_to(a, 1));
	EXPECT(lseek(a, 77, SEEK_SET) == 77 && leads_to(more, 1));
	EXPECT(lseek(a, lseek(b, 0, SEEK_CUR) + 1, SEEK_SET) > 0 && leads_to(a, 1));
	/* Another process that has the same open file. */
	pid = child(in_other_process, &more);
	EXPECT(leads_to(a, 1) && end_of(pid) == 0 && leads_to(more, 1));
	/* The number becomes that of another door, of something else, of nothing. */
	EXPECT(dup2(b, a) == a && leads_to(a, 2) && leads_to(more, 1));
	EXPECT(dup2(more, b) == b && leads_to(b, 1) && leads_to(a, 2));
	snprintf(name, sizeof(name), "/proc/self/fd/%d", b);
	path = open(name, O_PATH);
	EXPECT(path >= 0 && dup2(path, b) == b);
	EXPECT_ERR(call_long(b, 0, &out), EBADF);
	EXPECT(dup2(open(new_file("plain"), O_RDWR), b) == b);
	EXPECT_ERR(call_long(b, 0, &out), EBADF);
	close(b);
	EXPECT_ERR(call_long(b, 0, &out), EBADF);
	EXPECT(door_revoke(a) == 0);
	EXPECT_ERR(call_long(a, 0, &out), EBADF);
}

static const struct door_row rows[] = {
	{ "row 18: what the number of a descriptor stands for", row18_numbers, false },
	{ "row 26: a door, sockets, a memfd, one file twice", row26_kinds, false },
	{ "row 26: a door as a result", row26_door, false },
	{ "row 26: 0 to 1025 descriptors", row26_counts, false },
	{ "row 26: the client's table is full", row26_full, false },
	{ "row 26: the server's table is full", row26_server_full, false },
	{ "row 26: DOOR_RELEASE after errors", row26_release, false },
	{ "row 29: who calls, at the time of the call", row29, false },
};

int main(int argc, char **argv)
{
	return run_rows(rows, sizeof(rows) / sizeof(rows[0]), argc, argv);
}
