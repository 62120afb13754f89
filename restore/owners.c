/*
 * owners - whom a file signals (F_SETOWN_EX) may be a thread, a process or a
 * group that was not there yet when the file was opened. Now it is.
 */
#include "restore/ctx.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "restore/engine.h"
#include "restore/files.h"
#include "proto/fown.pb-c.h"

static const FownEntry *fown_of(const struct file_desc *d)
{
	const ProtobufCFieldDescriptor *f =
		protobuf_c_message_descriptor_get_field_by_name(d->msg->descriptor, "fown");
	const FownEntry *fown = NULL;

	if (f)
		memcpy(&fown, (const char *)d->msg + f->offset, sizeof(fown));
	return fown;
}

static int fetch(const struct file_desc *d)
{
	const struct fdinfo_list_entry *fle;

	list_for_each(fle, &d->fles, of_desc)
		if (!fle->fake)
			return table_fetch(fle->fdt, fle->fd);
	return -ENOENT;
}

static int set_missing(struct file_desc *d, const FownEntry *fown)
{
	cleanup_close int fd = fetch(d);
	struct f_owner_ex now = { 0 };

	if (fd < 0)
		return fd == -ENOENT ? 0 : file_fail(d, -fd, "pidfd_getfd()");
	if (fcntl(fd, F_GETOWN_EX, &now) == 0 && (uint32_t)now.type == fown->pid_type &&
	    now.pid == (pid_t)fown->pid)
		return 0;
	return file_set_owner(d, fd, fown);
}

/**
 * restore_owners - owners of signals that could not be set before
 * @ctx: the run; all tasks, groups and threads are there
 *
 * Return: 0 or -errno, recorded.
 */
int restore_owners(struct restore_ctx *ctx)
{
	struct file_desc *d;

	list_for_each(d, &ctx->tree->files.descs, list) {
		const FownEntry *fown = fown_of(d);

		if (fown && fown->pid && set_missing(d, fown) < 0)
			return -EIO;
	}
	return 0;
}
