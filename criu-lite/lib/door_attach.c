/*
 * door_attach - a door as a file: a ticket of it, which has the owner and the
 * permissions of the path, is mounted on the path. That needs CAP_SYS_ADMIN;
 * whoever does not have it asks the service, which does it for files of the
 * caller's own.
 */
#include "lib/door_errand.h"
#include "lib/door_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"

/**
 * door_ticket_mounted - is a ticket on a path?
 * @t: the ticket
 *
 * Return: whether this process sees such a mount.
 */
bool door_ticket_mounted(const struct door_ticket *t)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, want[64];
	bool found = false;
	size_t size = 0;

	snprintf(want, sizeof(want), "/%s/t.%llu", door_server.random,
		 (unsigned long long)t->number);
	while (f && !found && getline(&line, &size, f) >= 0) {
		unsigned int major, minor;
		char root[DOOR_PATH_MAX];

		if (sscanf(line, "%*u %*u %u:%u %127s", &major, &minor, root) == 3 &&
		    makedev(major, minor) == t->dev && strlen(root) >= strlen(want))
			found = !strcmp(root + strlen(root) - strlen(want), want);
	}
	free(line);
	if (f)
		fclose(f);
	return found;
}

/* What is on a path. */
struct place {
	struct stat st;
	bool mounted; /* it is the root of a mount */
	bool door;
	bool dead;
};

static int look(const char *path, struct place *p)
{
	cleanup_close int fd = -1;
	struct door_store s = { .mounted = false };
	struct statx x;
	door_info_t info;

	*p = (struct place){ .mounted = false };
	if (stat(path, &p->st) < 0 || statx(AT_FDCWD, path, 0, STATX_TYPE, &x) < 0)
		return -errno;
	p->mounted = x.stx_attributes & STATX_ATTR_MOUNT_ROOT;
	p->door = p->mounted && !door_store_of(&p->st, &s) && s.mounted;
	if (!p->door)
		return 0;
	fd = open(path, O_PATH | O_CLOEXEC);
	p->dead = fd < 0 || (door_info(fd, &info) == 0 && info.di_target < 0);
	return 0;
}

/* Solaris wants the owner, who may write to it, or root. */
static int may_attach(const char *path, const struct place *p)
{
	if (geteuid() == 0)
		return 0;
	if (p->st.st_uid != geteuid())
		return -EPERM;
	return faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0 ? -errno : 0;
}

/* Only root can have made the door there. Returns what it says; -EPERM without one. */
static int run_errand(enum door_errand_op op, int ticket, int file)
{
	struct door_errand e = { .magic = DOOR_ERRAND_MAGIC, .op = op };
	cleanup_close int fd = open(DOOR_ATTACHER, O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
	door_desc_t desc[2] = { { .d_attributes = DOOR_DESCRIPTOR },
				{ .d_attributes = DOOR_DESCRIPTOR } };
	int32_t err = EPERM;
	door_arg_t a = { .data_ptr = (char *)&e,
			 .data_size = sizeof(e),
			 .desc_ptr = desc,
			 .desc_num = ticket < 0 ? 1 : 2,
			 .rbuf = (char *)&err,
			 .rsize = sizeof(err) };
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_uid != 0 || !S_ISDOOR(st.st_mode))
		return -EPERM;
	desc[0].d_data.d_desc.d_descriptor = ticket < 0 ? file : ticket;
	desc[1].d_data.d_desc.d_descriptor = file;
	if (door_call(fd, &a) < 0)
		return errno == EINTR ? -EINTR : -EPERM;
	return a.data_size == sizeof(err) && err >= 0 && err < 4096 ? -err : -EPERM;
}

static int mount_ticket(int handle, const char *path)
{
	cleanup_close int file = -1;
	char from[32];

	snprintf(from, sizeof(from), "/proc/self/fd/%d", handle);
	if (mount(from, path, NULL, MS_BIND, NULL) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;
	file = open(path, O_PATH | O_CLOEXEC);
	return file < 0 ? -errno : run_errand(DOOR_ERRAND_MOUNT, handle, file);
}

/* @handle: what is on the path. */
static int unmount_ticket(int handle, const char *path)
{
	if (umount2(path, MNT_DETACH) == 0)
		return 0;
	return errno == EPERM ? run_errand(DOOR_ERRAND_UNMOUNT, -1, handle) : -errno;
}

/* Asks the server for a ticket that stands for @path, and puts it there. */
static int attach(int fd, const char *path, const struct place *p)
{
	const struct door_hello h = { .op = DOOR_OP_ATTACH,
				      .mode = p->st.st_mode & 0777,
				      .uid = p->st.st_uid,
				      .gid = p->st.st_gid };
	struct door_welcome w;
	cleanup_close int handle = -1;
	int ret = door_ask(fd, &h, &w, &handle, -1);

	if (ret)
		return ret == -ENXIO ? -EBADF : ret;
	return handle < 0 ? -EBADF : mount_ticket(handle, path);
}

/**
 * fattach - attach a door to a path
 * @fd: a descriptor of the door
 * @path: a file that exists; owner and permissions are as it has them
 *
 * What a dead door has left on the path is replaced.
 *
 * Return: 0; or -1: EACCES, EBADF; EBUSY for a mount point or a path that has a
 * door; EINVAL if it is no door; EINTR; ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR;
 * EPERM if the path is somebody else's, or without the right to mount where no
 * service does that.
 */
int fattach(int fd, const char *path)
{
	door_info_t info;
	struct place p;
	int ret;

	if (fcntl(fd, F_GETFD) < 0)
		return -1;
	if (door_info(fd, &info) < 0)
		return door_set_errno(-EINVAL);
	if (info.di_target < 0)
		return door_set_errno(-EBADF);
	ret = door_check_range(path, 1);
	if (!ret)
		ret = look(path, &p);
	if (!ret && S_ISDIR(p.st.st_mode))
		ret = -EINVAL;
	if (!ret)
		ret = may_attach(path, &p);
	if (!ret && p.mounted && !p.dead)
		ret = -EBUSY;
	if (!ret && p.dead)
		ret = fdetach(path) < 0 ? -errno : look(path, &p);
	return door_set_errno(ret ? ret : attach(fd, path, &p));
}

/**
 * fdetach - take a door off a path
 * @path: the path; what was there before is seen again
 *
 * Open descriptors stay as they are.
 *
 * Return: 0; or -1: EACCES; EINVAL if there is no door; EINTR; ELOOP,
 * ENAMETOOLONG, ENOENT, ENOTDIR; EPERM as fattach().
 */
int fdetach(const char *path)
{
	const struct door_hello h = { .op = DOOR_OP_DETACHED };
	cleanup_close int handle = -1;
	struct door_welcome w;
	struct place p = { 0 };
	int ret = door_check_range(path, 1);

	if (!ret)
		ret = look(path, &p);
	if (!ret && !p.door)
		ret = -EINVAL;
	if (!ret && geteuid() != 0 && geteuid() != p.st.st_uid)
		ret = -EPERM;
	if (!ret) {
		handle = open(path, O_PATH | O_CLOEXEC);
		ret = handle < 0 ? -errno : unmount_ticket(handle, path);
	}
	/* Its server may want to know that there is one reference less. */
	if (!ret && !p.dead)
		door_ask(handle, &h, &w, NULL, DOOR_ASK_LIMIT);
	return door_set_errno(ret);
}
