/*
 * door_desc - descriptors as arguments and results. A door among them is sent
 * as an open file of its own, so that its server sees when it is closed.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/fdpass.h"

/**
 * door_desc_release - close what was to be given away
 * @desc: descriptors
 * @n: how many
 */
void door_desc_release(const door_desc_t *desc, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (desc[i].d_attributes & DOOR_RELEASE)
			close(desc[i].d_data.d_desc.d_descriptor);
}

/**
 * door_desc_check - look at descriptors that are to be sent
 * @desc: descriptors
 * @n: how many
 *
 * Return: 0; -E2BIG; -EFAULT; -EINVAL if one has no DOOR_DESCRIPTOR or is not
 * open.
 */
int door_desc_check(const door_desc_t *desc, unsigned int n)
{
	int ret;

	if (!n)
		return 0;
	if (n > DOOR_DESCS_MAX)
		return -E2BIG;
	ret = door_check_read(desc, n * sizeof(*desc));
	if (ret)
		return ret;
	for (unsigned int i = 0; i < n; i++)
		if (!(desc[i].d_attributes & DOOR_DESCRIPTOR) ||
		    fcntl(desc[i].d_data.d_desc.d_descriptor, F_GETFD) < 0)
			return -EINVAL;
	return 0;
}

/* A descriptor to send instead of @fd, if that is a door; else @fd. */
static int to_send(int fd)
{
	struct door_store s = { .mounted = false };
	struct stat st;
	int flags, own;

	if (fstat(fd, &st) < 0 || !S_ISDOOR(st.st_mode) || door_store_of(&st, &s))
		return fd;
	flags = fcntl(fd, F_GETFL);
	own = door_reopen(fd, flags & (O_ACCMODE | O_NONBLOCK | O_PATH));
	return own < 0 ? fd : own;
}

static int send_some(int sock, const door_desc_t *desc, unsigned int n, int flags)
{
	struct door_note note = { .type = DOOR_NOTE_FDS };
	int fds[FD_MSG_MAX], ret;

	for (unsigned int i = 0; i < n; i++)
		fds[i] = to_send(desc[i].d_data.d_desc.d_descriptor);
	ret = fd_send_msg(sock, &note, sizeof(note), fds, n, flags);
	for (unsigned int i = 0; i < n; i++)
		if (fds[i] != desc[i].d_data.d_desc.d_descriptor)
			close(fds[i]);
	return ret;
}

/**
 * door_desc_send - send descriptors ahead of a call or an answer
 * @sock: the session's
 * @desc: checked
 * @n: how many
 * @flags: MSG_DONTWAIT or 0
 *
 * Return: 0 or -errno.
 */
int door_desc_send(int sock, const door_desc_t *desc, unsigned int n, int flags)
{
	int ret = 0;

	for (unsigned int done = 0; !ret && done < n; done += FD_MSG_MAX)
		ret = send_some(sock, desc + done, n - done < FD_MSG_MAX ? n - done : FD_MSG_MAX,
				flags);
	return ret;
}

/**
 * door_desc_recv - receive the descriptors of an answer
 * @sock: the session's; they are there, or the other side lied
 * @fds: room for @max
 * @max: how many were announced
 * @n: how many arrived; they are the caller's, whatever is returned
 *
 * Return: 0; -EMFILE; -EBADMSG or another -errno if they did not come.
 */
int door_desc_recv(int sock, int *fds, unsigned int max, unsigned int *n)
{
	int ret = 0;

	*n = 0;
	while (!ret && *n < max) {
		struct door_note note;
		size_t len, got, room = max - *n < FD_MSG_MAX ? max - *n : FD_MSG_MAX;

		ret = fd_recv_msg(sock, &note, sizeof(note), &len, fds + *n, room, &got,
				  MSG_DONTWAIT);
		*n += (unsigned int)got;
		if (ret == -EAGAIN ||
		    (!ret && (len != sizeof(note) || (note.type == DOOR_NOTE_FDS && !got))))
			ret = -EBADMSG;
	}
	return ret;
}

/* What a received descriptor is, if it is a door. */
static void describe(door_desc_t *desc, int fd)
{
	door_info_t info;
	struct door_store s = { .mounted = false };
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISDOOR(st.st_mode) || door_store_of(&st, &s) ||
	    door_info_of(fd, &info, DOOR_ASK_LIMIT))
		return;
	desc->d_attributes |= info.di_attributes;
	desc->d_data.d_desc.d_id = info.di_uniquifier;
}

/**
 * door_desc_fill - describe descriptors that have come
 * @desc: room for @n
 * @fds: the descriptors
 * @n: how many
 */
void door_desc_fill(door_desc_t *desc, const int *fds, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		memset(desc + i, 0, sizeof(*desc));
		desc[i].d_attributes = DOOR_DESCRIPTOR;
		desc[i].d_data.d_desc.d_descriptor = fds[i];
		describe(desc + i, fds[i]);
	}
}
