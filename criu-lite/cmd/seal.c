/*
 * seal - the manifest of an image made again, after an edit that was meant.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/fd.h"
#include "cmd/cmd.h"
#include "image/image.h"

/**
 * cmd_seal - `criu-lite seal DIR`
 * @c: the run
 *
 * Return: 0 or -errno, recorded.
 */
int cmd_seal(struct cmd *c)
{
	const char *path = c->o->args[0];
	cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct image_dir *d;
	int ret;

	if (fd < 0)
		return fail(c->r, "images-dir", errno, "cannot open the images directory %s", path);
	session_log_stderr(c);
	ret = image_dir_open(&d, fd, c->r, c->o->arena);
	if (ret < 0)
		return ret;
	ret = image_seal(d);
	image_dir_close(d);
	return ret;
}
