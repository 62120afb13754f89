/*
 * smaps - one pass over the text of /proc/PID/smaps: a line that starts with
 * an address opens a mapping, lines "Key: value" belong to the last one.
 */
#include "kernel/smaps.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static bool hex(const char **p, char end, uint64_t *out)
{
	const char *s = *p;
	uint64_t v = 0;

	for (;; s++) {
		int d;

		if (*s >= '0' && *s <= '9')
			d = *s - '0';
		else if (*s >= 'a' && *s <= 'f')
			d = *s - 'a' + 10;
		else
			break;
		if (v >> 60)
			return false;
		v = v << 4 | (uint64_t)d;
	}
	if (s == *p || *s != end)
		return false;
	*p = s + 1;
	*out = v;
	return true;
}

/* Undoes the kernel's \ooo in place: newlines (and only they) are written so. */
static void unescape(char *s)
{
	char *to = s;

	while (*s)
		if (s[0] == '\\' && s[1] == '0' && s[2] == '1' && s[3] == '2') {
			*to++ = '\n';
			s += 4;
		} else {
			*to++ = *s++;
		}
	*to = '\0';
}

/* "start-end perms pgoff major:minor inode     name"; the line is cut off at its end. */
static int head(char *line, struct smaps_vma *v)
{
	const char *p = line;
	uint64_t major, minor;
	char *end;

	*v = (struct smaps_vma){ 0 };
	if (!hex(&p, '-', &v->start) || !hex(&p, ' ', &v->end) || v->start >= v->end)
		return -EINVAL;
	if (strnlen(p, 5) < 5 || p[4] != ' ')
		return -EINVAL;
	v->prot = (p[0] == 'r' ? PROT_READ : 0u) | (p[1] == 'w' ? PROT_WRITE : 0u) |
		  (p[2] == 'x' ? PROT_EXEC : 0u);
	v->shared = p[3] == 's';
	p += 5;
	if (!hex(&p, ' ', &v->pgoff) || !hex(&p, ':', &major) || !hex(&p, ' ', &minor))
		return -EINVAL;
	v->dev_major = (uint32_t)major;
	v->dev_minor = (uint32_t)minor;
	errno = 0;
	v->ino = strtoull(p, &end, 10);
	if (end == p || errno)
		return -EINVAL;
	end += strspn(end, " ");
	unescape(end);
	v->name = end;
	return 0;
}

static uint64_t vm_flags(const char *p)
{
#define F(name) #name,
	static const char names[][3] = { SMAPS_FLAGS(F) };
#undef F
	const size_t n = sizeof(names) / sizeof(*names);
	uint64_t out = 0;

	for (p += strspn(p, " "); p[0] && p[1]; p += strspn(p, " ")) {
		size_t i = 0;

		while (i < n && (names[i][0] != p[0] || names[i][1] != p[1]))
			i++;
		out |= 1ull << i;
		p += strcspn(p, " ");
	}
	return out;
}

/* "Key:   number kB" to bytes. */
static uint64_t kib(const char *p)
{
	return strtoull(p, NULL, 10) * 1024;
}

static void detail(char *line, struct smaps_vma *v)
{
	switch (line[0]) {
	case 'K':
		if (!strncmp(line, "KernelPageSize:", 15))
			v->page_size = kib(line + 15);
		break;
	case 'R':
		if (!strncmp(line, "Rss:", 4))
			v->rss = kib(line + 4);
		break;
	case 'A':
		if (!strncmp(line, "Anonymous:", 10))
			v->anon = kib(line + 10);
		break;
	case 'S':
		if (!strncmp(line, "Swap:", 5))
			v->swap = kib(line + 5);
		break;
	case 'V':
		if (!strncmp(line, "VmFlags:", 8))
			v->flags = vm_flags(line + 8);
		break;
	default:
		break;
	}
}

/**
 * smaps_parse - every mapping of a process
 * @text: /proc/PID/smaps, NUL-terminated; changed on the way
 * @fn: called for each mapping
 * @arg: for @fn
 *
 * Return: 0, what @fn returned, or -EINVAL for a text that is not smaps.
 */
int smaps_parse(char *text, smaps_fn *fn, void *arg)
{
	struct smaps_vma v = { 0 };
	bool open = false;

	while (*text) {
		char *end = strchrnul(text, '\n'), *next = *end ? end + 1 : end;
		int ret;

		*end = '\0';
		/* Keys start with a capital, addresses are in small letters. */
		if (text[0] >= 'A' && text[0] <= 'Z') {
			if (!open)
				return -EINVAL;
			detail(text, &v);
		} else {
			struct smaps_vma fresh;

			ret = head(text, &fresh);
			if (ret < 0)
				return ret;
			if (open && fresh.start < v.end)
				return -EINVAL;
			ret = open ? fn(arg, &v) : 0;
			if (ret)
				return ret;
			v = fresh;
			open = true;
		}
		text = next;
	}
	return open ? fn(arg, &v) : 0;
}
