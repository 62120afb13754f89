/*
 * tun - dump of /dev/net/tun, with or without an interface. One that goes with
 * its last descriptor takes its addresses and routes with it: they are in the
 * image with the first description that leads to it. Packets that nobody has
 * read yet are lost, as packets may be. The other half is restore/types/tun.c.
 */
#include "dump/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/sysmacros.h>
#include <xxhash.h>

#include "base/fd.h"
#include "kernel/rtlink.h"
#include "proto/tun.pb-c.h"

#define MAX_FEATURES 256 /* of a network device; the kernel has some 60 */

struct parts {
	struct dump_ctx *ctx;
	ProtobufCBinaryData *list;
	size_t n;
};

/* What the program has said it can take (TUNSETOFFLOAD) shows as features of the device. */
static const struct {
	const char *feature;
	uint32_t offload;
} offloads[] = {
	{ "tx-checksum-ip-generic", TUN_F_CSUM }, { "tx-tcp-segmentation", TUN_F_TSO4 },
	{ "tx-tcp6-segmentation", TUN_F_TSO6 },   { "tx-tcp-ecn-segmentation", TUN_F_TSO_ECN },
	{ "tx-udp-segmentation", 0x20 | 0x40 }, /* TUN_F_USO4, TUN_F_USO6 */
};

static int tun_probe(const struct dump_ctx *ctx, const struct fd_info *fi)
{
	return S_ISCHR(fi->st.st_mode) && fi->st.st_rdev == makedev(10, 200) &&
	       !(fi->flags & O_PATH);
}

static int ethtool(int sk, const char *name, void *what)
{
	struct ifreq ifr = { .ifr_data = what };

	memcpy(ifr.ifr_name, name, strnlen(name, IFNAMSIZ - 1));
	return ioctl(sk, SIOCETHTOOL, &ifr) < 0 ? -errno : 0;
}

static int get_offload(const char *name, uint32_t *offload)
{
	cleanup_close int sk = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	union {
		struct ethtool_sset_info i;
		char room[sizeof(struct ethtool_sset_info) + sizeof(uint32_t)];
	} count = { .i = { .cmd = ETHTOOL_GSSET_INFO, .sset_mask = 1ull << ETH_SS_FEATURES } };
	union {
		struct ethtool_gstrings s;
		char room[sizeof(struct ethtool_gstrings) + (size_t)MAX_FEATURES * ETH_GSTRING_LEN];
	} names = { .s = { .cmd = ETHTOOL_GSTRINGS, .string_set = ETH_SS_FEATURES } };
	union {
		struct ethtool_gfeatures f;
		char room[sizeof(struct ethtool_gfeatures) +
			  MAX_FEATURES / 32 * sizeof(struct ethtool_get_features_block)];
	} has = { .f = { .cmd = ETHTOOL_GFEATURES, .size = MAX_FEATURES / 32 } };
	uint32_t n = 0;
	int ret = sk < 0 ? -errno : ethtool(sk, name, &count);

	*offload = 0;
	if (!ret)
		memcpy(&n, count.i.data, sizeof(n));
	if (!ret && n > MAX_FEATURES)
		ret = -E2BIG;
	if (!ret)
		ret = ethtool(sk, name, &names);
	if (!ret)
		ret = ethtool(sk, name, &has);
	for (uint32_t i = 0; !ret && i < n; i++)
		for (size_t k = 0; k < sizeof(offloads) / sizeof(*offloads); k++)
			if (!strncmp((char *)names.s.data + (size_t)i * ETH_GSTRING_LEN,
				     offloads[k].feature, ETH_GSTRING_LEN) &&
			    has.f.features[i / 32].active >> i % 32 & 1)
				*offload |= offloads[k].offload;
	return ret;
}

static int take_part(void *arg, const void *part, size_t len)
{
	struct parts *p = arg;

	arena_push(p->ctx->arena, p->list, p->n) =
		(ProtobufCBinaryData){ .len = len, .data = arena_memdup(p->ctx->arena, part, len) };
	return 0;
}

/* What is asked of the descriptor. */
static int from_device(TunIfaceEntry *e, int fd)
{
	struct sock_fprog filter = { 0 };
	int sndbuf = 0, vnethdr = 0, le = 0, be = 0;

	if (ioctl(fd, TUNGETSNDBUF, &sndbuf) < 0 || ioctl(fd, TUNGETVNETHDRSZ, &vnethdr) < 0)
		return -errno;
	e->link->sndbuf = (uint32_t)sndbuf;
	e->link->vnethdr = (uint32_t)vnethdr;
	e->has_vnet_le = ioctl(fd, TUNGETVNETLE, &le) == 0;
	e->vnet_le = (uint32_t)le;
	e->has_vnet_be = ioctl(fd, TUNGETVNETBE, &be) == 0;
	e->vnet_be = (uint32_t)be;
	return ioctl(fd, TUNGETFILTER, &filter) == 0 && filter.len ? -EOPNOTSUPP : 0;
}

static int from_link(struct dump_ctx *ctx, TunIfaceEntry *e, const char *name,
		     const struct rtlink *l)
{
	struct parts addrs = { .ctx = ctx }, routes = { .ctx = ctx };
	int ret = get_offload(name, &e->offload);

	if (!ret)
		ret = rtlink_addrs(l->index, take_part, &addrs);
	if (!ret)
		ret = rtlink_routes(l->index, take_part, &routes);
	if (ret)
		return ret;
	e->ifindex = l->index;
	e->link->flags = l->flags;
	e->link->owner = (int32_t)l->owner;
	e->link->group = (int32_t)l->group;
	e->mtu = l->mtu;
	e->txqlen = l->txqlen;
	e->arp_type = l->arp_type;
	e->hwaddr.len = l->hwaddr_len;
	e->hwaddr.data = arena_memdup(ctx->arena, l->hwaddr, l->hwaddr_len);
	e->carrier = l->carrier;
	e->has_gen_mode = l->gen_mode >= 0;
	e->gen_mode = (uint32_t)l->gen_mode;
	e->master = l->master[0] ? arena_strdup(ctx->arena, l->master) : NULL;
	e->alias = l->alias[0] ? arena_strdup(ctx->arena, l->alias) : NULL;
	e->addrs = addrs.list;
	e->n_addrs = addrs.n;
	e->routes = routes.list;
	e->n_routes = routes.n;
	return 0;
}

static int describe(struct dump_ctx *ctx, TunfileEntry *file, const struct fd_info *fi,
		    const struct rtlink *l)
{
	uint64_t key = XXH3_64bits(file->netdev, strlen(file->netdev));
	TunIfaceEntry *e = arena_new_of(ctx->arena, TunIfaceEntry);
	int ret;

	if (file_seen(ctx, FILE_KIND_tun, key))
		return 0;
	file_see(ctx, FILE_KIND_tun, key, file);
	tun_iface_entry__init(e);
	e->link = arena_new_of(ctx->arena, TunLinkEntry);
	tun_link_entry__init(e->link);
	ret = from_device(e, fi->local);
	if (ret == -EOPNOTSUPP)
		return file_blocker(ctx, fi, "tun-interface", EOPNOTSUPP,
				    "its interface %s has a packet filter (TUNATTACHFILTER), which "
				    "the kernel does not tell",
				    file->netdev);
	if (!ret)
		ret = from_link(ctx, e, file->netdev, l);
	if (ret)
		return file_blocker(ctx, fi, "tun-interface", -ret, "look at its interface %s",
				    file->netdev);
	file->iface = e;
	return 0;
}

static int tun_dump(struct dump_ctx *ctx, struct file_desc *d, const struct fd_info *fi)
{
	TunfileEntry *e = (TunfileEntry *)d->msg;
	struct ifreq ifr = { 0 };
	struct rtlink l;
	int ret;

	e->has_flags = 1;
	e->flags = fi->flags;
	if (ioctl(fi->local, TUNGETIFF, &ifr) < 0)
		return errno == EBADFD ? 0
				       : file_blocker(ctx, fi, "tun-interface", errno, "TUNGETIFF");
	e->netdev = arena_strdup(ctx->arena, ifr.ifr_name);
	ret = rtlink_get(e->netdev, &l);
	if (ret)
		return file_blocker(ctx, fi, "tun-interface", -ret, "look at its interface %s",
				    e->netdev);
	e->has_detached = e->detached = !!(ifr.ifr_flags & IFF_DETACH_QUEUE);
	e->has_iff = 1;
	e->iff = (uint16_t)ifr.ifr_flags & ~(uint32_t)(IFF_PERSIST | IFF_DETACH_QUEUE | IFF_NO_PI);
	e->iff |= l.no_pi ? IFF_NO_PI : 0;
	return ifr.ifr_flags & IFF_PERSIST ? 0 : describe(ctx, e, fi, &l);
}

const struct file_dump_ops tun_dump_ops = { .probe = tun_probe, .dump = tun_dump };
