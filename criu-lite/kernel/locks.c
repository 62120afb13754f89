/*
 * locks - lines of /proc/locks and of fdinfo:
 *
 *   12: POSIX  ADVISORY  WRITE 4711 08:01:131 0 EOF
 *   12: -> FLOCK  ADVISORY  READ  4712 08:01:132 0 EOF
 *   lock:	1: LEASE  BREAKING  UNLCK 4711 08:01:133 0 EOF
 *
 * Reading /proc/locks waits for an RCU grace period, some 10 ms.
 */
#include "kernel/locks.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

static const char *const kinds[] = {
	[LOCK_POSIX] = "POSIX",
	[LOCK_FLOCK] = "FLOCK",
	[LOCK_OFD] = "OFDLCK",
	[LOCK_LEASE] = "LEASE",
};

/**
 * lock_kind_name - as the kernel calls a kind
 * @kind: the kind
 *
 * Return: a literal.
 */
const char *lock_kind_name(enum lock_kind kind)
{
	return kind < LOCK_OTHER ? kinds[kind] : "?";
}

/**
 * lock_type_name - as the kernel calls a type
 * @type: F_RDLCK, F_WRLCK or F_UNLCK
 *
 * Return: a literal.
 */
const char *lock_type_name(int type)
{
	return type == F_RDLCK ? "READ" : type == F_WRLCK ? "WRITE" : "UNLCK";
}

static enum lock_kind kind_of(const char *word)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(word, kinds[i]))
			return (enum lock_kind)i;
	/* Older kernels had another word for it. */
	return !strcmp(word, "OFDLK") ? LOCK_OFD : LOCK_OTHER;
}

static int type_of(const char *word)
{
	return !strcmp(word, "READ") ? F_RDLCK : !strcmp(word, "WRITE") ? F_WRLCK : F_UNLCK;
}

/**
 * lock_parse - one line
 * @line: the line, from its number on
 * @out: filled
 *
 * Return: 0, or -EINVAL if it is no such line.
 */
int lock_parse(const char *line, struct lock_line *out)
{
	char kind[16], mode[16], type[16], end[24];
	unsigned long long ino, start;
	unsigned maj, min;
	int pid, skip = 0;
	struct lock_line l = { 0 };

	if (sscanf(line, "%*d:%n", &skip) < 0 || !skip)
		return -EINVAL;
	line += skip + strspn(line + skip, " ");
	if (!strncmp(line, "->", 2)) {
		l.waits = true;
		line += 2;
	}
	if (sscanf(line, "%15s %15s %15s %d %x:%x:%llu %llu %23s", kind, mode, type, &pid, &maj,
		   &min, &ino, &start, end) != 9)
		return -EINVAL;
	l.kind = kind_of(kind);
	l.type = type_of(type);
	l.breaking = !strcmp(mode, "BREAKING");
	/* Whoever makes a lease break has a line of its own. */
	l.waits |= !strcmp(mode, "BREAKER");
	l.pid = pid;
	l.major = maj;
	l.minor = min;
	l.ino = ino;
	l.start = start;
	l.end = strcmp(end, "EOF") ? strtoull(end, NULL, 10) : UINT64_MAX;
	*out = l;
	return 0;
}

/**
 * lock_next - the next lock in the text of an fdinfo file
 * @text: the text, or where the last call ended
 * @out: filled
 *
 * Return: where to go on, or NULL if there is no more.
 */
const char *lock_next(const char *text, struct lock_line *out)
{
	static const char mark[] = "lock:\t";

	while (text && *text) {
		const char *eol = strchr(text, '\n'), *line = text;

		text = eol ? eol + 1 : text + strlen(text);
		if (!strncmp(line, mark, sizeof(mark) - 1) &&
		    !lock_parse(line + sizeof(mark) - 1, out))
			return text;
	}
	return NULL;
}

/**
 * lock_list - /proc/locks, read once
 * @t: a buffer for the text
 * @out: every line that can be understood, in order; free() it
 * @n: how many
 *
 * Locks whose taker is not visible in the pid namespace of /proc are missing,
 * but for those of open file descriptions.
 *
 * Return: 0 or -errno.
 */
int lock_list(struct proc_text *t, struct lock_line **out, size_t *n)
{
	struct lock_line *list = NULL, *more;
	size_t room = 0, k = 0;
	int ret = proc_read(AT_FDCWD, "/proc/locks", t);

	if (ret)
		return ret;
	for (const char *p = t->p; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		if (k == room) {
			room = room ? 2 * room : 64;
			more = reallocarray(list, room, sizeof(*list));
			if (!more) {
				free(list);
				return -ENOMEM;
			}
			list = more;
		}
		k += !lock_parse(p, &list[k]);
	}
	*out = list;
	*n = k;
	return 0;
}
