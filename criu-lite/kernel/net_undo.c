/*
 * net_undo - one journal for each run that changes anything, a file of text in
 * NET_UNDO_DIR named after its table, written before the first change and
 * removed after the last one has been taken back:
 *
 *	run PIDNS NETNS PID START GUARDIAN START
 *	images PATH
 *	task PID START
 *	sock PID FD INODE REUSEADDR PEEK_OFF
 *
 * START, in clock ticks since boot, tells a process from a later one of the
 * same pid. A journal counts only in the namespaces it was written in, and only
 * when neither the run nor its guardian lives.
 */
#include "kernel/net_undo.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "kernel/procfs.h"
#include "kernel/tcp_repair.h"

#define PREFIX "undo-"

/**
 * net_undo_remember - what repair mode will change
 * @s: the socket; @s->fd is set
 */
void net_undo_remember(struct net_undo_sock *s)
{
	socklen_t len = sizeof(int);
	int val = 0;

	s->reuse = getsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &val, &len) == 0 && val == 1;
	len = sizeof(val);
	s->peek_off = getsockopt(s->fd, SOL_SOCKET, SO_PEEK_OFF, &val, &len) == 0 ? val : -1;
}

/**
 * net_undo_no_peek - our own peeking begins at the first byte
 * @s: the socket
 */
void net_undo_no_peek(const struct net_undo_sock *s)
{
	const int none = -1;

	if (s->peek_off >= 0)
		setsockopt(s->fd, SOL_SOCKET, SO_PEEK_OFF, &none, sizeof(none));
}

/**
 * net_undo_release - a socket as it was
 * @s: the socket; one that is not in repair mode is left alone
 *
 * Return: 1 if it was in repair mode, 0 if not, -errno.
 */
int net_undo_release(const struct net_undo_sock *s)
{
	const int reuse = s->reuse;
	int ret;

	if (s->fd < 0 || !tcp_repair_is_on(s->fd))
		return 0;
	if (s->peek_off >= 0)
		setsockopt(s->fd, SOL_SOCKET, SO_PEEK_OFF, &s->peek_off, sizeof(s->peek_off));
	ret = tcp_repair_off(s->fd, false);
	if (ret)
		return ret;
	if (reuse && setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof(reuse)) < 0)
		return -errno;
	return 1;
}

static unsigned long ns_inode(const char *name)
{
	struct stat st;

	return stat(name, &st) < 0 ? 0 : st.st_ino;
}

static unsigned long long start_of(pid_t pid)
{
	struct proc_text text = { 0 };
	struct proc_stat st = { 0 };
	char name[32];

	snprintf(name, sizeof(name), "/proc/%d/stat", pid);
	if (pid <= 0 || proc_read(AT_FDCWD, name, &text) || proc_parse_stat(text.p, &st) ||
	    st.state == 'Z' || st.state == 'X')
		st.start_time = 0;
	proc_text_free(&text);
	return st.start_time;
}

static bool lives(int pid, unsigned long long start)
{
	return start && start_of(pid) == start;
}

static void journal_path(const char *table, char path[static PATH_MAX])
{
	snprintf(path, PATH_MAX, "%s/" PREFIX "%s", NET_UNDO_DIR, table);
}

static void write_text(const struct net_undo *u, FILE *f)
{
	char link[32], path[PATH_MAX] = "";
	pid_t self = getpid();

	fprintf(f, "run %lu %lu %d %llu %d %llu\n", ns_inode("/proc/self/ns/pid"),
		ns_inode("/proc/self/ns/net"), self, start_of(self), u->guardian,
		start_of(u->guardian));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", u->images_fd);
	if (u->images_fd >= 0 && readlink(link, path, sizeof(path) - 1) > 0)
		fprintf(f, "images %s\n", path);
	for (size_t i = 0; i < u->nr_tasks; i++)
		fprintf(f, "task %d %llu\n", u->tasks[i], start_of(u->tasks[i]));
	for (size_t i = 0; i < u->nr_socks; i++)
		fprintf(f, "sock %d %d %u %d %d\n", u->socks[i]->pid, u->socks[i]->num,
			u->socks[i]->ino, u->socks[i]->reuse, u->socks[i]->peek_off);
}

/**
 * net_undo_write - write the journal
 * @u: the run; nothing has been changed yet
 *
 * Return: 0 or -errno; then there is none.
 */
int net_undo_write(struct net_undo *u)
{
	char path[PATH_MAX];
	FILE *f;
	int ret;

	if (mkdir(NET_UNDO_DIR, 0700) < 0 && errno != EEXIST)
		return -errno;
	journal_path(u->table, path);
	f = fopen(path, "wxe");
	if (!f)
		return -errno;
	write_text(u, f);
	ret = ferror(f) ? -EIO : 0;
	if (fclose(f) && !ret)
		ret = -errno;
	u->written = !ret;
	if (ret)
		unlink(path);
	return ret;
}

/**
 * net_undo_remove - everything has been taken back, or is meant to stay
 * @u: the run
 */
void net_undo_remove(struct net_undo *u)
{
	char path[PATH_MAX];

	if (!u->written)
		return;
	journal_path(u->table, path);
	unlink(path);
	u->written = false;
}

static bool release_by_pid(struct net_undo_sock *s)
{
	cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, s->pid, 0);
	cleanup_close int fd = -1;
	struct stat st;

	if (pidfd >= 0)
		fd = (int)syscall(SYS_pidfd_getfd, pidfd, s->num, 0);
	if (fd < 0 || fstat(fd, &st) < 0 || st.st_ino != s->ino)
		return false;
	s->fd = fd;
	return net_undo_release(s) == 1;
}

/* The second pass over a journal, when it is known that the tree lives. */
static void release_all(FILE *f, struct net_undo_found *found)
{
	struct net_undo_sock s;
	char line[PATH_MAX + 16];
	int reuse;

	rewind(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "sock %d %d %u %d %d", &s.pid, &s.num, &s.ino, &reuse,
			   &s.peek_off) == 5) {
			s.reuse = reuse;
			found->sockets += release_by_pid(&s);
		}
}

/* What a journal says of the time of its run. */
struct journal {
	bool foreign, busy; /* of other namespaces; of a run that lives */
	bool tree_lives, image;
};

static bool is_image(const char *path)
{
	cleanup_close int dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

	return dir >= 0 && faccessat(dir, "inventory.img", F_OK, 0) == 0;
}

static struct journal judge(FILE *f)
{
	struct journal j = { .foreign = true };
	unsigned long long start, gstart;
	char line[PATH_MAX + 16];
	unsigned long pidns, netns;
	int pid, guardian;

	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (sscanf(line, "run %lu %lu %d %llu %d %llu", &pidns, &netns, &pid, &start,
			   &guardian, &gstart) == 6) {
			j.foreign = pidns != ns_inode("/proc/self/ns/pid") ||
				    netns != ns_inode("/proc/self/ns/net");
			j.busy = lives(pid, start) || lives(guardian, gstart);
		} else if (!strncmp(line, "images ", 7)) {
			j.image = is_image(line + 7);
		} else if (sscanf(line, "task %d %llu", &pid, &start) == 2) {
			j.tree_lives |= lives(pid, start);
		}
	}
	return j;
}

static int undo_one(const char *table, struct net_undo_found *found)
{
	char path[PATH_MAX];
	struct journal j;
	FILE *f;
	int ret = 0;

	journal_path(table, path);
	f = fopen(path, "re");
	if (!f)
		return errno == ENOENT ? 0 : -errno;
	j = judge(f);
	if (!j.foreign && !j.busy) {
		if (j.tree_lives)
			release_all(f, found);
		/* The connections of a tree that is only an image now are still held back. */
		if (j.tree_lives || !j.image)
			ret = nftlock_delete(table);
		found->tables += ret == 0 && (j.tree_lives || !j.image);
		ret = ret == -ENOENT ? 0 : ret;
		if (!ret)
			unlink(path);
		found->runs++;
	}
	fclose(f);
	return ret;
}

/**
 * net_undo_all - take back what runs that died have left
 * @found: gets how much that was
 *
 * Return: 0 or the first -errno; the rest is taken back all the same.
 */
int net_undo_all(struct net_undo_found *found)
{
	struct dirent *de;
	DIR *dir = opendir(NET_UNDO_DIR);
	int ret = 0;

	memset(found, 0, sizeof(*found));
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((de = readdir(dir))) {
		const char *table = de->d_name + sizeof(PREFIX) - 1;
		int err;

		if (strncmp(de->d_name, PREFIX, sizeof(PREFIX) - 1) ||
		    strlen(table) >= NFTLOCK_NAME_MAX)
			continue;
		err = undo_one(table, found);
		ret = ret ? ret : err;
	}
	closedir(dir);
	return ret;
}
