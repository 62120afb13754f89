/*
 * fdnotify - messages of a program to its service manager, and the descriptors
 * that it leaves there. The protocol is that of sd_notify(3).
 */
#include "lib/fdlisten.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/fdframe.h"
#include "lib/fdpass.h"

/* systemd takes no longer ones either. */
#define NOTICE_MAX 4096

/* "/path" or "@name". Return: the length, or 0 if it is neither. */
static socklen_t to_sockaddr(const char *text, struct sockaddr_un *sa)
{
	size_t len = strlen(text);

	if ((text[0] != '/' && text[0] != '@') || !text[1] || len >= sizeof(sa->sun_path))
		return 0;
	memset(sa, 0, sizeof(*sa));
	sa->sun_family = AF_UNIX;
	memcpy(sa->sun_path, text, len);
	if (text[0] == '@')
		sa->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (text[0] == '/'));
}

int fd_notify(const char *state, const int *fds, size_t n)
{
	const char *address = getenv("NOTIFY_SOCKET");
	struct sockaddr_un sa;
	cleanup_close int sock = -1;
	socklen_t len;

	if (!address || !*address)
		return -ENOENT;
	len = to_sockaddr(address, &sa);
	if (!len)
		return -EINVAL;
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || connect(sock, (struct sockaddr *)&sa, len) < 0)
		return -errno;
	return fd_send_msg(sock, state, strlen(state), fds, n, 0);
}

int fd_store_put(const struct fd_item *items, size_t n)
{
	char text[FD_NAME_MAX + 40];

	for (size_t i = 0; i < n; i++) {
		int ret;

		if (!fd_name_ok(items[i].name))
			return -EINVAL;
		snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", items[i].name);
		ret = fd_notify(text, &items[i].fd, 1);
		if (ret)
			return ret;
	}
	return 0;
}

int fd_store_remove(const char *name)
{
	char text[FD_NAME_MAX + 40];

	if (!fd_name_ok(name))
		return -EINVAL;
	snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
	return fd_notify(text, NULL, 0);
}

static int tell_address(int sock, char *chosen, size_t size)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sa);
	int name;

	if (getsockname(sock, (struct sockaddr *)&sa, &len) < 0)
		return -errno;
	name = (int)(len - offsetof(struct sockaddr_un, sun_path));
	if (sa.sun_path[0] == '\0' && name > 0)
		snprintf(chosen, size, "@%.*s", name - 1, sa.sun_path + 1);
	else
		snprintf(chosen, size, "%.*s", name, sa.sun_path);
	return 0;
}

int fd_notify_open(const char *address, char *chosen, size_t size)
{
	struct sockaddr_un sa = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sa_family_t); /* the kernel finds a name */
	cleanup_close int sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1, ret;

	if (sock < 0)
		return -errno;
	if (address && !(len = to_sockaddr(address, &sa)))
		return -EINVAL;
	if (setsockopt(sock, SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) < 0 ||
	    bind(sock, (struct sockaddr *)&sa, len) < 0)
		return -errno;
	ret = chosen ? tell_address(sock, chosen, size) : 0;
	return ret ? ret : take_fd(&sock);
}

static void copy(char *to, size_t size, const char *value)
{
	snprintf(to, size, "%s", value);
}

static void read_line(struct fd_notice *out, const char *line)
{
	static const struct {
		const char *line;
		size_t field;
	} flags[] = {
		{ "READY=1", offsetof(struct fd_notice, ready) },
		{ "STOPPING=1", offsetof(struct fd_notice, stopping) },
		{ "RELOADING=1", offsetof(struct fd_notice, reloading) },
		{ "FDSTORE=1", offsetof(struct fd_notice, store) },
		{ "FDSTOREREMOVE=1", offsetof(struct fd_notice, remove) },
		{ "BARRIER=1", offsetof(struct fd_notice, barrier) },
	};

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (!strcmp(line, flags[i].line))
			*(int *)((char *)out + flags[i].field) = 1;
	if (!strncmp(line, "MAINPID=", 8))
		out->main_pid = (pid_t)strtol(line + 8, NULL, 10);
	else if (!strncmp(line, "ERRNO=", 6))
		out->error = (int)strtol(line + 6, NULL, 10);
	else if (!strncmp(line, "STATUS=", 7))
		copy(out->status, sizeof(out->status), line + 7);
	else if (!strncmp(line, "FDNAME=", 7) && fd_name_ok(line + 7))
		copy(out->name, sizeof(out->name), line + 7);
}

int fd_notify_take(int sock, struct fd_notice *out)
{
	char text[NOTICE_MAX + 1], *save = NULL;
	struct fd_sender from;
	size_t len = 0;
	int ret;

	memset(out, 0, sizeof(*out));
	ret = fd_recv_msg_from(sock, text, NOTICE_MAX, &len, out->fds, FD_MSG_MAX, &out->n,
			       MSG_DONTWAIT, &from);
	if (ret)
		return ret;
	if (from.pid <= 0)
		return -EBADMSG;
	out->pid = from.pid;
	out->uid = from.uid;
	out->gid = from.gid;
	text[len] = '\0';
	for (char *l = strtok_r(text, "\n", &save); l; l = strtok_r(NULL, "\n", &save))
		read_line(out, l);
	return 0;
}
