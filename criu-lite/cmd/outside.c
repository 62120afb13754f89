/*
 * outside - what a restore gets from its caller: --inherit-fd fd[N]:KEY and
 * --map PID:FD=TARGET. Every N must be open before this program opens
 * anything itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "cmd/cmd.h"
#include "restore/restore.h"

static int read_number(const char **at, int *out)
{
	char *end;
	unsigned long n = strtoul(*at, &end, 10);

	if (**at < '0' || **at > '9' || n > INT_MAX)
		return -EINVAL;
	*out = (int)n;
	*at = end;
	return 0;
}

/* fd[N] */
static int read_fd(const char **at, int *fd)
{
	if (strncmp(*at, "fd[", 3))
		return -EINVAL;
	*at += 3;
	if (read_number(at, fd) || **at != ']')
		return -EINVAL;
	(*at)++;
	return 0;
}

static int check_open(struct cmd *c, const char *option, const char *text, int fd)
{
	if (fcntl(fd, F_GETFD) >= 0)
		return 0;
	return fail(c->r, "inherit-closed", errno,
		    "%s %s: descriptor %d is not open here; open it before the restore is started",
		    option, text, fd);
}

/* As the man page of CRIU writes it, and as readlink(1) prints it. */
static const char *whole_key(struct cmd *c, const char *key)
{
	static const char *const kinds[] = { "pipe", "socket" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		size_t len = strlen(kinds[i]);

		if (!strncmp(key, kinds[i], len) && key[len] == '[')
			return arena_printf(c->o->arena, "%s:%s", kinds[i], key + len);
	}
	return key;
}

static int parse_inherit(struct cmd *c, const char *text, struct restore_inherit *out)
{
	const char *at = text;
	int fd;

	if (read_fd(&at, &fd) || *at++ != ':' || !*at)
		return fail(c->r, "option-value", 0,
			    "--inherit-fd: '%s' is not fd[N]:KEY, as in fd[3]:pipe:[12345]", text);
	*out = (struct restore_inherit){ .fd = fd, .key = whole_key(c, at) };
	return check_open(c, "--inherit-fd", text, fd);
}

static int parse_map(struct cmd *c, const char *text, struct restore_map *out)
{
	const char *at = text;
	int pid, fd, from;

	if (read_number(&at, &pid) || *at++ != ':' || read_number(&at, &fd) || *at++ != '=')
		return fail(c->r, "option-value", 0,
			    "--map: '%s' is not PID:FD=TARGET, as in 1234:1=/var/log/new", text);
	*out = (struct restore_map){ .pid = pid, .fd = fd, .from = -1, .target = at };
	if (*at == '/')
		return 0;
	if (read_fd(&at, &from) || *at)
		return fail(c->r, "option-value", 0,
			    "--map %s: the target is an absolute path, or fd[N]", text);
	out->from = from;
	return check_open(c, "--map", text, from);
}

/**
 * outside_parse - read --inherit-fd and --map
 * @c: the run
 * @opts: gets them
 *
 * Return: 0, or -errno with every mistake recorded.
 */
int outside_parse(struct cmd *c, struct restore_opts *opts)
{
	const struct options *o = c->o;
	struct restore_inherit *inherits =
		arena_array(o->arena, struct restore_inherit, o->inherits.n);
	struct restore_map *maps = arena_array(o->arena, struct restore_map, o->maps.n);
	int ret = 0;

	for (size_t i = 0; i < o->inherits.n; i++)
		ret = parse_inherit(c, o->inherits.v[i], &inherits[i]) ?: ret;
	for (size_t i = 0; i < o->maps.n; i++)
		ret = parse_map(c, o->maps.v[i], &maps[i]) ?: ret;
	opts->inherits = inherits;
	opts->nr_inherits = o->inherits.n;
	opts->maps = maps;
	opts->nr_maps = o->maps.n;
	return ret;
}
