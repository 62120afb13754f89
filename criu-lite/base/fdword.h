/*
 * fdword - a descriptor as users name it: [NAME=]NUMBER.
 */
#ifndef CL_BASE_FDWORD_H
#define CL_BASE_FDWORD_H

#include <stddef.h>

struct report;

struct fdword {
	const char *name; /* within the word, not terminated */
	size_t name_len;  /* 0: without one */
	int nr;
};

int fdword_parse(struct report *r, const char *word, size_t len, struct fdword *out);

#endif
