/*
 * caller - who is at the other end of a socket.
 *
 * User, group and supplementary groups are those that the kernel noted when
 * the connection was made: what the caller has become since, by running a
 * set-user-ID program for instance, counts for nothing. Capabilities count
 * for root alone, and only those of root in our own user namespace; any
 * other user has none. A request is then done with exactly these credentials,
 * so that the kernel judges it as it would judge the caller. The bounding set
 * and no_new_privs are taken over as well, for what a request executes; a
 * caller in other namespaces, or under filters, is turned away.
 *
 * One capability is added: CAP_CHECKPOINT_RESTORE, if we have it. It is for
 * choosing process ids and reading the links of mapped files, both of
 * processes that the caller may trace. No restored task keeps it:
 * caller_may_have() sees to that.
 */
#include "daemon/caller.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/report.h"
#include "kernel/procfs.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77 /* Linux 6.5 */
#endif
#ifndef CAP_CHECKPOINT_RESTORE
#define CAP_CHECKPOINT_RESTORE 40
#endif
#define CAP_BIT(c) (UINT64_C(1) << (c))

static int caps_get(uint64_t *permitted)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d) < 0)
		return -errno;
	*permitted = d[0].permitted | (uint64_t)d[1].permitted << 32;
	return 0;
}

static int caps_set(uint64_t caps)
{
	struct __user_cap_header_struct h = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct d[2] = {
		{ .permitted = (uint32_t)caps, .effective = (uint32_t)caps },
		{ .permitted = (uint32_t)(caps >> 32), .effective = (uint32_t)(caps >> 32) },
	};

	return syscall(SYS_capset, &h, d) < 0 ? -errno : 0;
}

static int read_status(int proc, struct proc_status *s)
{
	struct proc_text t = { 0 };
	int ret = proc_read(proc, "status", &t);

	if (!ret)
		ret = proc_parse_status(t.p, s);
	proc_text_free(&t);
	return ret;
}

/* Does it live under more filters than we do? */
static bool is_filtered(const struct proc_status *theirs)
{
	cleanup_close int self = -1;
	struct proc_status ours = { 0 };
	bool filtered;

	if (!theirs->seccomp_filters)
		return false;
	self = proc_open(getpid());
	filtered = self >= 0 && read_status(self, &ours) == 0 &&
		   theirs->seccomp_filters > ours.seccomp_filters;
	proc_status_free(&ours);
	return filtered;
}

/* What keeps the caller, and not us, from things: NULL if nothing is known to. */
static const char *confinement(const struct proc_namespaces *theirs,
			       const struct proc_namespaces *ours, const struct proc_status *s)
{
	static const struct {
		enum proc_ns ns;
		const char *word;
	} kinds[] = { { NS_PID, "a pid namespace" },
		      { NS_USER, "a user namespace" },
		      { NS_MNT, "a mount namespace" } };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		uint64_t a = theirs->ino[kinds[i].ns], b = ours->ino[kinds[i].ns];

		if (a && b && a != b)
			return kinds[i].word;
	}
	return is_filtered(s) ? "seccomp filters" : NULL;
}

/*
 * What /proc knows of a caller, whose pid, pidfd and uid are set. Signal 0 through the pidfd
 * comes last: all this was read of the process that it stands for, and not of another of that pid.
 */
static void caller_look(struct rpc_caller *c, const struct proc_namespaces *ours)
{
	cleanup_close int proc = proc_open(c->pid);
	struct proc_namespaces theirs;
	struct proc_status s = { 0 };
	uint64_t own = 0;

	c->no_new_privs = true;
	if (proc < 0 || read_status(proc, &s) < 0)
		return;
	proc_namespaces(proc, 1 << NS_PID | 1 << NS_USER | 1 << NS_MNT, &theirs);
	c->confined = confinement(&theirs, ours, &s);
	if (c->pidfd >= 0 &&
	    (syscall(SYS_pidfd_send_signal, c->pidfd, 0, NULL, 0) == 0 || errno == EPERM)) {
		c->bounding = s.cap_bnd;
		c->no_new_privs = s.no_new_privs;
		if (c->uid == 0 && s.uid[1] == 0 && theirs.ino[NS_USER] &&
		    theirs.ino[NS_USER] == ours->ino[NS_USER] && caps_get(&own) == 0)
			c->caps = s.cap_prm & own;
	}
	proc_status_free(&s);
}

static int peer_groups(int sock, struct rpc_caller *c)
{
	socklen_t len = 0;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, NULL, &len) == 0 || !len)
		return 0;
	if (errno != ERANGE)
		return -errno;
	c->groups = malloc(len);
	if (!c->groups)
		return -ENOMEM;
	if (getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, c->groups, &len) < 0)
		return -errno;
	c->nr_groups = len / sizeof(gid_t);
	return 0;
}

static void peer_pidfd(int sock, struct rpc_caller *c)
{
	socklen_t len = sizeof(c->pidfd);

	if (getsockopt(sock, SOL_SOCKET, SO_PEERPIDFD, &c->pidfd, &len) == 0)
		return;
	c->pidfd = c->pid > 0 ? (int)syscall(SYS_pidfd_open, c->pid, 0) : -1;
}

/**
 * caller_of_socket - who has made this connection
 * @sock: a connected Unix socket
 * @own: the namespaces of this process
 * @out: filled; caller_free() ends it
 *
 * Return: 0 or -errno.
 */
int caller_of_socket(int sock, const struct proc_namespaces *own, struct rpc_caller *out)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int ret;

	*out = (struct rpc_caller){ .pidfd = -1 };
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0)
		return -errno;
	out->pid = cred.pid;
	out->uid = cred.uid;
	out->gid = cred.gid;
	ret = peer_groups(sock, out);
	if (ret < 0) {
		caller_free(out);
		return ret;
	}
	peer_pidfd(sock, out);
	caller_look(out, own);
	return 0;
}

/**
 * caller_of_parent - who has started swrk with this socket
 * @sock: one end of the pair that was made for it
 * @out: filled; caller_free() ends it
 *
 * Whoever starts a program has given it the credentials that it has.
 */
void caller_of_parent(int sock, struct rpc_caller *out)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);

	*out = (struct rpc_caller){
		.pidfd = -1, .uid = geteuid(), .gid = getegid(), .trusted = true
	};
	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &len) < 0 || cred.pid <= 0)
		return;
	out->pid = cred.pid;
	peer_pidfd(sock, out);
}

/**
 * caller_free - give back what a caller holds
 * @c: the caller
 */
void caller_free(struct rpc_caller *c)
{
	close_owned(&c->pidfd);
	free(c->groups);
	*c = (struct rpc_caller){ .pidfd = -1 };
}

/**
 * caller_fd - a copy of one of the caller's descriptors
 * @c: the caller
 * @nr: its number there
 * @out: the copy, close-on-exec
 *
 * A caller that may not be traced by us can still lend a directory.
 *
 * Return: 0 or -errno.
 */
int caller_fd(const struct rpc_caller *c, int nr, int *out)
{
	char path[48];
	int fd, err;

	if (nr < 0)
		return -EBADF;
	if (c->pidfd < 0)
		return -ESRCH;
	fd = (int)syscall(SYS_pidfd_getfd, c->pidfd, nr, 0);
	if (fd < 0 && errno == EPERM) {
		snprintf(path, sizeof(path), "/proc/%d/fd/%d", c->pid, nr);
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		err = errno;
		/* Still the same process? */
		if (fd >= 0 && syscall(SYS_pidfd_send_signal, c->pidfd, 0, NULL, 0) < 0 &&
		    errno == ESRCH) {
			close(fd);
			return -ESRCH;
		}
		errno = err;
	}
	if (fd < 0)
		return -errno;
	*out = fd;
	return 0;
}

static int set_ids(const struct rpc_caller *c)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	getresgid(&rg, &eg, &sg);
	if (setgroups(c->nr_groups, c->groups) < 0 && errno != EPERM)
		return -errno;
	if ((rg != c->gid || eg != c->gid || sg != c->gid) && setresgid(c->gid, c->gid, c->gid) < 0)
		return -errno;
	getresuid(&r, &e, &s);
	if ((r != c->uid || e != c->uid || s != c->uid) && setresuid(c->uid, c->uid, c->uid) < 0)
		return -errno;
	return 0;
}

/* setgroups() is refused to a service that is not root; then the groups must be the same. */
static bool same_groups(const struct rpc_caller *c)
{
	int n = getgroups(0, NULL);
	gid_t *list = n > 0 ? malloc((size_t)n * sizeof(*list)) : NULL;
	bool ok = n >= 0 && (size_t)n == c->nr_groups &&
		  (!n || (list && getgroups(n, list) == n &&
			  !memcmp(list, c->groups, (size_t)n * sizeof(*list))));

	free(list);
	return ok;
}

/* No program that this process executes gets what the caller could not get. */
static int bound(const struct rpc_caller *c)
{
	for (int cap = 0, has = 0; cap < 64 && has >= 0; cap++) {
		if (c->bounding & CAP_BIT(cap))
			continue;
		/* Past the last one that the kernel knows this fails. */
		has = prctl(PR_CAPBSET_READ, cap);
		if (has == 1 && prctl(PR_CAPBSET_DROP, cap) < 0)
			return -errno;
	}
	if (c->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

/**
 * caller_is_us - has the caller all the rights that this process has?
 * @c: the caller
 *
 * Return: true for root with our capabilities, and for who has started us.
 */
bool caller_is_us(const struct rpc_caller *c)
{
	uint64_t own = 0;

	return c->trusted ||
	       (geteuid() == 0 && c->uid == 0 && caps_get(&own) == 0 && !(own & ~c->caps));
}

/**
 * caller_become - take on the credentials of the caller, for good
 * @c: the caller
 * @r: gets the cause of a failure
 *
 * Return: 0 or -errno, recorded.
 */
int caller_become(const struct rpc_caller *c, struct report *r)
{
	uint64_t own = 0, keep;
	int ret = caps_get(&own);

	if (c->trusted)
		return 0;
	keep = (c->caps | CAP_BIT(CAP_CHECKPOINT_RESTORE)) & own;
	if (!ret)
		ret = bound(c);
	if (!ret && prctl(PR_SET_KEEPCAPS, 1) < 0)
		ret = -errno;
	if (!ret)
		ret = set_ids(c);
	if (!ret && !same_groups(c))
		ret = -EPERM;
	if (!ret)
		ret = caps_set(keep);
	prctl(PR_SET_KEEPCAPS, 0);
	/* Else what /proc has of us belongs to root; who may trace us is the kernel's judgement. */
	if (!ret && prctl(PR_SET_DUMPABLE, 1) < 0)
		ret = -errno;
	if (ret < 0)
		return fail(r, "rpc-credentials", -ret,
			    "the service cannot act as user %u, group %u", c->uid, c->gid);
	/* Files of another user's home are not for this one. */
	if (c->uid != 0)
		unsetenv("HOME");
	return 0;
}

/**
 * caller_may_trace - may this process, which has become the caller, dump that one?
 * @c: the caller
 * @r: gets the cause
 * @pid: the root of the tree
 *
 * Opening its memory is judged by the kernel as attaching to it is.
 *
 * Return: 0, or -errno, recorded.
 */
int caller_may_trace(const struct rpc_caller *c, struct report *r, pid_t pid)
{
	cleanup_close int proc = proc_open(pid), mem = -1;
	struct proc_status s = { 0 };
	uid_t uid = (uid_t)-1;
	int err;

	if (proc < 0) /* whoever dumps it says so better */
		return 0;
	mem = openat(proc, "mem", O_RDWR | O_CLOEXEC);
	err = errno;
	if (mem >= 0 || (err != EACCES && err != EPERM))
		return 0;
	if (read_status(proc, &s) == 0)
		uid = s.uid[0];
	proc_status_free(&s);
	return fail(r, "rpc-denied", EACCES, "pid %d belongs to user %d: user %u may not trace it",
		    pid, (int)uid, c->uid);
}
