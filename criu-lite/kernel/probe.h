/*
 * probe - does this kernel have what is needed? Each question is asked by
 * doing the thing, in a child of its own where it would change the caller.
 */
#ifndef CL_KERNEL_PROBE_H
#define CL_KERNEL_PROBE_H

#include <stddef.h>

enum probe_class {
	PROBE_NEED,    /* no dump or no restore without it */
	PROBE_EXTRA,   /* some trees need it */
	PROBE_FEATURE, /* asked for by name only: CRIU's features */
};

struct probe {
	const char *name;
	enum probe_class class;
	int (*run)(void); /* 0: there; -errno: not, or not for this caller */
	const char *what; /* what it is for */
	const char *cap;  /* the capability behind an -EPERM, or NULL */
};

extern const struct probe probes[];
extern const size_t probes_nr;

const struct probe *probe_find(const char *name);

#endif
