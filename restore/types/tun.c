/*
 * tun - restore: opened, and attached to its interface, which must be there.
 * One that goes with its descriptors is made again by the tool, with all that
 * it had, before the first fork: it goes with the tool if the restore fails.
 * The other half is dump/types/tun.c.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/fd.h"
#include "kernel/rtlink.h"
#include "proto/tun.pb-c.h"

#define GEN_MODE_NONE 1 /* IN6_ADDR_GEN_MODE_NONE */

struct tun_priv {
	int fd; /* the tool's, of an interface that this description has made */
};

/* The description that has made the interface, or NULL if it was there. */
static struct file_desc *maker(struct pstree *t, const TunfileEntry *e)
{
	return rfile_seen(t, FILE_KIND_tun, XXH3_64bits(e->netdev, strlen(e->netdev)));
}

static int attach(struct file_desc *d, int fd, const TunfileEntry *e)
{
	struct ifreq ifr = { .ifr_flags = (short)e->iff };

	if (snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", e->netdev) >= IFNAMSIZ)
		return file_fail(d, EBADMSG, "an interface called %s", e->netdev);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return file_fail(d, errno, "attach to interface %s", e->netdev);
	return 0;
}

static int detach(struct file_desc *d, int fd, const TunfileEntry *e)
{
	struct ifreq ifr = { .ifr_flags = IFF_DETACH_QUEUE };

	if (e->has_detached && e->detached && ioctl(fd, TUNSETQUEUE, &ifr) < 0)
		return file_fail(d, errno, "detach from interface %s", e->netdev);
	return 0;
}

/* Programs keep the number of their interface; if another has it by now, they are told so. */
static int make(struct file_desc *d, int fd, const TunfileEntry *e, const TunIfaceEntry *i)
{
	char other[IFNAMSIZ];

	if (if_nametoindex(e->netdev))
		return file_fail(d, EEXIST, "an interface %s is there; its own went with the dump",
				 e->netdev);
	if (if_indextoname(i->ifindex, other))
		log_warn(d->tree->report,
			 "interface %s gets another number: %s has %u, the one of the dump",
			 e->netdev, other, i->ifindex);
	else if (ioctl(fd, TUNSETIFINDEX, &i->ifindex) < 0)
		return file_fail(d, errno, "give interface %s the number %u", e->netdev,
				 i->ifindex);
	return attach(d, fd, e);
}

static int set_device(struct file_desc *d, int fd, const TunfileEntry *e, const TunIfaceEntry *i)
{
	const struct {
		unsigned long request;
		const char *what;
		int value;
		bool wanted;
	} rows[] = {
		{ TUNSETOWNER, "owner", i->link->owner, i->link->owner != -1 },
		{ TUNSETGROUP, "group", i->link->group, i->link->group != -1 },
		{ TUNSETLINK, "type", (int)i->arp_type,
		  i->arp_type != (e->iff & IFF_TAP ? ARPHRD_ETHER : ARPHRD_NONE) },
		{ TUNSETSNDBUF, "buffer", (int)i->link->sndbuf, true },
		{ TUNSETVNETHDRSZ, "head", (int)i->link->vnethdr, e->iff & IFF_VNET_HDR },
		{ TUNSETVNETLE, "byte order", (int)i->vnet_le, i->has_vnet_le && i->vnet_le },
		{ TUNSETVNETBE, "byte order", (int)i->vnet_be, i->has_vnet_be && i->vnet_be },
	};

	for (size_t k = 0; k < sizeof(rows) / sizeof(*rows); k++) {
		unsigned long by_value = (unsigned long)rows[k].value;
		int value = rows[k].value;
		bool takes_value = rows[k].request == TUNSETOWNER ||
				   rows[k].request == TUNSETGROUP || rows[k].request == TUNSETLINK;

		if (rows[k].wanted &&
		    ioctl(fd, rows[k].request, takes_value ? by_value : (unsigned long)&value) < 0)
			return file_fail(d, errno, "%s of interface %s: %d", rows[k].what,
					 e->netdev, value);
	}
	if (ioctl(fd, TUNSETOFFLOAD, (unsigned long)i->offload) < 0)
		return file_fail(d, errno, "offloads %#x of interface %s", i->offload, e->netdev);
	return 0;
}

static int set_addrs(struct file_desc *d, uint32_t index, const TunfileEntry *e)
{
	const TunIfaceEntry *i = e->iface;

	for (size_t k = 0; k < i->n_addrs; k++) {
		int ret = rtlink_add_addr(index, i->addrs[k].data, i->addrs[k].len);

		if (ret)
			return file_fail(d, -ret, "address %zu of interface %s", k, e->netdev);
	}
	return 0;
}

/* A route by way of a host wants the route to that host: again, as long as one succeeds. */
static int set_routes(struct file_desc *d, uint32_t index, const TunfileEntry *e)
{
	const TunIfaceEntry *i = e->iface;
	bool *done = arena_array(d->tree->arena, bool, i->n_routes);
	size_t left = i->n_routes, before, bad = 0;
	int err = 0;

	do {
		before = left;
		for (size_t k = 0; k < i->n_routes; k++) {
			int ret = done[k] ? 0
					  : rtlink_add_route(index, i->routes[k].data,
							     i->routes[k].len);

			if (ret) {
				err = -ret;
				bad = k;
			} else if (!done[k]) {
				done[k] = true;
				left--;
			}
		}
	} while (left && left < before);
	return left ? file_fail(d, err, "route %zu over interface %s", bad, e->netdev) : 0;
}

static int set_link(struct file_desc *d, const TunfileEntry *e, const TunIfaceEntry *i)
{
	int mode = i->has_gen_mode ? (int)i->gen_mode : -1, ret;
	struct rtlink l = { .index = if_nametoindex(e->netdev),
			    .mtu = i->mtu,
			    .txqlen = i->txqlen,
			    .hwaddr_len = (uint8_t)i->hwaddr.len };

	if (i->hwaddr.len > RTLINK_HWADDR || (i->master && strlen(i->master) >= IFNAMSIZ) ||
	    (i->alias && strlen(i->alias) >= RTLINK_ALIAS))
		return file_fail(d, EBADMSG, "interface %s has what none can have", e->netdev);
	if (i->hwaddr.len)
		memcpy(l.hwaddr, i->hwaddr.data, i->hwaddr.len);
	snprintf(l.master, sizeof(l.master), "%s", i->master ?: "");
	snprintf(l.alias, sizeof(l.alias), "%s", i->alias ?: "");
	/* Once up it would give itself addresses, besides those that it had. */
	ret = rtlink_set(&l, i->link->flags & ~(uint32_t)IFF_UP, mode < 0 ? -1 : GEN_MODE_NONE);
	if (!ret && i->link->flags & IFF_UP)
		ret = rtlink_set(&l, i->link->flags, -1);
	if (ret)
		return file_fail(d, -ret, "settings of interface %s%s%s", e->netdev,
				 i->master ? " in " : "", i->master ?: "");
	if (set_addrs(d, l.index, e) < 0 || set_routes(d, l.index, e) < 0)
		return -1;
	ret = mode < 0 ? 0 : rtlink_set(&l, i->link->flags, mode);
	return ret ? file_fail(d, -ret, "IPv6 of interface %s", e->netdev) : 0;
}

static int tun_prepare(struct pstree *t, struct file_desc *d)
{
	const TunfileEntry *e = file_desc_entry(d);
	const TunIfaceEntry *i = e->netdev && e->has_iff ? e->iface : NULL;
	struct tun_priv *p = file_desc_priv(d);
	int no = 0;

	p->fd = -1;
	if (!i)
		return 0;
	p->fd = open("/dev/net/tun", (int)(e->has_flags ? e->flags : O_RDWR) | O_CLOEXEC);
	if (p->fd < 0)
		return file_fail(d, errno, "open /dev/net/tun");
	file_keep(t, &p->fd);
	if (make(d, p->fd, e, i) < 0 || set_device(d, p->fd, e, i) < 0 || set_link(d, e, i) < 0)
		return -EIO;
	if (!i->carrier && i->link->flags & IFF_UP && ioctl(p->fd, TUNSETCARRIER, &no) < 0)
		return file_fail(d, errno, "no carrier for interface %s", e->netdev);
	rfile_see(t, FILE_KIND_tun, XXH3_64bits(e->netdev, strlen(e->netdev)), d);
	return 0;
}

static int tun_open(struct file_desc *d, int *new_fd)
{
	const TunfileEntry *e = file_desc_entry(d);
	const struct tun_priv *p = file_desc_priv(d);
	uint32_t flags = e->has_flags ? e->flags : O_RDWR;
	cleanup_close int fd = p->fd >= 0 ? fcntl(p->fd, F_DUPFD_CLOEXEC, 0)
					  : open("/dev/net/tun", (int)flags | O_CLOEXEC);

	if (fd < 0)
		return file_fail(d, errno, "open /dev/net/tun");
	if (e->netdev && ((p->fd < 0 && attach(d, fd, e) < 0) || detach(d, fd, e) < 0))
		return -1;
	if (file_params(d, fd, flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

/* Attaching would make it: an interface without addresses, which is not the one of the dump. */
static int tun_check(struct pstree *t, struct file_desc *d)
{
	const TunfileEntry *e = file_desc_entry(d);

	if (!e->netdev || (e->has_iff && (maker(t, e) || if_nametoindex(e->netdev))))
		return 0;
	file_fail(d, ENODEV, "interface %s must be there as at the dump", e->netdev);
	return -ENODEV;
}

const struct file_desc_ops tun_desc_ops = {
	.open = tun_open,
	.prepare = tun_prepare,
	.check = tun_check,
	.priv_size = sizeof(struct tun_priv),
};
