/*
 * tun - restore: opened, and attached to its interface, which must be there.
 * The other half is dump/types/tun.c.
 */
#include "restore/files.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "proto/tun.pb-c.h"

static int attach(struct file_desc *d, int fd, const TunfileEntry *e)
{
	struct ifreq ifr = { .ifr_flags = (short)e->iff };

	if (snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", e->netdev) >= IFNAMSIZ)
		return file_fail(d, EBADMSG, "an interface called %s", e->netdev);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return file_fail(d, errno, "attach to interface %s", e->netdev);
	ifr.ifr_flags = IFF_DETACH_QUEUE;
	if (e->has_detached && e->detached && ioctl(fd, TUNSETQUEUE, &ifr) < 0)
		return file_fail(d, errno, "detach from interface %s", e->netdev);
	return 0;
}

static int tun_open(struct file_desc *d, int *new_fd)
{
	const TunfileEntry *e = file_desc_entry(d);
	uint32_t flags = e->has_flags ? e->flags : O_RDWR;
	cleanup_close int fd = open("/dev/net/tun", (int)flags | O_CLOEXEC);

	if (fd < 0)
		return file_fail(d, errno, "open /dev/net/tun");
	if ((e->netdev && attach(d, fd, e) < 0) || file_params(d, fd, flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

/* Attaching would make it: an interface without addresses, which is not the one of the dump. */
static int tun_check(struct pstree *t, struct file_desc *d)
{
	const TunfileEntry *e = file_desc_entry(d);

	(void)t;
	if (!e->netdev || (e->has_iff && if_nametoindex(e->netdev)))
		return 0;
	file_fail(d, ENODEV, "interface %s must be there as at the dump", e->netdev);
	return -ENODEV;
}

const struct file_desc_ops tun_desc_ops = { .open = tun_open, .check = tun_check };
