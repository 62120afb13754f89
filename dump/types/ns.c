/*
 * ns - dump, of descriptors of namespaces: those that the tree and this program
 * are in, those that are mounted somewhere (as by ip netns), and any other that
 * the caller of the restore will bring. The other half is restore/types/ns.c.
 */
#include "dump/files.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "kernel/fhandle.h"
#include "proto/ns.pb-c.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

#define NSFS_MAGIC 0x6e736673

/* With the numbers that the image gives them. */
static const struct {
	const char *name;
	uint32_t flag, id;
} kinds[NR_NAMESPACES] = {
	[NS_PID] = { "pid", CLONE_NEWPID, 1 },          [NS_NET] = { "net", CLONE_NEWNET, 2 },
	[NS_MNT] = { "mnt", CLONE_NEWNS, 6 },           [NS_USER] = { "user", CLONE_NEWUSER, 7 },
	[NS_IPC] = { "ipc", CLONE_NEWIPC, 3 },          [NS_UTS] = { "uts", CLONE_NEWUTS, 4 },
	[NS_CGROUP] = { "cgroup", CLONE_NEWCGROUP, 8 }, [NS_TIME] = { "time", CLONE_NEWTIME, 5 },
};

static int ns_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	struct statfs fs;

	return S_ISREG(fi->st.st_mode) && fi->link[0] != '/' && fstatfs(fi->local, &fs) == 0 &&
	       fs.f_type == NSFS_MAGIC;
}

struct mounted {
	const struct fd_info *fi;
	const char *name; /* KIND:[INODE], the root of its mounts */
	char path[PATH_MAX];
};

static int find_mounted(void *arg, uint32_t kdev, const char *root, const char *path)
{
	struct mounted *m = arg;
	struct stat st;

	(void)kdev;
	if (strcmp(root, m->name) || stat(path, &st) < 0 || st.st_dev != m->fi->st.st_dev ||
	    st.st_ino != m->fi->st.st_ino)
		return 0;
	return snprintf(m->path, sizeof(m->path), "%s", path) < (int)sizeof(m->path);
}

/* Of a namespace that the tree is not in: the name by which restore gets it. */
static int name_other(struct dump_ctx *ctx, NsFileEntry *e, const struct fd_info *fi,
		      const char *kind)
{
	unsigned long long ino = (unsigned long long)fi->st.st_ino;
	struct mounted m = { .fi = fi };
	char what[64];
	const char *key;

	snprintf(what, sizeof(what), "%s[%llu]", kind, ino);
	key = outside_named(ctx, what);
	if (key) {
		e->ext_key = arena_strdup(ctx->arena, *key ? key : what);
		return 0;
	}
	snprintf(what, sizeof(what), "%s:[%llu]", kind, ino);
	m.name = what;
	if (fhandle_mounts(find_mounted, &m) > 0) {
		e->path = arena_strdup(ctx->arena, m.path);
		return 0;
	}
	return file_blocker(ctx, fi, "ns-outside", EOPNOTSUPP,
			    "the tree is not in the namespace %s, and it is mounted nowhere; "
			    "--external %s[%llu]:KEY leaves it outside",
			    what, kind, ino);
}

static int ns_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	NsFileEntry *e = (NsFileEntry *)d->msg;

	for (size_t i = 0; i < NR_NAMESPACES; i++) {
		size_t len = strlen(kinds[i].name);

		if (strncmp(fi->link, kinds[i].name, len) || fi->link[len] != ':')
			continue;
		e->ns_cflag = kinds[i].flag;
		if (fi->st.st_ino != ctx->own_ns.ino[i])
			return name_other(ctx, e, fi, kinds[i].name);
		e->ns_id = kinds[i].id;
		return 0;
	}
	return file_blocker(ctx, fi, "ns-outside", EOPNOTSUPP,
			    "a namespace of a kind that is not known; close it first");
}

const struct file_dump_ops ns_dump_ops = { .probe = ns_probe, .dump = ns_dump };
