/*
 * fdset_process - descriptors of another process. It does not notice that duplicates
 * are taken from it.
 */
#include "cmd/fdset.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/fd.h"
#include "base/fdword.h"
#include "cmd/cmd.h"
#include "lib/fdpass.h"

static int take_one(struct cmd *c, struct fdset *s, pid_t pid, int nr, const char *name, size_t len)
{
	int fd = fd_take(pid, nr);

	if (fd < 0)
		return fail(c->r, fd == -ESRCH ? "no-process" : "fd-take", -fd,
			    "pid %d: take its descriptor %d", pid, nr);
	return fdset_add(c, s, fd, nr, name, len);
}

/* [NAME=]NUMBER, up to @end. */
static int take_word(struct cmd *c, struct fdset *s, pid_t pid, const char *word, const char *end)
{
	struct fdword w;
	int ret = fdword_parse(c->r, word, (size_t)(end - word), &w);

	if (ret < 0)
		return ret;
	for (size_t i = 0; i < s->n; i++)
		if (s->from[i] == w.nr)
			return fail(c->r, "option-value", 0, "descriptor %d is listed twice", w.nr);
	return take_one(c, s, pid, w.nr, w.name, w.name_len);
}

static int by_number(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return (x > y) - (x < y);
}

/* The numbers of a process, ascending; malloc'ed. */
static int numbers_of(struct cmd *c, pid_t pid, int **out, size_t *n)
{
	char path[64];
	struct dirent *e;
	int *list = NULL;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	d = opendir(path);
	if (!d)
		return fail(c->r, errno == ENOENT ? "no-process" : "fd-take", errno,
			    "pid %d: list its descriptors", pid);
	*n = 0;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			arena_push(c->o->arena, list, *n) = atoi(e->d_name);
	closedir(d);
	if (*n)
		qsort(list, *n, sizeof(*list), by_number);
	*out = list;
	return 0;
}

static int wanted(const char *word, int kind)
{
	if (!strcmp(word, "all"))
		return 1;
	if (!strcmp(word, "sockets"))
		return kind == FD_KIND_LISTENER || kind == FD_KIND_STREAM ||
		       kind == FD_KIND_DATAGRAM;
	return kind == FD_KIND_LISTENER;
}

static int take_kind(struct cmd *c, struct fdset *s, pid_t pid, const char *word)
{
	int *list, ret;
	size_t n;

	ret = numbers_of(c, pid, &list, &n);
	for (size_t i = 0; !ret && i < n; i++) {
		cleanup_close int fd = fd_take(pid, list[i]);

		/* One that has been closed meanwhile is none of the process's. */
		if (fd == -EBADF)
			continue;
		if (fd < 0)
			return fail(c->r, "fd-take", -fd, "pid %d: take its descriptor %d", pid,
				    list[i]);
		if (wanted(word, fd_kind_of(fd)))
			ret = fdset_add(c, s, take_fd(&fd), list[i], "", 0);
	}
	return ret;
}

/**
 * fdset_of_process - take descriptors of a process
 * @c: the run
 * @s: the set that they are added to
 * @pid: the process
 * @list: [NAME=]NUMBER with commas between, or listeners, sockets, all;
 * NULL is listeners
 *
 * Return: 0 or -errno, recorded.
 */
int fdset_of_process(struct cmd *c, struct fdset *s, pid_t pid, const char *list)
{
	int ret = 0;

	if (!list)
		list = "listeners";
	if (!strcmp(list, "listeners") || !strcmp(list, "sockets") || !strcmp(list, "all"))
		return take_kind(c, s, pid, list);
	while (!ret) {
		size_t len = strcspn(list, ",");

		ret = take_word(c, s, pid, list, list + len);
		if (!list[len])
			break;
		list += len + 1;
	}
	return ret;
}
