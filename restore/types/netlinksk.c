/*
 * netlinksk - restore of netlink sockets. The port id is asked for as it was;
 * groups beyond the 32 that an address can name are joined one by one. The
 * other half is dump/types/netlinksk.c.
 */
#include "restore/files_sock.h"

#include <errno.h>
#include <linux/netlink.h>
#include <stdio.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "proto/sk-netlink.pb-c.h"

static int netlinksk_bind(struct file_desc *d, int fd, const NetlinkSkEntry *e)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_pid = e->portid };

	if (e->n_groups)
		a.nl_groups = e->groups[0];
	if ((a.nl_pid || a.nl_groups) && bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return file_fail(d, errno, "bind to port id %u of protocol %u, groups %#x",
				 e->portid, e->protocol, a.nl_groups);
	for (size_t i = 32; i < e->n_groups * 32; i++) {
		int group = (int)i + 1;

		if (e->groups[i / 32] >> i % 32 & 1 &&
		    setsockopt(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) < 0)
			return file_fail(d, errno, "join group %d of protocol %u", group,
					 e->protocol);
	}
	return 0;
}

static int netlinksk_connect(struct file_desc *d, int fd, const NetlinkSkEntry *e)
{
	struct sockaddr_nl a = { .nl_family = AF_NETLINK, .nl_pid = e->dst_portid };

	if (e->dst_group && e->dst_group <= 32)
		a.nl_groups = 1u << (e->dst_group - 1);
	if (!a.nl_pid && !a.nl_groups)
		return 0;
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
		return file_fail(d, errno, "connect to port id %u, group %u", e->dst_portid,
				 e->dst_group);
	return 0;
}

static int netlinksk_open(struct file_desc *d, int *new_fd)
{
	const NetlinkSkEntry *e = file_desc_entry(d);
	int type = e->has_type ? (int)(e->type & 0xf) : SOCK_RAW;
	cleanup_close int fd = socket(AF_NETLINK, type | SOCK_CLOEXEC, (int)e->protocol);

	if (fd < 0)
		return file_fail(d, errno, "socket() for protocol %u", e->protocol);
	if (netlinksk_bind(d, fd, e) < 0 || netlinksk_connect(d, fd, e) < 0 ||
	    sock_restore_opts(d, fd, e->opts) < 0 || file_params(d, fd, e->flags, e->fown) < 0)
		return -1;
	*new_fd = take_fd(&fd);
	return 0;
}

static bool netlinksk_key(struct pstree *t, const struct file_desc *d, char *buf, size_t size)
{
	const NetlinkSkEntry *e = file_desc_entry(d);

	(void)t;
	snprintf(buf, size, "socket:[%u]", e->ino);
	return true;
}

const struct file_desc_ops netlinksk_desc_ops = { .open = netlinksk_open, .key = netlinksk_key };
