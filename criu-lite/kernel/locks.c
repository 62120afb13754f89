/*
 * locks - lines of /proc/locks and of fdinfo:
 *
 *   12: POSIX  ADVISORY  WRITE 4711 08:01:131 0 EOF
 *   12: -> FLOCK  ADVISORY  READ  4712 08:01:132 0 EOF
 *   lock:	1: LEASE  BREAKING  UNLCK 4711 08:01:133 0 EOF
 *
 * Reading /proc/locks waits for an RCU grace period, some 10 ms. It comes a page
 * at a time, each one read as of another moment: what others drop in between
 * moves the rest up, and what has moved across the edge is never read.
 */
#include "kernel/locks.h"

#include <ctype.h>
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

/* A word of the line; a cursor into many lines, so nothing here looks beyond its line. */
struct word {
	const char *p;
	size_t len;
};

static struct word next_word(const char **at)
{
	struct word w;

	*at += strspn(*at, " ");
	w.p = *at;
	w.len = strcspn(*at, " \n");
	*at += w.len;
	return w;
}

static bool word_is(struct word w, const char *text)
{
	return w.len == strlen(text) && !memcmp(w.p, text, w.len);
}

/* A number with one character behind it: a blank, a colon or the end. */
static bool number(const char **at, int base, uint64_t *val)
{
	char *end;

	*at += strspn(*at, " ");
	if (!isxdigit((unsigned char)**at) && **at != '-')
		return false;
	*val = strtoull(*at, &end, base);
	if (end == *at)
		return false;
	*at = end;
	return true;
}

static enum lock_kind kind_of(struct word w)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (word_is(w, kinds[i]))
			return (enum lock_kind)i;
	return LOCK_OTHER;
}

static int type_of(struct word w)
{
	return word_is(w, "READ") ? F_RDLCK : word_is(w, "WRITE") ? F_WRLCK : F_UNLCK;
}

/* "08:01:131 0 EOF" */
static bool parse_place(const char *at, struct lock_line *l)
{
	uint64_t major, minor;

	if (!number(&at, 16, &major) || *at++ != ':' || !number(&at, 16, &minor) || *at++ != ':' ||
	    !number(&at, 10, &l->ino) || !number(&at, 10, &l->start))
		return false;
	l->major = (uint32_t)major;
	l->minor = (uint32_t)minor;
	if (number(&at, 10, &l->end))
		return true;
	l->end = UINT64_MAX;
	return word_is(next_word(&at), "EOF");
}

/**
 * lock_parse - one line
 * @line: the line, from its number on; more may follow it
 * @out: filled
 *
 * Return: 0, or -EINVAL if it is no such line.
 */
int lock_parse(const char *line, struct lock_line *out)
{
	struct lock_line l = { 0 };
	const char *at = line;
	struct word w;
	uint64_t n;

	if (!number(&at, 10, &n) || *at++ != ':')
		return -EINVAL;
	w = next_word(&at);
	if (word_is(w, "->")) {
		l.waits = true;
		w = next_word(&at);
	}
	l.kind = kind_of(w);
	w = next_word(&at);
	l.breaking = word_is(w, "BREAKING");
	/* Whoever makes a lease break has a line of its own. */
	l.waits |= word_is(w, "BREAKER");
	l.type = type_of(next_word(&at));
	if (!number(&at, 10, &n))
		return -EINVAL;
	l.pid = (pid_t)(int64_t)n;
	if (!parse_place(at, &l))
		return -EINVAL;
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

#define WHOLE_TRIES 5
#define MORE 8192 /* than the kernel gives at once */

/* Where the last lock begins: its own line, the same number on those who wait for it. */
static size_t last_lock(const char *text, size_t len)
{
	size_t at = len, line;
	uint64_t id = 0;

	do {
		for (line = at ? at - 1 : 0; line && text[line - 1] != '\n';)
			line--;
		if (at < len && strtoull(text + line, NULL, 10) != id)
			break;
		id = strtoull(text + line, NULL, 10);
		at = line;
	} while (at);
	return at;
}

/*
 * Is the text all there was? What has come at once is as of one moment. Nothing may follow: neither
 * when the last lock is read again, nor alone, as the kernel puts off a lock for which so many wait
 * that their lines do not fit in behind others.
 */
static bool is_whole(int fd, const struct proc_text *t)
{
	size_t last = last_lock(t->p, t->len), len = t->len - last;
	char more[MORE];

	return pread(fd, more, sizeof(more), (off_t)last) == (ssize_t)len &&
	       !memcmp(more, t->p + last, len) && pread(fd, more, sizeof(more), (off_t)t->len) == 0;
}

/* What the kernel gives of /proc/locks at once. Returns 0 if that is all, -EAGAIN, or -errno. */
static int read_at_once(struct proc_text *t)
{
	cleanup_close int fd = open("/proc/locks", O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	if (t->size <= MORE) {
		char *p = realloc(t->p, MORE + 1);

		if (!p)
			return -ENOMEM;
		t->p = p;
		t->size = MORE + 1;
	}
	n = read(fd, t->p, MORE);
	if (n < 0)
		return -errno;
	t->p[n] = '\0';
	t->len = (size_t)n;
	return is_whole(fd, t) ? 0 : -EAGAIN;
}

static int parse_all(const char *p, struct lock_line **out, size_t *n)
{
	struct lock_line *list = NULL, *more;
	size_t room = 0, k = 0;

	for (; *p; p += strcspn(p, "\n"), p += *p == '\n') {
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

/**
 * lock_list - /proc/locks
 * @t: a buffer for the text
 * @out: every line that can be understood, in order; free() it
 * @n: how many
 *
 * Locks whose taker is not visible in the pid namespace of /proc are missing,
 * but for those of open file descriptions.
 *
 * Return: 0: it has every lock that was there from the beginning to the end of the call.
 * LOCK_LIST_PARTIAL: some may be missing or there twice, as there are more than a page has room
 * for, some 70, and others may have taken and dropped theirs meanwhile. Or -errno.
 */
int lock_list(struct proc_text *t, struct lock_line **out, size_t *n)
{
	int ret = -EAGAIN, parsed;
	bool partial;

	for (int i = 0; i < WHOLE_TRIES && ret == -EAGAIN; i++)
		ret = read_at_once(t);
	partial = ret == -EAGAIN;
	if (partial)
		ret = proc_read(AT_FDCWD, "/proc/locks", t);
	if (ret)
		return ret;
	parsed = parse_all(t->p, out, n);
	return parsed ? parsed : partial ? LOCK_LIST_PARTIAL : 0;
}
