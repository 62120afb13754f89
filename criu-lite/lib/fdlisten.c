/*
 * fdlisten - numbers and variables of a program that is started with
 * descriptors.
 */
#include "lib/fdlisten.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/fdframe.h"

int fd_place(struct fd_place *p, size_t n)
{
	int top = 0;

	for (size_t i = 0; i < n; i++)
		if (p[i].to >= top)
			top = p[i].to + 1;
	/* Out of each other's way first. */
	for (size_t i = 0; i < n; i++) {
		if (p[i].fd == p[i].to)
			continue;
		p[i].fd = fcntl(p[i].fd, F_DUPFD_CLOEXEC, top);
		/* No number is left above the limit: the table is as good as full. */
		if (p[i].fd < 0)
			return errno == EINVAL ? -EMFILE : -errno;
	}
	for (size_t i = 0; i < n; i++) {
		if (p[i].fd == p[i].to) {
			if (fcntl(p[i].fd, F_SETFD, 0) < 0)
				return -errno;
			continue;
		}
		if (dup2(p[i].fd, p[i].to) < 0)
			return -errno;
		close(p[i].fd);
	}
	return 0;
}

/* A number of a variable. Return: it, or -1 if it is not one. */
static long env_number(const char *name)
{
	const char *text = getenv(name);
	char *end;
	long v;

	if (!text || *text < '0' || *text > '9')
		return -1;
	errno = 0;
	v = strtol(text, &end, 10);
	return errno || *end ? -1 : v;
}

static void forget_all(void)
{
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDNAMES");
}

static int take_items(struct fd_item **out, size_t n)
{
	const char *names = getenv("LISTEN_FDNAMES");
	struct fd_item *items = calloc(n, sizeof(*items));

	if (!items)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		struct fd_item *it = &items[i];
		size_t len = names ? strcspn(names, ":") : 0;
		int kind;

		it->fd = FD_LISTEN_START + (int)i;
		kind = fd_kind_of(it->fd);
		if (kind < 0 || fcntl(it->fd, F_SETFD, FD_CLOEXEC) < 0) {
			free(items);
			return -EBADF;
		}
		it->kind = (enum fd_kind)kind;
		snprintf(it->name, sizeof(it->name), "%.*s", (int)len, len ? names : "");
		if (!len)
			strcpy(it->name, "unknown");
		names = names && names[len] ? names + len + 1 : NULL;
	}
	*out = items;
	return 0;
}

int fd_listen_take(struct fd_item **items, size_t *n, int forget)
{
	const char *pid = getenv("LISTEN_PID");
	long count = env_number("LISTEN_FDS");
	int ret = 0;

	*items = NULL;
	*n = 0;
	if (!pid || !getenv("LISTEN_FDS") || env_number("LISTEN_PID") != (long)getpid()) {
		ret = pid && env_number("LISTEN_PID") < 0 ? -EINVAL : 0;
	} else if (count < 0 || count > INT_MAX - FD_LISTEN_START) {
		ret = -EINVAL;
	} else if (count > 0) {
		ret = take_items(items, (size_t)count);
		*n = ret ? 0 : (size_t)count;
	}
	if (forget)
		forget_all();
	return ret;
}

char *fd_listen_names(const struct fd_item *items, size_t n)
{
	char *text = malloc(n * (FD_NAME_MAX + 1) + 1), *p = text;

	for (size_t i = 0; text && i < n; i++) {
		const char *name = items[i].name[0] ? items[i].name : "unknown";

		if (!fd_name_ok(name)) {
			free(text);
			return NULL;
		}
		p += sprintf(p, "%s%s", i ? ":" : "", name);
	}
	if (text)
		*p = '\0';
	return text;
}

int fd_listen_give(const struct fd_item *items, size_t n)
{
	struct fd_place *p = calloc(n + 1, sizeof(*p));
	char *names = fd_listen_names(items, n), number[24];
	int ret = !p ? -ENOMEM : names ? 0 : -EINVAL;

	for (size_t i = 0; !ret && i < n; i++)
		p[i] = (struct fd_place){ items[i].fd, FD_LISTEN_START + (int)i };
	if (!ret)
		ret = fd_place(p, n);
	if (!ret) {
		forget_all();
		snprintf(number, sizeof(number), "%zu", n);
		if (setenv("LISTEN_FDS", number, 1) < 0 || setenv("LISTEN_FDNAMES", names, 1) < 0)
			ret = -ENOMEM;
		snprintf(number, sizeof(number), "%d", (int)getpid());
		if (setenv("LISTEN_PID", number, 1) < 0)
			ret = -ENOMEM;
	}
	free(names);
	free(p);
	return ret;
}
