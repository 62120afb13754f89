/*
 * state_value - values of a snapshot. Numbers that count are numbers;
 * addresses, masks and checksums are strings in hexadecimal, since readers of
 * JSON may have no more than 53 bits.
 */
#include "model/state_parts.h"

#include <ctype.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "base/fd.h"

#define TEXT_MAX 4096 /* longer bytes are given by their checksum */

static struct json_object *must(struct json_object *o)
{
	if (!o)
		abort();
	return o;
}

static bool is_empty(const struct json_object *v)
{
	return (json_object_is_type(v, json_type_object) && !json_object_object_length(v)) ||
	       (json_object_is_type(v, json_type_array) && !json_object_array_length(v));
}

/**
 * state_put - add a member, unless there is nothing to say
 * @o: the object
 * @key: the member's name
 * @v: its value, which becomes the object's; NULL or one without members does nothing
 */
void state_put(struct json_object *o, const char *key, struct json_object *v)
{
	if (v && is_empty(v))
		json_object_put(v);
	else if (v && json_object_object_add(o, key, v))
		abort();
}

/**
 * state_bytes - bytes as text
 * @p: the bytes, of any value
 * @len: how many
 *
 * Return: a string, in which all but printable ASCII is escaped as \xNN; of
 * many bytes the checksum.
 */
struct json_object *state_bytes(const void *p, size_t len)
{
	const unsigned char *b = p;
	struct json_object *out;
	char *text;
	size_t n = 0;

	if (len > TEXT_MAX)
		return state_checksum(p, len);
	text = malloc(4 * len + 1);
	if (!text)
		abort();
	for (size_t i = 0; i < len; i++) {
		if (b[i] < 0x80 && isprint(b[i]))
			text[n++] = (char)b[i];
		else
			n += (size_t)sprintf(text + n, "\\x%02x", b[i]);
	}
	out = must(json_object_new_string_len(text, (int)n));
	free(text);
	return out;
}

/**
 * state_str - a string of the kernel's or of a message
 * @s: the string, or NULL
 *
 * Return: as state_bytes(); NULL for NULL.
 */
struct json_object *state_str(const char *s)
{
	return s ? state_bytes(s, strlen(s)) : NULL;
}

/**
 * state_fmt - a string made by printf
 * @fmt: the format; the result is cut at 255 bytes
 *
 * Return: the string.
 */
struct json_object *state_fmt(const char *fmt, ...)
{
	char buf[256];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(buf, sizeof(buf), fmt, ap);
	va_end(ap);
	return must(json_object_new_string(buf));
}

/**
 * state_hex - an address or a mask
 * @v: the value
 *
 * Return: a string.
 */
struct json_object *state_hex(uint64_t v)
{
	return state_fmt("%#llx", (unsigned long long)v);
}

/**
 * state_u64 - a number
 * @v: the value
 *
 * Return: an integer.
 */
struct json_object *state_u64(uint64_t v)
{
	return must(v > INT64_MAX ? json_object_new_uint64(v) : json_object_new_int64((int64_t)v));
}

/**
 * state_open_flags - flags of open(2)
 * @flags: as F_GETFL gives them
 *
 * Return: their names joined by |, and what is left in octal.
 */
struct json_object *state_open_flags(uint32_t flags)
{
	static const struct {
		uint32_t bits;
		const char *name;
	} rows[] = {
		{ O_PATH, "O_PATH" },
		{ O_TMPFILE, "O_TMPFILE" },
		{ O_DIRECTORY, "O_DIRECTORY" },
		{ O_APPEND, "O_APPEND" },
		{ O_NONBLOCK, "O_NONBLOCK" },
		{ O_SYNC, "O_SYNC" },
		{ O_DSYNC, "O_DSYNC" },
		{ O_ASYNC, "O_ASYNC" },
		{ O_DIRECT, "O_DIRECT" },
		{ O_NOATIME, "O_NOATIME" },
		{ KERNEL_O_LARGEFILE, "O_LARGEFILE" },
	};
	static const char *const mode[] = { "O_RDONLY", "O_WRONLY", "O_RDWR", "O_ACCMODE" };
	char buf[256];
	int n = snprintf(buf, sizeof(buf), "%s", mode[flags & O_ACCMODE]);

	/* O_NOFOLLOW means nothing once the file is open. */
	flags &= ~(uint32_t)(O_ACCMODE | O_CLOEXEC | O_NOFOLLOW);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		if ((flags & rows[i].bits) != rows[i].bits)
			continue;
		flags &= ~rows[i].bits;
		n += snprintf(buf + n, sizeof(buf) - (size_t)n, "|%s", rows[i].name);
	}
	if (flags)
		snprintf(buf + n, sizeof(buf) - (size_t)n, "|%#o", flags);
	return must(json_object_new_string(buf));
}

/**
 * state_checksum - a checksum in place of many bytes
 * @p: the bytes
 * @len: how many
 *
 * Return: XXH3-64 as a string.
 */
struct json_object *state_checksum(const void *p, size_t len)
{
	return state_fmt("xxh3:%016llx", (unsigned long long)XXH3_64bits(p, len));
}

/**
 * state_signal - the name of a signal
 * @signo: its number
 * @buf: room for a name that is not constant
 *
 * Return: as SIGINT; SIGRT32 to SIGRT64 by the kernel's number; or the number alone.
 */
const char *state_signal(int signo, char buf[static 16])
{
	const char *abbrev = signo > 0 && signo < 32 ? sigabbrev_np(signo) : NULL;

	if (abbrev)
		snprintf(buf, 16, "SIG%s", abbrev);
	else if (signo >= 32 && signo <= 64)
		snprintf(buf, 16, "SIGRT%d", signo);
	else
		snprintf(buf, 16, "%d", signo);
	return buf;
}

static int compare_text(const void *a, const void *b)
{
	return strcmp(json_object_to_json_string_ext(*(struct json_object *const *)a, 0),
		      json_object_to_json_string_ext(*(struct json_object *const *)b, 0));
}

/**
 * state_sort - put a list whose order means nothing into one that is always the same
 * @array: the list
 */
void state_sort(struct json_object *array)
{
	json_object_array_sort(array, compare_text);
}
