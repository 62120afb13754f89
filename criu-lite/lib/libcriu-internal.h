/*
 * libcriu-internal - what the files of libcriu share.
 */
#ifndef CL_LIB_LIBCRIU_INTERNAL_H
#define CL_LIB_LIBCRIU_INTERNAL_H

#include "lib/client.h"
#include "lib/criu.h"

struct criu_opts {
	struct cl_request *q;
	criu_notify_cb notify;
	char *errmsg;      /* of the last request, or NULL */
	int orphan_pts_fd; /* that came with a notification, or -1 */
};

criu_opts *libcriu_global(void);

#endif
