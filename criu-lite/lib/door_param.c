/*
 * door_param - the limits of a door: how many descriptors, how many bytes.
 */
#include "lib/door_priv.h"

#include <errno.h>
#include <limits.h>

/**
 * door_param_of - read a parameter of a door of this process
 * @d: the door; the server's lock is held
 * @param: DOOR_PARAM_*
 * @out: set
 *
 * Return: 0 or -EINVAL.
 */
int door_param_of(const struct door *d, int param, size_t *out)
{
	switch (param) {
	case DOOR_PARAM_DESC_MAX:
		*out = d->desc_max;
		return 0;
	case DOOR_PARAM_DATA_MAX:
		*out = d->data_max;
		return 0;
	case DOOR_PARAM_DATA_MIN:
		*out = d->data_min;
		return 0;
	default:
		return -EINVAL;
	}
}

static int get_remote(int fd, int param, size_t *out)
{
	const struct door_hello h = { .op = DOOR_OP_GETPARAM, .arg = (uint32_t)param };
	struct door_welcome w;
	int ret = door_ask(fd, &h, &w, NULL, -1);

	if (ret)
		return ret == -ENXIO ? -EBADF : ret;
	*out = w.param;
	return 0;
}

/**
 * door_getparam - read a parameter of a door
 * @fd: a descriptor of it
 * @param: DOOR_PARAM_DESC_MAX, DOOR_PARAM_DATA_MAX, DOOR_PARAM_DATA_MIN
 * @out: set
 *
 * Return: 0; or -1: EBADF, EFAULT, EINVAL.
 */
int door_getparam(int fd, int param, size_t *out)
{
	struct door *d;
	size_t val = 0;
	int ret = door_check_range(out, sizeof(*out));

	if (ret)
		return door_set_errno(ret);
	pthread_mutex_lock(&door_server.lock);
	d = door_find(fd);
	if (d)
		ret = d->revoked ? -EBADF : door_param_of(d, param, &val);
	pthread_mutex_unlock(&door_server.lock);
	if (!d)
		ret = get_remote(fd, param, &val);
	return door_set_errno(ret ? ret : door_copy(out, &val, sizeof(val)));
}

static int set(struct door *d, int param, size_t val)
{
	if (d->revoked)
		return -EBADF;
	switch (param) {
	case DOOR_PARAM_DESC_MAX:
		if (val > INT_MAX)
			return -ERANGE;
		if (d->attributes & DOOR_REFUSE_DESC && val)
			return -ENOTSUP;
		d->desc_max = val;
		return 0;
	case DOOR_PARAM_DATA_MAX:
		if (val < d->data_min)
			return -EINVAL;
		d->data_max = val;
		return 0;
	case DOOR_PARAM_DATA_MIN:
		if (val > d->data_max)
			return -EINVAL;
		d->data_min = val;
		return 0;
	default:
		return -EINVAL;
	}
}

/**
 * door_setparam - set a parameter of a door
 * @fd: a descriptor of it
 * @param: as door_getparam()
 * @val: the value
 *
 * Return: 0; or -1: EBADF; EINVAL, also for a minimum above the maximum; EPERM
 * if another process made it; ERANGE; ENOTSUP for descriptors of a door that
 * refuses them.
 */
int door_setparam(int fd, int param, size_t val)
{
	door_info_t info;
	struct door *d;
	int ret = 0;

	pthread_mutex_lock(&door_server.lock);
	d = door_find(fd);
	if (d)
		ret = set(d, param, val);
	if (d && !ret)
		door_store_note(&door_server, d);
	pthread_mutex_unlock(&door_server.lock);
	if (!d)
		ret = door_info(fd, &info) < 0 || info.di_target < 0 ? -EBADF : -EPERM;
	return door_set_errno(ret);
}
