/*
 * fanotify - dump, of groups that are told what happened; those that are
 * asked for permission would stop the restore of other files. The other half
 * is restore/types/fanotify.c.
 */
#include "dump/files_notify.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>

#include "kernel/fhandle.h"
#include "proto/fanotify.pb-c.h"

#define PERMISSION 0x00170000u /* FAN_*_PERM and FAN_PRE_ACCESS */

static int fanotify_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return !strcmp(fi->link, "anon_inode:[fanotify]");
}

static int parse_mount(struct dump_ctx *ctx, const struct fd_info *fi, FanotifyMarkEntry *m,
		       uint32_t mnt_id)
{
	char path[PATH_MAX];
	int ret = fhandle_mount_path(mnt_id, path, sizeof(path));

	if (ret)
		return file_blocker(ctx, fi, "notify-path", -ret, "mount %u, which it watches",
				    mnt_id);
	m->type = MARK_TYPE__MOUNT;
	m->me = arena_new_of(ctx->arena, FanotifyMountMarkEntry);
	fanotify_mount_mark_entry__init(m->me);
	m->me->mnt_id = mnt_id;
	m->me->path = arena_strdup(ctx->arena, path);
	return 0;
}

static int parse_mark(struct dump_ctx *ctx, const struct fd_info *fi, FanotifyMarkEntry *m,
		      const char *line)
{
	unsigned long ino;
	unsigned mnt_id;

	if (sscanf(line, "fanotify mnt_id:%x mflags:%x mask:%x ignored_mask:%x", &mnt_id,
		   &m->mflags, &m->mask, &m->ignored_mask) == 4)
		return parse_mount(ctx, fi, m, mnt_id);
	if (sscanf(line, "fanotify ino:%lx sdev:%x mflags:%x mask:%x ignored_mask:%x", &ino,
		   &m->s_dev, &m->mflags, &m->mask, &m->ignored_mask) == 5) {
		m->type = MARK_TYPE__INODE;
		m->ie = arena_new_of(ctx->arena, FanotifyInodeMarkEntry);
		fanotify_inode_mark_entry__init(m->ie);
		m->ie->i_ino = ino;
		m->ie->f_handle = notify_handle(ctx, line);
		if (m->ie->f_handle)
			return 0;
	}
	return file_blocker(ctx, fi, "fanotify-mark", EOPNOTSUPP,
			    "a mark of a kind that this version does not know: %.*s",
			    (int)strcspn(line, "\n"), line);
}

static int add_mark(struct dump_ctx *ctx, const struct fd_info *fi, FanotifyFileEntry *e,
		    const char *line)
{
	FanotifyMarkEntry *m = arena_new_of(ctx->arena, FanotifyMarkEntry);
	int ret;

	fanotify_mark_entry__init(m);
	m->id = e->id;
	ret = parse_mark(ctx, fi, m, line);
	if (!ret && (m->mask | m->ignored_mask) & PERMISSION)
		ret = file_blocker(ctx, fi, "fanotify-permission", EOPNOTSUPP,
				   "it is asked for permission (mask %#x); nobody would answer "
				   "during the restore",
				   m->mask);
	if (!ret)
		arena_push(ctx->arena, e->mark, e->n_mark) = m;
	return ret;
}

static int fanotify_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	FanotifyFileEntry *e = (FanotifyFileEntry *)d->msg;
	const char *p = strstr(fi->fdinfo, "\nfanotify flags:");
	int bad = 0, queued = 0;

	if (!p || sscanf(p, "\nfanotify flags:%x event-flags:%x", &e->faflags, &e->evflags) != 2)
		return file_blocker(ctx, fi, "file-info", EIO, "no fanotify flags in fdinfo");
	for (p = fi->fdinfo; (p = strstr(p, "\nfanotify "));) {
		int ret = strncmp(++p, "fanotify flags:", 15) ? add_mark(ctx, fi, e, p) : 0;

		bad = bad ? bad : ret;
	}
	if (!bad && ioctl(fi->local, FIONREAD, &queued) == 0 && queued)
		log_warn(ctx->report,
			 "pid %d fd %d: fanotify events not read yet (%d bytes) are lost",
			 fi->task->pid, fi->fd, queued);
	return bad;
}

static int fanotify_finish(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	FanotifyFileEntry *e = (FanotifyFileEntry *)d->msg;
	int bad = 0;

	for (size_t i = 0; i < e->n_mark; i++) {
		FanotifyMarkEntry *m = e->mark[i];
		int ret = m->ie ? notify_find(ctx, fi, m->ie->f_handle, m->s_dev, m->ie->i_ino) : 0;

		bad = bad ? bad : ret;
	}
	return bad;
}

const struct file_dump_ops fanotify_dump_ops = {
	.probe = fanotify_probe,
	.dump = fanotify_dump,
	.finish = fanotify_finish,
};
