/*
 * fdword - see fdword.h.
 */
#include "base/fdword.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/report.h"

/**
 * fdword_parse - read [NAME=]NUMBER
 * @r: gets the cause of a failure
 * @word: the word, perhaps of a list
 * @len: its length; what follows it is no digit
 * @out: what it says
 *
 * Return: 0 or -errno, recorded.
 */
int fdword_parse(struct report *r, const char *word, size_t len, struct fdword *out)
{
	const char *eq = memchr(word, '=', len), *p = eq ? eq + 1 : word;
	unsigned long nr;
	char *stop;

	errno = 0;
	nr = strtoul(p, &stop, 10);
	if (*p < '0' || *p > '9' || errno || stop != word + len || nr > INT_MAX)
		return fail(r, "option-value", 0, "'%.*s' is not a descriptor: [NAME=]NUMBER",
			    (int)len, word);
	*out = (struct fdword){ .name = word,
				.name_len = eq ? (size_t)(eq - word) : 0,
				.nr = (int)nr };
	return 0;
}
