/*
 * fd - descriptors between programs that know nothing of each other: sent,
 * received, held, taken, and put where a program looks for them.
 */
#include <errno.h>
#include <string.h>

#include "cmd/cmd.h"
#include "cmd/fdcmd.h"

/**
 * cmd_fd - `criu-lite fd COMMAND ...`
 * @c: the run
 *
 * Return: 0 or -errno, recorded. With a program behind -- it returns only if
 * that cannot be executed.
 */
int cmd_fd(struct cmd *c)
{
	static const struct {
		const char *word;
		int (*run)(struct cmd *c, const char **args, size_t n);
		size_t min;
		const char *usage;
	} table[] = {
		{ "send", fd_send, 2, "SOCKET DESCRIPTOR..." },
		{ "recv", fd_recv, 1, "SOCKET [NAME]... [-- PROGRAM [ARG]...]" },
		{ "hold", fd_hold, 1, "SOCKET [DESCRIPTOR]..." },
		{ "list", fd_list, 1, "SOCKET|PID" },
		{ "drop", fd_drop, 2, "SOCKET NAME..." },
		{ "wait", fd_wait, 1, "SOCKET [NAME]..." },
		{ "take", fd_take_words, 1, "PID:NUMBER... [-- PROGRAM [ARG]...]" },
		{ "exec", fd_exec, 0, "[DESCRIPTOR]... -- PROGRAM [ARG]..." },
	};
	const struct options *o = c->o;
	size_t n = o->program ? o->program - 1 : 0;

	session_log_stderr(c);
	for (size_t i = 0; o->program && i < sizeof(table) / sizeof(table[0]); i++) {
		if (strcmp(o->args[0], table[i].word))
			continue;
		if (n >= table[i].min)
			return table[i].run(c, o->args + 1, n);
		return fail(c->r, "command-arguments", 0, "usage: criu-lite fd %s %s",
			    table[i].word, table[i].usage);
	}
	return fail(c->r, "command-arguments", 0,
		    "fd takes one of send, recv, hold, list, drop, wait, take, exec first");
}
