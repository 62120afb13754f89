/*
 * devices - which device nodes come back by their path alone: those that keep
 * nothing for whoever has them open. Everything else needs a type of its own,
 * or --external. With --evasive-devices any node of the same device will do
 * when the one that was opened is gone.
 */
#include "dump/files.h"

#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

/* Numbers that are the same everywhere: admin-guide/devices.txt of the kernel. */
static const struct {
	unsigned int major, minor;
	bool write_only; /* whoever reads has a position that cannot be seen */
} stateless[] = {
	{ 1, 3, false },    /* null */
	{ 1, 5, false },    /* zero */
	{ 1, 7, false },    /* full */
	{ 1, 8, false },    /* random */
	{ 1, 9, false },    /* urandom */
	{ 1, 11, true },    /* kmsg */
	{ 10, 135, false }, /* rtc, the old one */
	{ 10, 183, false }, /* hwrng */
	{ 10, 228, false }, /* hpet */
	{ 10, 237, false }, /* loop-control */
};

/* What /sys calls the class of a character device; the clocks' numbers differ between machines. */
static bool is_clock(dev_t rdev)
{
	char link[64], target[PATH_MAX];
	ssize_t n;

	snprintf(link, sizeof(link), "/sys/dev/char/%u:%u/subsystem", major(rdev), minor(rdev));
	n = readlink(link, target, sizeof(target) - 1);
	return n > 4 && !memcmp(target + n - 4, "/rtc", 4);
}

/**
 * device_stateless - does its path say all of an open device?
 * @fi: the file, a character device
 *
 * Return: true if it does.
 */
bool device_stateless(const struct fd_info *fi)
{
	dev_t rdev = fi->st.st_rdev;

	for (size_t i = 0; i < sizeof(stateless) / sizeof(*stateless); i++)
		if (major(rdev) == stateless[i].major && minor(rdev) == stateless[i].minor)
			return !stateless[i].write_only || (fi->flags & O_ACCMODE) == O_WRONLY;
	return is_clock(rdev);
}

/* A walk through /dev; nftw(3) has no argument for its caller. */
static _Thread_local struct {
	const struct stat *want;
	char found[PATH_MAX];
} walk;

static int visit(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	(void)flag;
	(void)ftw;
	if ((st->st_mode & S_IFMT) != (walk.want->st_mode & S_IFMT) ||
	    st->st_rdev != walk.want->st_rdev)
		return 0;
	snprintf(walk.found, sizeof(walk.found), "%s", path);
	return 1;
}

/**
 * device_elsewhere - another node of a device
 * @ctx: the dump
 * @st: the device
 *
 * Return: its path, or NULL if there is none, or --evasive-devices was not given.
 */
const char *device_elsewhere(struct dump_ctx *ctx, const struct stat *st)
{
	if (!ctx->opts->evasive_devices || !(S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)))
		return NULL;
	walk.want = st;
	return nftw("/dev", visit, 32, FTW_PHYS) == 1 ? arena_strdup(ctx->arena, walk.found) : NULL;
}
