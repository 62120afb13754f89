/*
 * attach_child - the service attaches doors for who may not mount: a process of
 * its own with a door at DOOR_ATTACHER, which everybody may call. A caller
 * brings a ticket and a file, both as descriptors, so that no path is looked up
 * here; the file must be a regular one of the caller's own that he may write
 * to, the ticket have the same owner, and both be on mounts that this process
 * has. What is taken off must be a ticket of the caller's own, too.
 *
 * The successor of a service takes the path over.
 */
#include "lib/door_errand.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "daemon/server.h"
#include "kernel/fhandle.h"
#include "lib/door.h"

#define MOUNTS_MAX 4096 /* of tickets: mounts are scarce, fs.mount-max */

static int is_mount_root(int fd, bool *yes)
{
	struct statx x;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &x) < 0)
		return -errno;
	*yes = x.stx_attributes & STATX_ATTR_MOUNT_ROOT;
	return 0;
}

static int count_mount(void *arg, uint32_t kdev, const char *root, const char *path)
{
	unsigned int *n = arg;

	(void)kdev;
	(void)path;
	*n += strstr(root, "/t.") != NULL;
	return 0;
}

/* As fattach() has it: the owner, who may write to it, or root. */
static int may_attach(uid_t uid, const struct stat *ticket, const struct stat *file)
{
	struct door_name n;
	unsigned int mounts = 0;

	if (door_name_find(ticket, &n) || ticket->st_uid != file->st_uid)
		return -EPERM;
	if (!S_ISREG(file->st_mode) || (uid && uid != file->st_uid))
		return -EPERM;
	if (uid && !(file->st_mode & S_IWUSR))
		return -EACCES;
	fhandle_mounts(count_mount, &mounts);
	return mounts < MOUNTS_MAX ? 0 : -ENOSPC;
}

static int attach(uid_t uid, int ticket, int file)
{
	char from[32], to[32];
	struct stat a, b;
	bool taken = true;
	int ret;

	if (fstat(ticket, &a) < 0 || fstat(file, &b) < 0)
		return -EBADF;
	ret = may_attach(uid, &a, &b);
	if (!ret)
		ret = is_mount_root(file, &taken);
	if (!ret && taken)
		ret = -EBUSY;
	if (ret)
		return ret;
	snprintf(from, sizeof(from), "/proc/self/fd/%d", ticket);
	snprintf(to, sizeof(to), "/proc/self/fd/%d", file);
	if (mount(from, to, NULL, MS_BIND, NULL) == 0)
		return 0;
	/* A mount of another namespace, or none any more. */
	return errno == EINVAL ? -EPERM : -errno;
}

static int detach(uid_t uid, int ticket)
{
	struct door_name n;
	struct stat st;
	char at[32];
	bool mounted = false;
	int ret = fstat(ticket, &st) < 0 ? -EBADF : door_name_find(&st, &n);

	if (ret && ret != -ENXIO)
		return -EINVAL;
	if (uid && uid != st.st_uid)
		return -EPERM;
	ret = is_mount_root(ticket, &mounted);
	if (ret || !mounted)
		return ret ? ret : -EINVAL;
	snprintf(at, sizeof(at), "/proc/self/fd/%d", ticket);
	if (umount2(at, MNT_DETACH) == 0)
		return 0;
	return errno == EINVAL ? -EPERM : -errno;
}

static int run_errand(const char *args, size_t size, const door_desc_t *desc, unsigned int n)
{
	struct door_errand e;
	ucred_t *uc = NULL;
	uid_t uid;

	if (size != sizeof(e))
		return -EINVAL;
	memcpy(&e, args, sizeof(e));
	if (e.magic != DOOR_ERRAND_MAGIC || door_ucred(&uc) < 0)
		return -EPERM;
	uid = ucred_geteuid(uc);
	ucred_free(uc);
	if (e.op == DOOR_ERRAND_MOUNT && n == 2)
		return attach(uid, desc[0].d_data.d_desc.d_descriptor,
			      desc[1].d_data.d_desc.d_descriptor);
	if (e.op == DOOR_ERRAND_UNMOUNT && n == 1)
		return detach(uid, desc[0].d_data.d_desc.d_descriptor);
	return -EINVAL;
}

static void errand(void *cookie, char *args, size_t size, door_desc_t *desc, unsigned int n)
{
	int32_t err;

	(void)cookie;
	err = -run_errand(args, size, desc, n);
	for (unsigned int i = 0; i < n; i++)
		close(desc[i].d_data.d_desc.d_descriptor);
	door_return((char *)&err, sizeof(err), NULL, 0);
}

/* The file is root's, whoever may have had the name. */
static int make_file(void)
{
	cleanup_close int fd = -1;
	struct stat st;

	/* A predecessor's, dead or alive: its calls go on. */
	fdetach(DOOR_ATTACHER);
	if (lstat(DOOR_ATTACHER, &st) == 0 && (st.st_uid != 0 || !S_ISREG(st.st_mode)))
		unlink(DOOR_ATTACHER);
	fd = open(DOOR_ATTACHER, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	return fd < 0 || fchmod(fd, 0666) < 0 ? -errno : 0;
}

static int serve(struct server *s, int ready)
{
	int fd = door_create(errand, NULL, DOOR_NO_CANCEL), sig;
	door_info_t mine, there;
	sigset_t set;

	if (fd < 0 || make_file() < 0 || fattach(fd, DOOR_ATTACHER) < 0)
		return fail(s->report, "door-attach", errno, "make the door at %s", DOOR_ATTACHER);
	if (write_all(ready, "", 1) < 0)
		return -EPIPE;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigwait(&set, &sig);
	close(ready);
	ready = open(DOOR_ATTACHER, O_PATH | O_CLOEXEC);
	if (door_info(fd, &mine) == 0 && door_info(ready, &there) == 0 &&
	    mine.di_uniquifier == there.di_uniquifier)
		fdetach(DOOR_ATTACHER);
	return 0;
}

static const struct child_kind attach_kind = {
	.name = "criu-lite-attac",
	.what = "the process that attaches doors",
	.error = "door-attach",
	.serve = serve,
};

/**
 * attach_child_start - attach doors for others, if the service is to do that
 * @s: the server
 *
 * Waits until it can be asked.
 *
 * Return: 0 or -errno, recorded.
 */
int attach_child_start(struct server *s)
{
	return s->o->attach ? child_start(s, &attach_kind, &s->attach) : 0;
}

/**
 * attach_child_ended - a child of the service has ended: was it the one that attaches?
 * @s: the server
 * @pid: the child
 *
 * Return: true if it was; then there is another by now.
 */
bool attach_child_ended(struct server *s, pid_t pid)
{
	if (!pid || pid != s->attach)
		return false;
	s->attach = 0;
	if (s->ending || s->leaving)
		return true;
	log_error(s->report, "the process that attaches doors has ended; it is started again");
	if (attach_child_start(s) < 0)
		log_error(s->report, "doors are not attached for others any more");
	return true;
}
