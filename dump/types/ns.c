/*
 * ns - dump, of descriptors of the namespaces that the tree and this program
 * are in. The other half is restore/types/ns.c.
 */
#include "dump/files.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/vfs.h>

#include "proto/ns.pb-c.h"

#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x80
#endif

#define NSFS_MAGIC 0x6e736673

/* In the order of dump_ctx.own_ns, with the numbers that the image gives them. */
static const struct {
	const char *name;
	uint32_t flag, id;
} kinds[NR_NAMESPACES] = {
	{ "pid", CLONE_NEWPID, 1 },       { "net", CLONE_NEWNET, 2 },   { "mnt", CLONE_NEWNS, 6 },
	{ "user", CLONE_NEWUSER, 7 },     { "ipc", CLONE_NEWIPC, 3 },   { "uts", CLONE_NEWUTS, 4 },
	{ "cgroup", CLONE_NEWCGROUP, 8 }, { "time", CLONE_NEWTIME, 5 },
};

static int ns_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	struct statfs fs;

	return S_ISREG(fi->st.st_mode) && fi->link[0] != '/' && fstatfs(fi->local, &fs) == 0 &&
	       fs.f_type == NSFS_MAGIC;
}

static int ns_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	NsFileEntry *e = (NsFileEntry *)d->msg;

	for (size_t i = 0; i < NR_NAMESPACES; i++) {
		size_t len = strlen(kinds[i].name);

		if (strncmp(fi->link, kinds[i].name, len) || fi->link[len] != ':')
			continue;
		e->ns_id = kinds[i].id;
		e->ns_cflag = kinds[i].flag;
		if (fi->st.st_ino == ctx->own_ns[i])
			return 0;
	}
	return file_blocker(ctx, fi, "ns-outside", EOPNOTSUPP,
			    "a namespace that is not this program's; close it first");
}

const struct file_dump_ops ns_dump_ops = { .probe = ns_probe, .dump = ns_dump };
