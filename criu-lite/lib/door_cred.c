/*
 * door_cred - who calls. The kernel says which process is at the other end of
 * the session, and what that is at this moment.
 */
#include "lib/door_names.h"
#include "lib/door_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/pidfd.h"

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

struct door_ucred_s {
	pid_t pid;
	uid_t ruid, euid, suid;
	gid_t rgid, egid, sgid;
	int nr_groups;
	gid_t groups[]; /* supplementary */
};

static void read_groups(ucred_t *u, const char *p, int room)
{
	int used;

	while (u->nr_groups < room && sscanf(p, "%u%n", &u->groups[u->nr_groups], &used) == 1) {
		u->nr_groups++;
		p += used;
	}
}

/* The file says what the process is now: ids may have changed since it connected. */
static int read_status(pid_t pid, ucred_t **out)
{
	char path[48], *line = NULL;
	size_t size = 0;
	ucred_t *u = calloc(1, sizeof(*u));
	int found = 0;
	FILE *f;

	if (!u)
		return -ENOMEM;
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	f = fopen(path, "re");
	u->pid = pid;
	while (f && getline(&line, &size, f) >= 0) {
		found += sscanf(line, "Uid: %u %u %u", &u->ruid, &u->euid, &u->suid) == 3;
		found += sscanf(line, "Gid: %u %u %u", &u->rgid, &u->egid, &u->sgid) == 3;
		if (!strncmp(line, "Groups:", 7)) {
			int room = (int)(size / 2);
			ucred_t *more = realloc(u, sizeof(*u) + (size_t)room * sizeof(gid_t));

			u = more ?: u;
			if (more)
				read_groups(u, line + 7, room);
		}
	}
	free(line);
	if (f)
		fclose(f);
	if (found != 2) {
		free(u);
		return -EINVAL;
	}
	*out = u;
	return 0;
}

/**
 * door_client_socket - the connection of who calls
 *
 * Return: a descriptor that is the library's, or -1 if this thread has no call.
 */
int door_client_socket(void)
{
	struct door_thread *t = door_thread_self();

	return t && t->taken ? t->session->sock : -1;
}

static int client(ucred_t **out)
{
	struct door_thread *t = door_thread_self();
	cleanup_close int pidfd = -1;
	socklen_t len = sizeof(pidfd);
	ucred_t *u = NULL;
	int ret;

	if (!t || !t->taken)
		return -EINVAL;
	if (getsockopt(t->session->sock, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &len) < 0)
		return -EINVAL;
	ret = read_status(pidfd_pid(pidfd), &u);
	if (ret)
		return ret;
	/* It is the same process still, if the pidfd has its pid afterwards. */
	if (pidfd_pid(pidfd) != u->pid) {
		free(u);
		return -EINVAL;
	}
	*out = u;
	return 0;
}

/**
 * door_cred - who calls
 * @info: filled
 *
 * Return: 0; or -1: EFAULT; EINVAL if this thread has no call, or its client
 * is gone.
 */
int door_cred(door_cred_t *info)
{
	door_cred_t c = { 0 };
	ucred_t *u;
	int ret = door_check_range(info, sizeof(*info));

	if (!ret)
		ret = client(&u);
	if (ret)
		return door_set_errno(ret);
	c.dc_euid = u->euid;
	c.dc_egid = u->egid;
	c.dc_ruid = u->ruid;
	c.dc_rgid = u->rgid;
	c.dc_pid = u->pid;
	free(u);
	return door_set_errno(door_copy(info, &c, sizeof(c)));
}

/**
 * door_ucred - who calls, and all its groups
 * @uc: if it is NULL, set to what ucred_free() frees; else filled anew
 *
 * Return: as door_cred(); ENOMEM.
 */
int door_ucred(ucred_t **uc)
{
	ucred_t *u = NULL, *old;
	int ret = door_copy(&old, uc, sizeof(old));

	if (!ret)
		ret = client(&u);
	if (!ret)
		ret = door_copy(uc, &u, sizeof(u));
	free(ret ? u : old);
	return door_set_errno(ret);
}

/**
 * ucred_free - free what door_ucred() returned
 * @uc: that, or NULL
 */
void ucred_free(ucred_t *uc)
{
	free(uc);
}

/* ucred_getNAME() - an id of the caller: @uc as filled by door_ucred(). Return: the id. */
#define ID_READER(type, name)                   \
	type ucred_get##name(const ucred_t *uc) \
	{                                       \
		return uc->name;                \
	}
ID_READER(uid_t, euid)
ID_READER(uid_t, ruid)
ID_READER(uid_t, suid)
ID_READER(gid_t, egid)
ID_READER(gid_t, rgid)
ID_READER(gid_t, sgid)
ID_READER(pid_t, pid)

/**
 * ucred_getgroups - the supplementary groups
 * @uc: as filled by door_ucred()
 * @groups: set; they are part of @uc
 *
 * Return: how many.
 */
int ucred_getgroups(const ucred_t *uc, const gid_t **groups)
{
	*groups = uc->groups;
	return uc->nr_groups;
}
