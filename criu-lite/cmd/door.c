/*
 * door - doors from the shell: call one, ask about it, see those that are
 * attached, attach a process's descriptor to a path and take it off.
 */
#include "lib/door.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "cmd/cmd.h"
#include "lib/door_names.h"

#define INPUT_MAX (16u << 20)

static int open_door(struct cmd *c, const char *path, int *fd)
{
	*fd = open(path, O_RDONLY | O_CLOEXEC);
	return *fd < 0 ? fail(c->r, "door", errno, "open %s", path) : 0;
}

/* All of standard input. */
static int read_input(char **out, size_t *len)
{
	size_t size = 65536, have = 0;
	char *buf = malloc(size), *more;
	ssize_t n = 1;

	while (buf && n && have < INPUT_MAX) {
		n = read(STDIN_FILENO, buf + have, size - have);
		if (n < 0) {
			free(buf);
			return -errno;
		}
		have += (size_t)n;
		if (have < size)
			continue;
		size *= 2;
		more = realloc(buf, size);
		if (!more)
			free(buf);
		buf = more;
	}
	if (!buf)
		return -ENOMEM;
	*out = buf;
	*len = have;
	return 0;
}

static int print_results(struct cmd *c, const char *path, const door_arg_t *a)
{
	for (unsigned int i = 0; i < a->desc_num; i++) {
		fprintf(stderr, "descriptor %u of %u was closed\n", i + 1, a->desc_num);
		close(a->desc_ptr[i].d_data.d_desc.d_descriptor);
	}
	if (a->data_size && write_all(STDOUT_FILENO, a->data_ptr, a->data_size) < 0)
		return fail(c->r, "door", errno, "write the results of %s", path);
	return 0;
}

/* door call PATH [TEXT]: the results go to standard output. */
static int call(struct cmd *c, const char **args, size_t n)
{
	door_arg_t a = { .data_ptr = n > 1 ? (char *)args[1] : NULL,
			 .data_size = n > 1 ? strlen(args[1]) : 0 };
	cleanup_close int fd = -1;
	char *input = NULL;
	int ret = open_door(c, args[0], &fd);

	if (!ret && n < 2) {
		ret = read_input(&input, &a.data_size);
		if (ret)
			ret = fail(c->r, "door", -ret, "read standard input");
		a.data_ptr = input;
	}
	if (!ret && door_call(fd, &a) < 0)
		ret = fail(c->r, "door", errno, "call %s", args[0]);
	if (!ret)
		ret = print_results(c, args[0], &a);
	if (!ret && a.rbuf)
		munmap(a.rbuf, a.rsize);
	free(input);
	return ret;
}

static int describe(struct cmd *c, const char *path)
{
	cleanup_close int fd = open(path, O_PATH | O_CLOEXEC);
	door_info_t i;
	char buf[128];

	if (fd < 0)
		return fail(c->r, "door", errno, "open %s", path);
	if (door_info(fd, &i) < 0)
		return fail(c->r, "door", errno, "%s is no door", path);
	printf("%s: server %d, id %llu, attributes %s\n", path, i.di_target, i.di_uniquifier,
	       door_attributes(i.di_attributes, buf, sizeof(buf)));
	return 0;
}

/* door info PATH */
static int info(struct cmd *c, const char **args, size_t n)
{
	(void)n;
	return describe(c, args[0]);
}

/* door list: those that are on paths that this process sees. */
static int list(struct cmd *c, const char **args, size_t n)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL;
	size_t size = 0;
	int ret = 0;

	(void)args;
	(void)n;
	if (!f)
		return fail(c->r, "door", errno, "/proc/self/mountinfo");
	while (getline(&line, &size, f) >= 0) {
		char root[256], path[4096];
		struct stat st;

		if (sscanf(line, "%*u %*u %*s %255s %4095s", root, path) == 2 &&
		    strstr(root, "/t.") && stat(path, &st) == 0 && S_ISDOOR(st.st_mode))
			ret = describe(c, path) ?: ret;
	}
	free(line);
	fclose(f);
	return ret;
}

static int take(struct cmd *c, const char *from, int *fd)
{
	cleanup_close int pidfd = -1;
	int pid, num, end = 0;

	if (sscanf(from, "%d:%d%n", &pid, &num, &end) != 2 || from[end])
		return fail(c->r, "command-arguments", 0, "%s is not PID:NUMBER", from);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd >= 0)
		*fd = (int)syscall(SYS_pidfd_getfd, pidfd, num, 0);
	return pidfd < 0 || *fd < 0 ? fail(c->r, "door", errno, "descriptor %d of %d", num, pid)
				    : 0;
}

/* door attach PID:NUMBER PATH */
static int attach(struct cmd *c, const char **args, size_t n)
{
	cleanup_close int fd = -1;
	int ret = take(c, args[0], &fd);

	(void)n;
	if (!ret && fattach(fd, args[1]) < 0)
		ret = fail(c->r, "door-attach", errno, "attach %s to %s", args[0], args[1]);
	return ret;
}

/* door detach PATH */
static int detach(struct cmd *c, const char **args, size_t n)
{
	(void)n;
	if (fdetach(args[0]) < 0)
		return fail(c->r, "door-attach", errno, "take the door off %s", args[0]);
	return 0;
}

/**
 * cmd_door - `criu-lite door COMMAND ...`
 * @c: the run
 *
 * Return: 0 or -errno, recorded.
 */
int cmd_door(struct cmd *c)
{
	static const struct {
		const char *word;
		int (*run)(struct cmd *c, const char **args, size_t n);
		size_t min, max;
		const char *usage;
	} table[] = {
		{ "call", call, 1, 2, "PATH [TEXT]" },
		{ "info", info, 1, 1, "PATH" },
		{ "list", list, 0, 0, "" },
		{ "attach", attach, 2, 2, "PID:NUMBER PATH" },
		{ "detach", detach, 1, 1, "PATH" },
	};
	const struct options *o = c->o;
	size_t n = o->nr_args - 1;

	session_log_stderr(c);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (strcmp(o->args[0], table[i].word))
			continue;
		if (n >= table[i].min && n <= table[i].max)
			return table[i].run(c, o->args + 1, n);
		return fail(c->r, "command-arguments", 0, "usage: criu-lite door %s %s",
			    table[i].word, table[i].usage);
	}
	return fail(c->r, "command-arguments", 0,
		    "door takes one of call, info, list, attach, detach first");
}
