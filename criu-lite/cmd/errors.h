/*
 * errors - what the stable error ids mean, from errors.def.
 */
#ifndef CL_CMD_ERRORS_H
#define CL_CMD_ERRORS_H

#include <stddef.h>
#include <stdio.h>

/* Exit statuses under --exit-codes. */
enum error_class {
	CLASS_OTHER = 1,   /* a failure of the system, or of this program */
	CLASS_USAGE = 2,   /* the request makes no sense */
	CLASS_REFUSED = 3, /* the tree has what cannot be dumped */
	CLASS_DENIED = 4,  /* a capability or a permission is missing */
	CLASS_HERE = 5,    /* the image does not fit this machine as it is now */
	CLASS_IMAGE = 6,   /* the image is damaged or incomplete */
	CLASS_TIMEOUT = 7, /* the time limit has passed */
	CLASS_VETO = 8,    /* an action script has refused */
	CLASS_DIFFERS = 9, /* what was restored is not what was dumped */
};

struct error_row {
	const char *id;
	enum error_class class;
	const char *cause;
	const char *cure;
};

extern const struct error_row error_rows[];
extern const size_t error_rows_nr;

const struct error_row *error_find(const char *id);
void explain_all(FILE *out);

#endif
