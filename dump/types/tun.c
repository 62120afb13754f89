/*
 * tun - dump of /dev/net/tun, with or without an interface. An interface that
 * goes with its last descriptor takes its addresses and routes with it, which
 * are the network namespace's: only persistent ones come back. The other half
 * is restore/types/tun.c.
 */
#include "dump/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "proto/tun.pb-c.h"

static int tun_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return S_ISCHR(fi->st.st_mode) && fi->st.st_rdev == makedev(10, 200) &&
	       !(fi->flags & O_PATH);
}

static int tun_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	TunfileEntry *e = (TunfileEntry *)d->msg;
	struct ifreq ifr = { 0 };

	e->has_flags = 1;
	e->flags = fi->flags;
	if (ioctl(fi->local, TUNGETIFF, &ifr) < 0)
		return errno == EBADFD ? 0
				       : file_blocker(ctx, fi, "tun-interface", errno, "TUNGETIFF");
	if (!(ifr.ifr_flags & IFF_PERSIST))
		return file_blocker(ctx, fi, "tun-interface", EOPNOTSUPP,
				    "its interface %.16s goes with it, and its addresses; make it "
				    "persistent (ip tuntap add, TUNSETPERSIST), or leave it "
				    "outside with --external dev[10/200]:NAME",
				    ifr.ifr_name);
	e->netdev = arena_strdup(ctx->arena, ifr.ifr_name);
	e->has_detached = e->detached = !!(ifr.ifr_flags & IFF_DETACH_QUEUE);
	e->has_iff = 1;
	e->iff = (uint16_t)ifr.ifr_flags & ~(uint32_t)(IFF_PERSIST | IFF_DETACH_QUEUE);
	return 0;
}

const struct file_dump_ops tun_dump_ops = { .probe = tun_probe, .dump = tun_dump };
