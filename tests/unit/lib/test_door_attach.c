/*
 * test_door_attach - doors on paths, and being told that nobody has one.
 */
#include "door_test.h"

struct count {
	_Atomic int unref, in, go, bad;
};

static struct count *c;

static void counts(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	if (args == DOOR_UNREF_DATA) {
		if (size || desc || n)
			c->bad++;
		c->unref++;
		door_return(NULL, 0, NULL, 0);
	}
	c->in++;
	while (c->go)
		msleep(1);
	door_return(args, size, NULL, 0);
}

/* Nothing is told for a while. */
static void quiet(int n)
{
	msleep(400);
	EXPECT(c->unref == n && !c->bad);
}

static int attach_new(const char *name, unsigned int attr, char *path)
{
	int fd = door_create(counts, NULL, attr);

	strcpy(path, new_file(name));
	EXPECT(fd >= 0 && fattach(fd, path) == 0);
	return fd;
}

static void opens(void *arg)
{
	EXPECT(open(arg, O_RDONLY | O_CLOEXEC) >= 0);
}

static void execs(void *arg)
{
	EXPECT(open(arg, O_RDONLY | O_CLOEXEC) >= 0);
	execl("/bin/sleep", "sleep", "30", NULL);
}

static void row24_close(void)
{
	char path[256];
	int fd;

	c = shared(sizeof(*c));
	attach_new("close", DOOR_UNREF, path);
	quiet(0);
	fd = open(path, O_RDWR);
	quiet(0);
	close(fd);
	WAIT_FOR(c->unref == 1);
	/* Once and no more. */
	close(open(path, O_RDWR));
	quiet(1);
}

static void row24_exit_exec(void)
{
	char path[256];
	pid_t pid;

	c = shared(sizeof(*c));
	attach_new("exit", DOOR_UNREF_MULTI, path);
	in_child(opens, path);
	WAIT_FOR(c->unref == 1);
	pid = child(execs, path);
	WAIT_FOR(c->unref == 2);
	kill(pid, SIGKILL);
	quiet(2);
}

static void row24_multi(void)
{
	door_info_t i;
	char path[256];
	int fd = attach_new("multi", DOOR_UNREF_MULTI, path);

	c = shared(sizeof(*c));
	for (int k = 1; k <= 5; k++) {
		int a = open(path, O_RDWR), b = open(path, O_RDONLY);

		EXPECT(door_info(fd, &i) == 0 && !(i.di_attributes & DOOR_IS_UNREF));
		close(a);
		msleep(50);
		EXPECT(c->unref == k - 1);
		close(b);
		WAIT_FOR(c->unref == k);
		EXPECT(door_info(fd, &i) == 0 && i.di_attributes & DOOR_IS_UNREF);
	}
	quiet(5);
}

static void call_and_go(void *arg)
{
	door_call(open(arg, O_RDWR), NULL);
}

static void row24_active(void)
{
	char path[256];
	pid_t pid;

	c = shared(sizeof(*c));
	attach_new("active", DOOR_UNREF, path);
	c->go = 1;
	pid = child(call_and_go, path);
	WAIT_FOR(c->in == 1);
	kill(pid, SIGKILL);
	end_of(pid);
	quiet(0);
	c->go = 0;
	WAIT_FOR(c->unref == 1);
}

/* The path is all that is left of the server's own. */
static void row24_attach_only(void)
{
	char path[256];
	int fd;

	c = shared(sizeof(*c));
	close(attach_new("only", DOOR_UNREF, path));
	quiet(0);
	fd = open(path, O_RDWR);
	EXPECT(door_call(fd, NULL) == 0);
	close(fd);
	WAIT_FOR(c->unref == 1);
}

static void row24_detach(void)
{
	char path[256];
	int fd;

	c = shared(sizeof(*c));
	close(attach_new("detach", DOOR_UNREF, path));
	fd = open(path, O_RDWR);
	quiet(0);
	EXPECT(fdetach(path) == 0);
	WAIT_FOR(c->unref == 1);
	EXPECT(door_call(fd, NULL) == 0);
}

/* It closes its own, and one client has the door. */
static void row24_own(void)
{
	int fd, other;
	char num[32];

	c = shared(sizeof(*c));
	fd = door_create(counts, NULL, DOOR_UNREF);
	snprintf(num, sizeof(num), "/proc/self/fd/%d", fd);
	other = open(num, O_RDWR | O_CLOEXEC);
	quiet(0);
	close(fd);
	WAIT_FOR(c->unref == 1);
	EXPECT(door_call(other, NULL) == 0);
}

/* As a result of a call, and gone with the client. */
static int given;

static void gives(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	door_desc_t d = { .d_attributes = DOOR_DESCRIPTOR };

	d.d_data.d_desc.d_descriptor = given;
	door_return(NULL, 0, &d, 1);
}

static void takes(void *arg)
{
	door_arg_t a = { .data_size = 0 };

	EXPECT(door_call(*(int *)arg, &a) == 0 && a.desc_num == 1);
	EXPECT(door_call(a.desc_ptr->d_data.d_desc.d_descriptor, NULL) == 0);
	msleep(50);
	EXPECT(!c->unref);
}

static void row24_passed(void)
{
	int fd = door_create(gives, NULL, 0);
	pid_t pid;

	c = shared(sizeof(*c));
	given = door_create(counts, NULL, DOOR_UNREF);
	pid = fork();
	if (!pid) {
		/* What a child inherits is the same reference; this one has none. */
		close(given);
		takes(&fd);
		_exit(0);
	}
	EXPECT(end_of(pid) == 0);
	WAIT_FOR(c->unref == 1);
}

static void row30_errors(void)
{
	char path[256], other[256], longname[400];
	int fd = attach_new("thing", 0, path), plain = open("/dev/null", O_RDONLY);

	c = shared(sizeof(*c));
	strcpy(other, new_file("other"));
	memset(longname, 'a', sizeof(longname) - 1);
	longname[sizeof(longname) - 1] = 0;
	EXPECT_ERR(fattach(999, other), EBADF);
	EXPECT_ERR(fattach(plain, other), EINVAL);
	EXPECT_ERR(fattach(fd, "/nonexistent/x"), ENOENT);
	EXPECT_ERR(fattach(fd, "/dev/null/x"), ENOTDIR);
	EXPECT_ERR(fattach(fd, longname), ENAMETOOLONG);
	EXPECT(symlink("loop", "/run/loop") == 0);
	EXPECT_ERR(fattach(fd, "/run/loop"), ELOOP);
	EXPECT_ERR(fattach(fd, path), EBUSY);
	EXPECT_ERR(fattach(fd, "/run"), EINVAL);
	EXPECT_ERR(fattach(fd, (char *)8), EFAULT);
	EXPECT_ERR(fdetach(other), EINVAL);
	EXPECT_ERR(fdetach("/nonexistent"), ENOENT);
	EXPECT_ERR(fdetach("/proc"), EINVAL);
}

static void row30_covers(void)
{
	char path[256], second[256], buf[8];
	struct stat before, st;
	int fd, plain, a, b;

	c = shared(sizeof(*c));
	strcpy(path, new_file("bytes"));
	strcpy(second, new_file("second"));
	plain = open(path, O_WRONLY);
	EXPECT(write(plain, "hello", 5) == 5 && fchmod(plain, 0640) == 0);
	EXPECT(fchown(plain, 12, 34) == 0 && fstat(plain, &before) == 0);
	fd = door_create(counts, NULL, 0);
	EXPECT(fattach(fd, path) == 0 && fattach(fd, second) == 0);
	EXPECT(stat(path, &st) == 0 && S_ISDOOR(st.st_mode) && (st.st_mode & 0777) == 0640);
	EXPECT(st.st_uid == 12 && st.st_gid == 34);
	a = open(path, O_RDWR);
	b = open(second, O_RDONLY);
	EXPECT(door_call(a, NULL) == 0 && door_call(b, NULL) == 0);
	EXPECT(fdetach(path) == 0);
	/* What is open stays a door, the path is a file again. */
	EXPECT(door_call(a, NULL) == 0);
	EXPECT(pread(open(path, O_RDONLY), buf, 8, 0) == 5 && !memcmp(buf, "hello", 5));
	EXPECT(stat(path, &st) == 0 && st.st_ino == before.st_ino && !S_ISDOOR(st.st_mode));
	EXPECT(door_call(open(second, O_RDWR), NULL) == 0);
	EXPECT_ERR(fdetach(path), EINVAL);
}

static void as_nobody(void *arg)
{
	const char *path = arg;

	EXPECT(setresuid(65534, 65534, 65534) == 0);
	EXPECT_ERR(open(path, O_RDWR), EACCES);
	EXPECT_ERR(fdetach(path), EPERM);
	EXPECT_ERR(fattach(given, path), EPERM);
}

/* The store shows nobody a ticket, and no name that is not its owner's leads anywhere. */
static void forges(void *arg)
{
	struct stat st;
	char link[64];
	DIR *d = opendir("/run/door");
	struct dirent *e;
	int fd;

	EXPECT(setresuid(65534, 65534, 65534) == 0 && d);
	while ((e = readdir(d))) {
		char dir[300];

		snprintf(dir, sizeof(dir), "/run/door/%s/.", e->d_name);
		if (e->d_name[0] != '.' && e->d_type == DT_DIR)
			EXPECT_ERR(open(dir, O_RDONLY), EACCES);
		EXPECT(e->d_name[0] == '.' || unlinkat(dirfd(d), e->d_name, 0) == -1);
	}
	fd = open("/run/door/forged", O_CREAT | O_RDWR, 0600);
	EXPECT(fd >= 0 && fchmod(fd, 01600) == 0 && fstat(fd, &st) == 0);
	/* A file of its own, which it says is of the listener that it has found. */
	snprintf(link, sizeof(link), "/run/door/s.%lu", (unsigned long)st.st_ino);
	EXPECT(symlink(arg, link) == 0);
	EXPECT_ERR(door_call(fd, NULL), EBADF);
}

static void row30_forged(void)
{
	struct dirent *e;
	char listener[64] = "";
	DIR *d;
	int fd = door_create(counts, NULL, 0), plain;
	struct stat st;

	c = shared(sizeof(*c));
	EXPECT(door_call(fd, NULL) == 0 && (d = opendir("/run/door")));
	while ((e = readdir(d)))
		if (!strncmp(e->d_name, "l.", 2))
			snprintf(listener, sizeof(listener), "%.60s", e->d_name);
	in_child(forges, listener);
	/* A file like it elsewhere is none, either. */
	plain = open(new_file("like"), O_RDWR);
	EXPECT(fchmod(plain, 01777) == 0);
	EXPECT_ERR(door_call(plain, NULL), EBADF);
	EXPECT(fstat(plain, &st) == 0 && S_ISDOOR(st.st_mode));
}

static void row30_access(void)
{
	char path[256];

	c = shared(sizeof(*c));
	if (geteuid() != 0)
		skip("root's ids are to be changed");
	/* Where everybody comes to. */
	strcpy(path, "/run/secret");
	close(open(path, O_CREAT | O_RDWR, 0600));
	EXPECT(chmod(path, 0600) == 0);
	given = door_create(counts, NULL, 0);
	EXPECT(fattach(given, path) == 0);
	in_child(as_nobody, path);
}

static void foreign_attach(void *arg)
{
	const char *path = new_file("foreign");
	int fd;

	EXPECT(fattach(given, path) == 0);
	fd = open(path, O_RDWR);
	EXPECT(door_call(fd, NULL) == 0 && c->in == 1);
}

/* Somebody else attaches it. */
static void row30_foreign(void)
{
	c = shared(sizeof(*c));
	given = door_create(counts, NULL, 0);
	in_child(foreign_attach, NULL);
}

static const struct door_row rows[] = {
	{ "row 24: the last client closes it", row24_close, true },
	{ "row 24: by exit and exec", row24_exit_exec, true },
	{ "row 24: DOOR_UNREF_MULTI, 5 of 5, and DOOR_IS_UNREF", row24_multi, true },
	{ "row 24: not while a call is active", row24_active, true },
	{ "row 24: only attached", row24_attach_only, true },
	{ "row 24: by fdetach", row24_detach, true },
	{ "row 24: the server closes its own", row24_own, true },
	{ "row 24: given to a client that ends", row24_passed, true },
	{ "row 30: errors of fattach and fdetach", row30_errors, true },
	{ "row 30: what was there is seen again; two paths", row30_covers, true },
	{ "row 30: no permission for the path", row30_access, true },
	{ "row 30: forged tickets", row30_forged, true },
	{ "row 30: attached by another process", row30_foreign, true },
};

int main(int argc, char **argv)
{
	return run_rows(rows, sizeof(rows) / sizeof(rows[0]), argc, argv);
}
