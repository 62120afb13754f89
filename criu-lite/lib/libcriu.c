/*
 * libcriu - the requests of CRIU's library interface, on the client library.
 *
 * The interface has a global object, so there is one here; everything else
 * works on an object of the caller.
 */
#include "lib/criu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/libcriu-internal.h"

struct criu_notify_arg {
	pid_t pid;
};

/* What criu_X() works on; set by criu_init_opts(). */
static criu_opts global = { .orphan_pts_fd = -1 };

/**
 * libcriu_global - the object of the global interface
 *
 * A caller that has forgotten criu_init_opts() gets the defaults.
 *
 * Return: the object.
 */
criu_opts *libcriu_global(void)
{
	if (!global.q)
		global.q = cl_request_new();
	if (!global.q)
		abort();
	return &global;
}

static void clear(criu_opts *opts)
{
	cl_request_free(opts->q);
	free(opts->errmsg);
	*opts = (criu_opts){ .orphan_pts_fd = -1 };
}

int criu_init_opts(void)
{
	clear(&global);
	global.q = cl_request_new();
	return global.q ? 0 : -1;
}

void criu_free_opts(void)
{
	clear(&global);
}

int criu_local_init_opts(criu_opts **opts)
{
	criu_opts *o = calloc(1, sizeof(*o));

	if (o)
		o->q = cl_request_new();
	if (!o || !o->q) {
		free(o);
		return -1;
	}
	o->orphan_pts_fd = -1;
	*opts = o;
	return 0;
}

void criu_local_free_opts(criu_opts *opts)
{
	if (!opts)
		return;
	clear(opts);
	free(opts);
}

static int on_notify(void *arg, const char *action, pid_t root, int fd)
{
	const struct criu_notify_arg na = { .pid = root };
	criu_opts *opts = arg;

	if (fd >= 0 && !strcmp(action, "orphan-pts-master"))
		opts->orphan_pts_fd = fd;
	else if (fd >= 0)
		close(fd);
	return opts->notify ? opts->notify((char *)action, &na) : 0;
}

void criu_local_set_notify_cb(criu_opts *opts, criu_notify_cb cb)
{
	opts->notify = cb;
	cl_on_notify(opts->q, cb ? on_notify : NULL, opts);
}

void criu_set_notify_cb(criu_notify_cb cb)
{
	criu_local_set_notify_cb(libcriu_global(), cb);
}

int criu_notify_pid(criu_notify_arg_t na)
{
	return na ? na->pid : 0;
}

int criu_get_orphan_pts_master_fd(void)
{
	return global.orphan_pts_fd;
}

const char *criu_local_get_errmsg(criu_opts *opts)
{
	return opts->errmsg ? opts->errmsg : "";
}

const char *criu_get_errmsg(void)
{
	return criu_local_get_errmsg(libcriu_global());
}

static int ask(criu_opts *opts, enum cl_type type, struct cl_reply *a)
{
	int ret = cl_request_do(opts->q, type, a);

	free(opts->errmsg);
	opts->errmsg = ret < 0 ? a->message : NULL;
	if (ret < 0)
		a->message = NULL;
	cl_reply_free(a);
	return ret;
}

int criu_local_check(criu_opts *opts)
{
	struct cl_reply a;

	return ask(opts, CL_CHECK, &a);
}

int criu_local_dump(criu_opts *opts)
{
	struct cl_reply a;
	int ret = ask(opts, CL_DUMP, &a);

	return ret < 0 ? ret : a.restored;
}

int criu_local_pre_dump(criu_opts *opts)
{
	struct cl_reply a;

	return ask(opts, CL_SINGLE_PRE_DUMP, &a);
}

int criu_local_restore(criu_opts *opts)
{
	struct cl_reply a;
	int ret = ask(opts, CL_RESTORE, &a);

	return ret < 0 ? ret : a.pid;
}

/* The root is a child of the caller, which only a program that the caller has started can do. */
int criu_local_restore_child(criu_opts *opts)
{
	int ret;

	if (!cl_starts_program(opts->q))
		return -EINVAL;
	cl_set_bool(opts->q, "rst_sibling", 1);
	ret = criu_local_restore(opts);
	cl_set_bool(opts->q, "rst_sibling", 0);
	return ret;
}

int criu_local_dump_iters(criu_opts *opts, int (*more)(criu_predump_info pi))
{
	int ret;

	do {
		ret = criu_local_pre_dump(opts);
		if (ret >= 0)
			ret = more(NULL);
	} while (ret > 0);
	return ret < 0 ? ret : criu_local_dump(opts);
}

int criu_local_get_version(criu_opts *opts)
{
	struct cl_reply a;
	int ret = ask(opts, CL_VERSION, &a);

	return ret < 0 ? ret : a.major * 10000 + (a.minor + a.has_gitid) * 100 + a.sublevel;
}

int criu_local_check_version(criu_opts *opts, int minimum)
{
	int ret = criu_local_get_version(opts);

	return ret < 0 ? ret : ret >= minimum;
}

int criu_local_feature_check(criu_opts *opts, struct criu_feature_check *features, size_t size)
{
	struct criu_feature_check f = { 0 };
	struct cl_reply a;
	int ret;

	if (!features || size > sizeof(f))
		return -1;
	memcpy(&f, features, size);
	cl_features(opts->q, (f.mem_track ? CL_MEM_TRACK : 0u) |
				     (f.lazy_pages ? CL_LAZY_PAGES : 0u) |
				     (f.pidfd_store ? CL_PIDFD_STORE : 0u));
	ret = ask(opts, CL_FEATURE_CHECK, &a);
	if (ret < 0)
		return ret;
	f.mem_track = a.features & CL_MEM_TRACK;
	f.lazy_pages = a.features & CL_LAZY_PAGES;
	f.pidfd_store = a.features & CL_PIDFD_STORE;
	memcpy(features, &f, size);
	return 0;
}

int criu_check(void)
{
	return criu_local_check(libcriu_global());
}

int criu_dump(void)
{
	return criu_local_dump(libcriu_global());
}

int criu_pre_dump(void)
{
	return criu_local_pre_dump(libcriu_global());
}

int criu_restore(void)
{
	return criu_local_restore(libcriu_global());
}

int criu_restore_child(void)
{
	return criu_local_restore_child(libcriu_global());
}

int criu_dump_iters(int (*more)(criu_predump_info pi))
{
	return criu_local_dump_iters(libcriu_global(), more);
}

int criu_get_version(void)
{
	return criu_local_get_version(libcriu_global());
}

int criu_check_version(int minimum)
{
	return criu_local_check_version(libcriu_global(), minimum);
}

int criu_feature_check(struct criu_feature_check *features, size_t size)
{
	return criu_local_feature_check(libcriu_global(), features, size);
}
